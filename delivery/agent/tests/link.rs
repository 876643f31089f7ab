//! Link and agent over a real socket pair, on both backends of the shard.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use agent::{
    Answer, Attempt, BATCH_JOBS_MAX, Body, Contents, Deliver, FILES_MAX, Link, SEGMENTS_MAX,
    ServeError, Sources, Submitted, WINDOW_JOBS_MAX,
};
use mail::{Address, Content, Job, Outcome, QueueId, Recipient, Status, Time, Verdict};
use ring::{Arena, Backend};

/// Answers each job with what its content says, after it was put off as often as its number says.
#[derive(Default)]
struct Reader {
    batches: Vec<usize>,
}

impl Deliver for Reader {
    fn deliver(&mut self, batch: &[Attempt], contents: &mut Contents) -> Vec<Answer> {
        self.batches.push(batch.len());
        batch.iter().map(|attempt| read(attempt, contents)).collect()
    }
}

fn read(attempt: &Attempt, contents: &mut Contents) -> Answer {
    let tag = attempt.job.tag;
    if attempt.waits < attempt.job.number {
        return Answer::Wait(Duration::from_millis(1));
    }
    let text = match contents.body(&attempt.job) {
        Ok(Body::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Ok(Body::File { file, len }) => {
            let mut bytes = vec![0; len as usize];
            rustix::io::pread(file, &mut bytes, 0).unwrap();
            String::from_utf8(bytes).unwrap()
        }
        Err(error) => return Answer::Done(Outcome::new(tag, Status(4, 3, 0), error.to_string())),
    };
    Answer::Done(Outcome::new(tag, Status(2, 0, 0), text))
}

/// Segment `n` holds `segment n`, and the content file of an id holds the id.
#[derive(Default)]
struct Files {
    segments_opened: Rc<RefCell<Vec<u64>>>,
}

impl Sources for Files {
    fn segment(&self, _: u8, segment: u64) -> io::Result<OwnedFd> {
        self.segments_opened.borrow_mut().push(segment);
        if segment == 404 {
            return Err(io::ErrorKind::NotFound.into());
        }
        file(format!("segment {segment}").as_bytes())
    }

    fn file(&self, id: QueueId) -> io::Result<OwnedFd> {
        file(id.to_string().as_bytes())
    }
}

fn file(text: &[u8]) -> io::Result<OwnedFd> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text)?;
    Ok(file.into())
}

fn job(tag: u64, content: Content) -> Job {
    Job {
        tag,
        id: QueueId::from_u64(tag << 8),
        sender: None,
        recipient: Recipient::new(Address::parse(b"a@example.com").unwrap()),
        number: 0,
        arrival: Time(0),
        content,
        seen_before: false,
        has_delivered_to: false,
        service: None,
    }
}

fn extent(segment: u64, offset: usize, len: usize) -> Content {
    let text = format!("segment {segment}");
    let crc = crc32c::crc32c(&text.as_bytes()[offset..offset + len]);
    Content::Segment { slice: 0, segment, offset: offset as u64, len: len as u32, crc }
}

fn segment(segment: u64) -> Content {
    extent(segment, 0, 9)
}

type Agent = JoinHandle<(Reader, Result<(), ServeError>)>;

fn start_agent(socket: OwnedFd) -> Agent {
    std::thread::spawn(move || {
        let mut reader = Reader::default();
        let end = agent::serve(socket, &mut reader);
        (reader, end)
    })
}

fn on_each_backend(test: impl AsyncFn()) {
    let mut backends = vec![Backend::Epoll];
    match ring::probe_uring() {
        Ok(()) => backends.push(Backend::Uring),
        Err(why) => println!("on epoll only: {why}"),
    }
    for backend in backends {
        ring::run(ring::Options { backend, core: None }, test()).unwrap();
    }
}

async fn outcomes(link: &Link, count: usize) -> Vec<Outcome> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(link.next().await.unwrap());
    }
    all.sort_by_key(|outcome| outcome.tag);
    all
}

