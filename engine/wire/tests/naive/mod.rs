//! The content path as one would write it if speed did not matter: the measure of the real one, for
//! the property tests and the fuzz targets.

use wire::Framing;

/// Where the data ends, byte by byte: the first CR LF `.` CR LF, the command's own line ending before
/// the first line included.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    let whole = [b"\r\n", bytes].concat();
    let at = (0..whole.len()).find(|&at| whole[at..].starts_with(b"\r\n.\r\n"))?;
    Some(at + 5 - 2)
}

/// The same for a client that ends its own lines in bare LF and may do so: LF `.` LF ends it too.
pub(crate) fn end_in_lf(bytes: &[u8]) -> Option<usize> {
    let whole = [b"\r\n", bytes].concat();
    (0..whole.len()).find_map(|at| match &whole[at..] {
        rest if rest.starts_with(b"\r\n.\r\n") => Some(at + 5 - 2),
        rest if rest.starts_with(b"\n.\n") => Some(at + 3 - 2),
        _ => None,
    })
}

/// What is stored of raw content, line by line.
pub(crate) fn decode(bytes: &[u8], framing: Framing) -> Vec<u8> {
    let mut stored = Vec::new();
    let mut lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    let unended = lines.pop().unwrap_or_default();
    let count = lines.len();
    if !unended.is_empty() {
        lines.push(unended);
    }
    for (number, line) in lines.into_iter().enumerate() {
        let line = if number < count { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        let mut line = line;
        if framing == Framing::Dots {
            if line == b"." || (number == count && line == b".\r") {
                continue;
            }
            line = line.strip_prefix(b".").unwrap_or(line);
        }
        stored.extend(line.iter().map(|&b| if b == b'\r' { b' ' } else { b }));
        stored.push(b'\n');
    }
    stored
}
