//! Batches of jobs against real mailboxes, and what the agent says about each.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::{Answer, Attempt, Contents, Deliver, Link};
use config::{Machine, Snapshot, Sources};
use mail::{Address, Content, Job, Outcome, QueueId, Recipient, Time, Verdict};
use mailbox::InUse;
use ring::{Arena, ArenaView};
use table::{Memory, Tables};
use virtual_agent::{Rights, VirtualAgent};

const TEXT: &[u8] = b"Delivered-To: loop@example.com\nSubject: hello\n\nHow are you?\n";

fn config(base: &Path, main_cf: &str) -> Arc<Snapshot> {
    let main_cf = format!("virtual_mailbox_base = {}\n{main_cf}", base.display());
    let sources = Sources::new().main_cf("main.cf", main_cf.as_bytes());
    Snapshot::build(&sources, &Machine::named("mx.example.com"), &Tables::new(&Memory::default()))
        .unwrap()
}

/// Where all jobs find their content.
fn contents() -> Contents {
    let arena = Arena::new(4096).unwrap();
    let mut block = arena.alloc(TEXT.len()).unwrap();
    block[..TEXT.len()].copy_from_slice(TEXT);
    let fd: OwnedFd = arena.fd().as_fd().try_clone_to_owned().unwrap();
    let mut contents = Contents::new();
    contents.set_arena(ArenaView::map(fd, 4096).unwrap());
    contents
}

fn attempt(tag: u64, address: &str) -> Attempt {
    let job = Job {
        tag,
        id: QueueId::from_u64(0x1234_5678_0000 + (tag << 8)),
        sender: Address::parse(b"sender@example.org").ok(),
        recipient: Recipient::new(Address::parse(address.as_bytes()).unwrap()),
        number: 0,
        arrival: Time::from_secs(1_800_000_000),
        content: Content::Arena { offset: 0, len: TEXT.len() as u32 },
        seen_before: false,
        has_delivered_to: true,
        service: None,
    };
    Attempt { job, waits: 0 }
}

fn deliver(config: &Arc<Snapshot>, rights: Rights, batch: &[Attempt]) -> Vec<Answer> {
    let mut agent = VirtualAgent::new(Arc::clone(config), rights, InUse::new()).unwrap();
    agent.deliver(batch, &mut contents())
}

