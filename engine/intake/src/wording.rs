//! How refusals are worded: an administrator can replace them, and append to them.
//!
//! The dialogue knows nothing of it: what it said is changed before it is sent. A footer is about the
//! session as it was when the refusal was made, so each is worded before the next command is read.

use std::net::SocketAddr;
use std::sync::Arc;

use mail::log::{Event, Peer};
use mail::{Client, Protocol, QueueId};
use wire::Note;

use crate::footer::{self, Allowed};
use crate::service::Service;
use crate::session::{CLIENT_NAME, Session};

/// What all sessions of a service have in common where refusals are worded anew.
pub(crate) struct Wording {
    allowed: Allowed,
}

impl Wording {
    /// `None` where refusals stay as they are.
    pub(crate) fn new(smtpd: &config::Smtpd) -> Option<Self> {
        let any = !smtpd.smtpd_reject_filter_maps.is_empty()
            || !smtpd.smtpd_reject_footer_maps.is_empty()
            || !smtpd.smtpd_reject_footer.is_empty();
        any.then(|| Self { allowed: Allowed::new(&smtpd.smtpd_expansion_filter) })
    }
}

/// What a refusal is about.
struct About<'a> {
    client: &'a Client,
    /// `Some("")` is the null sender.
    sender: Option<Box<str>>,
    recipient: Option<Box<str>>,
    session: u32,
    id: Option<QueueId>,
}

impl Service {
    /// A refusal for a client that has no session.
    pub(crate) async fn reworded(&self, reply: &[u8], peer: SocketAddr, session: u32) -> Vec<u8> {
        let client = Client {
            name: CLIENT_NAME.into(),
            address: Some(peer),
            helo: Arc::default(),
            protocol: Protocol::Smtp,
        };
        let (sender, recipient, id) = (None, None, None);
        self.reword(reply, &About { client: &client, sender, recipient, session, id }).await
    }

    /// The replies, with their refusals as the administrator wants them. A table that does not answer
    /// changes nothing: the refusal stands as it is.
    async fn reword(&self, replies: &[u8], about: &About<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(replies.len() * 2);
        let Some(wording) = &self.wording else { return replies.to_vec() };
        for reply in each(replies) {
            let mut reply = reply.to_vec();
            if is_refusal(&reply) {
                self.replace(&mut reply, about).await;
                self.append_footer(&mut reply, wording, about).await;
            }
            out.append(&mut reply);
        }
        out
    }

    /// `smtpd_reject_filter_maps`
    async fn replace(&self, reply: &mut Vec<u8>, about: &About<'_>) {
        let maps = &self.settings.smtpd.smtpd_reject_filter_maps;
        let Ok(said) = std::str::from_utf8(reply.trim_ascii_end()) else { return };
        if maps.is_empty() {
            return;
        }
        let wanted = match maps.lookup(said).await.found() {
            Ok(Some(wanted)) => wanted,
            Ok(None) => return,
            Err(trouble) => {
                self.tell(about, Event::Warning { text: &trouble.to_string() });
                return;
            }
        };
        let id = about.id.map_or_else(|| "NOQUEUE".to_owned(), |id| id.to_string());
        // Whatever the table says, the client gets one line, and a refusal.
        let wanted: String = wanted.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        if !is_valid(wanted.as_bytes()) {
            let text = format!("{id}: ignoring invalid reject filter result: {wanted}");
            self.tell(about, Event::Warning { text: &text });
            return;
        }
        self.tell(about, Event::Info { text: &format!("{id}: reply filter in: {said}") });
        self.tell(about, Event::Info { text: &format!("{id}: reply filter out: {wanted}") });
        *reply = wanted.into_bytes();
        reply[3] = b' ';
        reply.extend_from_slice(b"\r\n");
    }

    /// `smtpd_reject_footer_maps`, `smtpd_reject_footer`
    async fn append_footer(&self, reply: &mut Vec<u8>, wording: &Wording, about: &About<'_>) {
        let smtpd = &self.settings.smtpd;
        let found = match std::str::from_utf8(reply.trim_ascii_end()) {
            Ok(said) if !smtpd.smtpd_reject_footer_maps.is_empty() => {
                smtpd.smtpd_reject_footer_maps.lookup(said).await.found().unwrap_or_else(
                    |trouble| {
                        self.tell(about, Event::Warning { text: &trouble.to_string() });
                        None
                    },
                )
            }
            _ => None,
        };
        let template = found.as_deref().unwrap_or(&smtpd.smtpd_reject_footer);
        if template.is_empty() {
            return;
        }
        let values = |name: &str| self.value(name, about);
        match footer::append(reply, template, &wording.allowed, &values) {
            Ok(unknown) => {
                for name in unknown {
                    let text = format!("unknown macro name \"{name}\" in expansion request");
                    self.tell(about, Event::Warning { text: &text });
                }
            }
            Err(error) => {
                let text = format!("smtpd_reject_footer: \"{template}\": {error}");
                self.tell(about, Event::Warning { text: &text });
            }
        }
    }

