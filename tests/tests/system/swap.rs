//! Tables that change while the server runs: nobody restarts it, no session ends, no lookup fails.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::session::Session;
use tests::{Server, Setup, peer, wait};

/// What is promised.
const IN_USE_WITHIN: Duration = Duration::from_secs(1);
/// What is allowed for here: the machine may be busy with other tests.
const SLACK: Duration = Duration::from_secs(2);
/// Long enough for every quiet time but that of an empty file to have passed.
const EMPTY_FOR: Duration = Duration::from_millis(2500);

fn start() -> Server {
    start_on(Setup::new())
}

fn start_on(setup: Setup) -> Server {
    setup
        .file("users", "alice@example.com example.com/alice/\n")
        .file("domains", "example.com\n")
        .main_cf(
            "virtual_mailbox_domains = PLACE/domains
             virtual_mailbox_maps = texthash:PLACE/users
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_error_sleep_time = 0
             smtpd_hard_error_limit = 100000
             smtpd_soft_error_limit = 100000",
        )
        .start()
}

/// A file of the test's, changed in the ways in which files are changed.
struct File(PathBuf);

impl File {
    fn of(server: &Server, name: &str) -> Self {
        Self(server.setup.place().join(name))
    }

    /// As postmap and careful editors do it.
    fn replace(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).expect("a file in the test's place");
        fs::rename(new, &self.0).expect("a rename in the test's place");
    }

    /// As `cp` and `>` do it.
    fn overwrite(&self, text: &str) {
        fs::write(&self.0, text).expect("a file in the test's place");
    }

    fn append(&self, text: &str) {
        let file = fs::OpenOptions::new().append(true).open(&self.0);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file to append to");
    }
}

/// Mailboxes for these users at example.com.
fn users(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}@example.com example.com/{name}/\n")).collect()
}

/// The code of the answer to RCPT, in a transaction of its own.
fn rcpt(session: &mut Session, address: &str) -> u16 {
    let reply = session.command("MAIL FROM:<sender@client.example>").expect("a reply");
    assert_eq!(reply.code, 250, "{reply:?}");
    let code = session.command(&format!("RCPT TO:<{address}>")).expect("a reply").code;
    assert_eq!(session.command("RSET").expect("a reply").code, 250);
    code
}

/// Waits until RCPT is answered with `code`, and checks how long that took.
fn soon(session: &mut Session, address: &str, code: u16) {
    let began = Instant::now();
    wait::until_true(&format!("{code} for {address}"), || rcpt(session, address) == code);
    let took = began.elapsed();
    assert!(took < IN_USE_WITHIN + SLACK, "{address}: {took:?}");
}

/// The lines that tables have in the log, once there are so many.
fn about_tables(server: &Server, count: usize) -> Vec<String> {
    wait::until(&format!("{count} lines about tables"), || {
        let lines = server.log().into_iter().filter(|line| line.contains("/proxymap["));
        let lines = lines.filter_map(|line| Some(line.split_once("]: ")?.1.to_owned()));
        Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() >= count)
    })
}

#[test]
fn a_new_user_is_known_at_once_and_gets_his_mail() {
    let server = start();
    let table = File::of(&server, "users");
    let mut session = server.session();
    assert_eq!(rcpt(&mut session, "bob@example.com"), 550);

    table.replace(&users(&["alice", "bob"]));
    soon(&mut session, "bob@example.com", 250);
    // agentd knows him, too.
    let content = b"Subject: for bob\r\n\r\nhello\r\n";
    let reply = session.mail("sender@client.example", &["bob@example.com"], content);
    assert!(reply.expect("a reply").is_ok());
    server.maildir_at("example.com", "bob").wait_for(1);

    table.overwrite(&users(&["alice", "carol"]));
    soon(&mut session, "carol@example.com", 250);
    soon(&mut session, "bob@example.com", 550);
    table.append(&users(&["dave"]));
    soon(&mut session, "dave@example.com", 250);
    assert_eq!(rcpt(&mut session, "alice@example.com"), 250);
    session.play("C: QUIT\nS: 221 *\nS: closed");
    let path = table.0.display();
    let changed = format!("table texthash:{path} has changed -- the new one is in use");
    assert_eq!(about_tables(&server, 3), [changed.as_str(); 3]);
}

