//! What producers sign for the sake of routing.

use chain::Hash;
use ed25519_dalek::VerifyingKey;

use crate::sync::bodies::Producer;

/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// What a producer signs. The bytes name the chain's network and the kind of claim, so that a signature means one
/// thing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// "I can be reached": one number higher each time, so that an old claim cannot be told again as a new one. How
    /// far it is is not part of it: every hop says that for itself.
    Route {
        /// Who.
        producer: Producer,
        /// The sequence number.
        seq: u64,
    },
    /// "This packet, which names me, has reached me." It says nothing of what the packet is worth.
    Receipt {
        /// Who.
        producer: Producer,
        /// The packet.
        id: Hash,
    },
}

impl Claim {
    /// Who signs it.
    pub fn producer(&self) -> Producer {
        match self {
            Self::Route { producer, .. } | Self::Receipt { producer, .. } => *producer,
        }
    }

    /// The bytes that are signed.
    pub fn bytes(&self, network: &Hash) -> Vec<u8> {
        let mut bytes = match self {
            Self::Route { .. } => b"anabranch route 1 ".to_vec(),
            Self::Receipt { .. } => b"anabranch receipt 1 ".to_vec(),
        };
        bytes.extend_from_slice(&network.0);
        bytes.extend_from_slice(&self.producer().0);
        match self {
            Self::Route { seq, .. } => bytes.extend_from_slice(&seq.to_be_bytes()),
            Self::Receipt { id, .. } => bytes.extend_from_slice(&id.0),
        }
        bytes
    }

    /// Whether its producer signed it; some 50 µs.
    pub fn is_signed(&self, network: &Hash, signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.producer().0)
            .is_ok_and(|key| key.verify_strict(&self.bytes(network), &signature).is_ok())
    }
}
