//! Canonical addresses of envelopes and headers (postfix `src/cleanup/cleanup_addr.c`,
//! `cleanup_map11.c`, `cleanup_masquerade.c`).

use std::borrow::Cow;

use config::{AddressKind, Extension};
use mail::Address;
use table::Matched;

use crate::find::{Maps, requoted, unquoted};
use crate::rewriter::{Mapping, Rewriter, known};
use crate::temporary::Temporary;
use crate::trace::{Step, Trace, Warning};
use crate::trivial::completed;

/// How often a canonical table is asked for what it has answered.
const ROUNDS_MAX: usize = 10;

/// The null address in external form.
const NULL: &str = "\"\"";

/// Who sends what nobody sends.
const MAILER_DAEMON: &str = "MAILER-DAEMON";

impl Rewriter {
    /// The sender of an envelope. `MAILER-DAEMON` of this host becomes the null sender.
    ///
    /// An address that cannot be completed to one that an envelope can hold stays as it is: what is wrong
    /// with it is said by [`Self::resolve`].
    pub async fn sender<T: Trace>(
        &self,
        sender: Option<&Address>,
        mapping: Mapping,
        trace: &mut T,
    ) -> Result<Option<Address>, Temporary> {
        let given = sender.map_or(NULL, Address::as_str);
        let completed = self.completed_text(given, trace);
        let completed = match self.is_mailer_daemon(&completed) {
            true => Cow::Borrowed(NULL),
            false => completed,
        };
        let kind = AddressKind::EnvelopeSender;
        let canonical = self.canonical(completed, kind, mapping, trace).await?;
        if unquoted(&canonical).is_empty() {
            return Ok(None);
        }
        Ok(Address::parse(canonical.as_bytes()).ok().or_else(|| sender.cloned()))
    }

    /// A recipient of an envelope, before virtual aliases.
    pub async fn recipient<T: Trace>(
        &self,
        recipient: &Address,
        mapping: Mapping,
        trace: &mut T,
    ) -> Result<Address, Temporary> {
        let completed = self.completed_text(recipient.as_str(), trace);
        let kind = AddressKind::EnvelopeRecipient;
        let canonical = self.canonical(completed, kind, mapping, trace).await?;
        if *canonical == *recipient.as_str() {
            return Ok(recipient.clone());
        }
        let canonical = match unquoted(&canonical).is_empty() {
            // What a table turned into the null address is for whoever gets such mail.
            true => self.completed_text(&self.settings.site.empty_address_recipient, trace),
            false => canonical,
        };
        Ok(Address::parse(canonical.as_bytes()).unwrap_or_else(|_| recipient.clone()))
    }