    /// What a `$name` in a footer stands for (postfix `src/smtpd/smtpd_expand.c`). No parameter of
    /// main.cf is among them: replies are read by strangers.
    fn value(&self, name: &str, about: &About<'_>) -> Option<String> {
        let client = about.client;
        let address = |address: &Option<Box<str>>, part: &str| {
            let Some(address) = address.as_deref() else { return Some(String::new()) };
            let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
            let part = match part {
                "" if address.is_empty() => "<>",
                "" => address,
                "_name" if address.is_empty() => "<>",
                "_name" => local,
                "_domain" => domain,
                _ => return None,
            };
            Some(part.to_owned())
        };
        match name {
            "server_name" => Some(self.settings.site.myhostname.to_string()),
            "client" => Some(self.peer(client).to_string()),
            "client_address" => client.address.map(|at| at.ip().to_canonical().to_string()),
            "client_port" => client.address.map(|at| at.port().to_string()),
            "client_name" => Some(client.name.to_string()),
            "reverse_client_name" => Some(CLIENT_NAME.to_owned()),
            "helo_name" => Some(client.helo.to_string()),
            "localtime" => Some(self.shard.local_time()),
            "process_id" => Some(about.session.to_string()),
            _ => match (name.strip_prefix("sender"), name.strip_prefix("recipient")) {
                (Some(part), _) => address(&about.sender, part),
                (_, Some(part)) => address(&about.recipient, part),
                _ => None,
            },
        }
    }

    /// As the log names it.
    pub(crate) fn peer<'a>(&self, client: &'a Client) -> Peer<'a> {
        let port = self.settings.smtpd.smtpd_client_port_logging;
        Peer { port: client.address.filter(|_| port).map(|at| at.port()), ..Peer::from(client) }
    }

    fn tell(&self, about: &About<'_>, event: Event<'_>) {
        (self.log)("smtpd", about.session.into(), event);
    }
}

impl Session {
    /// Whether something was said that is to be worded anew.
    pub(crate) fn has_refused(&self) -> bool {
        self.service.wording.is_some()
            && each(&self.turn.replies[self.worded.replies..]).any(is_refusal)
    }

    /// Words the refusals since the last time; true where one now ends the session.
    pub(crate) async fn reword(&mut self) -> bool {
        let said = self.turn.replies.split_off(self.worded.replies);
        let context =
            self.turn.notes[self.worded.notes..].iter().rev().find_map(|note| match note {
                Note::Reject { context, .. } => Some(context),
                _ => None,
            });
        let envelope = self.dialogue.envelope();
        let (sender, recipient) = match context {
            Some(context) => (context.from.clone(), context.to.clone()),
            None => (
                envelope.map(|it| it.sender.as_ref().map_or("", |it| it.as_str()).into()),
                envelope.and_then(|it| it.recipients.first()).map(|it| it.address.as_str().into()),
            ),
        };
        let client = self.dialogue.client();
        let about = About { client, sender, recipient, session: self.number, id: self.id };
        let worded = self.service.reword(&said, &about).await;
        // RFC 5321 section 3.8: a client that is told so is disconnected.
        let hangs_up = each(&worded).any(|it| it.starts_with(b"421") || it.starts_with(b"521"));
        self.turn.replies.extend_from_slice(&worded);
        hangs_up
    }

    /// All that was said so far is as it is to be.
    pub(crate) fn is_worded(&mut self) {
        self.worded = Worded { replies: self.turn.replies.len(), notes: self.turn.notes.len() };
    }
}

/// Up to where replies and notes of a turn are done with.
#[derive(Clone, Copy, Default)]
pub(crate) struct Worded {
    replies: usize,
    notes: usize,
}

/// One reply after the other, each with all of its lines (RFC 5321 section 4.2.1).
fn each(replies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = replies;
    std::iter::from_fn(move || {
        let mut end = 0;
        while end < rest.len() {
            let line = &rest[end..];
            let goes_on = line.get(3) == Some(&b'-');
            end += line.iter().position(|&b| b == b'\n').map_or(line.len(), |at| at + 1);
            if !goes_on {
                break;
            }
        }
        let (reply, behind) = rest.split_at(end);
        rest = behind;
        (!reply.is_empty()).then_some(reply)
    })
}

fn is_refusal(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'4' | b'5'))
}

/// A refusal whose status, where it has one, is of the code's class.
fn is_valid(reply: &[u8]) -> bool {
    let [class @ (b'4' | b'5'), b'0'..=b'9', b'0'..=b'9', b' ' | b'-', text @ ..] = reply else {
        return false;
    };
    !text.first().is_some_and(|first| first.is_ascii_digit() && first != class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart_and_keep_their_lines() {
        let replies = b"250-a\r\n250-b\r\n250 c\r\n550 5.1.1 no\r\n421-x\r\n421 y\r\n";
        let each: Vec<&[u8]> = each(replies).collect();
        assert_eq!(each.len(), 3);
        assert_eq!(each[0], b"250-a\r\n250-b\r\n250 c\r\n");
        assert_eq!(each.concat(), replies);
        assert_eq!(each.into_iter().filter(|reply| is_refusal(reply)).count(), 2);
    }

    #[test]
    fn a_refusal_cannot_be_made_anything_else() {
        for (reply, valid) in [
            ("550 5.7.1 no", true),
            ("450 no", true),
            ("450-4.7.1 no", true),
            ("550 4.7.1 no", false),
            ("250 2.0.0 Ok", false),
            ("354 go", false),
            ("55 no", false),
            ("5500 no", false),
            ("", false),
        ] {
            assert_eq!(is_valid(reply.as_bytes()), valid, "{reply}");
        }
    }
}
