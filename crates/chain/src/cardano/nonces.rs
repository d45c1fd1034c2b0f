//! The nonces of Praos, evolved from headers alone.
//!
//! Follows `tickChainDepState` and `reupdateChainDepState` of ouroboros-consensus, and for TPraos the rules
//! TICKN and UPDN of the Shelley ledger. A nonce may be neutral (`None`): combining with it changes nothing.

use pallas_crypto::hash::Hasher;

use super::era::{Era, Protocol};
use super::header::Vrf;
use super::params::Params;
use crate::{Hash, Slot};

/// A nonce, or the neutral one.
pub type Nonce = Option<Hash>;

/// All nonces after some block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonces {
    /// The epoch's: the input of its lotteries.
    pub epoch: Nonce,
    /// Changes with every block, for ever.
    pub evolving: Nonce,
    /// The evolving one as it was when the epoch's end came near.
    pub candidate: Nonce,
    /// The hash before the last block.
    pub previous: Nonce,
    /// What [`Nonces::previous`] was at the end of the epoch before.
    pub previous_of_epoch: Nonce,
}

impl Nonces {
    /// Before the first block of Shelley or of what came first after Byron.
    pub(crate) fn genesis(params: &Params) -> Self {
        let first = Some(params.shelley_genesis);
        Self { epoch: first, evolving: first, candidate: first, previous: None, previous_of_epoch: None }
    }

    /// At the start of a slot's epoch, when the last block was in an earlier one.
    pub(crate) fn enter_epoch(mut self, params: &Params, era: Era, slot: Slot) -> Self {
        self.epoch = combine(self.candidate, self.previous_of_epoch);
        if era.protocol() == Protocol::TransitionalPraos {
            self.epoch = combine(self.epoch, params.entropy_of(params.epoch(slot)));
        }
        self.previous_of_epoch = self.previous;
        self
    }

    /// After a block.
    pub(crate) fn after(
        mut self,
        params: &Params,
        era: Era,
        slot: Slot,
        prev: Option<Hash>,
        vrf: &Vrf<'_>,
    ) -> Self {
        self.evolving = combine(self.evolving, Some(contribution(vrf)));
        let window = if era >= Era::Conway { params.randomness_window() } else { params.stability_window() };
        if slot.0.checked_add(window).is_some_and(|end| end < params.next_epoch_start(slot).0) {
            self.candidate = self.evolving;
        }
        self.previous = prev;
        self
    }
}

/// What a block adds to the evolving nonce.
fn contribution(vrf: &Vrf<'_>) -> Hash {
    match vrf {
        Vrf::Two { nonce, .. } => Hash(*Hasher::<256>::hash(nonce.output)),
        Vrf::One(proof) => {
            let mut tagged = Hasher::<256>::new();
            tagged.input(b"N");
            tagged.input(proof.output);
            Hash(*Hasher::<256>::hash(&*tagged.finalize()))
        }
    }
}

fn combine(left: Nonce, right: Nonce) -> Nonce {
    let (Some(left), Some(right)) = (left, right) else { return left.or(right) };
    let mut hasher = Hasher::<256>::new();
    hasher.input(&left.0);
    hasher.input(&right.0);
    Some(Hash(*hasher.finalize()))
}
