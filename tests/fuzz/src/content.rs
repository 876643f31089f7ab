//! The end of data and the decoder, against the same written plainly.

#[path = "../../../engine/wire/tests/naive/mod.rs"]
mod naive;

use wire::{Decoder, EndOfData, Framing, LineEnds, Scan};

pub(crate) fn run(bytes: &[u8]) {
    let [cut, bytes @ ..] = bytes else { return };
    for (line_ends, end) in
        [(LineEnds::Crlf, naive::end(bytes)), (LineEnds::Lf, naive::end_in_lf(bytes))]
    {
        let mut end_of_data = EndOfData::new(line_ends, true);
        let mut seen = 0;
        let mut found = None;
        for piece in bytes.chunks(usize::from(*cut) + 1) {
            match end_of_data.scan(piece) {
                Scan::More => seen += piece.len(),
                Scan::End { consumed } => {
                    found = Some(seen + consumed);
                    break;
                }
            }
        }
        assert_eq!(found, end);
    }
    for framing in [Framing::Dots, Framing::Chunks] {
        let mut decoder = Decoder::new(framing);
        let mut stored = Vec::new();
        for piece in bytes.chunks(usize::from(*cut) + 1) {
            decoder.decode(piece, &mut stored);
        }
        decoder.finish(&mut stored);
        assert_eq!(stored, naive::decode(bytes, framing));
    }
}
