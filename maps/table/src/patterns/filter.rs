//! Which of many texts are in a line, in one pass over it.
//!
//! Of each text, four bytes in a row are enough to suspect it (three where it has no more), and those
//! are chosen that the other texts have least. A bit map says for almost every place of a line at once
//! that nothing begins there; where it does not, the texts with these bytes are compared. The map is small
//! enough for a near cache, and no step waits for the one before, so that thousands of texts cost
//! hardly more than ten. An Aho-Corasick automaton of that many texts walks through megabytes.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::literals::{TEXT_BYTES_MIN, Texts, fold};

/// Bits of the map, for few texts and for very many: 512 bytes, 128 KiB.
const MAP_BITS_MIN: u32 = 12;
const MAP_BITS_MAX: u32 = 20;

/// Bits of the map for each text: two of 32 are set, so that one place in 250 is suspected in vain.
const BITS_PER_TEXT: usize = 32;

/// Suspects of one line, the same ones perhaps several times, before they are looked through for that.
const SUSPECTS_BEFORE_LOOK: usize = 4096;

/// What a line was found to have: numbers that were given to [`FilterBuilder::add`], ascending.
pub(super) type Suspects = SmallVec<[u32; 32]>;

/// Finds texts.
#[derive(Debug)]
pub(super) struct Filter {
    map: Box<[u64]>,
    /// What is left of a 32-bit hash for a place in the map.
    shift: u32,
    /// By their bytes: where in `places` they are.
    grams: HashMap<Gram, (u32, u32), RandomState>,
    places: Box<[Place]>,
    bytes: Box<[u8]>,
    has_short: bool,
    has_long: bool,
}

/// Three or four folded bytes in a row. The fourth byte of three is 0, which no folded byte is.
type Gram = u32;

/// One text at the bytes it is suspected by.
#[derive(Debug)]
struct Place {
    /// In `bytes`.
    start: u32,
    length: u16,
    /// Where in the text the bytes are.
    offset: u16,
    number: u32,
}

/// How many texts share which bytes.
#[derive(Debug, Default)]
pub(super) struct Census(HashMap<Gram, u32, RandomState>);

impl Census {
    /// Counts what one pattern needs.
    pub(super) fn count(&mut self, required: &[Texts]) {
        let mut grams: Vec<Gram> =
            required.iter().flatten().flat_map(|text| grams(text)).map(|(_, gram)| gram).collect();
        grams.sort_unstable();
        grams.dedup();
        for gram in grams {
            *self.0.entry(gram).or_default() += 1;
        }
    }

    /// The one to look for, out of those that a pattern needs, and how many patterns have to be
    /// suspected with it.
    pub(super) fn choose<'a>(&self, required: &'a [Texts]) -> Option<(&'a Texts, u32)> {
        required
            .iter()
            .map(|texts| {
                let rarest = |text: &[u8]| self.rarest(text);
                let worst = texts.iter().map(|text| rarest(text)).max_by_key(|rarest| rarest.cost);
                (texts, worst)
            })
            .filter_map(|(texts, worst)| Some((texts, worst?)))
            .min_by_key(|(texts, worst)| worst.cost.saturating_mul(texts.len() as u32))
            .map(|(texts, worst)| (texts, worst.shared))
    }

    /// The bytes of a text that are least often in other texts, or in mail.
    fn rarest(&self, text: &[u8]) -> Rarest {
        grams(text)
            .map(|(offset, gram)| {
                let shared = self.0.get(&gram).copied().unwrap_or(1);
                let cost = shared.saturating_mul(16).saturating_add(commonness(gram));
                Rarest { offset, gram, shared, cost }
            })
            .min_by_key(|rarest| rarest.cost)
            .unwrap_or(Rarest { offset: 0, gram: 0, shared: u32::MAX, cost: u32::MAX })
    }
}

struct Rarest {
    offset: u16,
    gram: Gram,
    shared: u32,
    cost: u32,
}

/// Collects texts for a [`Filter`].
#[derive(Debug)]
pub(super) struct FilterBuilder<'a> {
    census: &'a Census,
    found: Vec<(Gram, u16, Box<[u8]>, u32)>,
}

impl<'a> FilterBuilder<'a> {
    pub(super) fn new(census: &'a Census) -> Self {
        Self { census, found: Vec::new() }
    }

    /// Suspects `number` where one of these texts is.
    pub(super) fn add(&mut self, texts: &Texts, number: u32) {
        for text in texts {
            let Rarest { offset, gram, .. } = self.census.rarest(text);
            self.found.push((gram, offset, text.clone(), number));
        }
    }

