//! The states of peer-sharing, and what each allows.

use link::Mode;

use super::Message;
use crate::limits::{LONG, Limits, WINDOW_BYTES, Wait};

/// The state of one conversation, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The initiator may ask.
    Idle,
    /// The responder answers.
    Busy,
    /// It is over.
    Done,
}

impl State {
    /// Whose turn it is.
    pub fn agency(self) -> Option<Mode> {
        match self {
            Self::Idle => Some(Mode::Initiator),
            Self::Busy => Some(Mode::Responder),
            Self::Done => None,
        }
    }

    /// What the side whose turn it is must keep to.
    pub fn limits(self) -> Limits {
        let time = match self {
            Self::Idle | Self::Done => Wait::Forever,
            Self::Busy => LONG,
        };
        Limits { time, bytes: WINDOW_BYTES }
    }

    /// The state after a message; none when it may not be sent here.
    pub fn after(self, message: &Message<'_>) -> Option<Self> {
        match (self, message) {
            (Self::Idle, Message::ShareRequest { .. }) => Some(Self::Busy),
            (Self::Idle, Message::Done) => Some(Self::Done),
            (Self::Busy, Message::SharePeers { .. }) => Some(Self::Idle),
            (Self::Idle | Self::Busy | Self::Done, _) => None,
        }
    }

    /// Its name, for those who read of a violation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Busy => "Busy",
            Self::Done => "Done",
        }
    }
}
