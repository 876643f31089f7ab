//! Standard input, line by line.

use std::io::{BufRead, Read};

use cf::LINE_BYTES_MAX;

use super::report::plain;

/// Gives each line without its line end to `take`, until that says to stop. Memory is bounded by the
/// longest line, and that by [`LINE_BYTES_MAX`].
pub(crate) fn each_line(
    mut input: impl BufRead,
    mut take: impl FnMut(&[u8]) -> Result<Next, String>,
) -> Result<(), String> {
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| format!("read stdin: {}", plain(&error)))? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > LINE_BYTES_MAX {
            return Err(format!(
                "stdin, line {number}: this line is longer than {LINE_BYTES_MAX} bytes"
            ));
        }
        if take(&line)? == Next::Stop {
            break;
        }
    }
    Ok(())
}

/// Whether there is any use in the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends_and_the_last_needs_none() {
        let mut lines = Vec::new();
        let take = |line: &[u8]| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            Ok(Next::GoOn)
        };
        each_line(&b"a\n\nb\r\n c"[..], take).unwrap();
        assert_eq!(lines, ["a", "", "b\r", " c"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = std::io::BufReader::new(std::io::repeat(b'x'));
        let refused = each_line(endless, |_| Ok(Next::GoOn)).unwrap_err();
        assert_eq!(refused, "stdin, line 1: this line is longer than 4194304 bytes");
    }
}