#[test]
fn a_job_goes_out_and_its_outcome_comes_back_whatever_holds_its_content() {
    on_each_backend(async || {
        let arena = Arena::new(8192).unwrap();
        let mut block = arena.alloc(5).unwrap();
        block[..5].copy_from_slice(b"hello");
        let (ours, theirs) = agent::pair().unwrap();
        let agent = start_agent(theirs);
        let shown = Some((arena.fd(), arena.len() as u64));
        let link = Link::open(ours, shown, Box::<Files>::default()).unwrap();

        link.submit(job(1, Content::Arena { offset: block.offset(), len: 5 }));
        link.submit(job(2, segment(7)));
        link.submit(job(3, Content::File { len: 12 }));
        link.submit(job(4, Content::Arena { offset: 8192, len: 1 }));
        let texts: Vec<_> = outcomes(&link, 4).await.into_iter().map(|o| o.text).collect();
        assert_eq!(*texts[0], *"hello");
        assert_eq!(*texts[1], *"segment 7");
        assert_eq!(*texts[2], *"000000000300");
        assert_eq!(*texts[3], *"content lies outside the shared arena");
        assert_eq!(link.free(), WINDOW_JOBS_MAX);

        drop(link);
        assert!(agent.join().unwrap().1.is_ok());
    });
}

#[test]
fn the_window_is_bounded_and_a_full_one_is_delivered_in_batches() {
    on_each_backend(async || {
        let (ours, theirs) = agent::pair().unwrap();
        let link = Link::open(ours, None, Box::<Files>::default()).unwrap();
        for tag in 0..WINDOW_JOBS_MAX as u64 {
            assert_eq!(link.submit(job(tag, segment(1))), Submitted::Yes);
        }
        let one_more = job(u64::MAX, segment(1));
        assert_eq!(link.submit(one_more.clone()), Submitted::WindowFull(one_more));

        let agent = start_agent(theirs);
        let all = outcomes(&link, WINDOW_JOBS_MAX).await;
        assert!(all.iter().enumerate().all(|(tag, outcome)| outcome.tag == tag as u64));
        drop(link);
        let (reader, _) = agent.join().unwrap();
        assert!(reader.batches.iter().all(|&jobs| jobs <= BATCH_JOBS_MAX));
    });
}

#[test]
fn a_segment_is_shown_once_and_again_only_after_it_gave_way() {
    on_each_backend(async || {
        let (ours, theirs) = agent::pair().unwrap();
        let agent = start_agent(theirs);
        let files = Files::default();
        let opened = Rc::clone(&files.segments_opened);
        let link = Link::open(ours, None, Box::new(files)).unwrap();
        let numbers: Vec<u64> =
            [1, 1, 1].into_iter().chain(2..=SEGMENTS_MAX as u64 + 1).chain([3, 1]).collect();
        for (tag, &number) in numbers.iter().enumerate() {
            let content = extent(number, 8, 1);
            link.submit(job(tag as u64, content));
        }
        let all = outcomes(&link, numbers.len()).await;
        assert!(all.iter().all(|outcome| outcome.verdict == Verdict::Delivered), "{all:?}");
        let expected: Vec<u64> = (1..=SEGMENTS_MAX as u64 + 1).chain([1]).collect();
        assert_eq!(*opened.borrow(), expected);
        drop(link);
        assert!(agent.join().unwrap().1.is_ok());
    });
}

#[test]
fn large_messages_take_turns_and_all_arrive() {
    on_each_backend(async || {
        let (ours, theirs) = agent::pair().unwrap();
        let agent = start_agent(theirs);
        let link = Link::open(ours, None, Box::<Files>::default()).unwrap();
        let count = 3 * FILES_MAX;
        for tag in 0..count as u64 {
            link.submit(job(tag, Content::File { len: 12 }));
        }
        let all = outcomes(&link, count).await;
        assert!(all.iter().all(|o| *o.text == *QueueId::from_u64(o.tag << 8).to_string()));
        drop(link);
        assert!(agent.join().unwrap().1.is_ok());
    });
}

#[test]
fn content_that_cannot_be_opened_defers_its_job_alone() {
    on_each_backend(async || {
        let (ours, theirs) = agent::pair().unwrap();
        let agent = start_agent(theirs);
        let link = Link::open(ours, None, Box::<Files>::default()).unwrap();
        link.submit(job(1, segment(1)));
        link.submit(job(2, segment(404)));
        link.submit(job(3, segment(1)));
        let verdicts: Vec<_> = outcomes(&link, 3).await.into_iter().map(|o| o.verdict).collect();
        assert_eq!(verdicts, [Verdict::Delivered, Verdict::Deferred, Verdict::Delivered]);
        drop(link);
        assert!(agent.join().unwrap().1.is_ok());
    });
}

