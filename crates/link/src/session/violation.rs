//! What a peer can do wrong in a session. All of it ends the link.

use crate::PeerId;
use crate::reason::Code;

/// What the peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It speaks something else.
    #[error("it does not speak this protocol")]
    NotAnabranch,
    /// It speaks another version of the wire.
    #[error("it speaks version {theirs} of the wire and we version {ours}")]
    WrongVersion {
        /// Our version.
        ours: u16,
        /// The peer's.
        theirs: u16,
    },
    /// It is on another network.
    #[error("it is on another network, {}", hex::encode(theirs))]
    WrongNetwork {
        /// The peer's network.
        theirs: [u8; 32],
    },
    /// It is configured for another cipher.
    #[error("it is configured for another cipher (number {theirs}, ours is {ours})")]
    WrongCipher {
        /// The number of ours on the wire.
        ours: u8,
        /// The number of the peer's.
        theirs: u8,
    },
    /// It refused us. Anybody on the way could have said so: a hint, no more.
    #[error("it refused the connection: {code}")]
    Refused {
        /// Its reason.
        code: Code,
    },
    /// A handshake message of another length than it must have, or with an unknown tag.
    #[error("a malformed handshake message of {length} bytes")]
    Malformed {
        /// The length of the frame's content.
        length: usize,
    },
    /// It spoke when it was not its turn.
    #[error("a handshake message out of turn")]
    OutOfTurn,
    /// A key that leads to a secret that everybody knows.
    #[error("a weak key")]
    WeakKey,
    /// It cannot prove the key that it claims.
    #[error("it did not prove the key {claimed} that it claims")]
    Unproven {
        /// The key.
        claimed: PeerId,
    },
    /// It is somebody else than we dialled: an impostor, or it has a new key.
    #[error("it has the key {found}, not {expected}")]
    WrongKey {
        /// Whom we dialled.
        expected: PeerId,
        /// Who answered.
        found: PeerId,
    },
    /// It has our own key: we dialled ourselves, or our secret is used elsewhere.
    #[error("it has our own key")]
    OwnKey,
    /// A message that was not sealed by the peer for this place: forged, replayed, reordered or damaged.
    #[error("a message that does not authenticate")]
    Unauthentic,
    /// It has sent as much as a session can carry.
    #[error("the session's nonces are used up")]
    Exhausted,
}

impl Violation {
    /// Its name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotAnabranch => "not_anabranch",
            Self::WrongVersion { .. } => "wrong_version",
            Self::WrongNetwork { .. } => "wrong_network",
            Self::WrongCipher { .. } => "wrong_cipher",
            Self::Refused { .. } => "refused",
            Self::Malformed { .. } => "malformed_handshake",
            Self::OutOfTurn => "out_of_turn",
            Self::WeakKey => "weak_key",
            Self::Unproven { .. } => "unproven_key",
            Self::WrongKey { .. } => "wrong_key",
            Self::OwnKey => "own_key",
            Self::Unauthentic => "unauthentic",
            Self::Exhausted => "nonces_exhausted",
        }
    }
}
