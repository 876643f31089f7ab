//! Mail from commands of this machine: sendmail, postdrop, the maildrop and pickup.

mod as_root;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, geteuid};
use tests::mailbox::Mail;
use tests::{Server, Setup, wait};

const MAIN_CF: &str = "compatibility_level = 3.11
    myhostname = mx.example.com
    myorigin = example.com
    mydestination =
    virtual_mailbox_domains = example.com
    virtual_mailbox_template = %d/%u/
    virtual_uid_maps = static:65534
    virtual_gid_maps = static:65534";

fn setup() -> Setup {
    with("")
}

fn with(more: &str) -> Setup {
    Setup::new().main_cf(&format!("{MAIN_CF}\n{more}"))
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Did {
    code: Option<i32>,
    err: String,
}

fn run(mut command: Command, input: &[u8]) -> Did {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        command.env_remove("NAME").env_remove("MAIL_CONFIG").spawn().expect("a command");
    // One that does not want its input says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().expect("an end");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Did { code: output.status.code(), err }
}

fn program(name: &str) -> PathBuf {
    let ringpost = PathBuf::from(std::env::var("RINGPOST_BIN").expect("tests/run sets it"));
    ringpost.with_file_name(name)
}

fn sendmail(setup: &Setup, arguments: &[&str], input: impl AsRef<[u8]>) -> Did {
    let mut command = Command::new(program("ringpost"));
    command.args(["sendmail", "-C"]).arg(setup.config_directory()).args(arguments);
    run(command, input.as_ref())
}

/// Sends what must be taken.
fn send(server: &Server, arguments: &[&str], input: impl AsRef<[u8]>) {
    let did = sendmail(&server.setup, arguments, input);
    assert_eq!(did, Did { code: Some(0), err: String::new() }, "{arguments:?}");
}

fn mail(server: &Server, user: &str) -> Mail {
    server.maildir_at("example.com", user).wait_for_one()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn queue(setup: &Setup, name: &str) -> PathBuf {
    setup.data().join("queue").join(name)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn is_drained(server: &Server) {
    let maildrop = queue(&server.setup, "maildrop");
    wait::until_true("the maildrop to be empty", || names(&maildrop).is_empty());
}

#[test]
fn a_message_has_what_it_lacks_and_says_whose_it_is() {
    let server = setup().start();
    send(&server, &["-fme", "-FMe, Myself", "user"], "Subject: x\nTo: user\n\nhello\n");
    let mail = mail(&server, "user");
    let uid = geteuid().as_raw();
    let line = server.wait_for_log(&["pickup[", &format!("uid={uid} from=<me>")]);
    let id = line.split(": ").nth(1).expect("a queue id").to_owned();
    assert_eq!(mail.header("Return-Path").as_deref(), Some("<me@example.com>"));
    let received = mail.header("Received").expect("a header");
    let by = format!("by mx.example.com (ringpost, from userid {uid})\tid {id}; ");
    assert!(received.starts_with(&by), "{received}");
    assert_eq!(mail.header("From").as_deref(), Some("\"Me, Myself\" <me@example.com>"));
    assert_eq!(mail.header("To").as_deref(), Some("user@example.com"), "completed as our own");
    assert!(mail.header("Date").is_some());
    let message_id = mail.header("Message-Id").expect("a header");
    assert!(message_id.contains(&id), "{message_id}");
    server.wait_for_log(&["cleanup[", &id, "message-id=<"]);
    server.wait_for_log(&["qmgr[", &id, "from=<me@example.com>", "nrcpt=1 (queue active)"]);
    server.wait_for_log(&[&id, "removed"]);
    assert_eq!(mail.body(), b"hello\n");
    is_drained(&server);
}

#[test]
fn nothing_that_a_user_says_makes_a_header_of_its_own() {
    let server = setup().start();
    send(&server, &["-f", "me", "-F", "Me\r\nBcc: spy@example.com\nX-Own: 1", "user"], "\nhello\n");
    let mail = mail(&server, "user");
    assert!(mail.header("X-Own").is_none() && mail.header("Bcc").is_none());
    assert!(mail.header("From").expect("a header").contains("Bcc: spy@example.com"));
    for sender in ["me\r\nBcc: spy@example.com", "me\nX-Own: 1", "a b\u{1}@example.com"] {
        let did = sendmail(&server.setup, &["-f", sender, "user"], "\nhello\n");
        // Either there is an address in it, or it is refused; no more of it is taken.
        assert!(matches!(did.code, Some(0 | 65)), "{sender:?}: {did:?}");
    }
    is_drained(&server);
    for name in names(&server.setup.mail_base().join("example.com/user/new")) {
        let path = server.setup.mail_base().join("example.com/user/new").join(name);
        let stored = text(&fs::read(path).expect("a message"));
        assert!(!stored.contains("\nX-Own") && !stored.contains("\nBcc"), "{stored}");
    }
}

#[test]
fn recipients_are_taken_from_headers_and_those_in_bcc_from_nowhere_else() {
    let server = setup().start();
    let head = "To: Ann <a@example.com>, b\nCc: c@example.com (Cy)\nBcc: d@example.com,\n e\n";
    send(&server, &["-t", "-fme", "f"], format!("{head}Subject: x\n\nTo: g@example.com\n"));
    for user in ["a", "b", "c", "d", "e", "f"] {
        let mail = mail(&server, user);
        assert!(mail.header("Bcc").is_none(), "{}", text(mail.headers()));
        assert_eq!(mail.body(), b"To: g@example.com\n");
    }
    assert_eq!(server.maildir_at("example.com", "g").count(), 0);
    let again = "To: a@example.com\nResent-To: h@example.com\nResent-Bcc: i\n";
    send(&server, &["-t", "-fme"], format!("{again}\nagain\n"));
    for user in ["h", "i"] {
        let mail = mail(&server, user);
        assert!(mail.header("Resent-Bcc").is_none() && mail.header("Resent-Date").is_some());
    }
    assert_eq!(server.maildir_at("example.com", "a").count(), 1);
}

#[test]
fn lines_end_as_programs_end_them_and_a_dot_ends_a_message_where_it_may() {
    let server = setup().start();
    for (user, arguments, sent, body) in [
        ("cr", &[][..], "Subject: x\r\n\r\na\r\n\r\nb\r\n", "a\n\nb\n"),
        ("dot", &[], "Subject: x\n\na\n.\nb\n", "a\n"),
        ("i", &["-i"], "Subject: x\n\na\n.\nb\n", "a\n.\nb\n"),
        ("oi", &["-oi"], "Subject: x\n\na\n.\nb\n", "a\n.\nb\n"),
        ("open", &[], "Subject: x\n\na", "a\n"),
        ("from", &[], "From me Nov 30\n>From you\nSubject: x\n\nFrom us\n", "From us\n"),
        ("none", &[], "just text\n", "just text\n"),
        ("empty", &[], "", ""),
        ("folded", &[], " a\n\nb\n", " a\n\nb\n"),
    ] {
        let arguments = [arguments, &["-fme", user][..]].concat();
        send(&server, &arguments, sent);
        let mail = mail(&server, user);
        assert_eq!(text(mail.body()), body, "{user}: {}", text(mail.headers()));
    }
}

#[test]
fn it_works_while_the_mail_system_is_down() {
    let mut server = setup().start();
    assert!(server.stop().success());
    send(&server, &["-fme", "user"], "Subject: x\n\nhello\n");
    let maildrop = queue(&server.setup, "maildrop");
    let [name] = &names(&maildrop)[..] else { panic!("{:?}", names(&maildrop)) };
    let file = fs::metadata(maildrop.join(name)).expect("a file");
    assert_eq!(file.permissions().mode() & 0o7777, 0o744, "nobody else may change it");
    assert_eq!((file.uid(), file.nlink()), (geteuid().as_raw(), 1));
    server.start_again();
    assert_eq!(mail(&server, "user").body(), b"hello\n");
    is_drained(&server);
}

#[test]
fn a_large_message_comes_whole() {
    let server = setup().start();
    let line = "a line of a large message, as long as people write them\n";
    let body = line.repeat(5_000_000 / line.len());
    send(&server, &["-fme", "user"], format!("Subject: x\n\n{body}"));
    assert!(mail(&server, "user").body() == body.as_bytes());
    let did =
        sendmail(&server.setup, &["-fme", "other"], format!("Subject: x\n\n{body}{body}{body}"));
    assert_eq!(did.code, Some(69), "{did:?}");
    assert!(did.err.contains("message file too big"), "{did:?}");
    is_drained(&server);
}

#[test]
fn what_cannot_be_done_is_said_with_a_code_that_callers_know() {
    let setup = setup();
    let mut server = setup.start();
    assert!(server.stop().success());
    let many = "a@example.com, ".repeat(20_000);
    for (arguments, input, code, said) in [
        (
            &[][..],
            "",
            64,
            "Recipient addresses must be specified on the command line or via the -t",
        ),
        (&["-t"], "Subject: x\n\n", 64, "No recipient addresses found in message header"),
        (&["-t"], "To: <a b\u{1}@x..example>\n", 65, "unable to extract recipients: bad address"),
        (&["-t"], &format!("To: {many}\n"), 65, "unable to extract recipients: "),
        (&["user@exam..ple"], "", 65, "bad address"),
        (&["-B", "9BIT", "user"], "", 64, "-B option needs 8BITMIME or 7BIT"),
        (&["-bz"], "", 64, "unsupported: -bz"),
        (&["-bs"], "", 69, "not supported yet"),
        (&["-bv", "user"], "", 69, "not supported yet"),
        (&["-q"], "", 69, "not supported yet"),
        (&["-qRexample.com"], "", 69, "not supported yet"),
        (&["-XV", "user"], "", 69, "not supported yet"),
    ] {
        let did = sendmail(&server.setup, arguments, input);
        assert_eq!(did.code, Some(code), "{arguments:?}: {did:?}");
        assert!(did.err.starts_with("sendmail: fatal: ") && did.err.contains(said), "{did:?}");
    }
    assert_eq!(sendmail(&server.setup, &["-q30m"], "").code, Some(0));
    assert_eq!(sendmail(&server.setup, &["-bh"], "").code, Some(0));
    assert_eq!(sendmail(&server.setup, &["-bp"], "").code, Some(0));
    let maildrop = queue(&server.setup, "maildrop");
    assert_eq!(names(&maildrop), [""; 0], "nothing is left of those");
    fs::remove_dir(&maildrop).expect("an empty directory");
    let did = sendmail(&server.setup, &["user"], "\n");
    assert_eq!(did.code, Some(75), "{did:?}");
    assert!(did.err.contains("maildrop"), "{did:?}");
}

#[test]
fn who_may_not_submit_mail_is_told_so() {
    let mut server = with("authorized_submit_users = !root, !nobody, static:all").start();
    assert!(server.stop().success());
    let did = sendmail(&server.setup, &["user"], "\nhello\n");
    if geteuid().is_root() {
        assert_eq!(did.code, Some(77), "{did:?}");
        assert!(did.err.contains("User root(0) is not allowed to submit mail"), "{did:?}");
    } else {
        assert_eq!(did.code, Some(0), "{did:?}");
    }
}

#[test]
fn nobody_uses_a_sender_that_is_not_his() {
    let maps = "recipient_delimiter = +
        local_login_sender_maps = regexp:{ {/^[^:]/ me@x.example, @mine.example} }\n";
    let mut server = with(maps).start();
    assert!(server.stop().success());
    let send = |sender: &str| sendmail(&server.setup, &["-f", sender, "user"], "\nhello\n");
    for sender in ["me@x.example", "me+list@X.example", "anyone@mine.example"] {
        let did = send(sender);
        assert_eq!(did.code, Some(0), "{sender}: {did:?}");
    }
    for sender in ["other@x.example", "me", ""] {
        let did = send(sender);
        assert_eq!(did.code, Some(77), "{sender}: {did:?}");
        let expected = format!("not authorized to use sender='{sender}'");
        assert!(did.err.contains(&expected), "{did:?}");
    }
    assert_eq!(names(&queue(&server.setup, "maildrop")).len(), 3);

    let mut server = with("local_login_sender_maps = texthash:/none\n").start();
    assert!(server.stop().success());
    let did = sendmail(&server.setup, &["user"], "\nhello\n");
    assert_eq!(did.code, Some(75), "{did:?}");
    assert_eq!(names(&queue(&server.setup, "maildrop")), [""; 0]);
}

/// The options of the message with this subject, as postcat shows them: 1 is SMTPUTF8.
fn options(server: &Server, number: usize) -> String {
    let line = server.wait_for_log(&["hold: header X-Number:", &format!(" {number} from ")]);
    let id = line.split(": ").nth(1).expect("a queue id");
    wait::until_true("it in the queue", || {
        server.queue().iter().any(|held| held["queue_id"] == id)
    });
    let shown = server.ringpost(&["queue", "show", id]).expect_ok();
    let sizes = shown.lines().find(|line| line.starts_with("message_size:")).expect("its line");
    sizes.split_whitespace().next_back().expect("a column").to_owned()
}

/// What is not ASCII: nothing, the sender, the recipient, what an alias makes of it, a header, the body.
const BEYOND_ASCII: [(&str, &str, &str, bool); 6] = [
    ("me@x.example", "user@example.com", "\nx\n", false),
    ("gr\u{fc}n@x.example", "user@example.com", "\nx\n", true),
    ("me@x.example", "gr\u{fc}n@example.com", "\nx\n", true),
    ("me@x.example", "alias@example.com", "\nx\n", true),
    ("me@x.example", "user@example.com", "Subject: gr\u{fc}n\n\nx\n", true),
    ("me@x.example", "user@example.com", "\ngr\u{fc}n\n", false),
];

#[test]
fn mail_of_programs_is_found_to_need_smtputf8_and_that_of_clients_where_it_is_told_to() {
    let hold = "header_checks = regexp:{ {/^X-Number:/ HOLD} }
        virtual_alias_maps = inline:{ {alias@example.com = gr\u{fc}n@example.com} }";
    for (classes, of_programs, of_clients) in
        [("", true, false), ("smtputf8_autodetect_classes = smtpd", false, true)]
    {
        let server = with(&format!("{hold}\n{classes}\n")).start();
        for (nth, (sender, recipient, rest, needs)) in BEYOND_ASCII.into_iter().enumerate() {
            let number = 2 * nth;
            let flag = |detects: bool| if detects && needs { "1" } else { "0" };
            send(&server, &["-f", sender, recipient], format!("X-Number: {number}\n{rest}"));
            assert_eq!(options(&server, number), flag(of_programs), "{classes} {sender} {rest}");

            let number = number + 1;
            let content = format!("X-Number: {number}\n{rest}").replace('\n', "\r\n");
            let mut session = server.session();
            let reply = session.mail(sender, &[recipient], content.as_bytes());
            assert_eq!(reply.expect("a reply").code, 250);
            assert_eq!(options(&server, number), flag(of_clients), "{classes} {sender} {rest}");
        }
    }
}

/// Gives postdrop's input to it without a sendmail in between.
fn postdrop(setup: &Setup, input: &[u8]) -> Did {
    let mut command = Command::new(program("postdrop"));
    command.arg("-c").arg(setup.config_directory());
    run(command, input)
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &(payload.len() as u32).to_le_bytes(), payload].concat()
}

fn submission(sender: &str, recipient: &str, content: &str) -> Vec<u8> {
    let records = [
        record(b'S', sender.as_bytes()),
        record(b'R', recipient.as_bytes()),
        record(b'C', content.as_bytes()),
        record(b'E', &(content.len() as u64).to_le_bytes()),
    ];
    [&b"submit1\n"[..], &records.concat()].concat()
}

#[test]
fn postdrop_believes_nothing_that_it_is_given() {
    let mut server = setup().start();
    assert!(server.stop().success());
    let maildrop = queue(&server.setup, "maildrop");
    let sound = submission("me", "user", "\nhello\n");
    for (name, input, code) in [
        ("newline in the sender", submission("me\nR", "user", "\n"), 65),
        ("NUL in a recipient", submission("me", "us\0er", "\n"), 65),
        (
            "no recipient",
            [&b"submit1\n"[..], &record(b'S', b""), &record(b'E', &[0; 8])].concat(),
            65,
        ),
        ("another version", b"submit9\nS\0\0\0\0".to_vec(), 65),
        ("Postfix's records", b"F\x02meR\x04userM\0N\x05hello".to_vec(), 65),
        ("data behind the end", [&sound[..], b"x"].concat(), 65),
        ("cut", sound[..sound.len() - 1].to_vec(), 75),
        ("nothing", Vec::new(), 75),
    ] {
        let did = postdrop(&server.setup, &input);
        assert_eq!(did.code, Some(code), "{name}: {did:?}");
        assert_eq!(names(&maildrop), [""; 0], "{name}");
    }
    assert_eq!(postdrop(&server.setup, &sound).code, Some(0));
    assert_eq!(names(&maildrop).len(), 1);
}

#[test]
fn an_interrupted_submission_leaves_nothing_behind() {
    let mut server = setup().start();
    assert!(server.stop().success());
    let maildrop = queue(&server.setup, "maildrop");
    let mut command = Command::new(program("postdrop"));
    command.arg("-c").arg(server.setup.config_directory()).stdin(Stdio::piped());
    let mut child = command.spawn().expect("postdrop");
    wait::until_true("a file that is being written", || names(&maildrop).len() == 1);
    assert!(names(&maildrop)[0].starts_with('.'), "pickup passes over it");
    tests::process::Process(child.id()).signal(Signal::TERM);
    // Its input stays open meanwhile: that is not what ends it.
    let ended = wait::until("an end", || child.try_wait().ok().flatten());
    assert_eq!(ended.code(), Some(128 + 15));
    assert_eq!(names(&maildrop), [""; 0]);
}

#[test]
fn what_does_not_belong_into_the_maildrop_is_set_aside_and_stops_nobody() {
    let mut server = setup().start();
    assert!(server.stop().success());
    let maildrop = queue(&server.setup, "maildrop");
    let plant = |name: &str, content: &[u8], mode: u32| {
        fs::write(maildrop.join(name), content).expect("a file");
        fs::set_permissions(maildrop.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let sound = submission("me", "user", "\nplanted\n");
    plant("AAGARBAGE", b"no submission", 0o744);
    plant("ABEMPTY", b"", 0o744);
    plant("ACCUT", &sound[..sound.len() - 3], 0o744);
    plant("ADNEWLINE", &submission("me", "us\ner", "\n"), 0o744);
    plant("AEUNFINISHED", &sound, 0o644);
    plant(".AFTEMPORARY", &sound, 0o744);
    plant("not-a-name", &sound, 0o744);
    let secret = server.setup.place().join("secret");
    fs::write(&secret, submission("me", "user", "\nsecret\n")).expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o744)).expect("a mode");
    symlink(&secret, maildrop.join("BASYMLINK")).expect("a link");
    fs::hard_link(&secret, maildrop.join("BBHARDLINK")).expect("a link");
    let fifo = maildrop.join("BCFIFO");
    tests::peer::run("mkfifo", [&fifo]).expect_ok();
    send(&server, &["-fme", "user"], "\nhello\n");
    server.start_again();
    assert_eq!(mail(&server, "user").body(), b"hello\n");
    let set_aside =
        ["AAGARBAGE", "ABEMPTY", "ACCUT", "ADNEWLINE", "BASYMLINK", "BBHARDLINK", "BCFIFO"];
    for name in set_aside {
        let moved = format!("moved to corrupt/{name}");
        server.wait_for_log(&["pickup[", "warning: maildrop/", name, &moved]);
    }
    let corrupt = queue(&server.setup, "corrupt");
    assert_eq!(names(&corrupt), set_aside);
    assert!(fs::symlink_metadata(corrupt.join("BCFIFO")).expect("it").file_type().is_fifo());
    // What somebody may still be writing stays, and what is none of ours.
    assert_eq!(names(&maildrop), [".AFTEMPORARY", "AEUNFINISHED", "not-a-name"]);
    assert_eq!(server.maildir_at("example.com", "user").count(), 1);
}

#[test]
fn what_checks_refuse_is_kept_on_hold() {
    let server = with(
        "header_checks = regexp:PLACE/checks
        hopcount_limit = 5",
    )
    .file("checks", "/^Subject: no/ REJECT not here\n/^Subject: away/ DISCARD\n")
    .start();
    send(&server, &["-fme", "user"], "Subject: no\nX-Last: 1\n\nkept\n");
    server.wait_for_log(&["cleanup[", "reject: header Subject: no from local;", "5.7.1 not here"]);
    let line = server.wait_for_log(&["from=<me>", "status=undeliverable, placed on hold"]);
    let id = line.split(": ").nth(1).expect("a queue id");
    let held = server.queue();
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((&held[0]["queue_id"], &held[0]["queue_name"]), (&id.into(), &"hold".into()));
    let shown = server.ringpost(&["queue", "show", id]).expect_ok();
    assert!(shown.contains("X-Last: 1") && shown.contains("kept\n"), "all of it: {shown}");
    send(&server, &["-fme", "user"], format!("{}\nloop\n", "Received: by x\n".repeat(5)));
    server.wait_for_log(&["not accepted: 5.4.6 Error: too many hops"]);
    send(&server, &["-fme", "user"], "Subject: away\n\n");
    server.wait_for_log(&["discard: header Subject: away from local;"]);
    is_drained(&server);
    wait::until_true("two messages on hold", || server.queue().len() == 2);
    assert_eq!(server.maildir_at("example.com", "user").count(), 0);
}

#[test]
fn mail_waits_in_the_maildrop_for_a_table_that_is_away() {
    let server = with("virtual_alias_maps = texthash:PLACE/aliases").start();
    send(&server, &["-fme", "user"], "\nhello\n");
    server.wait_for_log(&["pickup[", "it is tried again later"]);
    assert_eq!(names(&queue(&server.setup, "maildrop")).len(), 1);
    fs::write(server.setup.place().join("aliases"), "user@example.com other\n").expect("a table");
    server.wait_for_log(&["table", "is in use"]);
    // Nobody need wait until pickup looks again by itself.
    server.main_process().signal(Signal::HUP);
    assert_eq!(mail(&server, "other").body(), b"hello\n");
    is_drained(&server);
}

#[test]
fn the_line_of_pickup_says_what_holds_for_local_mail_alone() {
    let server = with("virtual_alias_maps = inline:{ { user@example.com = other } }")
        .master_cf(
            "smtp     inet n - n -  - smtpd\n\
             pickup   unix n - n 60 1 pickup\n    \
                 -o syslog_name=postfix/local -o cleanup_service_name=own\n    \
                 -o content_filter=virtual: -o receive_override_options=no_address_mappings\n\
             cleanup  unix n - n -  0 cleanup\n\
             own      unix n - n -  0 cleanup -o header_checks=static:WARN\n\
             virtual  unix - n n -  - virtual\n\
             rewrite  unix - - n -  - trivial-rewrite\n\
             qmgr     unix n - n 300 1 qmgr\n",
        )
        .start();
    send(&server, &["-fme", "user"], "X-Own: 1\n\nhello\n");
    mail(&server, "user");
    server.wait_for_log(&["postfix/local/pickup[", "from=<me>"]);
    server.wait_for_log(&["cleanup[", "warning: header X-Own: 1 from local;"]);
    server.accept(&["user@example.com"], "X-Own: 1\r\n\r\n");
    mail(&server, "other");
    let about = |line: &String| line.contains("warning: header X-Own");
    assert_eq!(server.log().iter().filter(|line| about(line)).count(), 1);
}

#[test]
fn mail_that_passes_by_is_not_completed_as_our_own() {
    let server = setup().start();
    send(&server, &["-G", "-fme", "user"], "To: user\n\nhello\n");
    let mail = mail(&server, "user");
    assert_eq!(mail.header("To").as_deref(), Some("user"));
    assert!(mail.header("From").is_none() && mail.header("Date").is_none());
}

const MANY: usize = 200;

/// The subject of each message that was delivered, as often as it was.
fn delivered(server: &Server) -> Vec<String> {
    let mails = server.maildir_at("example.com", "user").mails();
    let mut all: Vec<String> = mails.iter().filter_map(|mail| mail.header("Subject")).collect();
    all.sort();
    all
}

fn leave_many(server: &Server) -> Vec<String> {
    let maildrop = queue(&server.setup, "maildrop");
    for number in 0..MANY {
        let name = format!("{number:08X}");
        let content = format!("Subject: {number:04}\n\nhello\n");
        fs::write(maildrop.join(&name), submission("me", "user", &content)).expect("a file");
        let mode = fs::Permissions::from_mode(0o744);
        fs::set_permissions(maildrop.join(&name), mode).expect("a mode");
    }
    (0..MANY).map(|number| format!("{number:04}")).collect()
}

#[test]
fn a_full_maildrop_is_emptied_and_each_message_delivered_once() {
    let mut server = setup().start();
    assert!(server.stop().success());
    let all = leave_many(&server);
    server.start_again();
    is_drained(&server);
    wait::until_true("all messages", || server.maildir_at("example.com", "user").count() == MANY);
    assert_eq!(delivered(&server), all);
    // A clean stop in the midst of it makes two of none.
    assert!(server.stop().success());
    let again = leave_many(&server);
    server.start_again();
    assert!(server.stop().success());
    server.start_again();
    is_drained(&server);
    let maildir = server.maildir_at("example.com", "user");
    wait::until_true("all messages again", || maildir.count() == 2 * MANY);
    let mut twice = [all, again].concat();
    twice.sort();
    assert_eq!(delivered(&server), twice);
}

#[test]
fn a_crash_loses_nothing_that_was_left() {
    let mut server = setup().start();
    assert!(server.stop().success());
    let all = leave_many(&server);
    let maildrop = queue(&server.setup, "maildrop");
    for left in [MANY * 3 / 4, MANY / 2, MANY / 4] {
        server.start_again();
        wait::until_true("some of it to be taken", || names(&maildrop).len() <= left);
        server.kill();
    }
    server.start_again();
    is_drained(&server);
    wait::until_true("all messages", || {
        let mut subjects = delivered(&server);
        subjects.dedup();
        subjects == all
    });
}
