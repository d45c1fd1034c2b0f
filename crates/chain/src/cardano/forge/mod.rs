//! Makes Cardano chains that pass every check, for tests, simulations and benchmarks.
//!
//! The keys are real and come from a seed; the pools, their leadership and the transactions are made up:
//! nobody holds stake, and bodies hold byte strings where transactions would be. So a made block is
//! well-formed and rightly signed, and no ledger would take it.

mod blocks;
mod byron;
mod keys;

use std::sync::Arc;

#[cfg(test)]
pub(super) use keys::Kes;
use keys::{Federate, Pool};

use super::era::Era;
use super::params::{Byron, Params};
use crate::{Block, Format, Hash, Slot, State};

/// A made-up network's makers of blocks.
#[derive(Debug)]
pub struct Forge {
    format: Format,
    params: Arc<Params>,
    pools: Vec<Pool>,
    federation: Vec<Federate>,
}

/// How one block is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// By the rules of which era.
    pub era: Era,
    /// In which slot.
    pub slot: Slot,
    /// By which pool, or which of the federation: counted around.
    pub maker: usize,
    /// Transactions: any bytes.
    pub transactions: &'a [&'a [u8]],
}

impl Forge {
    /// The makers of a network: as many pools, and as many of the federation. The network's federation
    /// becomes theirs.
    ///
    /// # Panics
    ///
    /// When there are no makers, or the parameters are no network's.
    pub fn new(mut params: Params, seed: [u8; 32], makers: usize) -> Self {
        assert!(makers > 0, "someone must make the blocks");
        params.validate().expect("parameters of a network");
        let federation: Vec<_> = (0..makers as u64).map(|number| Federate::new(&seed, number)).collect();
        if let Some(byron) = &mut params.byron {
            byron.issuers = federation.iter().map(|member| keys::byron_public(&member.issuer)).collect();
        }
        let params = Arc::new(params);
        Self {
            format: Format::Cardano(Arc::clone(&params)),
            params,
            pools: (0..makers as u64).map(|number| Pool::new(&seed, number)).collect(),
            federation,
        }
    }

    /// The format that judges what is made.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// A block after the one that left this state.
    ///
    /// # Panics
    ///
    /// When the slot is beyond what a KES key or a Byron epoch can reach, or the state is another format's.
    pub fn block(&self, parent: &State, plan: &Plan<'_>) -> Block {
        let raw = if plan.era == Era::Byron {
            self.byron_block(parent, plan)
        } else {
            self.praos_block(parent, plan)
        };
        self.format.block(&raw.into()).expect("a made block reads as one")
    }

    /// The boundary block in front of a Byron epoch.
    ///
    /// # Panics
    ///
    /// When the network has no such epoch.
    pub fn boundary(&self, parent: &State, epoch: u64) -> Block {
        self.format.block(&self.boundary_block(parent, epoch).into()).expect("a made block reads as one")
    }

    /// A chain after a state: one block a slot, each after the last, by each maker in turn.
    ///
    /// # Panics
    ///
    /// As [`Forge::block`].
    pub fn chain(&self, start: &State, era: Era, slots: impl IntoIterator<Item = u64>) -> Vec<Block> {
        let mut state = start.clone();
        let made = slots.into_iter().enumerate().map(|(maker, slot)| {
            let plan = Plan { era, slot: Slot(slot), maker, transactions: &[b"made up"] };
            let block = self.block(&state, &plan);
            state = self.format.next(&state, &block.header).expect("a made block follows");
            block
        });
        made.collect()
    }
}

/// A network so small that a few hundred slots see everything: Byron for two epochs of 50 slots, then epochs
/// of 200 with a nonce window of 30 (40 from Conway on), a certificate's whole life in 620 slots.
pub fn small_network() -> Params {
    Params {
        name: "made".into(),
        magic: 42,
        system_start_s: 1_700_000_000,
        security: 5,
        active_slots_numerator: 1,
        active_slots_denominator: 2,
        slot_length_ms: 1_000,
        epoch_length: 200,
        slots_per_kes_period: 10,
        max_kes_evolutions: 62,
        shelley_genesis: Hash([7; 32]),
        byron: Some(Byron {
            genesis: Hash([8; 32]),
            slot_length_ms: 20_000,
            end_slot: 100,
            issuers: Vec::new(),
        }),
        eras: Vec::new(),
        extra_entropy: Vec::new(),
    }
}
