//! What tables of patterns and networks are measured with: rules of the kind header checks are made of, lines
//! of an ordinary message and lines made to match, and networks as blocklists have them.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A mixture, and for each rule a line that it matches.
pub(super) fn rules_and_lines(kind: &str, rules: usize) -> (String, Vec<String>) {
    let mut draw = Draw(1);
    let mut text = String::new();
    let mut lines = Vec::new();
    for rule in 0..rules {
        let (word, other) = (draw.word(), draw.word());
        let (pattern, line) = match rule % 20 {
            0..8 => (
                format!("/^Subject: .*{word}.*{other}/ REJECT"),
                format!("Subject: Now with {word}, and {other} for all of you"),
            ),
            8..13 => (
                format!("/^From:.*@{word}\\.example/ REJECT"),
                format!("From: \"Somebody else\" <somebody@{word}.example>"),
            ),
            13..15 => (
                format!("/^Received: .*\\[192\\.0\\.{}\\.{}\\]/ REJECT", rule % 256, rule / 256),
                format!("Received: from x (unknown [192.0.{}.{}]) by mx", rule % 256, rule / 256),
            ),
            15 => (format!("/^X-Mailer: {word} [0-9]+/ WARN $$"), format!("X-Mailer: {word} 42.1")),
            16 => (
                format!("/filename=\"?(.*{word})\\.(exe|scr|pif)/ REJECT no $2: $1"),
                format!("Content-Disposition: attachment; filename=\"my{word}.exe\""),
            ),
            17 => (
                format!("/^(To|Cc): .*(list|news)-{word}@/ REDIRECT {other}@example.com"),
                format!("To: <news-{word}@example.com>"),
            ),
            18 if rule < 200 => (
                format!("/^Subject: .*[0-9]{{{}}}/ REJECT", 30 + rule % 7),
                "Subject: 123456789012345678901234567890123456789012345678901234567890".to_owned(),
            ),
            _ if kind == "pcre" => (
                format!("/^(?!Subject:)[^:]+: .*{word}{other}/ REJECT"),
                format!("Comments: {word}{other}"),
            ),
            _ => (
                format!("/^(Subject|Comments): .*[[:space:]]{word}{other}[[:space:]]*$/ REJECT"),
                format!("Comments: about {word}{other}"),
            ),
        };
        text += &format!("{pattern} rule {rule}\n");
        lines.push(line);
    }
    (text, lines)
}

/// Networks of all lengths, and an address within each.
pub(super) fn networks(v6: bool, rules: usize) -> (String, Vec<String>) {
    let mut draw = Draw(7);
    let (mut text, mut keys) = (String::new(), Vec::new());
    for rule in 0..rules {
        let (length, address) = (12 + draw.below(21), draw.next());
        let (net, length, host) = if v6 {
            let bits = 0x2001 << 112 | u128::from(address) << 48;
            let net = Ipv6Addr::from_bits(bits & u128::MAX << (108 - length));
            (net.to_string(), 20 + length, Ipv6Addr::from_bits(bits).to_string())
        } else {
            let bits = address as u32;
            let net = Ipv4Addr::from_bits(bits & u32::MAX << (32 - length));
            (net.to_string(), length, Ipv4Addr::from_bits(bits).to_string())
        };
        let _ = writeln!(text, "{net}/{length} REJECT rule {}", rule % 10);
        keys.push(host);
    }
    (text, keys)
}

/// One line of 100,000 bytes at most that has all words of the rules about subjects, none of them in the order
/// that a rule wants.
pub(super) fn line_of_all_words(lines: &[String]) -> String {
    let mut line = "Subject:".to_owned();
    for words in lines.iter().filter_map(|line| line.strip_prefix("Subject: Now with ")) {
        let Some((word, other)) = words.trim_end_matches(" for all of you").split_once(", and ")
        else {
            continue;
        };
        if line.len() + word.len() + other.len() + 2 > LINE_BYTES_MAX {
            break;
        }
        // All second words first.
        line.insert_str("Subject:".len(), &format!(" {other}"));
        line.push(' ');
        line.push_str(word);
    }
    line
}

/// Postfix's header_size_limit.
const LINE_BYTES_MAX: usize = 102_400;

/// What comes with a message.
pub(super) const ORDINARY: &[&str] = &[
    "Return-Path: <owner-discuss@lists.example.org>",
    "Received: from mail.example.net (mail.example.net [198.51.100.23])\n\tby mx.example.com with ESMTPS id 4Xy7Qz1kJcz9rxk\n\tfor <alice@example.com>; Fri, 20 Nov 2026 14:28:03 +0000 (UTC)",
    "Received: by mail.example.net (Postfix, from userid 1000)\n\tid 8A1B32C04D; Fri, 20 Nov 2026 14:27:58 +0000 (UTC)",
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=mail;\n\tt=1763648878; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n\th=From:To:Subject:Date:Message-ID;\n\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR",
    "From: Bob Miller <bob.miller@example.net>",
    "To: \"Alice Jones\" <alice@example.com>, Discussion <discuss@lists.example.org>",
    "Cc: carol@example.org, Dave <dave@example.net>",
    "Subject: Re: [discuss] minutes of the meeting on Thursday, and what comes next",
    "Date: Fri, 20 Nov 2026 15:27:55 +0100",
    "Message-ID: <20261120142755.GA12345@mail.example.net>",
    "In-Reply-To: <CAF4bX9hPzq1Yv8wN2mR7sT5uK3jL6oE0iD-nBcVxZaQwErTyUi@mail.example.com>",
    "References: <20261118101500.Ab3dE@example.com>\n <CAF4bX9hPzq1Yv8wN2mR7sT5uK3jL6oE0iD-nBcVxZaQwErTyUi@mail.example.com>",
    "MIME-Version: 1.0",
    "Content-Type: multipart/mixed; boundary=\"----=_Part_1234_567890.1763648875123\"",
    "Content-Transfer-Encoding: 8bit",
    "User-Agent: Mutt/2.2.12 (2023-09-09)",
    "List-Id: Discussion of everything <discuss.lists.example.org>",
    "List-Unsubscribe: <https://lists.example.org/listinfo/discuss>,\n <mailto:discuss-request@lists.example.org?subject=unsubscribe>",
    "Precedence: list",
    "X-Spam-Status: No, score=-2.9 required=5.0 tests=ALL_TRUSTED,BAYES_00",
];

/// Numbers and words that come back the same.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 24] = [
            "al", "ber", "ca", "den", "el", "fi", "gra", "hol", "in", "ka", "lo", "mer", "no",
            "or", "pre", "qua", "ro", "sti", "ter", "un", "vi", "wa", "xe", "zu",
        ];
        (0..3 + self.below(2)).map(|_| SYLLABLES[self.below(24) as usize]).collect()
    }
}
