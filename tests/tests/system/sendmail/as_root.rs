//! Beside Debian's sendmail, and as an ordinary user with a postdrop that is set-gid.

use mail::rfc5322::unquote_local;
use maildrop::Decoder;
use tests::server::RunAs;

use super::*;

/// Debian's sendmail with a queue of its own, which takes root to name.
struct Postfix(tempfile::TempDir);

impl Postfix {
    fn new() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        for folder in ["spool/maildrop", "spool/public"] {
            fs::create_dir_all(place.path().join(folder)).expect("a directory");
        }
        let spool = place.path().join("spool");
        let spool = spool.display();
        let main_cf = format!("compatibility_level = 3.6\nqueue_directory = {spool}\n{more}");
        fs::write(place.path().join("main.cf"), main_cf).expect("a file");
        Self(place)
    }

    fn sendmail(&self, arguments: &[&str], input: &str) -> Did {
        let mut command = Command::new("/usr/sbin/sendmail");
        command.arg("-C").arg(self.0.path()).args(arguments);
        run(command, input.as_bytes())
    }

    fn maildrop(&self) -> PathBuf {
        self.0.path().join("spool/maildrop")
    }
}

#[test]
fn messages_about_the_command_line_are_postfixs() {
    let (ours, postfix) = (setup(), Postfix::new());
    // So that there are a main.cf and a queue.
    drop(ours.ringpost(&["check"]));
    let said = |did: Did| -> String {
        let mut lines: Vec<&str> = did.err.lines().collect();
        // The C library's is said twice.
        lines.dedup();
        lines.join("\n")
    };
    for arguments in [
        &["-bx"][..],
        &["-Xq"],
        &["-B", "9BIT", "x"],
        &["-bp", "-t"],
        &["-bp", "x"],
        &["-q", "x"],
        &["-qRx", "y"],
        &["-qI"],
        &["-bv", "-t", "x"],
        &["-n"],
        &["-z"],
        &["-oA"],
        &[],
        &["-t"],
    ] {
        let did = sendmail(&ours, arguments, "");
        assert_eq!(did.code, Some(64), "{arguments:?}");
        assert_eq!(said(did), said(postfix.sendmail(arguments, "")), "{arguments:?}");
    }
}

/// The sender and the recipients of the one file in a maildrop, in internal form.
fn left(maildrop: &Path, read: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Vec<String> {
    let [name] = &names(maildrop)[..] else { panic!("{:?}", names(maildrop)) };
    let addresses = read(&fs::read(maildrop.join(name)).expect("a file"));
    fs::remove_file(maildrop.join(name)).expect("a file");
    addresses.iter().map(|address| text(address)).collect()
}

/// postfix `src/global/rec_type.h`: a letter, a length of seven bits a byte, the text.
fn records_of_postfix(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut all, mut rest) = (Vec::new(), file);
    while let Some((&kind, behind)) = rest.split_first() {
        let size = behind.iter().take_while(|&&b| b >= 0x80).count() + 1;
        let number = behind[..size].iter().rev();
        let length = number.fold(0, |sum, &b| sum << 7 | usize::from(b & 0x7f));
        if matches!(kind, b'S' | b'R') {
            all.push(behind[size..size + length].to_vec());
        }
        rest = &behind[size + length..];
    }
    all
}

fn records_of_ours(file: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::default();
    decoder.put(file, &mut Vec::new()).expect("a submission");
    let submission = decoder.finish().expect("all of it");
    let sender = submission.sender.as_ref().map_or("", |it| it.as_str());
    let recipients = submission.recipients.iter().map(|it| it.as_str());
    let all = std::iter::once(sender).chain(recipients);
    all.map(|address| unquote_local(address.as_bytes()).into_owned()).collect()
}

