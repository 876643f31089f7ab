//! Completion of addresses (postfix `src/trivial-rewrite/rewrite.c`).

use std::borrow::Cow;

use config::Rewriting;
use mail::rfc5322::{Kind, Tokens};

use crate::trace::{Step, Trace};

/// What incomplete addresses are completed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// How.
    pub(crate) rules: &'a Rewriting,
    /// Behind the `@` of an address that has none.
    pub(crate) domain: &'a str,
    /// Behind a domain that has no dot.
    pub(crate) parent: &'a str,
    /// The parameters that these are.
    pub(crate) names: [&'static str; 2],
}

/// Whether completion leaves an address as it is: nearly every one. There is a domain with a dot in it, and
/// nothing that is quoted, routed or in a comment.
pub(crate) fn is_plain(address: &[u8]) -> bool {
    dots_of_plain(address).is_some_and(|dots| dots > 0)
}

/// The same of an address that is complete: a domain without a dot is one, too.
pub(crate) fn is_plain_as_it_is(address: &[u8]) -> bool {
    dots_of_plain(address).is_some()
}

/// The dots in the domain of an address with a domain and nothing that is quoted, routed or in a comment.
fn dots_of_plain(address: &[u8]) -> Option<usize> {
    let at = memchr::memchr(b'@', address)?;
    let (local, domain) = (&address[..at], &address[at + 1..]);
    is_dotted(local, LOCAL)?;
    is_dotted(domain, DOMAIN)
}

/// Whether a part is words of these bytes with single dots between them, and how many of those.
fn is_dotted(part: &[u8], word: u8) -> Option<usize> {
    // As if one were before it.
    let (mut dots, mut after_dot) = (0, true);
    for &byte in part {
        if WORDS[usize::from(byte)] & word != 0 {
            after_dot = false;
        } else if byte == b'.' && !after_dot {
            (dots, after_dot) = (dots + 1, true);
        } else {
            return None;
        }
    }
    (!after_dot).then_some(dots)
}

const LOCAL: u8 = 1;
const DOMAIN: u8 = 2;

/// Which bytes are in words of local parts and of domains.
const WORDS: [u8; 256] = {
    let mut words = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-' || byte as u8 == b'_' {
            words[byte] = LOCAL | DOMAIN;
        }
        byte += 1;
    }
    let others = b"+=#$&'*/?^`{}~";
    let mut place = 0;
    while place < others.len() {
        words[others[place] as usize] = LOCAL;
        place += 1;
    }
    words
};

/// Completes an address in external form.
pub(crate) fn completed<'t, T: Trace>(
    origin: Origin<'_>,
    external: &'t [u8],
    trace: &mut T,
) -> Cow<'t, [u8]> {
    let stays = if origin.rules.append_dot_mydomain { is_plain } else { is_plain_as_it_is };
    if external.is_empty() || stays(external) {
        return Cow::Borrowed(external);
    }
    let mut tokens = Tokens::scan(external);
    if tokens.list().is_empty() {
        return Cow::Borrowed(external);
    }
    complete(origin, &mut tokens, trace);
    Cow::Owned(tokens.external())
}

/// The same on tokens, of which there is at least one.
pub(crate) fn complete<T: Trace>(origin: Origin<'_>, tokens: &mut Tokens, trace: &mut T) {
    if let [only] = tokens.list() {
        if only.kind == Kind::Quoted && tokens.text(only).is_empty() {
            return;
        }
        // A lone @ is the null address, too.
        if only.kind == Kind::Operator(b'@') {
            tokens.truncate(0);
            return tokens.push_empty();
        }
    }
    if tokens.list().first().is_some_and(|token| token.kind == Kind::Operator(b'@'))
        && let Some(colon) = tokens.find(b':')
        && colon + 1 < tokens.list().len()
    {
        // RFC 5321 appendix C: source routes are dropped.
        noted("source route", tokens, trace, |tokens| tokens.remove_first(colon + 1));
    }
    if tokens.rfind(b'@').is_none() {
        add_domain(origin, tokens, trace);
    }
    if origin.rules.append_dot_mydomain && !origin.parent.is_empty() {
        add_parent(origin, tokens, trace);
    }
    strip_dot(tokens, trace);
}

fn add_domain<T: Trace>(origin: Origin<'_>, tokens: &mut Tokens, trace: &mut T) {
    let rules = origin.rules;
    if rules.swap_bangpath
        && let Some(bang) = tokens.find(b'!')
    {
        noted("swap_bangpath", tokens, trace, |tokens| {
            let local = tokens.split_off(bang + 1);
            tokens.truncate(bang);
            let site = tokens.split_off(0);
            tokens.append(&local);
            tokens.push_operator(b'@');
            tokens.append(&site);
        });
    } else if rules.allow_percent_hack
        && let Some(percent) = tokens.rfind(b'%')
    {
        noted("allow_percent_hack", tokens, trace, |tokens| tokens.set_operator(percent, b'@'));
    } else if rules.append_at_myorigin && !origin.domain.is_empty() {
        noted(origin.names[0], tokens, trace, |tokens| {
            tokens.push_operator(b'@');
            tokens.push_scanned(origin.domain.as_bytes());
        });
    }
}

