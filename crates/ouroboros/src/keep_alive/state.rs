//! The states of keep-alive, and what each allows.

use std::time::Duration;

use link::Mode;

use super::Message;
use crate::limits::{LONG, Limits, SMALL_BYTES, Wait};

/// How long an initiator may be silent.
const CLIENT: Wait = Wait::Fixed(Duration::from_secs(97));

/// The state of one conversation, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The initiator may ask.
    Client,
    /// The responder answers.
    Server,
    /// It is over.
    Done,
}

impl State {
    /// Whose turn it is.
    pub fn agency(self) -> Option<Mode> {
        match self {
            Self::Client => Some(Mode::Initiator),
            Self::Server => Some(Mode::Responder),
            Self::Done => None,
        }
    }

    /// What the side whose turn it is must keep to.
    pub fn limits(self) -> Limits {
        let time = match self {
            Self::Client => CLIENT,
            Self::Server => LONG,
            Self::Done => Wait::Forever,
        };
        Limits { time, bytes: SMALL_BYTES }
    }

    /// The state after a message; none when it may not be sent here.
    pub fn after(self, message: &Message) -> Option<Self> {
        match (self, message) {
            (Self::Client, Message::KeepAlive { .. }) => Some(Self::Server),
            (Self::Client, Message::Done) => Some(Self::Done),
            (Self::Server, Message::Response { .. }) => Some(Self::Client),
            (Self::Client | Self::Server | Self::Done, _) => None,
        }
    }

    /// Its name, for those who read of a violation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Server => "Server",
            Self::Done => "Done",
        }
    }
}
