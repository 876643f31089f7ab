//! How often a message asks the allocator for memory, between the socket and the queue.
//!
//! One session that is kept and pipelines, as busy hosts do it: what a shard does for each of its
//! messages, without the ring and the queue, which have their own buffers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use config::{Machine, Snapshot, Sources};
use mail::{QueueId, Time};
use rewrite::Rewriter;
use table::{Memory, Tables, block_on};
use wire::{
    Decoder, Dialogue, Input, Line, LineEnds, Lines, Output, Policy, Question, Turn, Verdict,
};

use crate::addresses::Rewriters;
use crate::content::{Content, Pool};
use crate::judge::{Recipients, Transports};

/// What one message of one recipient costs, for a host without tables:
///
/// | for | how many |
/// |---|---:|
/// | the transaction and the envelope in it | 2 |
/// | sender, recipient, the list of recipients | 3 |
/// | the name of the recipient's mailbox | 1 |
/// | what is known of the content; its bytes are in a buffer of the pool's | 1 |
/// | the header that is being looked at | 1 |
/// | the Message-ID for the log | 1 |
///
/// All but the third and the last two live as long as the message is in memory. Nothing is asked for by the line, by
/// the header or by the reply, nor for where the recipient goes, which is in main.cf and in its address.
const ALLOCATIONS_MAX: u64 = 9;

const GROUP: &[u8] =
    b"MAIL FROM:<sender@client.example> SIZE=4096\r\nRCPT TO:<user@localhost>\r\nDATA\r\n";

/// What follows DATA, and the commands of the next message right behind it.
fn content() -> Vec<u8> {
    let mut content = b"Received: from relay.example (relay.example [192.0.2.9])\r\n\
        \tby client.example (Postfix) with ESMTPS id 4Zxyz0\r\n\
        \tfor <user@localhost>; Fri, 20 Nov 2026 09:00:00 +0000 (UTC)\r\n\
        From: Sender <sender@client.example>\r\n\
        To: user@localhost\r\n\
        Subject: a message\r\n\
        Date: Fri, 20 Nov 2026 09:00:00 +0000\r\n\
        Message-ID: <1@client.example>\r\n\r\n"
        .to_vec();
    content
        .extend(b"A line of some length, as people write them, seventy characters.\r\n".repeat(56));
    content.extend_from_slice(b".\r\n");
    content
}

/// What a shard and a session keep from message to message.
struct Kept {
    rewriters: Rewriters,
    rewriter: Arc<Rewriter>,
    transports: Transports,
    rules: Arc<cleanup::Rules>,
    pool: Pool,
    dialogue: Dialogue,
    turn: Turn,
    lines: Lines,
    record: Vec<u8>,
}

impl Kept {
    fn new() -> Self {
        let sources = Sources::new().serve(Path::new("/data"), &[]);
        let machine = Machine::named("mx.example.com");
        let settings = Snapshot::build(&sources, &machine, &Tables::new(&Memory::default()))
            .expect("the defaults");
        let client = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50_000));
        let policy = Arc::new(Policy::new("mx.example.com"));
        let rewriter = Arc::new(Rewriter::new(settings));
        let rewriters = Rewriters::new(Arc::clone(&rewriter));
        let mut kept = Self {
            rules: Arc::new(crate::policy::rules(rewriter.settings(), &rewriters)),
            rewriters,
            rewriter,
            transports: Transports::new(["virtual".into()]),
            pool: Pool::default(),
            dialogue: Dialogue::new(policy, "unknown", client),
            turn: Turn::default(),
            lines: Lines::default(),
            record: Vec::with_capacity(64 * 1024),
        };
        let connected = kept.dialogue.step(Input::Connected { behind: b"" }, &mut kept.turn);
        assert_eq!(connected, Output::Judge(Question::Client));
        let _ = kept.dialogue.step(Input::Verdict(Verdict::Accept), &mut kept.turn);
        assert_eq!(kept.commands(b"EHLO client.example\r\n"), Output::NeedLine);
        kept
    }

    /// Commands that arrived together; the last one's output.
    fn commands(&mut self, mut group: &[u8]) -> Output {
        let mut output = Output::NeedLine;
        while let Line::Whole { text, bare_lf, consumed } = self.lines.next(group, 2048) {
            group = &group[consumed..];
            output =
                self.dialogue.step(Input::Line { text, bare_lf, behind: group }, &mut self.turn);
            while let Output::Judge(question) = output {
                let verdict = match (question, self.dialogue.recipient()) {
                    (Question::Recipient, Some(it)) => {
                        let recipients =
                            Recipients { rewriter: &self.rewriter, transports: &self.transports };
                        let sender = self.dialogue.envelope().and_then(|it| it.sender.as_ref());
                        let judged = block_on(recipients.judge(sender, &it.address));
                        judged.expect("the tables of this test are in memory")
                    }
                    _ => Verdict::Accept,
                };
                output = self.dialogue.step(Input::Verdict(verdict), &mut self.turn);
            }
        }
        output
    }

    fn message(&mut self, received: &[u8]) {
        assert_eq!(self.commands(GROUP), Output::ReceiveData(LineEnds::Crlf));
        let mut content =
            Box::new(Content::data(LineEnds::Crlf, false, 10_240_000, self.pool.clone()));
        content.space().extend_from_slice(received);
        assert_eq!(content.filled(received.len()), Some(Vec::new()), "it ends there");
        let received =
            Input::Received { received: content.received(), arrival: Time::from_secs(1) };
        let Output::Commit(envelope) = self.dialogue.step(received, &mut self.turn) else {
            panic!("the message is accepted")
        };
        let (rules, receive) = (cleanup::EnvelopeRules::default(), cleanup::Receive::default());
        let cleaned = block_on(cleanup::envelope(&self.rewriters, rules, &envelope, receive));
        assert_eq!(cleaned, Ok(None), "it stays as it is");
        let (id, arrival) = (QueueId::from_u64(1), Time::from_secs(1));
        let message = cleanup::Message::new(id, &envelope, arrival, cleanup::Zone::UTC);
        self.record.clear();
        let mut cleanup = cleanup::Cleanup::start(&self.rules, &message, &mut self.record);
        let mut decoder = Decoder::new(content.framing());
        for raw in content.pieces() {
            decoder.decode(raw, &mut cleanup.onto(&mut self.record));
        }
        decoder.finish(&mut cleanup.onto(&mut self.record));
        let summary = cleanup.finish(&mut self.record);
        assert_eq!(&*summary.message_id, "<1@client.example>");
        let committed = Input::Committed { result: Ok(QueueId::from_u64(1)), envelope: &envelope };
        assert_eq!(self.dialogue.step(committed, &mut self.turn), Output::NeedLine);
        assert!(self.turn.replies.ends_with(b"queued as 000000000001\r\n"));
        self.turn.replies.clear();
    }
}

#[test]
fn a_message_of_a_kept_session_takes_a_handful_of_allocations() {
    let mut kept = Kept::new();
    let content = content();
    // The first one makes the buffers that stay.
    kept.message(&content);
    let used = allocation_counter::measure(|| kept.message(&content));
    assert!(used.count_total <= ALLOCATIONS_MAX, "{used:?}");
    assert_eq!(used.count_current, 0, "nothing of a message stays behind");
}
