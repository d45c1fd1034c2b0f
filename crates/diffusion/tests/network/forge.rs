//! Blocks for tests: a header's bytes say everything that the machines ask, and nobody signs them.

use bytes::Bytes;
use chain::{Block, Hash, Header, Height, Slot};
use diffusion::sync::bodies::Producer;

/// A random generator of a test: splitmix64, so that a seed is a number.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }
}

/// `[id, prev or zeros, height, producer]`.
pub(crate) fn decode(wire: &Bytes) -> Header {
    let hash = |at: usize| Hash::from_slice(&wire[at..at + 32]).expect("32 bytes");
    let height = u64::from_be_bytes(wire[64..72].try_into().expect("8 bytes"));
    let prev = Some(hash(32)).filter(|prev| prev.0 != [0; 32]);
    Header {
        id: hash(0),
        prev,
        slot: Slot(height),
        height: Height(height),
        boundary: false,
        wire: wire.clone(),
    }
}

pub(crate) fn producer(header: &Header) -> Producer {
    Producer([header.wire[72]; 32])
}

/// A block on top of another, as its producer makes it.
pub(crate) fn make(parent: Option<&Header>, by: usize, dice: &mut Dice) -> Block {
    let mut wire = Vec::new();
    for _ in 0..4 {
        wire.extend_from_slice(&dice.roll().to_be_bytes());
    }
    wire.extend_from_slice(&parent.map_or([0; 32], |parent| parent.id.0));
    wire.extend_from_slice(&parent.map_or(0, |parent| parent.height.0 + 1).to_be_bytes());
    wire.push(by as u8);
    let header = decode(&wire.into());
    Block { raw: header.wire.clone(), header }
}
