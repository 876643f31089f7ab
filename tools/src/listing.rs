//! Looking at the queue: `ringpost queue`, and as `postqueue`, `mailq` and `postcat` by the name called.
//!
//! Reads the index of the queue from outside: the daemon is asked to bring it up to date, not held up,
//! and need not run.

use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use jiff::tz::TimeZone;
use mail::QueueId;
use queue::{Attempt, Queue, Reader, Selector, SliceError, Standing};
use showq::{Json, Listed, ListedRecipient, Mailq, Names, Reason, Show, Stored};

use crate::cli::{Configuration, Place};
use crate::freshness;
use crate::settings::Settings;

/// sysexits.h, as postqueue(1) uses them.
const EX_UNAVAILABLE: u8 = 69;

/// postqueue, listing only.
#[derive(Debug, Parser)]
#[command(name = "postqueue", about = "Lists the queue", version)]
struct Postqueue {
    #[command(flatten)]
    configuration: Configuration,
    /// List the queue
    #[arg(short = 'p', conflicts_with = "json")]
    list: bool,
    /// List the queue as JSON lines
    #[arg(short = 'j')]
    json: bool,
}

/// postcat.
#[derive(Debug, Parser)]
#[command(name = "postcat", about = "Shows queued messages", version, disable_help_flag = true)]
struct Postcat {
    /// Say this
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    configuration: Configuration,
    /// The arguments are queue ids (they always are here)
    #[arg(short = 'q')]
    queue_ids: bool,
    /// Show the body
    #[arg(short = 'b')]
    body: bool,
    /// Show the envelope
    #[arg(short = 'e')]
    envelope: bool,
    /// Show the header
    #[arg(short = 'h')]
    header: bool,
    /// Put the message's name before each line
    #[arg(short = 'f')]
    name: bool,
    /// Queue ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Acts as the program whose name this one was called by, if it is one of those.
pub(crate) fn by_name() -> Option<ExitCode> {
    let called: OsString = std::env::args_os().next()?;
    match Path::new(&called).file_name()?.to_str()? {
        "postqueue" => {
            let options = Postqueue::parse();
            if !options.list && !options.json {
                eprintln!("postqueue: fatal: usage: postqueue -p | -j (-c config_dir)");
                return Some(ExitCode::from(64));
            }
            Some(list(&Place { configuration: options.configuration }, options.json))
        }
        "mailq" => {
            let options = Postqueue::parse();
            Some(list(&Place { configuration: options.configuration }, options.json))
        }
        "postcat" => {
            let options = Postcat::parse();
            let place = Place { configuration: options.configuration };
            let show =
                Show::from_options(options.body, options.envelope, options.header, options.name);
            let mut code = ExitCode::SUCCESS;
            for id in &options.ids {
                if let Err(why) = show_one(&place, id, show) {
                    code = fail("postcat", &why);
                }
            }
            Some(code)
        }
        _ => None,
    }
}

/// Prints the whole queue.
pub(crate) fn list(place: &Place, json: bool) -> ExitCode {
    match try_list(place, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail("postqueue", &why),
    }
}

/// Prints one message.
pub(crate) fn show(place: &Place, id: &str) -> ExitCode {
    match show_one(place, id, Show::ALL) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail("postcat", &why),
    }
}

fn fail(program: &str, why: &str) -> ExitCode {
    eprintln!("{program}: fatal: {why}");
    ExitCode::from(EX_UNAVAILABLE)
}

/// Opens the queue that the configuration names.
pub(crate) fn open(place: &Place) -> Result<(Reader, String), String> {
    let settings = Settings::of_host(&place.configuration)?;
    let snapshot = settings.snapshot().map_err(|problems| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    })?;
    let directory = &snapshot.site.queue_directory;
    if !freshness::refresh(directory) {
        eprintln!(
            "ringpost: warning: the mail system did not answer; the last second may be missing"
        );
    }
    let reader = Reader::open(directory)
        .map_err(|error| format!("queue {}: {error}", directory.display()))?;
    Ok((reader, snapshot.site.empty_address_recipient.to_string()))
}

fn try_list(place: &Place, json: bool) -> Result<(), String> {
    let (reader, null_sender) = open(place)?;
    let time_zone = TimeZone::system();
    let names = Names { time_zone: &time_zone, null_sender: &null_sender };
    let out = BufWriter::new(io::stdout().lock());
    let printed = if json {
        let mut listing = Json::new(out, names);
        each(&reader, |message| listing.message(message))
            .map(|written| written.and_then(|()| listing.finish()))
    } else {
        let mut listing = Mailq::new(out, names);
        each(&reader, |message| listing.message(message))
            .map(|written| written.and_then(|()| listing.finish()))
    };
    match printed {
        Err(error) => Err(error.to_string()),
        // `mailq | head`: the reader has seen enough.
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Ok(written) => written.map_err(|error| error.to_string()),
    }
}

/// Streams the queue into a listing: one message in memory at a time.
fn each(
    reader: &Reader,
    mut print: impl FnMut(&Listed) -> io::Result<()>,
) -> Result<io::Result<()>, SliceError> {
    let mut written = Ok(());
    reader.list(&Selector::All, |message| {
        written = print(&listed(&message));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(written)
}

fn listed(message: &queue::Listed) -> Listed {
    let open = message.envelope.recipients.iter().zip(&message.standings);
    let recipients = open.filter_map(|(recipient, standing)| {
        let reason = match standing {
            Standing::Delivered | Standing::Redirected => return None,
            Standing::Pending { last, .. } => {
                last.as_deref().map(|attempt| Reason::Delay(text(attempt)))
            }
            Standing::Failed(attempt) => Some(Reason::Bounce(text(attempt))),
        };
        let original = recipient.original.clone();
        Some(ListedRecipient {
            reason,
            original,
            ..ListedRecipient::new(recipient.address.clone())
        })
    });
    Listed {
        place: place_of(message.queue),
        id: message.id,
        arrival: message.envelope.arrival,
        size: message.bytes,
        forced_expire: message.expired,
        sender: message.envelope.sender.clone(),
        recipients: recipients.collect(),
    }
}

fn text(attempt: &Attempt) -> Box<str> {
    attempt.text.as_ref().into()
}

fn place_of(queue: Queue) -> showq::Place {
    match queue {
        Queue::Incoming => showq::Place::Incoming,
        Queue::Deferred => showq::Place::Deferred,
        Queue::Hold => showq::Place::Hold,
    }
}

fn show_one(place: &Place, id: &str, show: Show) -> Result<(), String> {
    let id: QueueId = id.parse().map_err(|error| format!("\"{id}\": {error}"))?;
    let (reader, null_sender) = open(place)?;
    let message = reader
        .find(id)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("{id}: no such message in the queue"))?;
    let content = reader.content(id).map_err(|error| error.to_string())?;
    let done: Vec<u32> = (0..)
        .zip(&message.standings)
        .filter(|(_, standing)| matches!(standing, Standing::Delivered | Standing::Redirected))
        .map(|(number, _)| number)
        .collect();
    let stored = Stored {
        place: place_of(message.queue),
        id,
        envelope: &message.envelope,
        done: &done,
        size: message.bytes,
    };
    let time_zone = TimeZone::system();
    let names = Names { time_zone: &time_zone, null_sender: &null_sender };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut content = BufReader::new(content.as_slice());
    let printed = showq::postcat(&mut out, &stored, &mut content, show, names);
    match printed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}