    pub(super) fn build(mut self) -> Filter {
        self.found.sort_unstable();
        let bits = (self.found.len() * BITS_PER_TEXT).next_power_of_two().ilog2();
        let bits = bits.clamp(MAP_BITS_MIN, MAP_BITS_MAX);
        let mut filter = Filter {
            map: vec![0; 1 << (bits - 6)].into(),
            shift: u32::BITS - bits,
            grams: HashMap::default(),
            places: Box::default(),
            bytes: Box::default(),
            has_short: false,
            has_long: false,
        };
        let (mut places, mut bytes) = (Vec::new(), Vec::new());
        for (gram, offset, text, number) in self.found {
            let at = places.len() as u32;
            filter.grams.entry(gram).or_insert((at, at)).1 += 1;
            for bit in slots(gram, filter.shift) {
                filter.map[bit / 64] |= 1 << (bit % 64);
            }
            let is_short = gram >> 24 == 0;
            filter.has_short |= is_short;
            filter.has_long |= !is_short;
            let (start, length) = (bytes.len() as u32, text.len() as u16);
            bytes.extend_from_slice(&text);
            places.push(Place { start, length, offset, number });
        }
        filter.places = places.into();
        filter.bytes = bytes.into();
        filter
    }
}

impl Filter {
    /// The numbers of the texts that are in `line`.
    pub(super) fn suspects(&self, line: &[u8]) -> Suspects {
        let mut suspects = Suspects::new();
        let mut room = SUSPECTS_BEFORE_LOOK;
        if self.has_long {
            for (at, window) in line.windows(4).enumerate() {
                let gram = u32::from_le_bytes([window[0], window[1], window[2], window[3]])
                    | u32::from_le_bytes([fold(0); 4]);
                if self.may_have(gram) {
                    self.compare(gram, line, at, &mut suspects, &mut room);
                }
            }
        }
        if self.has_short {
            for (at, window) in line.windows(3).enumerate() {
                let gram =
                    u32::from_le_bytes([fold(window[0]), fold(window[1]), fold(window[2]), 0]);
                if self.may_have(gram) {
                    self.compare(gram, line, at, &mut suspects, &mut room);
                }
            }
        }
        suspects.sort_unstable();
        suspects.dedup();
        suspects
    }

    fn may_have(&self, gram: Gram) -> bool {
        let has = |bit: usize| self.map[bit / 64] >> (bit % 64) & 1 == 1;
        let [first, second] = slots(gram, self.shift);
        has(first) && has(second)
    }

    #[cold]
    fn compare(
        &self,
        gram: Gram,
        line: &[u8],
        at: usize,
        suspects: &mut Suspects,
        room: &mut usize,
    ) {
        let Some(&(first, end)) = self.grams.get(&gram) else {
            return;
        };
        for place in &self.places[first as usize..end as usize] {
            let text = &self.bytes[place.start as usize..][..usize::from(place.length)];
            let Some(start) = at.checked_sub(usize::from(place.offset)) else { continue };
            let Some(here) = line.get(start..start + text.len()) else { continue };
            if here.iter().zip(text).all(|(&b, &folded)| fold(b) == folded) {
                // A line that repeats itself makes no list that grows with it.
                if suspects.len() >= *room {
                    suspects.sort_unstable();
                    suspects.dedup();
                    *room = SUSPECTS_BEFORE_LOOK.max(2 * suspects.len());
                }
                if suspects.last() != Some(&place.number) {
                    suspects.push(place.number);
                }
            }
        }
    }
}

/// Each place in a text and the bytes there; those of a text of three are three.
fn grams(text: &[u8]) -> impl Iterator<Item = (u16, Gram)> + '_ {
    debug_assert!(text.len() >= TEXT_BYTES_MIN, "too short to be looked for");
    let width = text.len().min(4);
    text.windows(width).zip(0..).map(move |(window, offset)| {
        let mut bytes = [0; 4];
        bytes[..width].copy_from_slice(window);
        (offset, u32::from_le_bytes(bytes))
    })
}

fn slots(gram: Gram, shift: u32) -> [usize; 2] {
    [0x9e37_79b1, 0x85eb_ca77].map(|odd: u32| (gram.wrapping_mul(odd) >> shift) as usize)
}

/// How often such bytes come in mail, roughly: 0 to 15 for each.
fn commonness(gram: Gram) -> u32 {
    let of = |b: u8| match b {
        b' ' | b'e' | b't' => 15,
        b'a' | b'i' | b'n' | b'o' | b'r' | b's' => 13,
        b'c' | b'd' | b'h' | b'l' | b'm' | b'u' => 10,
        b':' | b'-' | b'.' | b'b' | b'f' | b'g' | b'p' | b'w' | b'y' => 8,
        b'0'..=b'9' => 6,
        0 => 15,
        _ => 3,
    };
    gram.to_le_bytes().into_iter().map(of).sum()
}
