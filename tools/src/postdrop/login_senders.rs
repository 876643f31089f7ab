//! Who may use which sender: `local_login_sender_maps` (postfix `src/global/login_sender_match.c`).

use mail::Address;
use mail::rfc5322::{quote_local, unquote_local};
use rustix::process::Uid;
use table::order::split_extension;
use table::{Answer, MapList, Tables, block_on};

use crate::settings::{EX_NOPERM, login};
use crate::sysexits::{EX_TEMPFAIL, Failure};

/// The tables: a login name, and the senders that its owner may use.
pub(crate) const MAPS: &str = "local_login_sender_maps";
/// The pattern for no sender.
pub(crate) const NULL_SENDER_KEY: &str = "empty_address_local_login_sender_maps_lookup_key";
/// Everyone may use any: nobody has to be looked up.
const ANYTHING: &str = "static:*";

/// The parameters.
#[derive(Debug)]
pub(crate) struct LoginSenders {
    /// [`MAPS`]
    pub(crate) maps: String,
    /// [`NULL_SENDER_KEY`]
    pub(crate) null_sender_key: String,
    /// `recipient_delimiter`: what is behind one of these in a sender makes no difference.
    pub(crate) delimiters: String,
}

impl LoginSenders {
    /// Whether this user's mail may have this sender.
    pub(crate) fn admit(&self, uid: Uid, sender: Option<&Address>) -> Result<(), Failure> {
        if self.maps == ANYTHING {
            return Ok(());
        }
        let login = login(uid)?.unwrap_or_else(|| format!("uid:{}", uid.as_raw()));
        let maps = MapList::open(&self.maps, &Tables::new(&table::Disk));
        let sender = unquote_local(sender.map_or("", Address::as_str).as_bytes());
        let sender = String::from_utf8_lossy(&sender);
        match block_on(maps.lookup(&login)) {
            Answer::Found(patterns) if self.allow(&patterns, &sender) => Ok(()),
            Answer::Found(_) | Answer::NotFound => Err(Failure::new(
                EX_NOPERM,
                format!("{login}({}): not authorized to use sender='{sender}'", uid.as_raw()),
            )),
            Answer::Unavailable(trouble) => {
                Err(Failure::new(EX_TEMPFAIL, format!("{MAPS}: {trouble}")))
            }
        }
    }

    /// Whether one of the patterns is for this sender, which is an address in internal form or empty.
    fn allow(&self, patterns: &str, sender: &str) -> bool {
        let (local, at_domain) = sender.split_at(sender.rfind('@').unwrap_or(sender.len()));
        let user = split_extension(local, &self.delimiters).map_or(local, |(user, _)| user);
        let bare = [user, at_domain].concat();
        let bare = quote_local(bare.as_bytes());
        let bare = String::from_utf8_lossy(&bare);
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        words(patterns).any(|pattern| match pattern {
            _ if pattern.starts_with('@') => same(pattern, at_domain),
            "*" => true,
            _ if same(pattern, &self.null_sender_key) => sender.is_empty(),
            _ => !sender.is_empty() && same(pattern, &bare),
        })
    }
}

/// What stands between commas and white space that are not in quotes.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let between = move |c: char| {
        let literal = escaped;
        escaped = c == '\\' && !literal;
        quoted ^= c == '"' && !literal;
        !quoted && (c == ',' || c.is_ascii_whitespace())
    };
    text.split(between).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(patterns: &str, sender: &str) -> bool {
        let senders = LoginSenders {
            maps: String::new(),
            null_sender_key: "<>".into(),
            delimiters: "+".into(),
        };
        senders.allow(patterns, sender)
    }

    #[test]
    fn a_pattern_is_for_a_sender_a_domain_anything_or_nobody() {
        for sender in ["me", "me@x.example", "", "a b@x.example"] {
            assert!(allow("*", sender), "{sender}");
            assert!(!allow("", sender), "{sender}");
        }
        assert!(allow("me, ME@X.example", "me") && allow("me, ME@X.example", "me@x.EXAMPLE"));
        assert!(!allow("me me@x.example", "me@y.example"));
        assert!(allow("other\t@x.example", "me@x.example"));
        assert!(!allow("@x.example", "me@sub.x.example") && !allow("@x.example", "me"));
        assert!(allow("<>", "") && !allow("<>", "me") && !allow("me", ""));
        assert!(!allow("me*", "me"));
    }

    #[test]
    fn an_extension_of_the_sender_makes_no_difference() {
        assert!(allow("me@x.example", "me+list@x.example"));
        assert!(!allow("me+list@x.example", "me+list@x.example"));
        assert!(allow("\"a b\"@x.example", "a b+c@x.example"));
    }

    #[test]
    fn quotes_hold_a_pattern_together() {
        let quoted = r#""a, b"@x.example "c\" d"@x.example"#;
        assert!(allow(quoted, "a, b@x.example") && allow(quoted, r#"c" d@x.example"#));
        assert!(!allow(quoted, "b@x.example"));
    }
}
