//! Where in one line which bytes are.
//!
//! A line that has the words of thousands of rules, which somebody has to know who writes it, would be gone
//! through once for each of them. With this it is gone through once: each rule then looks only at the places
//! where four bytes in a row are that it wants.

use super::literals::fold;

/// Bytes in a row that are looked up together.
pub(super) const GRAM_BYTES: usize = 4;

/// Places by a hash of the four folded bytes that begin there, ascending.
#[derive(Debug)]
pub(super) struct Places {
    /// For each hash where its places begin; they end where those of the next one begin.
    begins: Box<[u32]>,
    places: Box<[u32]>,
    shift: u32,
}

impl Places {
    /// Of a line below 4 GiB.
    pub(super) fn of(line: &[u8]) -> Self {
        let bits = line.len().next_power_of_two().ilog2().clamp(8, 20);
        let shift = u32::BITS - bits;
        let mut begins = vec![0_u32; (1 << bits) + 1];
        let slots = || line.windows(GRAM_BYTES).map(|gram| slot(gram, shift));
        for slot in slots() {
            begins[slot + 1] += 1;
        }
        for slot in 1..begins.len() {
            begins[slot] += begins[slot - 1];
        }
        let mut next = begins.clone();
        let mut places = vec![0; line.len().saturating_sub(GRAM_BYTES - 1)];
        for (at, slot) in (0..).zip(slots()) {
            places[next[slot] as usize] = at;
            next[slot] += 1;
        }
        Self { begins: begins.into(), places: places.into(), shift }
    }

    /// Where these bytes may begin, in any case, from a place on. There are others among them.
    pub(super) fn from(&self, gram: &[u8; GRAM_BYTES], from: usize) -> &[u32] {
        let slot = slot(gram, self.shift);
        let places = &self.places[self.begins[slot] as usize..self.begins[slot + 1] as usize];
        &places[places.partition_point(|&at| (at as usize) < from)..]
    }
}

fn slot(gram: &[u8], shift: u32) -> usize {
    let mut bytes = [0; GRAM_BYTES];
    bytes.iter_mut().zip(gram).for_each(|(byte, &b)| *byte = fold(b));
    (u32::from_le_bytes(bytes).wrapping_mul(0x9e37_79b1) >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_of_four_bytes_are_found_from_any_place_on() {
        let line = b"Subject: abcabcABCab".repeat(20);
        let places = Places::of(&line);
        for gram in [*b"bcab", *b"SUBJ", *b"none", *b"ab\x53u"] {
            for from in [0, 1, 10, 37, line.len() - 3, line.len()] {
                let is_here = |at: &usize| {
                    line[*at..].len() >= 4 && line[*at..][..4].eq_ignore_ascii_case(&gram)
                };
                let expected: Vec<usize> = (from..line.len()).filter(is_here).collect();
                let found = places.from(&gram, from).iter().map(|&at| at as usize);
                let found: Vec<usize> = found.filter(is_here).collect();
                assert_eq!(found, expected, "{gram:?} from {from}");
            }
        }
        assert!(Places::of(b"abc").from(b"abcd", 0).is_empty());
    }
}
