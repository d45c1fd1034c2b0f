//! Tests of the format over made chains; the real ones are in `tests/real_chain.rs`.

mod decode;
mod judge;
mod primitives;
mod rules;

use bytes::Bytes;

use super::forge::{Forge, small_network};
use super::{Era, Params};
use crate::{Block, Format, Header, State};

/// A forge of a small network with Byron years.
pub(super) fn byron_forge() -> Forge {
    Forge::new(small_network(), [1; 32], 3)
}

/// A forge of a small network that begins in whatever era its first block has.
pub(super) fn forge() -> Forge {
    Forge::new(Params { byron: None, ..small_network() }, [1; 32], 3)
}

/// A chain through all eras: three Byron blocks with boundaries, then one era after the other.
pub(super) fn all_eras(forge: &Forge) -> Vec<Block> {
    let mut state = forge.format().genesis();
    let mut blocks = Vec::new();
    for epoch in 0..2 {
        let boundary = forge.boundary(&state, epoch);
        extend(forge.format(), &mut state, &mut blocks, vec![boundary]);
        let start = epoch * 50;
        let made = forge.chain(&state, Era::Byron, [start, start + 7, start + 49]);
        extend(forge.format(), &mut state, &mut blocks, made);
    }
    let eras = [Era::Shelley, Era::Allegra, Era::Mary, Era::Alonzo, Era::Babbage, Era::Conway];
    for (index, era) in eras.into_iter().enumerate() {
        let start = 100 + 200 * index as u64;
        let made = forge.chain(&state, era, (start..start + 200).step_by(20));
        extend(forge.format(), &mut state, &mut blocks, made);
    }
    blocks
}

fn extend(format: &Format, state: &mut State, blocks: &mut Vec<Block>, made: Vec<Block>) {
    for block in made {
        *state = format.next(state, &block.header).unwrap();
        blocks.push(block);
    }
}

/// The states before each block of a chain from genesis, and after the last.
pub(super) fn states(format: &Format, blocks: &[Block]) -> Vec<State> {
    let mut states = vec![format.genesis()];
    for block in blocks {
        states.push(format.next(states.last().unwrap(), &block.header).unwrap());
    }
    states
}

/// The header with a byte of its own changed, decoded again; `None` if it no longer decodes.
pub(super) fn with_byte(format: &Format, header: &Header, at: usize, xor: u8) -> Option<Header> {
    let mut wire = header.wire.to_vec();
    wire[at] ^= xor;
    format.header(&Bytes::from(wire)).ok()
}

/// Where these bytes lie in the header's wire form.
pub(super) fn find(header: &Header, bytes: &[u8]) -> usize {
    header.wire.windows(bytes.len()).position(|window| window == bytes).unwrap()
}
