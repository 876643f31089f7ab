//! What is said on the wires of the small protocols: socketmap, tcp, memcache and Redis.
//!
//! Bytes in, an answer or "more" out, and no I/O: each can be cut and fuzzed anywhere. Public for that
//! only.

/// What the bytes that have arrived come to: an answer and how long it is, or nothing yet.
pub type Step<T> = Result<Option<(T, usize)>, String>;

/// socketmap_table(5): netstrings.
pub mod socketmap {
    use super::Step;

    /// Bytes of an answer, as postfix `src/util/dict_sockmap.c`.
    pub const REPLY_BYTES_MAX: usize = 100_000;
    /// Bytes of a question; a longer key is not in the table.
    pub const QUERY_BYTES_MAX: usize = 10_000;
    /// Digits of a length that is not too long.
    const LENGTH_DIGITS_MAX: usize = 6;

    /// What the server says.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Reply {
        /// `OK`
        Found(Vec<u8>),
        /// `NOTFOUND`
        NotFound,
        /// `TEMP`, `TIMEOUT`, `PERM`, with the reason.
        Failed(String),
    }

    /// A question about `key` in the map `name`.
    pub fn question(name: &str, key: &str) -> Vec<u8> {
        let payload = format!("{name} {key}");
        format!("{}:{payload},", payload.len()).into_bytes()
    }

    /// Reads an answer.
    pub fn parse(bytes: &[u8]) -> Step<Reply> {
        let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > LENGTH_DIGITS_MAX {
            return Err("a netstring that is too long".to_owned());
        }
        match bytes.get(digits) {
            None => return Ok(None),
            Some(b':') if digits > 0 => {}
            Some(_) => return Err("no netstring".to_owned()),
        }
        let length = std::str::from_utf8(&bytes[..digits])
            .ok()
            .and_then(|digits| digits.parse::<usize>().ok())
            .filter(|&length| length <= REPLY_BYTES_MAX)
            .ok_or("a netstring that is too long")?;
        let payload = digits + 1;
        match bytes.get(payload + length) {
            None => Ok(None),
            Some(b',') => {
                let reply = reply(&bytes[payload..payload + length])?;
                Ok(Some((reply, payload + length + 1)))
            }
            Some(_) => Err("a netstring without its comma".to_owned()),
        }
    }

    fn reply(payload: &[u8]) -> Result<Reply, String> {
        let (status, rest) = match payload.iter().position(|&b| b == b' ') {
            Some(space) => (&payload[..space], &payload[space + 1..]),
            None => (payload, &[][..]),
        };
        let reason = |class: &str| {
            let text = String::from_utf8_lossy(rest);
            let text = text.trim();
            match text.is_empty() {
                true => format!("the server has a {class}"),
                false => format!("the server has a {class}: {text}"),
            }
        };
        match status {
            b"OK" => Ok(Reply::Found(rest.to_vec())),
            b"NOTFOUND" => Ok(Reply::NotFound),
            b"TEMP" => Ok(Reply::Failed(reason("temporary error"))),
            b"TIMEOUT" => Ok(Reply::Failed(reason("timeout"))),
            b"PERM" => Ok(Reply::Failed(reason("permanent error"))),
            _ => Err("an unknown status".to_owned()),
        }
    }
}

/// tcp_table(5): lines with a code.
pub mod tcp {
    use super::Step;
    use crate::net::line;

    /// Bytes of an answer with its line end, as postfix `src/util/dict_tcp.c`.
    pub const REPLY_BYTES_MAX: usize = 4096;

    /// What the server says.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Reply {
        /// 2xx
        Found(Vec<u8>),
        /// 5xx
        NotFound,
        /// 4xx, with the reason.
        Failed(String),
    }

    /// A question: white space, `%` and what cannot be printed become `%XX`.
    pub fn question(key: &str) -> Vec<u8> {
        let mut line = b"get ".to_vec();
        for &b in key.as_bytes() {
            if b == b'%' || !b.is_ascii_graphic() {
                line.extend_from_slice(format!("%{b:02X}").as_bytes());
            } else {
                line.push(b);
            }
        }
        line.push(b'\n');
        line
    }

    /// Reads an answer.
    pub fn parse(bytes: &[u8]) -> Step<Reply> {
        // Looked at before the line has ended, which what is no answer may never do.
        let code = bytes.iter().take(4).enumerate().all(|(at, b)| match at {
            3 => b.is_ascii_whitespace(),
            _ => b.is_ascii_digit(),
        });
        if !code {
            return Err("no three digits and a space".to_owned());
        }
        let Some((line, used)) = line(bytes, REPLY_BYTES_MAX - 1)? else { return Ok(None) };
        if line.len() < 4 {
            return Err("no space behind the three digits".to_owned());
        }
        let text = unquote(&line[4..]).ok_or("a \"%\" without two hexadecimal digits")?;
        let reply = match line[0] {
            b'2' => Reply::Found(text),
            b'4' => Reply::Failed(format!(
                "the server has a temporary error: {}",
                String::from_utf8_lossy(&text)
            )),
            b'5' => Reply::NotFound,
            _ => return Err("a code that is not 2xx, 4xx or 5xx".to_owned()),
        };
        Ok(Some((reply, used)))
    }

    fn unquote(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((&b, after)) = rest.split_first() {
            rest = after;
            if b != b'%' {
                out.push(b);
                continue;
            }
            let digits = rest.get(..2).filter(|it| it.iter().all(u8::is_ascii_hexdigit))?;
            let digits = std::str::from_utf8(digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        }
        Some(out)
    }
}