#[test]
fn a_job_that_waits_for_a_lock_lets_the_others_pass() {
    on_each_backend(async || {
        let (ours, theirs) = agent::pair().unwrap();
        let link = Link::open(ours, None, Box::<Files>::default()).unwrap();
        link.submit(Job { number: 3, ..job(1, segment(1)) });
        link.submit(job(2, segment(1)));
        let agent = start_agent(theirs);
        assert_eq!(link.next().await.unwrap()[0].tag, 2);
        assert_eq!(link.next().await.unwrap()[0].tag, 1);
        drop(link);
        assert_eq!(agent.join().unwrap().0.batches, [2, 1, 1, 1]);
    });
}

#[test]
fn an_agent_that_goes_away_gives_back_its_jobs_as_seen_before() {
    on_each_backend(async || {
        let (ours, theirs) = agent::pair().unwrap();
        let link = Link::open(ours, None, Box::<Files>::default()).unwrap();
        link.submit(job(1, segment(1)));
        link.submit(job(2, segment(1)));
        // One turn of the loop: the jobs are in the socket now, and nobody answers.
        tokio::select! {
            biased;
            _ = link.next() => panic!("nobody is there to answer"),
            () = turns(20) => {}
        }
        link.submit(job(3, segment(1)));
        drop(theirs);
        let gone = link.next().await.unwrap_err();
        let given_back: Vec<_> = gone.jobs.iter().map(|job| (job.tag, job.seen_before)).collect();
        assert_eq!(given_back, [(1, true), (2, true), (3, false)]);
        assert_eq!(link.free(), WINDOW_JOBS_MAX);
    });
}

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

#[test]
fn jobs_of_an_engine_that_is_gone_are_not_begun() {
    let (ours, theirs) = agent::pair().unwrap();
    on_socket(&ours, &agent::frame::hello(0));
    let mut frame = agent::frame::Packer::jobs();
    frame.push_job(&job(1, segment(1))).unwrap();
    on_socket(&ours, &frame.finish());
    drop(ours);
    let (reader, end) = start_agent(theirs).join().unwrap();
    assert!(end.is_ok());
    assert_eq!(reader.batches, [] as [usize; 0]);
}

#[test]
fn an_engine_that_breaks_the_protocol_is_left() {
    let hello = agent::frame::hello(0);
    let mut newer = hello.clone();
    newer[1] += 1;
    let outcomes = agent::frame::Packer::outcomes().finish();
    let cases: &[(&str, &[&[u8]])] = &[
        ("noise", &[b"\xff\xff\xff"]),
        ("jobs before Hello", &[&agent::frame::Packer::jobs().finish()]),
        ("Hello twice", &[&hello, &hello]),
        ("another version", &[&newer]),
        ("an arena without a descriptor", &[&agent::frame::hello(4096)]),
        ("a segment without a descriptor", &[&hello, &agent::frame::segment(0, 1)]),
        ("a file without a descriptor", &[&hello, &agent::frame::file(1)]),
        ("outcomes", &[&hello, &outcomes]),
    ];
    for (what, frames) in cases {
        let (ours, theirs) = agent::pair().unwrap();
        for frame in *frames {
            on_socket(&ours, frame);
        }
        let (reader, end) = start_agent(theirs).join().unwrap();
        assert!(end.is_err(), "{what}");
        assert!(reader.batches.is_empty(), "{what}");
    }
}

#[test]
fn memory_that_could_shrink_is_not_taken_as_an_arena() {
    let (ours, theirs) = agent::pair().unwrap();
    let (sent, received) = mpsc::channel();
    let engine = std::thread::spawn(move || {
        let loose = tempfile::tempfile().unwrap();
        loose.set_len(4096).unwrap();
        let options = ring::Options { backend: Backend::Epoll, core: None };
        ring::run(options, async {
            let arena = Some((std::os::fd::AsFd::as_fd(&loose), 4096));
            let link = Link::open(ours, arena, Box::<Files>::default()).unwrap();
            sent.send(link.next().await.is_err()).unwrap();
        })
        .unwrap();
    });
    let (_, end) = start_agent(theirs).join().unwrap();
    assert!(matches!(end, Err(ServeError::Arena(_))));
    assert!(received.recv().unwrap(), "the engine learns that the agent is gone");
    engine.join().unwrap();
}

fn on_socket(socket: &OwnedFd, frame: &[u8]) {
    rustix::net::send(socket, frame, rustix::net::SendFlags::empty()).unwrap();
}
