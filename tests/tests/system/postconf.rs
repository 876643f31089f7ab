//! postconf beside Debian's: what is printed, and what edits make of the files, byte for byte.
//!
//! Postfix 3.7 knows fewer names, and has other defaults (`parameters.rs`); here it is about what files say.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tests::peer::Ran;

/// In the manner of a mail host with Dovecot and a content filter.
pub(crate) const MAIN_CF: &str = "\
# See /usr/share/postfix/main.cf.dist
smtpd_banner = $myhostname ESMTP $mail_name
biff = no

# two lines
mynetworks = 127.0.0.0/8
    # in between
    [::1]/128
my_own = yes
smtpd_recipient_restrictions = permit_mynetworks,
  ${my_own?{reject_unauth_destination}:{permit}}
virtual_transport = lmtp:unix:/var/run/dovecot/lmtp
message_size_limit = 1000
message_size_limit = 2000
relayhost =
";

pub(crate) const MASTER_CF: &str = "\
# ==========
smtp      inet  n       -       y       -       1       postscreen
smtpd     pass  -       -       y       -       -       smtpd
submission inet n - y - - smtpd
  -o syslog_name=postfix/submission
  # a comment in between
  -o smtpd_tls_security_level=encrypt -o { smtpd_client_restrictions = permit_sasl_authenticated, reject }
  -o cleanup_service_name=authclean
cleanup   unix  n       -       y       -       0       cleanup
authclean unix  n       -       y       -       0       cleanup
  -o header_checks=pcre:/etc/postfix/submission_header_cleanup.cf
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
smtp-amavis unix - - - - 2 smtp
    -o smtp_data_done_timeout=1200 -o max_use=20
127.0.0.1:10025 inet n - - - - smtpd
    -o content_filter= -o mynetworks=127.0.0.0/8
dovecot   unix  -       n       n       -       -       pipe
  flags=DRhu user=vmail:vmail argv=/usr/lib/dovecot/deliver -f ${sender} -d ${recipient}
";

/// Debian's own file.
const STOCK: &str = "/etc/postfix/master.cf.proto";

const SHOWN: &[&[&str]] = &[
    &["-h", "biff", "mynetworks", "my_own"],
    &["-H", "biff", "relayhost"],
    &["biff", "smtpd_recipient_restrictions", "message_size_limit"],
    &["-x", "smtpd_recipient_restrictions"],
    &["-n", "relayhost", "virtual_transport"],
    &["-f", "smtpd_recipient_restrictions"],
    &["-o", "biff=yes", "biff"],
    &["-nf"],
    &["-n"],
    &["-M"],
    &["-Mf"],
    &["-M", "smtp"],
    &["-M", "qmgr/unix"],
    &["-F"],
    &["-F", "qmgr/unix/wakeup"],
    &["-hF", "qmgr/unix"],
    &["-P"],
    &["-P", "*/inet/syslog_name"],
];

const EDITS: &[&[&str]] = &[
    &["-e", "biff=yes"],
    &["-e", "biff = yes", "new_one = a b", "mynetworks=10.0.0.0/8"],
    &["-X", "biff", "mynetworks"],
    &["-#", "mynetworks", "biff"],
    &["-e", "message_size_limit=3"],
    &["-M", "-e", "qmgr/unix=qmgr unix n - n 200 1 qmgr"],
    &["-M", "-e", "new/unix=new unix - - n - - smtp -o a=b"],
    &["-M", "-X", "cleanup/unix"],
    &["-M", "-#", "tlsmgr/unix"],
    &["-F", "-e", "qmgr/unix/wakeup=100"],
    &["-P", "-e", "qmgr/unix/biff=no"],
    &["-P", "-X", "submission/inet/syslog_name"],
];

/// Postfix puts a field or parameter that it edits behind a comment that follows the entry; here the comment
/// stays where it is. It is the one place in Debian's file.
const MOVED_COMMENT: &str = "#qmgr     unix  n       -       n       300     1       oqmgr\n";

pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new(main_cf: &str, master_cf: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        place.write("main.cf", main_cf);
        place.write("master.cf", master_cf);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `PLACE` in the text is the directory. The file looks old: Postfix waits for a new one to become older before it trusts it.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let text = text.replace("PLACE", &self.0.path().to_string_lossy());
        fs::write(&path, text).expect("a file");
        let file = File::options().write(true).open(&path).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("a time");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).expect("a file");
        text.replace(&*self.0.path().to_string_lossy(), "PLACE")
    }

    pub(crate) fn ours(&self, arguments: &[&str]) -> Ran {
        let program = std::env::var("RINGPOST_BIN").expect("tests/run sets it");
        self.run(Command::new(program).arg("postconf"), arguments)
    }

    pub(crate) fn theirs(&self, arguments: &[&str]) -> Ran {
        self.run(&mut Command::new("/usr/sbin/postconf"), arguments)
    }

    /// The directory's name is the one thing that differs on purpose.
    fn run(&self, command: &mut Command, arguments: &[&str]) -> Ran {
        let command = command.arg("-c").arg(self.0.path()).args(arguments);
        let output = command.env("LC_ALL", "C.UTF-8").output().expect("postconf");
        let mut ran = Ran::from(output);
        let place = self.0.path().to_string_lossy();
        for text in [&mut ran.out, &mut ran.err] {
            *text = text.replace(&*place, "PLACE");
        }
        ran
    }
}

fn stock() -> String {
    fs::read_to_string(STOCK).expect("Debian's master.cf")
}

#[test]
fn what_is_printed_is_what_postfix_prints() {
    let mut differ = String::new();
    for master_cf in [MASTER_CF, &stock()] {
        let place = Place::new(MAIN_CF, master_cf);
        for arguments in SHOWN {
            let (ours, theirs) = (place.ours(arguments), place.theirs(arguments));
            if (ours.ok, &ours.out) != (theirs.ok, &theirs.out) {
                differ.push_str(&format!("{arguments:?}\n{ours:#?}\nPostfix: {theirs:#?}\n"));
            }
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

#[test]
fn edits_make_of_the_files_what_postfix_makes_of_them() {
    let mut differ = String::new();
    for master_cf in [MASTER_CF, &stock()] {
        for arguments in EDITS {
            let [ours, theirs] = [Place::new(MAIN_CF, master_cf), Place::new(MAIN_CF, master_cf)];
            let ok = (ours.ours(arguments).ok, theirs.theirs(arguments).ok);
            let moves = arguments[0] != "-M" && arguments.iter().any(|it| it.starts_with("qmgr/"));
            let files = |place: &Place| {
                let master_cf = place.read("master.cf");
                assert_eq!(master_cf.contains(MOVED_COMMENT), master_cf.contains("oqmgr"));
                let comment = if moves { MOVED_COMMENT } else { "\0" };
                [place.read("main.cf"), master_cf.replace(comment, "")]
            };
            if ok.0 != ok.1 || files(&ours) != files(&theirs) {
                let (ours, theirs) = (files(&ours), files(&theirs));
                differ
                    .push_str(&format!("{arguments:?} {ok:?}\n{ours:#?}\nPostfix: {theirs:#?}\n"));
            }
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

#[test]
fn an_edit_keeps_the_link_and_the_mode() {
    let place = Place::new(MAIN_CF, MASTER_CF);
    fs::rename(place.path("main.cf"), place.path("real.cf")).expect("a file");
    symlink("real.cf", place.path("main.cf")).expect("a link");
    fs::set_permissions(place.path("real.cf"), Permissions::from_mode(0o640)).expect("a mode");
    place.ours(&["-e", "biff=yes"]).expect_ok();
    let link = fs::symlink_metadata(place.path("main.cf")).expect("a link");
    assert!(link.is_symlink());
    let mode = fs::metadata(place.path("real.cf")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(place.read("real.cf"), MAIN_CF.replace("biff = no", "biff = yes"));
}

#[test]
fn a_refused_edit_leaves_the_file_alone() {
    let place = Place::new(MAIN_CF, MASTER_CF);
    for arguments in [
        &["-e", "biff=yes", "no equals sign"][..],
        &["-e", "biff=yes", "#a=b"],
        &["-X", "biff=yes"],
        &["-M", "-e", "qmgr/unix=qmgr unix n"],
        &["-F", "-e", "qmgr/unix/wakeup=1 2"],
    ] {
        let ran = place.ours(arguments);
        assert!(!ran.ok && ran.err.starts_with("postconf: fatal: "), "{arguments:?}: {ran:?}");
        assert_eq!(place.read("main.cf"), MAIN_CF, "{arguments:?}");
        assert_eq!(place.read("master.cf"), MASTER_CF, "{arguments:?}");
    }
    assert_eq!(fs::read_dir(place.0.path()).expect("a directory").count(), 2, "nothing is left");
}
