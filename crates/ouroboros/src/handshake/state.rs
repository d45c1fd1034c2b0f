//! The states of the handshake, and what each allows.

use link::Mode;

use super::Message;
use crate::limits::{Limits, SHORT, WINDOW_BYTES, Wait};

/// The state of one conversation, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The initiator says which versions it speaks.
    Propose,
    /// The responder chooses one of them.
    Confirm,
    /// It is over.
    Done,
}

impl State {
    /// Whose turn it is.
    pub fn agency(self) -> Option<Mode> {
        match self {
            Self::Propose => Some(Mode::Initiator),
            Self::Confirm => Some(Mode::Responder),
            Self::Done => None,
        }
    }

    /// What the side whose turn it is must keep to.
    pub fn limits(self) -> Limits {
        let time = match self {
            Self::Propose | Self::Confirm => SHORT,
            Self::Done => Wait::Forever,
        };
        Limits { time, bytes: WINDOW_BYTES }
    }

    /// The state after a message; none when it may not be sent here. (Two sides that open one TCP connection at
    /// the same time could both propose; we never dial from the port that we listen on.)
    pub fn after(self, message: &Message<'_>) -> Option<Self> {
        use Message as M;
        match (self, message) {
            (Self::Propose, M::ProposeVersions { .. }) => Some(Self::Confirm),
            (Self::Confirm, M::AcceptVersion { .. } | M::Refuse(_) | M::QueryReply { .. }) => {
                Some(Self::Done)
            }
            (Self::Propose | Self::Confirm | Self::Done, _) => None,
        }
    }

    /// Its name, for those who read of a violation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Propose => "Propose",
            Self::Confirm => "Confirm",
            Self::Done => "Done",
        }
    }
}