/// Broken forms that end in `@` are left alone, so that what is said of them is about them.
fn add_parent<T: Trace>(origin: Origin<'_>, tokens: &mut Tokens, trace: &mut T) {
    let Some(at) = tokens.rfind(b'@') else { return };
    let domain = &tokens.list()[at + 1..];
    let complete = |kind| matches!(kind, Kind::Literal | Kind::Operator(b'.'));
    if domain.is_empty() || domain.iter().any(|token| complete(token.kind)) {
        return;
    }
    noted(origin.names[1], tokens, trace, |tokens| {
        tokens.push_operator(b'.');
        tokens.push_scanned(origin.parent.as_bytes());
    });
}

fn strip_dot<T: Trace>(tokens: &mut Tokens, trace: &mut T) {
    if let [.., before, last] = tokens.list()
        && last.kind == Kind::Operator(b'.')
        && !matches!(before.kind, Kind::Operator(b'.' | b'@'))
    {
        let len = tokens.list().len() - 1;
        noted("trailing dot", tokens, trace, |tokens| tokens.truncate(len));
    }
}

/// Changes tokens while somebody may look on.
pub(crate) fn noted<T: Trace>(
    rule: &'static str,
    tokens: &mut Tokens,
    trace: &mut T,
    change: impl FnOnce(&mut Tokens),
) {
    if !T::STEPS {
        return change(tokens);
    }
    let from = tokens.external();
    change(tokens);
    let to = tokens.external();
    let (from, to) = (String::from_utf8_lossy(&from), String::from_utf8_lossy(&to));
    trace.step(Step::Rewritten { rule, from: &from, to: &to });
}

#[cfg(test)]
mod tests {
    use crate::HeaderContext;
    use crate::testing::{Notes, rewriter};

    #[test]
    fn a_plain_address_is_one_that_nothing_is_done_to() {
        let everything =
            rewriter("append_dot_mydomain = yes\nremote_header_rewrite_domain = domain.invalid\n");
        let pieces =
            ["a", "b", "-", "_", "+", ".", "@", "%", "!", "|", "\"", " ", "(", "\u{fc}", ":", ","];
        let mut plain = 0;
        for number in 0..16_usize.pow(5) {
            let pick = |place: u32| pieces[number / 16_usize.pow(place) % 16];
            let address: String = (0..5).map(pick).collect();
            if !super::is_plain(address.as_bytes()) {
                continue;
            }
            plain += 1;
            let origin = everything.local_origin();
            let mut tokens = mail::rfc5322::Tokens::scan(address.as_bytes());
            super::complete(origin, &mut tokens, &mut crate::Unwatched);
            assert_eq!(tokens.external(), address.as_bytes());
        }
        assert_eq!(plain, 5 * 4 * 4, "x@y.z of letters, and of signs where they may be");
        for address in ["a.b+c@d-e.f", "#$&'*+-/=?^_`{}~@x.y", "a@1.2"] {
            assert!(super::is_plain(address.as_bytes()), "{address}");
        }
        for address in ["a@b", "a@b.c.", "a..b@c.d", "@b.c", "a@b@c.d", "a%b@c.d", "a@b..c", ""] {
            assert!(!super::is_plain(address.as_bytes()), "{address}");
        }
    }

    #[test]
    fn rules_are_told_of_one_by_one() {
        let rewriter = rewriter("append_dot_mydomain = yes\n");
        let completed = |text: &str| {
            let mut notes = Notes::default();
            let done = rewriter.completed(HeaderContext::Local, text.as_bytes(), &mut notes);
            (String::from_utf8(done.into_owned()).unwrap(), notes.lines)
        };
        for (text, whole, lines) in [
            ("user@example.org", "user@example.org", vec![]),
            ("", "", vec![]),
            (
                "user",
                "user@mx.example.com",
                vec!["append_at_myorigin: user -> user@mx.example.com"],
            ),
            ("user@host.", "user@host", vec!["trailing dot: user@host. -> user@host"]),
            ("user@host.a.", "user@host.a", vec!["trailing dot: user@host.a. -> user@host.a"]),
            (
                "@a,@b:site!user",
                "user@site.example.com",
                vec![
                    "source route: @a, @b:site!user -> site!user",
                    "swap_bangpath: site!user -> user@site",
                    "append_dot_mydomain: user@site -> user@site.example.com",
                ],
            ),
            (
                "user%host",
                "user@host.example.com",
                vec![
                    "allow_percent_hack: user%host -> user@host",
                    "append_dot_mydomain: user@host -> user@host.example.com",
                ],
            ),
        ] {
            let lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
            let (done, noted) = completed(text);
            assert_eq!((done, noted), (whole.to_owned(), lines));
        }
    }

    #[test]
    fn headers_of_others_get_the_domain_for_them_or_nothing() {
        let nothing = rewriter("");
        assert!(!nothing.rewrites_headers(HeaderContext::Remote));
        let invalid = rewriter("remote_header_rewrite_domain = domain.invalid\n");
        let mut nobody = crate::Unwatched;
        let whole = invalid.completed(HeaderContext::Remote, b"user", &mut nobody);
        assert_eq!(&*whole, b"user@domain.invalid");
        assert_eq!(&*nothing.completed(HeaderContext::Remote, b"user", &mut nobody), b"user");
    }
}