/// What one address comes to, as `5.1.1 unknown user: "x"`.
fn answer(config: &Arc<Snapshot>, rights: Rights, address: &str) -> String {
    let answers = deliver(config, rights, &[attempt(7, address)]);
    let [Answer::Done(outcome)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(outcome.tag, 7);
    said(outcome)
}

fn said(outcome: &Outcome) -> String {
    format!("{} {}", outcome.status, outcome.text)
}

fn count(dir: impl AsRef<Path>) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn one_batch_goes_to_all_kinds_of_mailboxes_and_none_stops_another() {
    let base = tempfile::tempdir().unwrap();
    let config = config(
        base.path(),
        "recipient_delimiter = +\n\
         virtual_mailbox_maps = inline:{{alice@example.com = example.com/alice/},\
         {bob@example.com = bob}, {@catch.example = catch/all/}, {up@example.com = ../x/},\
         {dir@example.com = example.com}, {loop@example.com = loop/}}\n",
    );
    let addresses = [
        "alice@example.com",
        "Alice+list@Example.COM",
        "bob@example.com",
        "carol@example.com",
        "any.body@catch.example",
        "up@example.com",
        "dir@example.com",
        "loop@example.com",
    ];
    let batch: Vec<Attempt> = (0..).zip(addresses).map(|(tag, to)| attempt(tag, to)).collect();
    let answers = deliver(&config, Rights::Own, &batch);
    let outcomes: Vec<&Outcome> = answers
        .iter()
        .map(|answer| match answer {
            Answer::Done(outcome) => outcome,
            Answer::Wait(_) => panic!("nobody holds a lock"),
        })
        .collect();
    assert!(outcomes.iter().map(|outcome| outcome.tag).eq(0..8));
    let texts: Vec<String> = outcomes.iter().map(|outcome| said(outcome)).collect();
    assert_eq!(texts[0], "2.0.0 delivered to maildir");
    assert_eq!(texts[1], "2.0.0 delivered to maildir");
    assert_eq!(texts[2], "2.0.0 delivered to mailbox");
    assert_eq!(texts[3], "5.1.1 unknown user: \"carol@example.com\"");
    assert_eq!(texts[4], "2.0.0 delivered to maildir");
    assert_eq!(
        texts[5],
        "4.3.5 mail system configuration error: bad mailbox path \"../x/\" of up@example.com in \
         virtual_mailbox_maps"
    );
    let directory = base.path().join("example.com");
    assert_eq!(
        texts[6],
        format!(
            "4.3.5 delivery failed to mailbox {0}: destination {0} is not a regular file",
            directory.display()
        )
    );
    assert_eq!(texts[7], "5.4.6 mail forwarding loop for loop@example.com");
    assert_eq!(outcomes[7].verdict, Verdict::Failed);
    assert_eq!(count(base.path().join("example.com/alice/new")), 2);
    assert_eq!(count(base.path().join("catch/all/new")), 1);
    assert_eq!(count(base.path().join("loop")), 0);
}

#[test]
fn a_table_that_cannot_answer_defers() {
    let base = tempfile::tempdir().unwrap();
    let config = config(base.path(), "virtual_mailbox_maps = texthash:/none\n");
    let said = answer(&config, Rights::Own, "alice@example.com");
    assert!(said.starts_with("4.3.0 table texthash:/none: "), "{said}");
}

#[test]
fn owners_that_cannot_be_used_are_errors_of_the_configuration() {
    let base = tempfile::tempdir().unwrap();
    for (maps, expected) in [
        ("", "alice@example.com not found in virtual_uid_maps"),
        ("virtual_uid_maps = static:99", "bad uid 99 of alice@example.com in virtual_uid_maps"),
        ("virtual_uid_maps = static:0", "bad uid 0 of alice@example.com in virtual_uid_maps"),
        ("virtual_uid_maps = static:x", "bad uid x of alice@example.com in virtual_uid_maps"),
        (
            "virtual_uid_maps = static:4294967295",
            "bad uid 4294967295 of alice@example.com in virtual_uid_maps",
        ),
        ("virtual_uid_maps = static:1000", "alice@example.com not found in virtual_gid_maps"),
        (
            "virtual_uid_maps = static:1000\nvirtual_gid_maps = static:0",
            "bad gid 0 of alice@example.com in virtual_gid_maps",
        ),
    ] {
        // At least one table, so that nobody's rights are taken for the recipient's.
        let maps = format!("{maps}\nvirtual_mailbox_maps = static:all/\n");
        let maps = if maps.starts_with('\n') {
            format!("virtual_gid_maps = static:1000{maps}")
        } else {
            maps
        };
        let said = answer(&config(base.path(), &maps), Rights::Recipients, "alice@example.com");
        assert_eq!(said, format!("4.3.5 mail system configuration error: {expected}"), "{maps}");
    }
    assert_eq!(count(base.path()), 0);
}

#[test]
fn without_root_another_users_mail_is_deferred_with_the_reason() {
    let base = tempfile::tempdir().unwrap();
    let maps = "virtual_mailbox_maps = static:all/\nvirtual_uid_maps = static:54321\n\
                virtual_gid_maps = static:54321\n";
    let said = answer(&config(base.path(), maps), Rights::Recipients, "alice@example.com");
    let expected = if rustix::process::geteuid().is_root() {
        // Root acts as this user, who may not write there.
        format!(
            "4.2.0 maildir delivery failed: create maildir {}: Permission denied",
            base.path().join("all").display()
        )
    } else {
        "4.3.5 maildir delivery failed: cannot act as uid 54321 gid 54321: not running as root, mail \
         can be delivered for the own user only"
            .to_owned()
    };
    assert_eq!(said, expected);
}

#[test]
fn a_template_gives_every_plain_address_its_mailbox() {
    let base = tempfile::tempdir().unwrap();
    let config = config(base.path(), "virtual_mailbox_template = %d/%u/\n");
    let delivered = "2.0.0 delivered to maildir";
    assert_eq!(answer(&config, Rights::Own, "Alice@Example.COM"), delivered);
    assert_eq!(count(base.path().join("example.com/alice/new")), 1);
    for address in ["\"../../etc/x\"@example.com", "..@example.com", "postmaster"] {
        let said = answer(&config, Rights::Own, address);
        assert_eq!(said, format!("5.1.1 unknown user: \"{address}\""));
    }
    assert_eq!(count(base.path()), 1);
}

#[test]
fn a_locked_mailbox_is_tried_again_and_then_deferred() {
    let base = tempfile::tempdir().unwrap();
    let config = config(
        base.path(),
        "virtual_mailbox_maps = static:box\ndeliver_lock_attempts = 3\ndeliver_lock_delay = 2s\n",
    );
    fs::write(base.path().join("box.lock"), "").unwrap();
    let mut attempt = attempt(1, "alice@example.com");
    for _ in 0..2 {
        let answers = deliver(&config, Rights::Own, std::slice::from_ref(&attempt));
        assert_eq!(answers, [Answer::Wait(Duration::from_secs(2))]);
        attempt.waits += 1;
    }
    let answers = deliver(&config, Rights::Own, std::slice::from_ref(&attempt));
    let [Answer::Done(outcome)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(
        said(outcome),
        format!(
            "4.2.0 delivery failed to mailbox {0}/box: unable to create lock file {0}/box.lock: held \
             by somebody else",
            base.path().display()
        )
    );
    fs::remove_file(base.path().join("box.lock")).unwrap();
    assert_eq!(answer(&config, Rights::Own, "alice@example.com"), "2.0.0 delivered to mailbox");
}

#[test]
fn content_that_cannot_be_read_defers() {
    let base = tempfile::tempdir().unwrap();
    let config = config(base.path(), "virtual_mailbox_template = %u/\n");
    let mut attempt = attempt(1, "alice@example.com");
    for has_delivered_to in [true, false] {
        attempt.job.has_delivered_to = has_delivered_to;
        attempt.job.content = Content::Arena { offset: 4096, len: 1 };
        let answers = deliver(&config, Rights::Own, std::slice::from_ref(&attempt));
        let [Answer::Done(outcome)] = &answers[..] else { panic!("{answers:?}") };
        let expected = "4.3.0 error reading message: content lies outside the shared arena";
        assert_eq!(said(outcome), expected);
    }
}

/// Delivers, and dies before it can say so.
struct DiesAfterDelivery(VirtualAgent);

impl Deliver for DiesAfterDelivery {
    fn deliver(&mut self, batch: &[Attempt], contents: &mut Contents) -> Vec<Answer> {
        self.0.deliver(batch, contents);
        std::panic::resume_unwind(Box::new("killed"))
    }
}

struct NoFiles;

impl agent::Sources for NoFiles {
    fn segment(&self, _: u8, _: u64) -> std::io::Result<OwnedFd> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn file(&self, _: QueueId) -> std::io::Result<OwnedFd> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

#[test]
fn an_agent_that_dies_between_delivery_and_outcome_does_not_make_a_second_copy() {
    let base = tempfile::tempdir().unwrap();
    let config = config(base.path(), "virtual_mailbox_template = %u/\n");
    let new = base.path().join("alice/new");
    let arena = Arena::new(4096).unwrap();
    let mut block = arena.alloc(TEXT.len()).unwrap();
    block[..TEXT.len()].copy_from_slice(TEXT);
    let open = |socket| {
        let shown = Some((arena.fd(), arena.len() as u64));
        Link::open(socket, shown, Box::new(NoFiles)).unwrap()
    };
    let make = |config: &Arc<Snapshot>| {
        VirtualAgent::new(Arc::clone(config), Rights::Own, InUse::new()).unwrap()
    };

    let options = ring::Options { backend: ring::Backend::Epoll, core: None };
    let main = async {
        let (ours, theirs) = agent::pair().unwrap();
        let dying = std::thread::spawn({
            let config = Arc::clone(&config);
            move || agent::serve(theirs, &mut DiesAfterDelivery(make(&config)))
        });
        let link = open(ours);
        link.submit(attempt(1, "alice@example.com").job);
        let gone = link.next().await.unwrap_err();
        assert!(dying.join().is_err());
        assert_eq!(gone.jobs.len(), 1);
        assert!(gone.jobs[0].seen_before);
        let delivered = fs::read_dir(&new).unwrap().next().unwrap().unwrap().file_name();
        let read = format!("{}:2,S", delivered.to_str().unwrap());
        fs::rename(new.join(&delivered), base.path().join("alice/cur").join(read)).unwrap();

        let (ours, theirs) = agent::pair().unwrap();
        let agent = std::thread::spawn({
            let config = Arc::clone(&config);
            move || agent::serve(theirs, &mut make(&config))
        });
        let link = open(ours);
        for job in gone.jobs {
            link.submit(job);
        }
        let outcomes = link.next().await.unwrap();
        assert_eq!(said(&outcomes[0]), "2.0.0 delivered to maildir");
        drop(link);
        agent.join().unwrap().unwrap();
    };
    ring::run(options, main).unwrap();
    assert_eq!(count(&new), 0);
    assert_eq!(count(base.path().join("alice/cur")), 1);
}
