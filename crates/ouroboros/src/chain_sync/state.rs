//! The states of chain-sync, and what each allows.

use std::time::Duration;

use link::Mode;

use super::Message;
use crate::limits::{Limits, SHORT, SMALL_BYTES, Wait};

/// How long an initiator may be silent: the sources' number (the specification has 3,673 s).
const IDLE: Wait = Wait::Fixed(Duration::from_secs(3_373));

/// How long a chain may stand still: between these, a streak of empty slots has a chance of 1 % to 0.0001 %.
const MUST_REPLY: Wait = Wait::Between(Duration::from_secs(601), Duration::from_secs(911));

/// The state of one conversation, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The initiator may ask.
    Idle,
    /// The responder looks for an intersection.
    Intersect,
    /// The responder answers a RequestNext, or says that there is nothing yet.
    CanAwait,
    /// The responder answers as soon as there is something.
    MustReply,
    /// It is over.
    Done,
}

impl State {
    /// Whose turn it is.
    pub fn agency(self) -> Option<Mode> {
        match self {
            Self::Idle => Some(Mode::Initiator),
            Self::Intersect | Self::CanAwait | Self::MustReply => Some(Mode::Responder),
            Self::Done => None,
        }
    }

    /// What the side whose turn it is must keep to.
    pub fn limits(self) -> Limits {
        let time = match self {
            Self::Idle => IDLE,
            Self::Intersect | Self::CanAwait => SHORT,
            Self::MustReply => MUST_REPLY,
            Self::Done => Wait::Forever,
        };
        Limits { time, bytes: SMALL_BYTES }
    }

    /// The state after a message; none when it may not be sent here.
    pub fn after(self, message: &Message<'_>) -> Option<Self> {
        use Message as M;
        match (self, message) {
            (Self::Idle, M::RequestNext) => Some(Self::CanAwait),
            (Self::Idle, M::FindIntersect { .. }) => Some(Self::Intersect),
            (Self::Idle, M::Done) => Some(Self::Done),
            (Self::CanAwait, M::AwaitReply) => Some(Self::MustReply),
            (Self::CanAwait | Self::MustReply, M::RollForward { .. } | M::RollBackward { .. }) => {
                Some(Self::Idle)
            }
            (Self::Intersect, M::IntersectFound { .. } | M::IntersectNotFound { .. }) => Some(Self::Idle),
            (Self::Idle | Self::Intersect | Self::CanAwait | Self::MustReply | Self::Done, _) => None,
        }
    }

    /// Its name, for those who read of a violation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Intersect => "Intersect",
            Self::CanAwait => "CanAwait",
            Self::MustReply => "MustReply",
            Self::Done => "Done",
        }
    }
}