/// The text protocol of memcached.
pub mod memcache {
    use super::Step;
    use crate::net::line;

    /// Bytes of a key (memcached's `KEY_MAX_LENGTH`). A longer one is not in the table.
    pub const KEY_BYTES_MAX: usize = 250;

    /// A question, where the key can be one: no white space, no control characters.
    pub fn question(key: &str) -> Option<Vec<u8>> {
        let is_key = !key.is_empty()
            && key.len() <= KEY_BYTES_MAX
            && !key.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control());
        is_key.then(|| format!("get {key}\r\n").into_bytes())
    }

    /// Reads an answer: the data of the key, or that there is none.
    pub fn parse(
        bytes: &[u8],
        key: &str,
        line_bytes_max: usize,
        data_bytes_max: usize,
    ) -> Step<Option<Vec<u8>>> {
        // All lines of the protocol begin with a word in capitals.
        if bytes.first().is_some_and(|b| !b.is_ascii_uppercase()) {
            return Err("no word".to_owned());
        }
        let Some((first, start)) = line(bytes, line_bytes_max)? else { return Ok(None) };
        if first == b"END" {
            return Ok(Some((None, start)));
        }
        let first = String::from_utf8_lossy(first);
        let mut words = first.split(' ');
        if words.next() != Some("VALUE") {
            return Err(format!("\"{}\"", crate::desk::printable(&first)));
        }
        // A value of another key: one question and its answer have got out of step.
        if words.next() != Some(key) {
            return Err("a value of another key".to_owned());
        }
        let length = words
            .nth(1)
            .and_then(|length| length.parse::<usize>().ok())
            .ok_or("a value without its length")?;
        if length > data_bytes_max {
            return Err(format!("a value of {length} bytes; data_size_limit is {data_bytes_max}"));
        }
        const TAIL: &[u8] = b"\r\nEND\r\n";
        let end = start + length;
        match bytes.get(end..) {
            Some(tail) if tail.starts_with(TAIL) => {
                Ok(Some((Some(bytes[start..end].to_vec()), end + TAIL.len())))
            }
            Some(tail) if !TAIL.starts_with(tail) => Err("no END behind the value".to_owned()),
            _ => Ok(None),
        }
    }
}

/// RESP2, the protocol of Redis and its kin.
pub mod redis {
    use super::Step;
    use crate::net::line;

    /// Bytes of a line of the protocol, which holds a length or an error.
    pub const LINE_BYTES_MAX: usize = 1024;

