//! Inputs made from other inputs, as libFuzzer makes them, but without looking at what they reach.

use tests::random::Random;

/// Longer inputs show nothing that these do not.
const BYTES_MAX: usize = 16 * 1024;

/// Bytes that mean something to one parser or another.
const TELLING: &[u8] = b"\0\t\n\r !\"#$%()*+,./0:;<=>?@A[\\]^_{|}\x7f\x80\xc3\xff";

/// One of `seeds`, changed in a few places.
pub(crate) fn mutant(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = pick(seeds, random).to_vec();
    for _ in 0..=random.below(8) {
        change(&mut input, seeds, random);
    }
    input.truncate(BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = place(input.len(), random);
    let end = at + place((input.len() - at).min(64), random);
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.choose(TELLING),
        2 => input.insert(at, random.choose(TELLING)),
        3 => input.insert(at, random.draw() as u8),
        4 => drop(input.drain(at..end)),
        5 => input.truncate(at),
        6 => {
            let again = input[at..end].to_vec();
            splice(input, at, &again.repeat(1 + random.below(8) as usize));
        }
        _ => {
            let other = pick(seeds, random);
            let from = place(other.len(), random);
            let to = from + place((other.len() - from).min(256), random);
            splice(input, at, &other[from..to]);
        }
    }
}

fn splice(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(input.splice(at..at, bytes.iter().copied()));
}

fn pick<'a>(seeds: &'a [Vec<u8>], random: &mut Random) -> &'a [u8] {
    &seeds[random.below(seeds.len() as u64) as usize]
}

/// From 0 to `len`.
fn place(len: usize, random: &mut Random) -> usize {
    random.below(len as u64 + 1) as usize
}
