//! Who a peer is: an Ed25519 key.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand::CryptoRng;

/// A peer's name for ever: its Ed25519 public key, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 32]);

/// The secret that proves a [`PeerId`].
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
}

/// Why a text names no peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not 64 hexadecimal digits.
    #[error("a peer's key is 64 hexadecimal digits")]
    Digits,
    /// Not a point of the curve that anybody could sign for.
    #[error("these digits are no Ed25519 public key")]
    NoKey,
}

impl PeerId {
    /// Whether the peer signed this message.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseError::Digits)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| ParseError::NoKey)?;
        if key.is_weak() { Err(ParseError::NoKey) } else { Ok(Self(bytes)) }
    }
}

impl Identity {
    /// The identity of a seed: the 32 secret bytes of an Ed25519 key.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// A new one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self::from_seed(&seed)
    }

    /// The secret, to be kept in a file.
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// What others know it by.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.key.verifying_key().to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, secret not shown)", self.peer_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_survives_its_text_and_others_are_refused() {
        let id = Identity::from_seed(&[7; 32]).peer_id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("12".parse::<PeerId>(), Err(ParseError::Digits));
        assert_eq!("zz".repeat(32).parse::<PeerId>(), Err(ParseError::Digits));
        // The neutral element: everyone could sign for it.
        let weak = format!("01{}", "00".repeat(31));
        assert_eq!(weak.parse::<PeerId>(), Err(ParseError::NoKey));
    }

    #[test]
    fn only_the_secret_signs_for_its_id() {
        let (ours, theirs) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let signature = ours.sign(b"message");
        assert!(ours.peer_id().verify(b"message", &signature));
        assert!(!ours.peer_id().verify(b"massage", &signature));
        assert!(!theirs.peer_id().verify(b"message", &signature));
    }

    #[test]
    fn its_debug_text_keeps_the_secret() {
        let identity = Identity::from_seed(&[7; 32]);
        assert!(!format!("{identity:?}").contains(&hex::encode([7; 32])));
    }
}