    /// Completed as all of an envelope is: in the local context, whoever the client is.
    pub(crate) fn completed_text<'a, T: Trace>(
        &self,
        external: &'a str,
        trace: &mut T,
    ) -> Cow<'a, str> {
        match completed(self.trivial().local_origin(), external.as_bytes(), trace) {
            Cow::Borrowed(_) => Cow::Borrowed(external),
            // Text stays text, see `find`.
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Cow::Owned(requoted(&unquoted(&text)).into_owned()),
                Err(_) => Cow::Borrowed(external),
            },
        }
    }

    pub(crate) fn is_mailer_daemon(&self, external: &str) -> bool {
        let starts = external.get(..MAILER_DAEMON.len());
        if !starts.is_some_and(|start| start.eq_ignore_ascii_case(MAILER_DAEMON)) {
            return false;
        }
        let ours = self.completed_text(MAILER_DAEMON, &mut crate::Unwatched);
        external.eq_ignore_ascii_case(&ours)
    }

    /// Canonical tables and masquerading, on an address in external form.
    pub(crate) async fn canonical<'a, T: Trace>(
        &self,
        address: Cow<'a, str>,
        kind: AddressKind,
        mapping: Mapping,
        trace: &mut T,
    ) -> Result<Cow<'a, str>, Temporary> {
        if mapping == Mapping::Off {
            return Ok(address);
        }
        let rules = &self.settings.rewriting;
        let mut address = address;
        let in_envelope =
            matches!(kind, AddressKind::EnvelopeSender | AddressKind::EnvelopeRecipient);
        let (of_sender, of_recipient) =
            (rules.sender_canonical_classes.has(kind), rules.recipient_canonical_classes.has(kind));
        for (wanted, parameter, list) in [
            (of_sender, "sender_canonical_maps", &rules.sender_canonical_maps),
            (of_recipient, "recipient_canonical_maps", &rules.recipient_canonical_maps),
            (rules.canonical_classes.has(kind), "canonical_maps", &rules.canonical_maps),
        ] {
            if !wanted || list.is_empty() {
                continue;
            }
            let before = address.clone();
            address = self.map_to_one(Maps { parameter, list }, address, trace).await?;
            if in_envelope && *address != *before && !is_mailbox(&address) {
                return Err(Temporary::NoAddress {
                    parameter,
                    address: (*before).into(),
                    result: (*address).into(),
                });
            }
        }
        if !rules.masquerade_domains.is_empty() && rules.masquerade_classes.has(kind) {
            address = self.masqueraded(address, trace).await?;
        }
        Ok(address)
    }

    /// Replaces an address by what a table has for it, and that again.
    async fn map_to_one<'a, T: Trace>(
        &self,
        maps: Maps<'_>,
        mut address: Cow<'a, str>,
        trace: &mut T,
    ) -> Result<Cow<'a, str>, Temporary> {
        let propagate =
            self.settings.rewriting.propagate_unmatched_extensions.has(Extension::Canonical);
        for _ in 0..ROUNDS_MAX {
            let Some(found) = self.map(maps, &address, propagate, trace).await? else {
                return Ok(address);
            };
            let parameter = maps.parameter;
            if T::WARNINGS && found.len() > 1 {
                trace.warning(Warning::Several { parameter, address: (*address).into() });
            }
            let Some(first) = found.into_iter().next() else { return Ok(address) };
            if T::STEPS {
                trace.step(Step::Rewritten { rule: parameter, from: &address, to: &first });
            }
            let same = same_text(&address, &first);
            address = Cow::Owned(first.into());
            if same {
                return Ok(address);
            }
        }
        // Postfix says that it does not accept such mail, and accepts it (cleanup_map11.c).
        if T::WARNINGS {
            let address = (*address).into();
            trace.warning(Warning::Nesting { parameter: maps.parameter, address });
        }
        Ok(address)
    }

    /// Takes the host's name out of a domain: `user@host.example.com` is from `example.com`.
    pub(crate) async fn masqueraded<'a, T: Trace>(
        &self,
        address: Cow<'a, str>,
        trace: &mut T,
    ) -> Result<Cow<'a, str>, Temporary> {
        let rules = &self.settings.rewriting;
        let Some((user, domain)) = address.rsplit_once('@') else { return Ok(address) };
        let exceptions = &rules.masquerade_exceptions;
        if !exceptions.is_empty() {
            let matched = exceptions.has(user).await;
            if T::STEPS && matched != Matched::No {
                let parameter = "masquerade_exceptions";
                trace.step(Step::Listed { parameter, name: user, matched: &matched });
            }
            if known("masquerade_exceptions", matched)? {
                return Ok(address);
            }
        }
        let domain = domain.to_lowercase();
        for item in rules.masquerade_domains.iter() {
            let masked = item.trim_start_matches('!');
            let hides = (item.len() - masked.len()) % 2 == 0;
            let masked = masked.to_lowercase();
            if masked.is_empty() || domain == masked {
                if masked.is_empty() { continue } else { break }
            }
            let below = domain.strip_suffix(&*masked).is_some_and(|host| host.ends_with('.'));
            if below && hides {
                let shown = format!("{user}@{masked}");
                if T::STEPS {
                    let rule = "masquerade_domains";
                    trace.step(Step::Rewritten { rule, from: &address, to: &shown });
                }
                return Ok(Cow::Owned(shown));
            }
            if below {
                break;
            }
        }
        Ok(address)
    }
}