    /// What the server says. A list is nothing that the commands of a table answer with.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Reply {
        /// `+OK`
        Status(String),
        /// `:1`
        Number(i64),
        /// `-ERR ..`
        Error(String),
        /// `$3 abc`; `None` is nil.
        Bulk(Option<Vec<u8>>),
    }

    /// A command; each word is sent with its length, so nothing in it is ever anything but data.
    pub fn command(words: &[&[u8]]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// Reads an answer.
    pub fn parse(bytes: &[u8], data_bytes_max: usize) -> Step<Reply> {
        if bytes.first().is_some_and(|kind| !b"+-:$".contains(kind)) {
            return Err("a kind of answer that was not asked for".to_owned());
        }
        let Some((first, start)) = line(bytes, LINE_BYTES_MAX)? else { return Ok(None) };
        let (&kind, text) = first.split_first().ok_or("an empty line")?;
        let text = String::from_utf8_lossy(text);
        let reply = match kind {
            b'+' => Reply::Status(text.into_owned()),
            b'-' => Reply::Error(text.into_owned()),
            b':' => Reply::Number(text.parse().map_err(|_| "no number behind \":\"")?),
            b'$' if text == "-1" => Reply::Bulk(None),
            b'$' => {
                let length: usize = text.parse().map_err(|_| "no length behind \"$\"")?;
                if length > data_bytes_max {
                    return Err(format!("a value of {length} bytes"));
                }
                let end = start + length;
                return match bytes.get(end..) {
                    Some(tail) if tail.starts_with(b"\r\n") => {
                        Ok(Some((Reply::Bulk(Some(bytes[start..end].to_vec())), end + 2)))
                    }
                    Some(tail) if !b"\r\n".starts_with(tail) => {
                        Err("a value longer than its length".to_owned())
                    }
                    _ => Ok(None),
                };
            }
            _ => return Err("an unknown kind of answer".to_owned()),
        };
        Ok(Some((reply, start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut anywhere, an answer is not all there yet; followed by more, it is as long as it was.
    fn every_cut<T: PartialEq + std::fmt::Debug>(
        answer: &[u8],
        wanted: &T,
        parse: impl Fn(&[u8]) -> Step<T>,
    ) {
        for cut in 0..answer.len() {
            assert_eq!(parse(&answer[..cut]), Ok(None), "cut at {cut}");
        }
        let longer = [answer, b"more"].concat();
        for bytes in [answer, &longer] {
            let (found, used) = parse(bytes).unwrap().unwrap();
            assert_eq!((&found, used), (wanted, answer.len()));
        }
    }

    #[test]
    fn a_socketmap_answer_is_a_netstring_with_a_status() {
        use socketmap::Reply;
        assert_eq!(socketmap::question("map", "a b"), b"7:map a b,");
        every_cut(b"7:OK a, b,", &Reply::Found(b"a, b".to_vec()), socketmap::parse);
        every_cut(b"2:OK,", &Reply::Found(Vec::new()), socketmap::parse);
        every_cut(b"9:NOTFOUND ,", &Reply::NotFound, socketmap::parse);
        let failed = |text: &str| Reply::Failed(text.to_owned());
        every_cut(
            b"9:TEMP busy,",
            &failed("the server has a temporary error: busy"),
            socketmap::parse,
        );
        every_cut(b"7:TIMEOUT,", &failed("the server has a timeout"), socketmap::parse);
        every_cut(b"5:PERM ,", &failed("the server has a permanent error"), socketmap::parse);
        for bad in [":OK,", "x", "2:OKx", "3:BAD,", "100001:OK", "9999999999:OK", "-1:x,", "0:,"] {
            assert!(socketmap::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tcp_answer_is_a_line_with_a_code_and_both_sides_are_quoted() {
        use tcp::Reply;
        assert_eq!(tcp::question("a b%\n\u{e9}"), b"get a%20b%25%0A%C3%A9\n");
        every_cut(b"200 a%20b%25\n", &Reply::Found(b"a b%".to_vec()), tcp::parse);
        every_cut(b"200 \r\n", &Reply::Found(Vec::new()), tcp::parse);
        every_cut(b"500 none\n", &Reply::NotFound, tcp::parse);
        let failed = Reply::Failed("the server has a temporary error: later on".to_owned());
        every_cut(b"400 later%20on\n", &failed, tcp::parse);
        for bad in ["200\n", "300 x\n", "2000 x\n", "OK\n", "200 %4\n", "200 %+1\n"] {
            assert!(tcp::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(tcp::parse(&[&b"200 "[..], &[b'x'; 4091]].concat()), Ok(None));
        assert!(tcp::parse(&[&b"200 "[..], &[b'x'; 4092]].concat()).is_err());
        assert!(tcp::parse(b"\xff").is_err());
    }

    #[test]
    fn a_memcache_key_is_one_word_and_its_value_has_a_length() {
        assert_eq!(memcache::question("a@b").as_deref(), Some(&b"get a@b\r\n"[..]));
        for key in ["", "a b", "a\r\nset x 0 0 1", "a\tb", "a\x7f", &"x".repeat(251)] {
            assert_eq!(memcache::question(key), None, "{key:?}");
        }
        let parse = |bytes: &[u8]| memcache::parse(bytes, "k", 100, 1000);
        every_cut(b"END\r\n", &None, parse);
        every_cut(b"VALUE k 0 5\r\na\r\nbc\r\nEND\r\n", &Some(b"a\r\nbc".to_vec()), parse);
        every_cut(b"VALUE k 7 0\r\n\r\nEND\r\n", &Some(Vec::new()), parse);
        for bad in [
            "ERROR\r\n",
            "SERVER_ERROR out of memory\r\n",
            "VALUE other 0 1\r\nx\r\nEND\r\n",
            "VALUE k 0 1\r\nxyz\r\nEND\r\n",
            "VALUE k 0 -1\r\n",
            "VALUE k 0 1001\r\n",
            "VALUE k\r\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(&[b'V'; 200]).is_err());
    }

    #[test]
    fn a_redis_command_is_data_whatever_is_in_it_and_its_answer_has_a_kind() {
        use redis::Reply;
        assert_eq!(
            redis::command(&[b"GET", b"a b\r\nDEL x"]),
            b"*2\r\n$3\r\nGET\r\n$10\r\na b\r\nDEL x\r\n"
        );
        let parse = |bytes: &[u8]| redis::parse(bytes, 1000);
        every_cut(b"$5\r\na\r\nbc\r\n", &Reply::Bulk(Some(b"a\r\nbc".to_vec())), parse);
        every_cut(b"$-1\r\n", &Reply::Bulk(None), parse);
        every_cut(b"+OK\r\n", &Reply::Status("OK".to_owned()), parse);
        every_cut(b"-ERR no\r\n", &Reply::Error("ERR no".to_owned()), parse);
        every_cut(b":-7\r\n", &Reply::Number(-7), parse);
        for bad in ["*1\r\n", "\r\n", "$x\r\n", "$-2\r\n", "$1001\r\n", "$1\r\nabc", ":x\r\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