#[test]
fn a_file_of_domains_changes_and_may_name_a_table() {
    let server = start();
    let mut session = server.session();
    assert_eq!(rcpt(&mut session, "alice@example.org"), 554);
    File::of(&server, "users").append("alice@example.org example.org/alice/\n");
    File::of(&server, "domains").replace("example.com\nexample.org\n");
    soon(&mut session, "alice@example.org", 250);

    let place = server.setup.place().display();
    File::of(&server, "more").replace("example.net x\n");
    File::of(&server, "users").append("alice@example.net example.net/alice/\n");
    File::of(&server, "domains").overwrite(&format!("example.com\ntexthash:{place}/more\n"));
    soon(&mut session, "alice@example.net", 250);
    soon(&mut session, "alice@example.org", 554);
    File::of(&server, "more").replace("example.edu x\n");
    soon(&mut session, "alice@example.net", 554);
}

/// Builds PLACE/users, as whoever runs the test.
fn postmap(kind: &str, place: &Path) {
    let program = std::env::var("RINGPOST_BIN").expect("RINGPOST_BIN names the program");
    let [etc, users] = ["etc", "users"].map(|name| place.join(name).display().to_string());
    peer::run(&program, ["postmap", "-c", &etc, &format!("{kind}:{users}")]).expect_ok();
}

#[test]
fn what_postmap_builds_is_used_at_once() {
    // Small tables are read into memory, large ones are mapped, and lmdb: is read in pieces.
    for (kind, file, further) in [
        ("hash", "users.db", 0),
        ("hash", "users.db", 30_000),
        ("cdb", "users.cdb", 0),
        ("lmdb", "users.lmdb", 0),
    ] {
        let further: String = (0..further).map(|n| format!("user{n}@example.com x/\n")).collect();
        let setup = Setup::new().file("users", &(users(&["alice"]) + &further)).main_cf(
            "virtual_mailbox_domains = example.com
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_error_sleep_time = 0
             smtpd_hard_error_limit = 100000
             smtpd_soft_error_limit = 100000",
        );
        let users_in = format!("virtual_mailbox_maps={kind}:{}/users", setup.place().display());
        let setup = setup.option(&users_in);
        // It is not built yet.
        let server = setup.start();
        let mut session = server.session();
        assert_eq!(rcpt(&mut session, "alice@example.com"), 451);
        postmap(kind, server.setup.place());
        soon(&mut session, "alice@example.com", 250);
        for name in ["bob", "carol", "dave"] {
            File::of(&server, "users").overwrite(&(users(&["alice", name]) + &further));
            postmap(kind, server.setup.place());
            soon(&mut session, &format!("{name}@example.com"), 250);
        }
        assert_eq!(rcpt(&mut session, "bob@example.com"), 550);
        if kind == "lmdb" {
            // It has no checksum, and is read as far as it goes.
            continue;
        }
        // Half a table is no table.
        let built = File::of(&server, file);
        let whole = fs::read(&built.0).expect("what postmap has built");
        let half = built.0.with_extension("half");
        fs::write(&half, &whole[..whole.len() / 2]).expect("a file in the test's place");
        fs::rename(&half, &built.0).expect("a rename");
        server.wait_for_log(&["warning: table ", "the one before stays in use"]);
        assert_eq!(rcpt(&mut session, "dave@example.com"), 250);
        fs::write(&half, &whole).expect("a file in the test's place");
        fs::rename(&half, &built.0).expect("a rename");
        server.wait_for_log(&["table ", "is right again"]);
        let reply = session.mail("sender@client.example", &["dave@example.com"], b"a: b\r\n");
        assert!(reply.expect("a reply").is_ok());
        server.maildir_at("example.com", "dave").wait_for(1);
    }
}