#[test]
fn sender_and_recipients_are_those_that_postfix_reads() {
    let (mut ours, postfix) = (setup().run_as(RunAs::Root).start(), Postfix::new());
    assert!(ours.stop().success());
    let maildrop = queue(&ours.setup, "maildrop");
    for (arguments, head) in [
        (&["-f", "me", "a@x.example", "b"][..], ""),
        (&["-f", "", "a@x.example, Joe <b@x.example>"], ""),
        (&["-f", "<>", "grp: a, b@x.example;"], ""),
        (&["-f", "Joe <me@x.example>", "-t"], "To: a@x.example\nBcc: b\n"),
        (&["-f", "(me) me@x.example", "-t", "z"], "Cc : \"q s\"@x.example,\r\n\tj @ x.example\n"),
        (&["-f", "me", "-t"], "to: joe bloggs, x!y, m%n@x.example\n"),
        (&["-f", "me", "-t"], "To: a\nResent-Cc: \"a\\\"b\"@x.example\nCc: c\nResent-Bcc: d\n"),
        (&["-f", "me", "-t", "z"], "To: undisclosed:;\n"),
        (&["-f", "me", "-t"], "From me\n>From you\nTo: k.l@[192.0.2.1], a+b@x.example\n"),
        (&["-f", "me", "-t"], "To: a (one, two) , , <b>, \"c\" <c@x.example> (c)\nbody: no\n"),
        (&["-f", "me", "-t"], "To: a\nno header\nCc: b\n"),
    ] {
        let input = format!("{head}\nTo: body@x.example\n");
        assert_eq!(postfix.sendmail(arguments, &input).code, Some(0), "{arguments:?} {head}");
        assert_eq!(sendmail(&ours.setup, arguments, &input).code, Some(0), "{arguments:?} {head}");
        let expected = left(&postfix.maildrop(), records_of_postfix);
        let found = left(&maildrop, records_of_ours);
        assert_eq!(found, expected, "{arguments:?} {head}");
    }
}

#[test]
fn senders_are_allowed_that_postfix_allows() {
    let maps = "recipient_delimiter = +-\nlocal_login_sender_maps = \
            static:{me@x.example,@mine.example bare <> \"q, s\"@x.example list-one@x.example, \
             owner-a@x.example up@X.EXAMPLE @gr\u{dc}n.example}\n";
    let (mut ours, postfix) = (with(maps).run_as(RunAs::Root).start(), Postfix::with(maps));
    assert!(ours.stop().success());
    let mut codes = Vec::new();
    for sender in [
        "me@x.example",
        "ME@X.example",
        "me+list@x.example",
        "me-list+b@x.example",
        "me@y.example",
        "you@mine.example",
        "you@sub.mine.example",
        "bare",
        "bare+x",
        "other",
        "",
        "\"q, s\"@x.example",
        "\"q, s+e\"@x.example",
        "q@x.example",
        "list-one@x.example",
        "list@x.example",
        "owner-a@x.example",
        "up@x.example",
        "\"a@mine.example\"@y.example",
        "+me@x.example",
        "gr\u{fc}n@GR\u{fc}N.example",
        "MAILER-DAEMON",
    ] {
        let arguments = ["-f", sender, "user"];
        let expected = postfix.sendmail(&arguments, "\nhello\n");
        let found = sendmail(&ours.setup, &arguments, "\nhello\n");
        // Older releases than the latest end with 75.
        let said = |did: &Did| did.err.split_once("): ").map(|(_, why)| why.to_owned());
        assert_eq!(said(&found), said(&expected), "{sender}: {found:?}, {expected:?}");
        assert_eq!(found.code == Some(0), expected.code == Some(0), "{sender}: {found:?}");
        codes.push(found.code);
    }
    assert!([0, 77].iter().all(|code| codes.contains(&Some(*code))), "{codes:?}");
}

/// A group of the host's that has nothing else to do here.
const GROUP: (&str, u32) = ("mail", 8);
/// An account that nobody has.
const USER: &str = "54321";

