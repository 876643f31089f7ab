//! Tables that postdrop asks: only what is in a file or in main.cf answers there.

use config::{Severity, Snapshot};
use table::{Disk, MapList, MatchList, Tables};

use super::Findings;

impl Findings {
    /// With one that cannot be asked nobody may send mail.
    pub(super) fn submission_tables(&mut self, snapshot: &Snapshot) {
        let tables = Tables::new(&Disk);
        self.asked_by_postdrop(snapshot, "authorized_submit_users", |text| {
            let list = MatchList::open("authorized_submit_users", text, &tables);
            list.troubles().iter().map(ToString::to_string).collect()
        });
        self.asked_by_postdrop(snapshot, "local_login_sender_maps", |text| {
            MapList::open(text, &tables).troubles().map(|why| why.to_string()).collect()
        });
    }

    fn asked_by_postdrop(
        &mut self,
        snapshot: &Snapshot,
        parameter: &str,
        troubles: impl Fn(&str) -> Vec<String>,
    ) {
        let settings = snapshot.settings();
        let (Some(defined), Ok(text)) = (settings.defined(parameter), settings.text(parameter))
        else {
            return;
        };
        for why in troubles(&text) {
            self.add(
                Severity::Error,
                format_args!(
                    "{}: {parameter}: {why}; until it can be asked, postdrop takes no mail (exit code 75)",
                    defined.position
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    fn said(main_cf: &str) -> Vec<String> {
        let (all, ..) = read(main_cf, "pickup unix n - n 60 1 pickup\n");
        let mut findings = Findings::default();
        findings.submission_tables(&all.base);
        findings.0.into_values().flatten().collect()
    }

    #[test]
    fn what_postdrop_cannot_ask_is_an_error() {
        assert_eq!(said(""), [""; 0]);
        assert_eq!(said("authorized_submit_users = !mallory, static:anyone\n"), [""; 0]);
        let found = said(
            "authorized_submit_users = texthash:/none/users\n\
             local_login_sender_maps = inline:{root=*}, socketmap:inet:127.0.0.1:1:x\n",
        );
        let [users, senders] = &found[..] else { panic!("{found:#?}") };
        assert!(users.contains("main.cf:4: authorized_submit_users: "), "{users}");
        assert!(users.contains("/none/users"), "{users}");
        assert!(senders.contains("main.cf:5: local_login_sender_maps: "), "{senders}");
        assert!(senders.contains("socketmap:inet:127.0.0.1:1:x"), "{senders}");
    }
}
