//! Posting a message: from the command line and standard input to postdrop.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use cleanup::{Extract, ExtractError, ExtractLimits};
use mail::Address;
use mail::rfc5322::{AddressList, quote_bare_local};
use maildrop::{FULL_NAME_BYTES_MAX, Submission};
use nix::unistd::{Uid, User};

use super::lines::{LineEndings, Lines};
use super::options::Options;
use super::warn;
use crate::cli::Configuration;
use crate::settings::Settings;
use crate::submission::{self, POSTDROP};
use crate::sysexits::{EX_DATAERR, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, Failure};

/// The user database has no answer (sysexits.h).
const EX_OSERR: u8 = 71;
/// The codes of sysexits.h, all of which callers of sendmail know.
const SYSEXITS: std::ops::RangeInclusive<i32> = 64..=78;
/// What is read at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Posts the message on standard input. What comes back is durable.
pub(super) fn post(options: &Options, config: Option<PathBuf>) -> Result<(), Failure> {
    let values = Values::read(config.clone())?;
    let user = User::from_uid(Uid::current()).ok().flatten();
    let sender = sender(options, user.as_ref(), &values)?;
    let who = Who(format!("{}({})", sender.as_ref().map_or("", Address::as_str), Uid::current()));
    let mut recipients = Vec::new();
    for argument in &options.recipients {
        let named = addresses(argument, &values).map_err(|why| who.fatal(EX_DATAERR, &why))?;
        match &named[..] {
            // As Postfix: somebody has to get it.
            [] => recipients.push(values.empty_recipient.clone()),
            _ => recipients.extend(named),
        }
    }
    if recipients.is_empty() && !options.extract {
        let text = "Recipient addresses must be specified on the command line or via the -t option";
        return Err(who.fatal(EX_USAGE, text));
    }
    let submission = Submission {
        smtputf8: options.smtputf8,
        sender,
        full_name: full_name(options, user.as_ref()),
        recipients,
        notify: options.notify,
        ret: options.ret,
        envid: options.envid.clone(),
        body: options.body,
        is_remote: options.is_remote,
    };
    let lines = Lines::new(values.line_endings, !options.dot_is_text);
    let postdrop = Postdrop { path: postdrop_path(&values), config };
    let message = Message { submission, lines, who: &who, values: &values };
    message.copy(io::stdin().lock(), options.extract, &postdrop)
}

/// Sender and user id, which stand before what is said of a message.
struct Who(String);

impl Who {
    fn fatal(&self, code: u8, text: &str) -> Failure {
        Failure::new(code, format!("{}: {text}", self.0))
    }
}

/// What main.cf has to say.
struct Values {
    line_endings: LineEndings,
    command_directory: PathBuf,
    limits: ExtractLimits,
    /// 0 is no limit.
    message_size_limit: usize,
    empty_recipient: Address,
}

impl Values {
    fn read(config: Option<PathBuf>) -> Result<Self, Failure> {
        let unusable = |why: String| Failure::new(EX_TEMPFAIL, why);
        let settings = Settings::of_host(&Configuration::of(config)).map_err(unusable)?;
        let values = settings.values().map_err(unusable)?;
        let text = |name: &str| values.text(name).map_err(unusable);
        let number = |name: &str| {
            let text = text(name)?;
            text.parse::<usize>().map_err(|_| unusable(format!("{name}: found \"{text}\"")))
        };
        let endings = text("sendmail_fix_line_endings")?;
        let line_endings = LineEndings::of(&endings).ok_or_else(|| {
            let text = format!("invalid sendmail_fix_line_endings value: {endings}");
            Failure::new(EX_USAGE, text)
        })?;
        let empty = text("empty_address_recipient")?;
        Ok(Self {
            line_endings,
            command_directory: text("command_directory")?.into(),
            limits: ExtractLimits {
                header_bytes_max: number("header_size_limit")?,
                tokens_max: number("header_address_token_limit")?,
                ..ExtractLimits::default()
            },
            message_size_limit: number("message_size_limit")?,
            empty_recipient: Address::parse(empty.as_bytes())
                .map_err(|why| unusable(format!("empty_address_recipient: {why}")))?,
        })
    }
}

