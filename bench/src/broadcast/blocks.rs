//! The blocks that both sides spread: a header's bytes say everything that the machines ask, and nobody signs them.

use bytes::Bytes;
use chain::{Block, Hash, Header, Height, Slot};
use diffusion::sync::bodies::Producer;

use super::dice::Dice;

/// About as long as a native header with its signature and the application's state root.
pub(crate) const HEADER_BYTES: usize = 310;

/// With its header it is below what iroh-gossip takes by default.
pub(crate) const BODY_BYTES: usize = 2_000;

/// `[id, prev or zeros, height, producer, zeros]`.
pub(crate) fn decode(wire: &Bytes) -> Header {
    let hash = |at: usize| Hash::from_slice(&wire[at..at + 32]).expect("32 bytes");
    let height = u64::from_be_bytes(wire[64..72].try_into().expect("8 bytes"));
    Header {
        id: hash(0),
        prev: Some(hash(32)).filter(|prev| prev.0 != [0; 32]),
        slot: Slot(height),
        height: Height(height),
        boundary: false,
        wire: wire.clone(),
    }
}

pub(crate) fn producer(header: &Header) -> Producer {
    Producer(header.wire[72..104].try_into().expect("32 bytes"))
}

/// One block after the other.
pub(crate) struct Maker {
    dice: Dice,
    last: Option<(Hash, u64)>,
}

impl Maker {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new([seed, 1]), last: None }
    }

    /// The next block of the chain.
    pub(crate) fn next(&mut self, producer: usize) -> Block {
        let mut wire = Vec::with_capacity(HEADER_BYTES + BODY_BYTES);
        for _ in 0..4 {
            wire.extend_from_slice(&self.dice.roll().to_be_bytes());
        }
        let (prev, height) = self.last.map_or(([0; 32], 1), |(id, height)| (id.0, height + 1));
        wire.extend_from_slice(&prev);
        wire.extend_from_slice(&height.to_be_bytes());
        wire.extend_from_slice(&(producer as u64).to_be_bytes());
        wire.resize(HEADER_BYTES + BODY_BYTES, 0);
        let raw = Bytes::from(wire);
        let header = decode(&raw.slice(..HEADER_BYTES));
        self.last = Some((header.id, height));
        Block { raw, header }
    }
}
