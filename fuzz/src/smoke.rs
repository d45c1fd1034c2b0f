//! Seeded mutation without a fuzzer: what CI runs.
//!
//! No coverage guides it. It finds what lies near well-formed input: each cut, each flipped bit of the head,
//! lengths that lie, pieces that are doubled, left out or taken from another seed.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Target;

/// Inputs longer than this are not made: enough for every limit that a decoder checks before it believes a length.
const MAX_INPUT_BYTES: usize = 1 << 16;

/// How much of each seed is cut and flipped exhaustively.
const EXHAUSTED_BYTES: usize = 512;

/// Runs a target over its seeds, all near cuts and flips of them, and `rounds` mutations; says how many inputs.
pub fn run(target: &Target, seed: u64, rounds: u64) -> u64 {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mut inputs = 0;
    let mut feed = |input: &[u8]| {
        let _guard = Replay { target: target.name, input };
        (target.run)(input);
        inputs += 1;
    };
    feed(&[]);
    for whole in &seeds {
        feed(whole);
        neighbours(whole, &mut feed);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..rounds {
        feed(&mutated(&seeds, &mut random));
    }
    inputs
}

fn neighbours(whole: &[u8], feed: &mut impl FnMut(&[u8])) {
    let near = whole.len().min(EXHAUSTED_BYTES);
    let mut input = whole.to_vec();
    for at in 0..near {
        feed(&whole[..at]);
        for bit in 0..8 {
            input[at] ^= 1 << bit;
            feed(&input);
            input[at] ^= 1 << bit;
        }
        for byte in [0x00, 0x1b, 0x3b, 0x5b, 0x5f, 0x7f, 0x80, 0x9b, 0x9f, 0xbb, 0xbf, 0xd8, 0xff] {
            input[at] = byte;
            feed(&input);
        }
        input[at] = whole[at];
    }
    input.push(0);
    feed(&input);
}

fn mutated(seeds: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..=8) {
        mutate(&mut input, seeds, random);
        input.truncate(MAX_INPUT_BYTES);
    }
    input
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=input.len());
    let some = random.random_range(0..=(input.len() - at).min(64));
    match random.random_range(0..7) {
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        1 if at < input.len() => input[at] = random.random(),
        2 => drop(input.drain(at..at + some)),
        3 => {
            let piece = input[at..at + some].to_vec();
            input.splice(at..at, piece);
        }
        4 => {
            let other = &seeds[random.random_range(0..seeds.len())];
            let from = random.random_range(0..=other.len());
            let length = random.random_range(0..=(other.len() - from).min(256));
            input.splice(at..at + some, other[from..from + length].iter().copied());
        }
        5 => {
            // A CBOR head whose length is too large to be true.
            let head = random.random_range(0..8u8) << 5 | 27;
            input.splice(
                at..at,
                [head].into_iter().chain((random.next_u64() >> random.random_range(0..64)).to_be_bytes()),
            );
        }
        _ => input.truncate(at),
    }
}

/// Says, when the target panics, what it was fed.
struct Replay<'a> {
    target: &'static str,
    input: &'a [u8],
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with: cargo run -p fuzz -- {} {}", self.target, hex::encode(self.input));
        }
    }
}
