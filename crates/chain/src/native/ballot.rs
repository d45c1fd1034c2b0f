//! What validators sign when they decide: votes and proposals.
//!
//! The signed bytes name the chain and begin with a text of their own, so that no signature of one kind, or of
//! one chain, is worth anything as another. Who sends these, and when, is the consensus layer's to know.
//!
//! ```text
//! vote     = ["anabranch vote", chain, 0 prevote / 1 precommit, height, round, block / null]
//! proposal = ["anabranch proposal", chain, height, round, valid round / null, block]
//! ```

use ed25519_dalek::{Signature, VerifyingKey};

use crate::codec::encode;
use crate::{Hash, Height};

const VOTE: &str = "anabranch vote";
const PROPOSAL: &str = "anabranch proposal";

/// Which of the two votes of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The first: the block may be decided.
    Prevote,
    /// The second: the block is decided, if a quorum says so.
    Precommit,
}

/// One validator's word on a block of a height, in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The first or the second vote.
    pub kind: Kind,
    /// The height that is decided on.
    pub height: Height,
    /// The round of that height.
    pub round: u32,
    /// The block; `None` for none in this round.
    pub block: Option<Hash>,
}

/// A proposer's offer of a block for a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// The height that is decided on.
    pub height: Height,
    /// The round that it is proposed in.
    pub round: u32,
    /// The earlier round in which a quorum voted for the block, if it is proposed again.
    pub valid: Option<u32>,
    /// The block.
    pub block: Hash,
}

impl Kind {
    /// The kind as a number on the wire.
    pub fn number(self) -> u64 {
        match self {
            Self::Prevote => 0,
            Self::Precommit => 1,
        }
    }
}

impl Vote {
    /// The bytes that its signature is over.
    pub fn signed_bytes(&self, chain: &Hash) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(100);
        encode(&mut bytes, |out| {
            out.array(6)?.str(VOTE)?.bytes(&chain.0)?.u64(self.kind.number())?;
            out.u64(self.height.0)?.u32(self.round)?;
            match &self.block {
                None => out.null()?.ok(),
                Some(block) => out.bytes(&block.0)?.ok(),
            }
        });
        bytes
    }
}

impl Proposal {
    /// The bytes that its signature is over.
    pub fn signed_bytes(&self, chain: &Hash) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(110);
        encode(&mut bytes, |out| {
            out.array(6)?.str(PROPOSAL)?.bytes(&chain.0)?.u64(self.height.0)?.u32(self.round)?;
            match self.valid {
                None => out.null()?,
                Some(round) => out.u32(round)?,
            };
            out.bytes(&self.block.0)?.ok()
        });
        bytes
    }
}

/// Whether an Ed25519 signature is this key's, judged as strictly as every implementation can.
pub fn is_signed(bytes: &[u8], key: &[u8; 32], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok())
}