/// postdrop as it is installed: set-gid. In a mount namespace of its own, where /etc has the configuration
/// of this test, an ordinary user submits mail.
fn as_user(bin: &Path, etc: &Path, line: &str, input: &str) -> Did {
    let script = format!(
        "mount --bind {etc} /etc && exec setpriv --reuid {USER} --regid {USER} --clear-groups \
         {bin}/ringpost {line}",
        etc = etc.display(),
        bin = bin.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    run(command, input.as_bytes())
}

#[test]
fn an_ordinary_user_submits_mail_with_the_rights_of_postdrop_and_no_others() {
    let server = with(&format!("setgid_group = {}", GROUP.0)).run_as(RunAs::Root).start();
    let place = server.setup.place();
    let (bin, etc) = (place.join("bin"), place.join("etc-of-host"));
    fs::create_dir_all(etc.join("ringpost")).expect("a directory");
    fs::create_dir_all(&bin).expect("a directory");
    for name in ["ringpost", "postdrop"] {
        fs::copy(program(name), bin.join(name)).expect("a copy");
    }
    std::os::unix::fs::chown(bin.join("postdrop"), Some(0), Some(GROUP.1)).expect("root may");
    let mode = fs::Permissions::from_mode(0o2755);
    fs::set_permissions(bin.join("postdrop"), mode).expect("a mode");
    for name in ["passwd", "group", "nsswitch.conf"] {
        let _ = fs::copy(Path::new("/etc").join(name), etc.join(name));
    }
    let main_cf = server.setup.config_directory().join("main.cf");
    fs::copy(&main_cf, etc.join("ringpost/main.cf")).expect("a copy");
    let maildrop = queue(&server.setup, "maildrop");
    let directory = fs::metadata(&maildrop).expect("a directory");
    assert_eq!((directory.gid(), directory.mode() & 0o7777), (GROUP.1, 0o1770));

    let did = as_user(&bin, &etc, "sendmail -fme user", "\nhello\n");
    assert_eq!(did, Did { code: Some(0), err: String::new() });
    assert_eq!(mail(&server, "user").body(), b"hello\n");
    server.wait_for_log(&["pickup[", &format!("uid={USER} from=<me>")]);
    is_drained(&server);

    // Without a name in the user database there is no sender, unless one is given.
    let did = as_user(&bin, &etc, "sendmail user", "\nhello\n");
    assert_eq!(did.code, Some(71), "{did:?}");
    assert!(did.err.contains(&format!("no login name found for user ID {USER}")), "{did:?}");

    // A configuration of the user's own is not followed with rights that he lacks.
    let own = place.join("own");
    fs::create_dir(&own).expect("a directory");
    let elsewhere = "queue_directory = /tmp\nauthorized_submit_users = static:all\n";
    fs::write(own.join("main.cf"), elsewhere).expect("a file");
    let named = format!("sendmail -C {} -fme user", own.display());
    let did = as_user(&bin, &etc, &named, "\nhello\n");
    assert_eq!(did.code, Some(77), "{did:?}");
    assert!(did.err.contains("unauthorized configuration directory name"), "{did:?}");
    let text = fs::read_to_string(&main_cf).expect("main.cf");
    let text = format!("{text}\nalternate_config_directories = {}\n", own.display());
    fs::write(etc.join("ringpost/main.cf"), &text).expect("a file");
    fs::write(own.join("main.cf"), text).expect("a file");
    let did = as_user(&bin, &etc, &named, "\nagain\n");
    assert_eq!(did, Did { code: Some(0), err: String::new() });
    server.maildir_at("example.com", "user").wait_for(2);

    // postdrop without its group may write nothing.
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bin.join("postdrop"), mode).expect("a mode");
    let did = as_user(&bin, &etc, "sendmail -fme user", "\nhello\n");
    assert_eq!(did.code, Some(75), "{did:?}");
    assert!(did.err.contains("Permission denied"), "{did:?}");
}
