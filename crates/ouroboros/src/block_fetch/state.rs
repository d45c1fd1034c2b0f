//! The states of block-fetch, and what each allows.

use link::Mode;

use super::Message;
use crate::limits::{LARGE_BYTES, LONG, Limits, SMALL_BYTES, Wait};

/// The state of one conversation, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The initiator may ask.
    Idle,
    /// The responder looks for the range.
    Busy,
    /// The responder sends the blocks.
    Streaming,
    /// It is over.
    Done,
}

impl State {
    /// Whose turn it is.
    pub fn agency(self) -> Option<Mode> {
        match self {
            Self::Idle => Some(Mode::Initiator),
            Self::Busy | Self::Streaming => Some(Mode::Responder),
            Self::Done => None,
        }
    }

    /// What the side whose turn it is must keep to.
    pub fn limits(self) -> Limits {
        match self {
            Self::Idle | Self::Done => Limits { time: Wait::Forever, bytes: SMALL_BYTES },
            Self::Busy => Limits { time: LONG, bytes: SMALL_BYTES },
            Self::Streaming => Limits { time: LONG, bytes: LARGE_BYTES },
        }
    }

    /// The state after a message; none when it may not be sent here.
    pub fn after(self, message: &Message<'_>) -> Option<Self> {
        use Message as M;
        match (self, message) {
            (Self::Idle, M::RequestRange { .. }) => Some(Self::Busy),
            (Self::Idle, M::ClientDone) => Some(Self::Done),
            (Self::Busy, M::StartBatch) => Some(Self::Streaming),
            (Self::Busy, M::NoBlocks) => Some(Self::Idle),
            (Self::Streaming, M::Block { .. }) => Some(Self::Streaming),
            (Self::Streaming, M::BatchDone) => Some(Self::Idle),
            (Self::Idle | Self::Busy | Self::Streaming | Self::Done, _) => None,
        }
    }

    /// Its name, for those who read of a violation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Busy => "Busy",
            Self::Streaming => "Streaming",
            Self::Done => "Done",
        }
    }
}
