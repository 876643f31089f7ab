//! The queue on a real file system, on both backends.

use std::rc::Rc;

use mail::{Address, Client, Content, Envelope, Outcome, Protocol, Recipient, Status, Time};
use queue::{Disk, Options, Remaining, RingDisk, Slice, Start};
use ring::{Arena, Backend};

fn on_both_backends(test: impl AsyncFn()) {
    for backend in [Backend::Epoll, Backend::Uring] {
        ring::run(ring::Options { backend, core: None }, test()).unwrap();
    }
}

fn envelope(recipients: &[&str]) -> Rc<Envelope> {
    let address = |text: &str| Address::parse(text.as_bytes()).unwrap();
    Rc::new(Envelope {
        sender: Some(address("sender@client.example")),
        recipients: recipients.iter().map(|r| Recipient::new(address(r))).collect(),
        arrival: Time(1_790_000_000_000_000),
        client: Client {
            name: "client.example".into(),
            address: Some("192.0.2.1:40000".parse().unwrap()),
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
        },
        body: mail::Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        filter: None,
        not_before: None,
    })
}

fn options(directory: &std::path::Path) -> Options {
    Options {
        segment_bytes: 1 << 20,
        first_segment_bytes: 1 << 20,
        record_bytes_max: 128 << 10,
        batch_bytes: 64 << 10,
        index_bytes_max: 64 << 20,
        ..Options::new(0, directory)
    }
}

const NOW: Time = Time(1_790_000_000_000_000);

#[test]
fn a_message_is_there_after_a_restart_and_gone_after_its_delivery() {
    on_both_backends(async || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let open = async || {
            let disk = RingDisk::open(path, Arena::new(4 << 20).unwrap()).unwrap();
            let opened = Slice::open(disk, options(path)).await.unwrap();
            let driver = ring::spawn(opened.driver.run());
            (opened.slice, driver, opened.report)
        };

        let (slice, driver, report) = open().await;
        assert_eq!(report.start, Start::New);
        let id = slice.next_id(NOW);
        let (_, commit) = slice
            .append(id, &envelope(&["a@mx.example", "b@mx.example"]), |sink| {
                sink.push(b"Subject: x\n\nhello\n");
                Ok::<_, ()>(())
            })
            .unwrap();
        let committed = commit.await.unwrap();
        assert!(matches!(committed.place.lease().content, Content::Arena { len: 18, .. }));
        let delivered = Outcome::new(1, Status(2, 0, 0), "delivered");
        assert_eq!(slice.outcome(id, 0, &delivered, NOW, NOW).unwrap(), Remaining::Pending);
        slice.close().await;
        driver.await.unwrap();
        drop((slice, committed));

        let (slice, driver, report) = open().await;
        assert_eq!(report.start, Start::Clean);
        assert_eq!(slice.due(NOW, 10).unwrap(), [(NOW, id)]);
        let message = slice.load(id).await.unwrap();
        assert_eq!(message.envelope, envelope(&["a@mx.example", "b@mx.example"]));
        assert!(message.from_earlier_run);
        let Content::Segment { segment, offset, len, .. } = message.place.lease().content else {
            panic!("not in memory after a restart");
        };
        let fd = slice.segment_fd(segment).unwrap().unwrap();
        let mut content = vec![0; len as usize];
        std::os::unix::fs::FileExt::read_exact_at(&std::fs::File::from(fd), &mut content, offset)
            .unwrap();
        assert_eq!(content, b"Subject: x\n\nhello\n");
        assert_eq!(slice.outcome(id, 1, &delivered, NOW, NOW).unwrap(), Remaining::Nothing);
        slice.close().await;
        driver.await.unwrap();
        drop(slice);

        let (slice, driver, _) = open().await;
        assert_eq!(slice.due(NOW, 10).unwrap(), []);
        assert!(slice.load(id).await.is_err());
        slice.close().await;
        driver.await.unwrap();
    });
}

#[test]
fn a_tool_reads_the_queue_without_the_daemon_and_finds_by_recipient_domain_and_sender() {
    use queue::{Queue, QueueDirectory, Reader, Selector};
    on_both_backends(async || {
        let directory = tempfile::tempdir().unwrap();
        let queue = QueueDirectory::lock(directory.path()).unwrap();
        let path = queue.slice(0);
        let disk = RingDisk::open(&path, Arena::new(4 << 20).unwrap()).unwrap();
        let opened = Slice::open(disk, Options::new(0, &path)).await.unwrap();
        let (slice, driver) = (opened.slice, ring::spawn(opened.driver.run()));
        let mut ids = Vec::new();
        for to in ["a@mx.example", "b@mx.example", "a@Other.example"] {
            let id = slice.next_id(NOW);
            let (_, commit) = slice
                .append(id, &envelope(&[to]), |sink| {
                    sink.push(to.as_bytes());
                    Ok::<_, ()>(())
                })
                .unwrap();
            commit.await.unwrap();
            ids.push(id);
        }
        slice.hold(ids[1]).unwrap();
        let full = Outcome::new(1, Status(4, 2, 2), "mailbox full");
        slice
            .outcome(ids[2], 0, &full, NOW, NOW.after(std::time::Duration::from_secs(300)))
            .unwrap();
        slice.close().await;
        driver.await.unwrap();
        drop(slice);

        let reader = Reader::open(directory.path()).unwrap();
        let listed = |selector: &Selector| {
            let mut found = Vec::new();
            let each = |message: queue::Listed| {
                found.push((message.id, message.queue));
                std::ops::ControlFlow::Continue(())
            };
            reader.list(selector, each).unwrap();
            found
        };
        let address = |text: &str| Address::parse(text.as_bytes()).unwrap();
        let [incoming, held, deferred] =
            [(ids[0], Queue::Incoming), (ids[1], Queue::Hold), (ids[2], Queue::Deferred)];
        assert_eq!(listed(&Selector::All), [incoming, held, deferred]);
        assert_eq!(listed(&Selector::Recipient(address("A@MX.example"))), [incoming]);
        assert_eq!(listed(&Selector::Domain("mx.example".to_owned())), [incoming, held]);
        assert_eq!(listed(&Selector::Domain("other.example".to_owned())), [deferred]);
        assert_eq!(listed(&Selector::Sender(Some(address("sender@client.example")))).len(), 3);
        assert_eq!(listed(&Selector::Sender(None)), []);
        assert_eq!(reader.content(ids[1]).unwrap(), b"b@mx.example");
        assert_eq!(
            reader.find(ids[2]).unwrap().unwrap().due.map(Time::secs),
            Some(NOW.secs() + 300)
        );
    });
}

#[test]
fn a_removed_segment_gives_its_room_back_although_another_process_has_it_open() {
    on_both_backends(async || {
        let directory = tempfile::tempdir().unwrap();
        let disk = RingDisk::open(directory.path(), Arena::new(1 << 20).unwrap()).unwrap();
        let (name, bytes) = ("segment-00000001", 1 << 20);
        disk.create_segment(name, vec![0; 8192], bytes).await.unwrap();
        let at_the_agent = std::fs::File::open(directory.path().join(name)).unwrap();
        assert_eq!(at_the_agent.metadata().unwrap().len(), bytes);
        disk.remove_segment(name).await.unwrap();
        assert_eq!(disk.list(queue::ROOT).await.unwrap(), Vec::<String>::new());
        assert_eq!(at_the_agent.metadata().unwrap().len(), 0);
    });
}
