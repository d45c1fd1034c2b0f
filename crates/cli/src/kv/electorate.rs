//! Which validators the application asks for, and how they change.
//!
//! **The rule.** A change counts when validators that hold a quorum of the weight, by the chain's own fault model, have
//! signed it: those that were asked for last, which are the genesis' ones at first. They sign for one chain and one
//! place in the row of changes, so that a signature serves once and nowhere else. Who holds no validator's key can
//! change nothing, and fewer validators than a quorum cannot either; a quorum that wants to hand the chain over can,
//! as it could write any other block.

use std::num::NonZeroU64;

use anabranch::chain::Hash;
use anabranch::chain::native::{MAX_VALIDATORS, Params, Validator, Validators, is_signed};
use minicbor::{Decoder, Encoder};

use crate::transaction::Change;

/// The key of the entry that holds them: no text is these bytes, so that no transaction gets there.
pub(super) const KEY: &[u8] = b"\xffvalidators";

/// The validators that the application asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Electorate {
    /// How many changes there were.
    pub sequence: u64,
    /// The validators.
    pub validators: Validators,
}

/// Why a change does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another one came before, or must come before.
    #[error("it is change {found}, and change {next} is next")]
    OutOfTurn {
        /// Which it is.
        found: u64,
        /// Which comes next.
        next: u64,
    },
    /// Too few agree.
    #[error("validators with a weight of {weight} out of {total} have signed it, which is no quorum")]
    NoQuorum {
        /// What they weigh.
        weight: u64,
        /// What all weigh.
        total: u64,
    },
    /// Somebody signed who has no say.
    #[error("{} has signed it, which is no validator", hex::encode(signer))]
    NotAValidator {
        /// Who.
        signer: [u8; 32],
    },
    /// A signature that is none.
    #[error("the signature of {} is not sound", hex::encode(signer))]
    Signature {
        /// Whose.
        signer: [u8; 32],
    },
    /// No chain can have the validators that it leads to.
    #[error("it leaves no validator, more than {MAX_VALIDATORS}, or too much weight")]
    Impossible,
}

impl Electorate {
    /// Those of a genesis.
    pub fn genesis(params: &Params) -> Self {
        let validators = params.validator_set().expect("a genesis is validated before it is used");
        Self { sequence: 0, validators }
    }

    /// Those after a change.
    ///
    /// # Errors
    /// When it does not count. [`Refusal::OutOfTurn`] may be a matter of time, the others are for good.
    pub fn after(&self, change: &Change, params: &Params) -> Result<Self, Refusal> {
        if change.sequence != self.sequence {
            return Err(Refusal::OutOfTurn { found: change.sequence, next: self.sequence });
        }
        let mut weight = 0;
        for (signer, _) in &change.signatures {
            let place = self.validators.place(signer).ok_or(Refusal::NotAValidator { signer: *signer })?;
            // Each key stands there once, and the weights of all fit.
            weight += self.validators.members()[place].weight.get();
        }
        let total = self.validators.weight();
        if !params.faults.is_quorum(weight, total) {
            return Err(Refusal::NoQuorum { weight, total });
        }
        let bytes = change.signed_bytes(&params.chain());
        let unsound = |(signer, signature): &&([u8; 32], [u8; 64])| !is_signed(&bytes, signer, signature);
        if let Some((signer, _)) = change.signatures.iter().find(unsound) {
            return Err(Refusal::Signature { signer: *signer });
        }
        let others = self.validators.members().iter().copied().filter(|member| member.key != change.key);
        let weight = NonZeroU64::new(change.weight);
        let changed = weight.map(|weight| Validator { key: change.key, weight });
        let validators = Validators::new(others.chain(changed)).ok_or(Refusal::Impossible)?;
        Ok(Self { sequence: self.sequence + 1, validators })
    }

    /// As CBOR: `[sequence, [[key, weight], …]]`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        let members = self.validators.members();
        let written: Result<(), minicbor::encode::Error<_>> = (|| {
            out.array(2)?.u64(self.sequence)?.array(members.len() as u64)?;
            members.iter().try_for_each(|it| out.array(2)?.bytes(&it.key)?.u64(it.weight.get())?.ok())
        })();
        let Ok(()) = written else { unreachable!("memory takes what it is given") };
        bytes
    }

    /// Reads what [`Electorate::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Decoder::new(bytes);
        let mut list = |length: Option<u64>| from_list(&mut from, length);
        list(Some(2))?;
        let sequence = from.u64().ok()?;
        let count = from_list(&mut from, None)?;
        let mut members = Vec::new();
        for _ in 0..count {
            from_list(&mut from, Some(2))?;
            let key = Hash::from_slice(from.bytes().ok()?)?.0;
            members.push(Validator { key, weight: NonZeroU64::new(from.u64().ok()?)? });
        }
        Some(Self { sequence, validators: Validators::new(members)? })
    }
}

/// Opens a list, of this length where one is given, and of no more than there can be validators.
fn from_list(from: &mut Decoder<'_>, length: Option<u64>) -> Option<u64> {
    let found = from.array().ok()??;
    (length.is_none_or(|length| length == found) && found <= MAX_VALIDATORS as u64).then_some(found)
}
