//! Makes native blocks on any parent, and remembers the state after each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::format::Detail;
use chain::native::{Builder, Key, Params};
use chain::{Block, Format, Hash, Point, Slot, State};

/// The name and magic of the simulated chain.
const NAME: &str = "sim";
const MAGIC: u32 = 4_242;

/// The largest transaction: some blocks are small, some fill a slow line for a second.
const MAX_TX: u64 = 4_096;

/// When the world begins: slot 0 of the chain.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_000_000);

/// The only producer's workshop.
pub(crate) struct Forge {
    pub(crate) format: Format,
    params: Arc<Params>,
    pub(crate) key: Key,
    states: BTreeMap<Option<Hash>, State>,
}

impl Forge {
    pub(crate) fn new() -> Self {
        let key = Key::from_seed(&[42; 32]);
        let params = Arc::new(Params::solo(NAME, MAGIC, EPOCH.as_millis() as u64, key.public()));
        let format = Format::Native(params.clone());
        let states = [(None, format.genesis())].into();
        Self { format, params, key, states }
    }

    /// A sound block with one transaction, which tells it from its siblings.
    pub(crate) fn block(&mut self, parent: Point, slot: Slot, salt: u64) -> Block {
        let state = self.state(parent.hash());
        let Detail::Native(detail) = &state.detail else { unreachable!("the chain is native") };
        let mut builder = Builder::start(&self.params, &state.tip, detail, slot);
        let tx = [salt.to_be_bytes().to_vec(), vec![0; (salt % MAX_TX) as usize]].concat();
        builder.add(Bytes::from(tx)).expect("a block has room for one");
        let block = builder.finish(&self.key);
        self.note(&block);
        block
    }

    /// The same with a signature that nobody made.
    pub(crate) fn forged(&mut self, parent: Point, slot: Slot, salt: u64) -> Block {
        let block = self.block(parent, slot, salt);
        // The signature ends the header; the header is in the block as it is in its wire form.
        let header = &block.header.wire[block.header.wire.len() - 64..];
        let mut raw = block.raw.to_vec();
        let at = raw.windows(64).position(|bytes| bytes == header).expect("a block has its header");
        raw[at + 63] ^= 1;
        let block = self.format.block(&raw.into()).expect("a signature is any 64 bytes");
        self.note(&block);
        block
    }

    /// The state after a block, or before the first.
    pub(crate) fn state(&self, at: Option<Hash>) -> &State {
        &self.states[&at]
    }

    /// Remembers the state after a block.
    fn note(&mut self, block: &Block) {
        let parent = self.state(block.header.prev);
        let state = self.format.next(parent, &block.header).expect("what is forged is in order");
        self.states.insert(Some(block.header.id), state);
    }
}