/// The addresses in a list as a header has it: some programs write several, and names with them.
fn addresses(list: &[u8], values: &Values) -> Result<Vec<Address>, String> {
    let list = AddressList::parse(list, values.limits.tokens_max);
    if !list.rest().trim_ascii().is_empty() {
        return Err("a list of addresses exceeds header_address_token_limit".into());
    }
    let external = (0..list.len()).map(|number| list.external(number));
    let parsed = external.map(|text| {
        Address::parse(&text).map_err(|why| format!("bad address: {}: {why}", text.escape_ascii()))
    });
    parsed.collect()
}

/// `None` is the null sender.
fn sender(
    options: &Options,
    user: Option<&User>,
    values: &Values,
) -> Result<Option<Address>, Failure> {
    let uid = Uid::current();
    let Some(given) = &options.sender else {
        let none = || Failure::new(EX_OSERR, format!("no login name found for user ID {uid}"));
        let name = &user.ok_or_else(none)?.name;
        let external = quote_bare_local(name.as_bytes());
        return Address::parse(&external)
            .map(Some)
            .map_err(|why| Failure::new(EX_OSERR, format!("login name {name}: {why}")));
    };
    let text = String::from_utf8_lossy(given);
    let named = addresses(given, values)
        .map_err(|why| Failure::new(EX_DATAERR, format!("-f option: {why}")))?;
    if named.len() > 1 {
        warn(&format!("-f option specified malformed sender: {text}"));
    }
    Ok(named.into_iter().next())
}

/// The sender's name: as he says, as his environment says, or as the user database has it.
fn full_name(options: &Options, user: Option<&User>) -> Option<Box<str>> {
    let said = options.full_name.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
    let said = said.or_else(|| Some(std::env::var_os("NAME")?.to_string_lossy().into_owned()));
    let name = said.or_else(|| user.map(full_name_of))?;
    // It becomes part of a header.
    let mut name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end =
        (0..=FULL_NAME_BYTES_MAX).rev().find(|&end| name.is_char_boundary(end.min(name.len())));
    name.truncate(end.unwrap_or_default());
    Some(name.into())
}

/// The first part of the field that was GECOS's once; `&` in it is the login name.
fn full_name_of(user: &User) -> String {
    let gecos = user.gecos.to_string_lossy();
    let name = gecos.split([',', ';', '%']).next().unwrap_or_default();
    let mut login = user.name.clone();
    if let Some(first) = login.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name.replace('&', &login)
}

fn postdrop_path(values: &Values) -> PathBuf {
    submission::beside().unwrap_or_else(|| values.command_directory.join(POSTDROP))
}

struct Message<'a> {
    submission: Submission,
    lines: Lines,
    who: &'a Who,
    values: &'a Values,
}