/// Whether an envelope can hold it; the null address has a place there.
fn is_mailbox(external: &str) -> bool {
    unquoted(external).is_empty() || Address::parse(external.as_bytes()).is_ok()
}

/// Equal but for the case of letters.
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || !(one.is_ascii() && other.is_ascii()) && one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use table::block_on;

    use super::*;
    use crate::testing::{Notes, address, rewriter};
    use crate::{Temporary, Unwatched};

    fn recipient(main_cf: &str, text: &str) -> String {
        let rewriter = rewriter(main_cf);
        let recipient = block_on(rewriter.recipient(&address(text), Mapping::On, &mut Unwatched));
        recipient.unwrap().to_string()
    }

    fn sender(main_cf: &str, text: &str) -> Option<String> {
        let rewriter = rewriter(main_cf);
        let given = (!text.is_empty()).then(|| address(text));
        let sender = block_on(rewriter.sender(given.as_ref(), Mapping::On, &mut Unwatched));
        sender.unwrap().map(|it| it.to_string())
    }

    #[test]
    fn canonical_tables_replace_until_nothing_changes() {
        let maps = "canonical_maps = inline:{ a@x.example=b@x.example, b@x.example=c@x.example, \
                    c@x.example=c@x.example, @old.example=@new.example, own=other@y.example }\n";
        for (from, to) in [
            ("a@x.example", "c@x.example"),
            ("a+ext@x.example", "c+ext@x.example"),
            ("user@old.example", "user@new.example"),
            ("user+ext@old.example", "user+ext@new.example"),
            ("\"us er\"@old.example", "\"us er\"@new.example"),
            ("own", "other@y.example"),
            ("own+ext@mx.example.com", "other+ext@y.example"),
            ("own@elsewhere.example", "own@elsewhere.example"),
        ] {
            assert_eq!(recipient(maps, from), to, "{from}");
        }
        let kept = format!("{maps}propagate_unmatched_extensions =\n");
        assert_eq!(recipient(&kept, "a+ext@x.example"), "c@x.example");
    }

    #[test]
    fn tables_of_senders_and_of_recipients_come_before_the_one_for_both() {
        let maps = "sender_canonical_maps = inline:{ a@x.example=s@x.example }\n\
                    recipient_canonical_maps = inline:{ a@x.example=r@x.example }\n\
                    canonical_maps = inline:{ s@x.example=cs@x.example, r@x.example=cr@x.example }\n";
        assert_eq!(sender(maps, "a@x.example").as_deref(), Some("cs@x.example"));
        assert_eq!(recipient(maps, "a@x.example"), "cr@x.example");
        let headers = format!("{maps}canonical_classes = header_sender\n");
        assert_eq!(recipient(&headers, "a@x.example"), "r@x.example");
        let rewriter = rewriter(maps);
        let off =
            block_on(rewriter.recipient(&address("a@x.example"), Mapping::Off, &mut Unwatched));
        assert_eq!(off.unwrap(), address("a@x.example"));
    }

    #[test]
    fn the_hosts_mailer_daemon_is_the_null_sender() {
        assert_eq!(sender("", ""), None);
        assert_eq!(sender("", "mailer-daemon"), None);
        assert_eq!(sender("", "MAILER-DAEMON@mx.example.com"), None);
        let other = "MAILER-DAEMON@other.example";
        assert_eq!(sender("", other).as_deref(), Some(other));
        let maps = "sender_canonical_maps = inline:{ a@x.example=<> }\n";
        assert_eq!(sender(maps, "a@x.example"), None);
        let maps = "recipient_canonical_maps = inline:{ a@x.example=<> }\n";
        assert_eq!(recipient(maps, "a@x.example"), "MAILER-DAEMON@mx.example.com");
    }

    #[test]
    fn masquerading_hides_hosts_but_not_all() {
        let masked = "masquerade_domains = !sub.x.example, x.example !!Y.example\n\
                      masquerade_exceptions = root, inline:{ boss=x }\n";
        for (from, to) in [
            ("user@host.x.example", "user@x.example"),
            ("user@HOST.X.example", "user@x.example"),
            ("user@x.example", "user@x.example"),
            ("user@sub.x.example", "user@sub.x.example"),
            ("user@host.sub.x.example", "user@host.sub.x.example"),
            ("user@a.b.y.example", "user@y.example"),
            ("root@host.x.example", "root@host.x.example"),
            ("user@hostx.example", "user@hostx.example"),
        ] {
            assert_eq!(sender(masked, from).as_deref(), Some(to), "{from}");
            assert_eq!(recipient(masked, from), from, "recipients of envelopes are not masked");
        }
    }

    #[test]
    fn a_table_that_goes_round_is_left_after_a_while() {
        let rewriter = rewriter(
            "canonical_maps = inline:{ a@x.example=b@x.example, b@x.example=a@x.example }\n",
        );
        let mut notes = Notes::default();
        let recipient =
            block_on(rewriter.recipient(&address("a@x.example"), Mapping::On, &mut notes));
        assert_eq!(recipient.unwrap(), address("a@x.example"));
        assert_eq!(notes.warnings, ["unreasonable canonical_maps map nesting for a@x.example"]);
    }

    #[test]
    fn several_addresses_are_one_too_many() {
        let rewriter =
            rewriter("canonical_maps = inline:{ { a@x.example = b@x.example, c@x.example } }\n");
        let mut notes = Notes::default();
        let recipient =
            block_on(rewriter.recipient(&address("a@x.example"), Mapping::On, &mut notes));
        assert_eq!(recipient.unwrap(), address("b@x.example"));
        let warning = "multi-valued canonical_maps entry for a@x.example; the first is taken";
        assert_eq!(notes.warnings, [warning]);
    }

    #[test]
    fn a_table_that_is_away_or_talks_nonsense_is_temporary() {
        let away = rewriter("canonical_maps = texthash:/none\n");
        let asked = block_on(away.recipient(&address("a@x.example"), Mapping::On, &mut Unwatched));
        let Err(why) = asked else { panic!("the table was passed over") };
        assert!(matches!(why, Temporary::Unavailable { parameter: "canonical_maps", .. }));
        assert_eq!(why.status().to_string(), "4.3.0");
        let nonsense = rewriter("canonical_maps = inline:{ { a@x.example = (nobody) } }\n");
        let asked =
            block_on(nonsense.recipient(&address("a@x.example"), Mapping::On, &mut Unwatched));
        assert_eq!(
            asked.unwrap_err().to_string(),
            "canonical_maps: lookup of a@x.example returns non-address result \"(nobody)\""
        );
        let nowhere = rewriter("canonical_maps = inline:{ { a@x.example = b@x,y example } }\n");
        let nobody = &mut Unwatched;
        let asked = block_on(nowhere.recipient(&address("a@x.example"), Mapping::On, nobody));
        assert_eq!(asked, Ok(address("b@x")));
        let nowhere = rewriter("canonical_maps = inline:{ a@x.example=b@x..y }\n");
        let asked = block_on(nowhere.recipient(&address("a@x.example"), Mapping::On, nobody));
        assert!(matches!(asked, Err(Temporary::NoAddress { .. })), "{asked:?}");
    }

    #[test]
    fn no_answer_is_ever_read_as_an_expansion() {
        let maps = "canonical_maps = inline:{ a@x.example=$$(reboot)@x.example }\n";
        // What is in parentheses is a comment.
        assert_eq!(recipient(maps, "a@x.example"), "$@x.example");
        let given = "\"${run{touch}}|;`id`\"@x.example";
        assert_eq!(recipient("", given), given);
    }
}
