//! What is done to an input to make another: octets set, flipped, put in, taken out, words and lengths that lie, pieces
//! doubled or taken from another input.

use fastrand::Rng;

/// Inputs do not grow beyond this.
const LONGEST: usize = 4_096;
/// Values at which readers go wrong.
const WORDS: [u32; 12] = [0, 1, 7, 8, 12, 20, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// Changes an input in one to eight places; `other` lends pieces.
pub(super) fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..1 << rng.u8(0..4) {
        once(input, other, rng);
    }
    input.truncate(LONGEST);
}

fn once(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if input.is_empty() {
        input.extend_from_slice(other);
        return;
    }
    let at = rng.usize(..input.len());
    match rng.u8(0..10) {
        0 => input[at] = rng.u8(..),
        1 => input[at] ^= 1 << rng.u8(0..8),
        2 => input[at] = input[at].wrapping_add(if rng.bool() { 1 } else { u8::MAX }),
        3 => input.insert(at, rng.u8(..)),
        4 => drop(input.remove(at)),
        5 => input.truncate(at),
        6 => {
            let word = if rng.bool() { rng.choice(WORDS).unwrap_or(0) } else { input.len() as u32 };
            let width = rng.choice([1, 2, 4]).unwrap_or(1);
            let octets = word.to_be_bytes();
            input.iter_mut().skip(at).zip(&octets[4 - width..]).for_each(|(octet, to)| *octet = *to);
        }
        7 => {
            let piece = piece(input, rng);
            input.splice(at..at, piece);
        }
        8 if !other.is_empty() => {
            let piece = piece(other, rng);
            let end = (at + rng.usize(..=piece.len())).min(input.len());
            input.splice(at..end, piece);
        }
        _ => {
            let end = (at + rng.usize(1..=16)).min(input.len());
            drop(input.drain(at..end));
        }
    }
}

fn piece(of: &[u8], rng: &mut Rng) -> Vec<u8> {
    let from = rng.usize(..of.len());
    of[from..].iter().take(rng.usize(1..=64)).copied().collect()
}