impl Message<'_> {
    /// Copies the message to postdrop. With `extract` its head is read first, which may name further
    /// recipients: the envelope goes before the content.
    fn copy(
        mut self,
        mut input: impl Read,
        extract: bool,
        postdrop: &Postdrop,
    ) -> Result<(), Failure> {
        let mut extract = extract.then(|| Extract::new(self.values.limits));
        let mut posting = None;
        let (mut piece, mut out) = (vec![0; PIECE_BYTES], Vec::new());
        let mut content_bytes = 0;
        let mut more = true;
        while more {
            let read = out.len();
            let count = read_some(&mut input, &mut piece).map_err(|error| {
                self.who.fatal(EX_DATAERR, &format!("error reading input: {error}"))
            })?;
            if count > 0 {
                more = self.lines.put(&piece[..count], &mut out);
            } else {
                self.lines.finish(&mut out);
                more = false;
            }
            if let Some(reading) = &mut extract {
                reading.put(&out[read..]);
                if more && !reading.is_done() {
                    self.check_head(out.len())?;
                    continue;
                }
            }
            if let Some(read) = extract.take() {
                self.add_recipients(read)?;
            }
            let posting = match &mut posting {
                Some(posting) => posting,
                None => posting.insert(self.begin(postdrop)?),
            };
            content_bytes += out.len() as u64;
            if !posting.content(&out) {
                break;
            }
            out.clear();
        }
        match posting {
            Some(posting) => posting.finish(content_bytes, self.who),
            None => Err(self.who.fatal(EX_TEMPFAIL, "nothing was read")),
        }
    }

    /// A head is kept in memory until all recipients are known.
    fn check_head(&self, bytes: usize) -> Result<(), Failure> {
        let limit = self.values.message_size_limit;
        if limit > 0 && bytes > limit {
            return Err(self.who.fatal(EX_UNAVAILABLE, "message file too big"));
        }
        Ok(())
    }

    fn add_recipients(&mut self, head: Extract) -> Result<(), Failure> {
        match head.finish() {
            Ok(named) => self.submission.recipients.extend(named),
            Err(ExtractError::NoRecipients) if !self.submission.recipients.is_empty() => {}
            Err(why @ ExtractError::NoRecipients) => {
                return Err(self.who.fatal(EX_USAGE, &why.to_string()));
            }
            Err(why) => return Err(self.who.fatal(EX_DATAERR, &why.to_string())),
        }
        Ok(())
    }

    fn begin(&mut self, postdrop: &Postdrop) -> Result<Posting, Failure> {
        let submission = &mut self.submission;
        let mut beginning = Vec::new();
        maildrop::envelope(submission, &mut beginning);
        if beginning.len() > maildrop::ENVELOPE_BYTES_MAX {
            let text =
                format!("more recipients than fit into {} bytes", maildrop::ENVELOPE_BYTES_MAX);
            return Err(self.who.fatal(EX_DATAERR, &text));
        }
        let mut posting = postdrop.start(self.who)?;
        posting.write(&beginning);
        Ok(posting)
    }
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

struct Postdrop {
    path: PathBuf,
    config: Option<PathBuf>,
}

impl Postdrop {
    fn start(&self, who: &Who) -> Result<Posting, Failure> {
        let mut command = Command::new(&self.path);
        if let Some(config) = &self.config {
            command.arg("-c").arg(config);
        }
        command.arg("-r").stdin(Stdio::piped());
        let failed = |path: &Path, why: &str| {
            who.fatal(EX_UNAVAILABLE, &format!("unable to execute {}: {why}", path.display()))
        };
        let mut child = command.spawn().map_err(|error| failed(&self.path, &error.to_string()))?;
        let input = child.stdin.take();
        Ok(Posting { child, input, buffer: Vec::new() })
    }
}

/// A postdrop that is being written to.
struct Posting {
    child: Child,
    /// Gone where it wants nothing more: its exit code says why.
    input: Option<ChildStdin>,
    buffer: Vec<u8>,
}

impl Posting {
    /// False where there is no use in going on.
    fn content(&mut self, bytes: &[u8]) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        maildrop::content(bytes, &mut buffer);
        self.write(&buffer);
        self.buffer = buffer;
        self.input.is_some()
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.input.as_mut().is_some_and(|input| input.write_all(bytes).is_err()) {
            self.input = None;
        }
    }

    fn finish(mut self, content_bytes: u64, who: &Who) -> Result<(), Failure> {
        let mut end = Vec::new();
        maildrop::end(content_bytes, &mut end);
        self.write(&end);
        self.input = None;
        let status = self
            .child
            .wait()
            .map_err(|error| who.fatal(EX_TEMPFAIL, &format!("{POSTDROP}: {error}")))?;
        match status.code() {
            Some(0) => Ok(()),
            // It has said why.
            Some(code) if SYSEXITS.contains(&code) => {
                Err(Failure::new(u8::try_from(code).unwrap_or(EX_TEMPFAIL), ""))
            }
            _ => Err(who.fatal(EX_UNAVAILABLE, &format!("{POSTDROP} failed: {status}"))),
        }
    }
}
