//! Rows that the SMTP and the LMTP client both have: postfix `src/smtp/lmtp_params.c` is
//! `smtp_params.c` under other names, with a few other defaults.

/// Declares a group of such rows, two for each entry: `smtp_NAME` and `lmtp_NAME`. What follows the slash
/// is the default of the second where it has another one; what follows the group's arrow holds for each
/// entry that does not say otherwise:
///
/// ```text
/// clients! {
///     /// What the group is about.
///     CONNECTIONS => unsupported "no mail is sent to other hosts";
///
///     /// Manual text of both.
///     tcp_port: Nonblank = "smtp" / "24";
///     /// A value with the limits of both.
///     connect_timeout: Duration = "30s" / "0s" => accepted "why";
/// }
/// ```
macro_rules! clients {
    (
        $(#[doc = $title:literal])+
        $group:ident => $all:ident $clause:literal;
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $type:ty = $smtp:literal $(/ $lmtp:literal)?
                $(in $words:tt)? $(, $bounds:expr)? $(=> $status:ident $why:literal)?;
        )+
    ) => {
        $(#[doc = $title])+
        pub(crate) const $group: &[$crate::Row] = &[
            $(
                $crate::Row {
                    name: concat!("smtp_", stringify!($name)),
                    $(status: $crate::row::row!(@status $status $why),)?
                    ..$crate::row::row!(
                        [$($doc)+] $name: $type = $smtp $(in $words)? $(, $bounds)? => $all $clause
                    )
                },
                $crate::Row {
                    name: concat!("lmtp_", stringify!($name)),
                    $(default: $crate::Default::Text($lmtp),)?
                    $(status: $crate::row::row!(@status $status $why),)?
                    ..$crate::row::row!(
                        [$($doc)+] $name: $type = $smtp $(in $words)? $(, $bounds)? => $all $clause
                    )
                },
            )+
        ];
    };
}

pub(crate) use clients;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::syntax::Word;
    use crate::{Bounds, Default, Status};

    clients! {
        /// One entry of each form.
        PAIRS => unsupported "the group's";

        /// Text.
        alike: bool = "no";
        /// Text.
        unlike: Duration = "30s" / "0s", 0..=60 => accepted "its own";
        /// Text.
        words: Word = "$smtp_alike" / "$lmtp_alike" in ["no", "yes"];
    }

    #[test]
    fn an_entry_makes_a_row_for_each_client() {
        let default = |default: Default| match default {
            Default::Text(text) => text,
            Default::Machine(_) => unreachable!("none of them asks the machine"),
        };
        let rows: Vec<_> = PAIRS
            .iter()
            .map(|row| (row.name, row.kind, default(row.default), row.status))
            .collect();
        let group = Status::Unsupported("the group's");
        let own = Status::Accepted("its own");
        assert_eq!(
            rows,
            [
                ("smtp_alike", "yes or no", "no", group),
                ("lmtp_alike", "yes or no", "no", group),
                ("smtp_unlike", "time", "30s", own),
                ("lmtp_unlike", "time", "0s", own),
                ("smtp_words", "one of", "$smtp_alike", group),
                ("lmtp_words", "one of", "$lmtp_alike", group),
            ]
        );
        assert_eq!(PAIRS[3].bounds, Bounds::new(0..=60));
        assert_eq!(PAIRS[5].bounds, Bounds::Words(&["no", "yes"]));
    }
}
