//! The `From:` of a message that has none: the sender's address, and his name where it is known.

use mail::Address;

/// `header_from_format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FromFormat {
    /// `From: name <address>`
    #[default]
    Standard,
    /// `From: address (name)`, which RFC 5322 section 3.4 keeps only for reading.
    Obsolete,
}

/// An encoded word is no longer than this (RFC 2047 section 2).
const ENCODED_WORD_BYTES_MAX: usize = 75;

/// A header is folded where it would get longer.
const LINE_BYTES_MAX: usize = 70;

/// The header, `Resent-` before it where `prefix` says so. Everything in it that a user chose is quoted or
/// encoded.
pub(crate) fn from_header(
    prefix: &str,
    sender: Option<&Address>,
    hostname: &str,
    full_name: Option<&str>,
    format: FromFormat,
    charset: &str,
) -> String {
    let Some(sender) = sender else {
        return format!("{prefix}From: MAILER-DAEMON@{hostname}\n");
    };
    let Some(name) = full_name.and_then(|name| written(name, format, charset)) else {
        return format!("{prefix}From: {sender}\n");
    };
    let mut header = String::new();
    let mut line = match format {
        FromFormat::Standard => format!("{prefix}From: {}", name[0]),
        FromFormat::Obsolete => format!("{prefix}From: {sender}"),
    };
    let mut last_words: Vec<String> = match format {
        FromFormat::Standard => name[1..].to_vec(),
        FromFormat::Obsolete => name,
    };
    match format {
        FromFormat::Standard => last_words.push(format!("<{sender}>")),
        FromFormat::Obsolete => {
            if let Some(first) = last_words.first_mut() {
                first.insert(0, '(');
            }
            if let Some(last) = last_words.last_mut() {
                last.push(')');
            }
        }
    }
    for word in last_words {
        if line.len() + 1 + word.len() < LINE_BYTES_MAX {
            line.push(' ');
        } else {
            header.push_str(&line);
            header.push_str("\n\t");
            line.clear();
        }
        line.push_str(&word);
    }
    header + &line + "\n"
}

/// The name as it can stand in a header, in words between which it can be folded.
fn written(name: &str, format: FromFormat, charset: &str) -> Option<Vec<String>> {
    let clean: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = clean.split(' ').filter(|word| !word.is_empty()).collect();
    let clean = words.join(" ");
    if clean.is_empty() {
        return None;
    }
    if !clean.is_ascii() {
        return Some(encoded_words(&clean, format, charset));
    }
    let special = |c: char| "()<>@,;:\\\".[]%!".contains(c);
    match format {
        FromFormat::Standard if clean.contains(special) => {
            Some(vec![format!("\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\""))])
        }
        FromFormat::Standard => Some(vec![clean]),
        FromFormat::Obsolete => comment(&clean).map(|text| vec![text]),
    }
}

/// Parentheses that do not match would end the comment early, or never.
fn comment(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped) => out.extend(['\\', escaped]),
                None => break,
            },
            '(' => {
                depth += 1;
                out.push(c);
            }
            ')' if depth == 0 => {}
            ')' => {
                depth -= 1;
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.extend(std::iter::repeat_n(')', depth));
    (!out.trim().is_empty()).then_some(out)
}

/// RFC 2047. A character is not cut in two (section 5), which only UTF-8 lets us see. Where most of it has
/// to be encoded base64 is shorter; as Postfix, short names are never in base64, which filters dislike.
fn encoded_words(text: &str, format: FromFormat, charset: &str) -> Vec<String> {
    let extra = match format {
        // Section 5 (3): words of a phrase.
        FromFormat::Standard => "()<>@,;:\\\".[]#$%&'^`{|}~",
        FromFormat::Obsolete => "()\\",
    };
    let is_encoded =
        |b: u8| !b.is_ascii_graphic() || b"=?_".contains(&b) || extra.as_bytes().contains(&b);
    let to_encode = text.bytes().filter(|&b| is_encoded(b)).count();
    let base64 = text.len() >= 20 && to_encode >= text.len() / 2;
    let room = ENCODED_WORD_BYTES_MAX - "=????=".len() - 1 - charset.len();
    let mut words = Vec::new();
    let mut piece = String::new();
    let cost = |text: &str| match base64 {
        true => text.len().div_ceil(3) * 4,
        false => text.bytes().map(|b| if b != b' ' && is_encoded(b) { 3 } else { 1 }).sum(),
    };
    let mut done = |piece: &str| {
        let (letter, body) = match base64 {
            true => ('B', base64_of(piece.as_bytes())),
            false => ('Q', q_of(piece, is_encoded)),
        };
        words.push(format!("=?{charset}?{letter}?{body}?="));
    };
    for c in text.chars() {
        piece.push(c);
        if cost(&piece) > room {
            piece.pop();
            done(&piece);
            piece.clear();
            piece.push(c);
        }
    }
    done(&piece);
    words
}

fn q_of(text: &str, is_encoded: impl Fn(u8) -> bool) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        match b {
            b' ' => out.push('_'),
            b if is_encoded(b) => out.push_str(&format!("={b:02X}")),
            b => out.push(b.into()),
        }
        out
    })
}

fn base64_of(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0_u32, |value, &b| value << 8 | u32::from(b))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (value >> (18 - 6 * place)) as usize & 63;
            out.push(if place <= group.len() { ALPHABET[digit].into() } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, format: FromFormat) -> String {
        let sender = Address::parse(b"user@example.com").unwrap();
        from_header("", Some(&sender), "mx.example", Some(name), format, "utf-8")
    }

    #[test]
    fn names_are_written_so_that_they_are_read_as_names() {
        for (name, standard, obsolete) in [
            ("John Doe", "From: John Doe <user@example.com>", "From: user@example.com (John Doe)"),
            (
                "J. \"X\" Doe",
                "From: \"J. \\\"X\\\" Doe\" <user@example.com>",
                "From: user@example.com (J. \"X\" Doe)",
            ),
            ("a) (b\\", "From: \"a) (b\\\\\" <user@example.com>", "From: user@example.com (a (b))"),
            (
                "two\nlines: x",
                "From: \"two lines: x\" <user@example.com>",
                "From: user@example.com (two lines: x)",
            ),
            (" \t", "From: user@example.com", "From: user@example.com"),
            (
                "J\u{f6}rg",
                "From: =?utf-8?Q?J=C3=B6rg?= <user@example.com>",
                "From: user@example.com (=?utf-8?Q?J=C3=B6rg?=)",
            ),
        ] {
            assert_eq!(header(name, FromFormat::Standard), format!("{standard}\n"), "{name}");
            assert_eq!(header(name, FromFormat::Obsolete), format!("{obsolete}\n"), "{name}");
        }
    }

    #[test]
    fn long_names_are_encoded_in_words_that_fit_and_whole_characters() {
        let name = "\u{4e2d}\u{6587}".repeat(40);
        for format in [FromFormat::Standard, FromFormat::Obsolete] {
            let header = header(&name, format);
            assert!(header.matches("=?utf-8?B?").count() > 3, "{header}");
            for line in header.trim_end().split('\n') {
                assert!(line.len() <= ENCODED_WORD_BYTES_MAX + 10, "{line}");
            }
            assert!(
                header.split("\n").skip(1).all(|line| line.is_empty() || line.starts_with('\t'))
            );
        }
        assert_eq!(base64_of(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
    }

    #[test]
    fn nobody_is_the_daemon() {
        let header =
            from_header("Resent-", None, "mx.example", Some("X"), FromFormat::Standard, "x");
        assert_eq!(header, "Resent-From: MAILER-DAEMON@mx.example\n");
    }
}