#[test]
fn under_load_nobody_is_turned_away_while_tables_change() {
    // In memory: clients that never rest can keep a kernel from its disk for a minute, and everybody who
    // writes in place from going on.
    let memory = Some(Path::new("/dev/shm")).filter(|it| it.is_dir());
    let directory = match memory {
        Some(memory) => tempfile::tempdir_in(memory),
        None => tempfile::tempdir(),
    };
    let directory = directory.expect("a directory of the test's");
    let table = File(directory.path().join("users"));
    table.replace(&users(&["alice"]));
    let maps = format!("virtual_mailbox_maps=texthash:{}", table.0.display());
    let server = start_on(Setup::new().option(&maps));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let mut session = server.session();
                let done = &done;
                scope.spawn(move || {
                    let mut asked = 0;
                    while !done.load(Ordering::Acquire) {
                        assert_eq!(rcpt(&mut session, "alice@example.com"), 250);
                        asked += 1;
                    }
                    session.play("C: QUIT\nS: 221 *\nS: closed");
                    asked
                })
            })
            .collect();
        let mut session = server.session();
        // Alice is in all of them, first, last and in the middle.
        for round in 0..12 {
            let new = format!("new{round}");
            let many: Vec<String> = (0..round * 40).map(|number| format!("user{number}")).collect();
            let mut names: Vec<&str> = many.iter().map(String::as_str).collect();
            names.insert(names.len() / 2, "alice");
            names.push(&new);
            match round % 3 {
                0 => table.replace(&users(&names)),
                1 => table.overwrite(&users(&names)),
                // An editor that empties the file and takes its time.
                _ => {
                    let mut file = fs::File::create(&table.0).expect("the table");
                    let text = users(&names);
                    let (one, two) = text.split_at(text.len() / 3);
                    file.write_all(one.as_bytes()).expect("room for the table");
                    assert_eq!(rcpt(&mut session, "alice@example.com"), 250);
                    file.write_all(two.as_bytes()).expect("room for the table");
                }
            }
            soon(&mut session, &format!("{new}@example.com"), 250);
        }
        done.store(true, Ordering::Release);
        let asked: usize = clients.into_iter().map(|client| client.join().expect("a client")).sum();
        assert!(asked > 100, "{asked}");
    });
}

#[test]
fn a_table_that_is_empty_for_a_moment_turns_nobody_away() {
    let server = start();
    let table = File::of(&server, "users");
    let mut session = server.session();
    // A script that redirects the output of a slow query into the table.
    let mut file = fs::File::create(&table.0).expect("the table");
    let began = Instant::now();
    while began.elapsed() < EMPTY_FOR {
        assert_eq!(rcpt(&mut session, "alice@example.com"), 250);
    }
    file.write_all(users(&["bob"]).as_bytes()).expect("room for the table");
    assert_eq!(rcpt(&mut session, "alice@example.com"), 250);
    drop(file);
    soon(&mut session, "bob@example.com", 250);
    soon(&mut session, "alice@example.com", 550);
}

#[test]
fn a_bad_file_is_logged_once_and_the_one_before_is_used() {
    let server = start();
    let table = File::of(&server, "users");
    let mut session = server.session();
    table.replace("alice@example.com \0\n");
    server.wait_for_log(&["warning: table texthash:", "this line holds a NUL byte"]);
    assert_eq!(rcpt(&mut session, "alice@example.com"), 250);
    // As bad as before, and no news.
    table.replace("bob@example.com \0\n");
    fs::remove_file(&table.0).expect("the table");
    server.wait_for_log(&[
        "warning: table texthash:",
        "No such file",
        "the one before stays in use",
    ]);
    assert_eq!(rcpt(&mut session, "alice@example.com"), 250);

    table.replace(&users(&["alice", "bob"]));
    soon(&mut session, "bob@example.com", 250);
    let lines = about_tables(&server, 3);
    let warnings = lines.iter().filter(|line| line.starts_with("warning: ")).count();
    assert_eq!((warnings, lines.len()), (2, 3), "{lines:?}");
    assert!(lines[2].ends_with("is right again -- the new one is in use"), "{lines:?}");
}

