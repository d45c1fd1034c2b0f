//! The session: who the peer is, and bytes that nobody else can read or change.
//!
//! [`Handshake`] is Noise XX with an Ed25519 identity on top: each side signs its Noise key, which is new for each
//! link. It ends in a [`Session`]: the peer's id and two halves that know nothing of each other, [`Sealer`] for
//! what goes out and [`Opener`] for what comes in. Both work where the bytes lie.
//!
//! Nothing is negotiated: both sides are configured for one cipher on one network, and the first message says which,
//! so that the answering side can tell what does not fit. The same bytes are Noise's prologue, so that nobody on
//! the way can change them.
//!
//! [`Security::Plain`] takes the peer at its word and guards against nothing but accidents. It is for tests and for
//! links that are trusted for other reasons.
//!
//! What it deliberately does not do: wait (deadlines are the link's), allow or refuse a key that is proven (the link
//! asks), pad, or hide how long messages are.
//!
//! **Invariant:** all randomness is drawn from the generator that is passed at construction.
//!
//! **Invariant:** no nonce is used twice with a key, and none is spent on a frame that cannot be one.
//!
//! `spec/link.md`, "Session".

mod cipher;
mod handshake;
mod payload;
mod resolver;
#[cfg(test)]
mod tests;
mod transport;
mod violation;

pub use handshake::{Handshake, refusal, refused};
pub use payload::WIRE_VERSION;
pub use transport::{Exhausted, Opener, REKEY_FRAMES, SEGMENT_OVERHEAD_BYTES, Sealer};
pub use violation::Violation;

use crate::PeerId;

/// What encrypts the frames of a link. Both sides are configured alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cipher {
    /// AES-256-GCM: the faster one where the processor knows AES.
    #[default]
    Aes256Gcm,
    /// ChaCha20-Poly1305: where it does not.
    ChaChaPoly,
}

/// Whether a link is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Noise XX over X25519 and SHA-256; identities are proven.
    Noise(Cipher),
    /// Clear bytes with a CRC32C per frame; identities are claimed.
    Plain,
}

impl Default for Security {
    fn default() -> Self {
        Self::Noise(Cipher::default())
    }
}

impl Security {
    /// How the first message of a handshake says it.
    fn code(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Noise(Cipher::Aes256Gcm) => 1,
            Self::Noise(Cipher::ChaChaPoly) => 2,
        }
    }
}

/// What both sides of a link must have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Which chain.
    pub network_id: [u8; 32],
    /// How the link is guarded.
    pub security: Security,
}

/// A link whose peer is known.
#[derive(Debug)]
pub struct Session {
    /// Who is at the other end.
    pub peer: PeerId,
    /// For what goes out.
    pub sealer: Sealer,
    /// For what comes in.
    pub opener: Opener,
}
