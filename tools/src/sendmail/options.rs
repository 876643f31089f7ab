//! sendmail's command line, which programs have written since 1983 (postfix `src/sendmail/sendmail.c`).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use mail::{Body, Notify, Ret};

use crate::sysexits::{EX_USAGE, Failure};

/// Letters of options; a colon behind one means that it has a value.
const LETTERS: &[u8] = b"A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx";
/// A longer envelope id is none.
const ENVID_BYTES_MAX: usize = 100;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`: post a message.
    #[default]
    Enqueue,
    /// `-bp`: list the queue.
    Mailq,
    /// `-bi`, `-I`: make the alias tables.
    Newaliases,
    /// `-bd`, `-bl`: start the mail system.
    Daemon,
    /// `-bs`: speak SMTP.
    Smtp,
    /// `-q`: try what is queued.
    Flush,
    /// `-bh`, `-bH`: of what Sendmail remembers of hosts there is nothing.
    Nothing,
}

/// A command line that was understood.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) mode: Mode,
    /// `-C`: the directory with main.cf.
    pub(super) config: Option<PathBuf>,
    /// Not with `-i`, `-oi`.
    pub(super) dot_is_text: bool,
    /// `-t`
    pub(super) extract: bool,
    /// `-B`
    pub(super) body: Body,
    /// `-F`
    pub(super) full_name: Option<Vec<u8>>,
    /// `-f`, `-r`
    pub(super) sender: Option<Vec<u8>>,
    /// `-G`
    pub(super) is_remote: bool,
    /// `-N`
    pub(super) notify: Option<Notify>,
    /// `-R`
    pub(super) ret: Option<Ret>,
    /// `-V`
    pub(super) envid: Option<Box<str>>,
    /// `-O SMTPUTF8=yes`
    pub(super) smtputf8: bool,
    /// `-XV`
    pub(super) verp: bool,
    /// `-bv`
    pub(super) verify: bool,
    /// `-v`
    pub(super) verbose: u32,
    /// `-oA`
    pub(super) alias_table: Option<Vec<u8>>,
    /// `-qR`, `-qI`: what of the queue is to be tried.
    pub(super) flush: Option<&'static str>,
    /// `-q` with a time: how often to try. For a daemon only.
    pub(super) interval: bool,
    /// What is left.
    pub(super) recipients: Vec<Vec<u8>>,
    /// What was not understood and does no harm.
    pub(super) warnings: Vec<String>,
}

impl Options {
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let words: Vec<Vec<u8>> = arguments.into_iter().map(OsString::into_vec).collect();
        let mut options = Self::default();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            match &word[..] {
                // Without a value, which these have as a rule.
                b"-q" => {
                    if options.mode == Mode::Daemon {
                        options.warn("ignoring -q option in daemon mode");
                    } else {
                        options.mode = Mode::Flush;
                    }
                    at += 1;
                    continue;
                }
                b"-XV" => {
                    options.verp = true;
                    at += 1;
                    continue;
                }
                // VERP's option before Postfix 2.3.
                [b'-', b'V', _, _] => {
                    options.verp = true;
                    at += 1;
                    continue;
                }
                b"--" => {
                    at += 1;
                    break;
                }
                [b'-', _, ..] => {}
                _ => break,
            }
            at += 1;
            let mut letters = &word[1..];
            while let Some((&letter, rest)) = letters.split_first() {
                letters = rest;
                let place = LETTERS.iter().position(|&b| b == letter && b != b':');
                let Some(place) = place else {
                    let letter = [letter].escape_ascii().to_string();
                    return Err(usage(&format!("invalid option -- '{letter}'")));
                };
                if LETTERS.get(place + 1) != Some(&b':') {
                    options.flag(letter)?;
                    continue;
                }
                let value = match letters {
                    [] => {
                        let letter = char::from(letter);
                        let missing =
                            || usage(&format!("option requires an argument -- '{letter}'"));
                        at += 1;
                        words.get(at - 1).ok_or_else(missing)?
                    }
                    rest => rest,
                };
                options.option(letter, value)?;
                break;
            }
        }
        options.recipients = words[at.min(words.len())..].to_vec();
        options.agree()?;
        Ok(options)
    }

    fn flag(&mut self, letter: u8) -> Result<(), Failure> {
        match letter {
            b'G' => self.is_remote = true,
            b'I' => self.mode = Mode::Newaliases,
            b'i' => self.dot_is_text = true,
            b't' => self.extract = true,
            b'v' => self.verbose += 1,
            b'n' => return Err(wrong("-n option not supported")),
            // c, m, U, x: Sendmail's business.
            _ => {}
        }
        Ok(())
    }

    fn option(&mut self, letter: u8, value: &[u8]) -> Result<(), Failure> {
        match letter {
            b'B' => match value {
                b"8BITMIME" => self.body = Body::EightBitMime,
                b"7BIT" => self.body = Body::SevenBit,
                _ => return Err(wrong("-B option needs 8BITMIME or 7BIT")),
            },
            b'C' => self.config = Some(directory(value)),
            b'F' => self.full_name = Some(value.to_vec()),
            b'f' | b'r' => self.sender = Some(value.to_vec()),
            b'N' => match wire::parse_notify(value) {
                Ok(notify) => self.notify = Some(notify),
                Err(_) => self.warn(format!("bad -N option value: '{}' -- ignored", text(value))),
            },
            b'R' => match wire::parse_ret(value) {
                Ok(ret) => self.ret = Some(ret),
                Err(_) => self.warn("bad -R option value -- ignored"),
            },
            b'V' if value.len() > ENVID_BYTES_MAX => {
                self.warn("too long -V option value -- ignored");
            }
            b'V' => match wire::parse_envid(value) {
                Ok(envid) => self.envid = Some(envid),
                Err(_) => self.warn("bad syntax in -V option value -- ignored"),
            },
            b'X' if value.first() == Some(&b'V') => self.verp = true,
            b'X' => return Err(unsupported('X', value)),
            b'O' => self.long_option(value),
            b'o' => match value {
                [b'i', ..] => self.dot_is_text = true,
                b"A" => return Err(wrong("-oA requires pathname")),
                [b'A', table @ ..] => self.alias_table = Some(table.to_vec()),
                _ => {}
            },
            b'b' => self.mode(value)?,
            b'q' => match value {
                [b'0'..=b'9', ..] => self.interval = true,
                b"R" => return Err(wrong("specify: -qRsitename")),
                b"I" => return Err(wrong("specify: -qIqueueid")),
                [b'R', ..] => self.flush = Some("site"),
                [b'I', ..] => self.flush = Some("queue_id"),
                _ => {
                    let first = text(&value[..value.len().min(1)]);
                    return Err(wrong(&format!("-q{first} is not implemented")));
                }
            },
            // A, L, e, h, p: Sendmail's business.
            _ => {}
        }
        Ok(())
    }

    fn mode(&mut self, value: &[u8]) -> Result<(), Failure> {
        match value.first() {
            Some(b'd' | b'l') => {
                if self.mode == Mode::Flush {
                    self.warn("ignoring -q option in daemon mode");
                }
                self.mode = Mode::Daemon;
            }
            Some(b'h' | b'H') => self.mode = Mode::Nothing,
            Some(b'i') => self.mode = Mode::Newaliases,
            Some(b'm') => self.mode = Mode::Enqueue,
            Some(b'p') => self.mode = Mode::Mailq,
            Some(b's') => self.mode = Mode::Smtp,
            Some(b'v') => self.verify = true,
            _ => return Err(unsupported('b', value)),
        }
        Ok(())
    }

    /// `NAME=VALUE`; most names are Sendmail's business.
    fn long_option(&mut self, option: &[u8]) {
        let text = text(option);
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        let flag = match value.to_ascii_lowercase().as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        match (name.to_ascii_uppercase().as_str(), flag) {
            ("SMTPUTF8", Some(flag)) => self.smtputf8 = flag,
            ("REQUIRETLS", Some(true)) => {
                self.warn(format!("Ignoring option '-O {text}', which is not supported yet"));
            }
            ("SMTPUTF8" | "REQUIRETLS", None) => {
                self.warn(format!("bad -O option: '{text}' -- ignored"));
            }
            _ => {}
        }
    }

    /// What contradicts itself.
    fn agree(&self) -> Result<(), Failure> {
        let posts = self.mode == Mode::Enqueue;
        if self.extract && !posts {
            return Err(wrong("-t can be used only in delivery mode"));
        }
        match self.flush {
            Some("site") if !posts => return Err(wrong("-qR can be used only in delivery mode")),
            Some(_) if !posts => return Err(wrong("-qI can be used only in delivery mode")),
            Some(what) if !self.recipients.is_empty() && !self.interval => {
                return Err(wrong(&format!("flush {what} requires no recipient")));
            }
            _ => {}
        }
        if self.verify {
            for (is_there, option) in [
                (self.extract, "-t"),
                (self.notify.is_some(), "-N"),
                (self.ret.is_some(), "-R"),
                (self.verbose == 1, "-v"),
            ] {
                if is_there {
                    return Err(wrong(&format!("{option} option cannot be used with -bv")));
                }
            }
        }
        let mode = match self.mode {
            Mode::Enqueue | Mode::Nothing => return Ok(()),
            Mode::Mailq => "display queue mode",
            Mode::Newaliases => "alias initialization mode",
            Mode::Daemon => "daemon mode",
            Mode::Smtp => "stand-alone mode",
            Mode::Flush => "flush queue mode",
        };
        // A time to try at is all that is looked at then.
        if self.recipients.is_empty() || self.interval && self.mode != Mode::Daemon {
            return Ok(());
        }
        Err(wrong(&format!("{mode} requires no recipient")))
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

/// A file called main.cf stands for its directory.
fn directory(value: &[u8]) -> PathBuf {
    let path = Path::new(std::ffi::OsStr::from_bytes(value));
    match (path.file_name(), path.parent()) {
        (Some(name), Some(parent)) if name == "main.cf" => match parent.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => parent.to_owned(),
        },
        _ => path.to_owned(),
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn wrong(text: &str) -> Failure {
    Failure::new(EX_USAGE, text)
}

fn unsupported(letter: char, value: &[u8]) -> Failure {
    wrong(&format!("unsupported: -{letter}{}", text(&value[..value.len().min(1)])))
}

/// The C library says the first line, and the program the second.
fn usage(why: &str) -> Failure {
    eprintln!("sendmail: {why}");
    wrong("usage: sendmail [options]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Failure> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_are_read_as_getopt_reads_them() {
        let options = parse("-oi -fme@x.example -F Me -t -B8BITMIME -- -a b").unwrap();
        assert!(options.dot_is_text && options.extract);
        assert_eq!(options.sender.as_deref(), Some(&b"me@x.example"[..]));
        assert_eq!(options.full_name.as_deref(), Some(&b"Me"[..]));
        assert_eq!(options.body, Body::EightBitMime);
        assert_eq!(options.recipients, [&b"-a"[..], b"b"]);
        // What follows the first recipient is one.
        assert_eq!(parse("-it a -f b").unwrap().recipients, [&b"a"[..], b"-f", b"b"]);
        assert_eq!(parse("-C /etc/x/main.cf").unwrap().config, Some("/etc/x".into()));
        assert_eq!(parse("-C /etc/x").unwrap().config, Some("/etc/x".into()));
        assert_eq!(parse("-").unwrap().recipients, [b"-"]);
    }

    #[test]
    fn modes_and_what_goes_with_them() {
        for (line, mode) in [
            ("", Mode::Enqueue),
            ("-bm", Mode::Enqueue),
            ("-bp", Mode::Mailq),
            ("-I", Mode::Newaliases),
            ("-bi", Mode::Newaliases),
            ("-bd -q30m", Mode::Daemon),
            ("-bd -q", Mode::Daemon),
            ("-q", Mode::Flush),
            ("-bs", Mode::Smtp),
            ("-bh", Mode::Nothing),
        ] {
            assert_eq!(parse(line).unwrap().mode, mode, "{line}");
        }
        assert!(parse("-q15m").unwrap().interval);
        assert_eq!(parse("-qRexample.com").unwrap().flush, Some("site"));
        assert_eq!(parse("-qIABC").unwrap().flush, Some("queue_id"));
        assert!(parse("-XVab x").unwrap().verp && parse("-XV x").unwrap().verp);
    }

    #[test]
    fn what_cannot_be_followed_is_a_usage_error() {
        for (line, text) in [
            ("-bx", "unsupported: -bx"),
            ("-Xq", "unsupported: -Xq"),
            ("-B 9BIT", "-B option needs 8BITMIME or 7BIT"),
            ("-bp -t", "-t can be used only in delivery mode"),
            ("-bp x", "display queue mode requires no recipient"),
            ("-qRx y", "flush site requires no recipient"),
            ("-bv -t", "-t option cannot be used with -bv"),
            ("-n", "-n option not supported"),
            ("-qx", "-qx is not implemented"),
            ("-z", "usage: sendmail [options]"),
            ("-f", "usage: sendmail [options]"),
        ] {
            let failure = parse(line).unwrap_err();
            assert_eq!((failure.code, &*failure.text), (EX_USAGE, text), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_and_does_no_harm_is_a_warning() {
        let options = parse("-N sometimes -R none -V a+0A -O SMTPUTF8=perhaps -O a=b x").unwrap();
        assert_eq!(
            options.warnings,
            [
                "bad -N option value: 'sometimes' -- ignored",
                "bad -R option value -- ignored",
                "bad syntax in -V option value -- ignored",
                "bad -O option: 'SMTPUTF8=perhaps' -- ignored",
            ]
        );
        let options = parse("-N failure,delay -R hdrs -V id -O smtputf8=yes x").unwrap();
        assert!(options.warnings.is_empty() && options.smtputf8);
        assert!(options.notify.is_some() && options.ret.is_some() && options.envid.is_some());
    }
}