#[test]
fn a_table_that_was_missing_at_the_start_heals_when_it_is_there() {
    let server = Setup::new()
        .main_cf(
            "virtual_mailbox_domains = example.com
             virtual_mailbox_maps = texthash:PLACE/tables/users
             virtual_uid_maps = static:65534
             virtual_gid_maps = static:65534
             smtpd_error_sleep_time = 0
             smtpd_hard_error_limit = 100000
             smtpd_soft_error_limit = 100000",
        )
        .start();
    let mut session = server.session();
    assert_eq!(rcpt(&mut session, "alice@example.com"), 451);
    let directory = |name: &str| server.setup.place().join(name);
    let make = |name: &str, text: &str| {
        fs::create_dir(directory(name)).expect("a directory in the test's place");
        fs::write(directory(name).join("users"), text).expect("a file in the test's place");
    };
    make("tables", &users(&["alice"]));
    soon(&mut session, "alice@example.com", 250);
    // The directory as a whole is exchanged, as packages and checkouts are.
    make("next", &users(&["bob"]));
    fs::rename(directory("tables"), directory("before")).expect("a rename");
    fs::rename(directory("next"), directory("tables")).expect("a rename");
    soon(&mut session, "bob@example.com", 250);
    assert_eq!(rcpt(&mut session, "alice@example.com"), 550);
}

#[test]
fn hundreds_of_changes_leave_nothing_behind() {
    const CHANGES: usize = 90;
    let server = start();
    let table = File::of(&server, "users");
    let mut session = server.session();
    let mappings = |process: tests::process::Process| {
        let path = Path::new("/proc").join(process.0.to_string()).join("maps");
        fs::read_to_string(path).map_or(0, |maps| maps.lines().count())
    };
    let used = || -> Vec<(usize, usize)> {
        let all = server.processes().into_iter();
        all.map(|process| (process.descriptors(), mappings(process))).collect()
    };
    let mut before = None;
    for number in 0..CHANGES {
        let new = format!("user{number}");
        table.replace(&users(&["alice", &new]));
        soon(&mut session, &format!("{new}@example.com"), 250);
        if number == 20 {
            before = Some((used(), server.rss_kib()));
        }
    }
    let (before, rss) = before.expect("more changes than that");
    let after = used();
    assert_eq!(before.len(), after.len());
    for ((descriptors, mappings), now) in before.into_iter().zip(after) {
        assert!(now.0 <= descriptors + 3, "descriptors: {descriptors}, then {}", now.0);
        assert!(now.1 <= mappings + 40, "mappings: {mappings}, then {}", now.1);
    }
    assert!(server.rss_kib() < rss + 16 * 1024, "KiB: {rss}, then {}", server.rss_kib());
}

mod as_root {
    use std::os::unix::fs::PermissionsExt;

    use tests::server::RunAs;

    use super::*;

    #[test]
    fn a_table_that_only_root_can_read_changes_like_any_other() {
        let server = start_on(Setup::new().run_as(RunAs::Root));
        let table = File::of(&server, "users");
        let mut session = server.session();
        table.replace("");
        table.replace(&users(&["alice", "bob"]));
        fs::set_permissions(&table.0, fs::Permissions::from_mode(0o600)).expect("our own file");
        soon(&mut session, "bob@example.com", 250);
        let secret = server.setup.place().join("secret");
        fs::write(&secret, users(&["carol"])).expect("a file in the test's place");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("our own file");
        fs::rename(&secret, &table.0).expect("a rename");
        soon(&mut session, "carol@example.com", 250);
    }

    #[test]
    fn agents_and_engines_that_are_started_again_have_the_tables_of_now() {
        let server = start_on(Setup::new().run_as(RunAs::Root));
        let table = File::of(&server, "users");
        table.replace(&users(&["alice", "bob"]));
        let mut session = server.session();
        soon(&mut session, "bob@example.com", 250);
        for role in ["agentd", "engine"] {
            server.child_process(role).expect("a child").kill();
            let name = format!("{role}x");
            table.replace(&users(&["alice", &name]));
            let address = format!("{name}@example.com");
            wait::until_true("the new user to be known", || {
                // The engine's end is the session's.
                let session = Session::greeted(server.port());
                session.is_ok_and(|mut session| rcpt(&mut session, &address) == 250)
            });
            server.accept(&[&address], "Subject: x\r\n\r\nhello\r\n");
            server.maildir_at("example.com", &name).wait_for(1);
        }
    }
}
