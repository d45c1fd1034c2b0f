//! What a peer did wrong on a link, and what that costs it.
//!
//! The one place that maps a fault to its consequence. What is here is the link's; what a message's content breaks is
//! judged by those who read it. Faults of our own are assertions and never end up here.

use std::collections::BTreeMap;

use crate::{Protocol, control, frame, mux, session};

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Before a message can be read, or in proving who it comes from.
    #[error(transparent)]
    Session(#[from] session::Violation),
    /// In the outer frames.
    #[error(transparent)]
    Frame(#[from] frame::Violation),
    /// In the mux.
    #[error("mux: {0}")]
    Mux(#[from] mux::Violation),
    /// A frame stopped arriving in its middle.
    #[error("a frame did not arrive in time")]
    SlowFrame,
    /// A message took too long from its first byte to its last.
    #[error("a message on channel {channel} did not arrive in time")]
    SlowMessage {
        /// Where.
        channel: Protocol,
    },
    /// A message longer than its channel carries. It is passed over.
    #[error("a message of {length} bytes on channel {channel}, which carries at most {limit}")]
    TooLong {
        /// Where.
        channel: Protocol,
        /// What its head says.
        length: u32,
        /// The longest that the channel carries.
        limit: u32,
    },
    /// A message that was rejected for its length goes on and on.
    #[error("another {bytes} bytes of a message on channel {channel} that was rejected")]
    Endless {
        /// Where.
        channel: Protocol,
        /// How many have come since the last complaint.
        bytes: u32,
    },
    /// A message of a kind that is not known, or not on this channel. It is passed over.
    #[error("a message of kind {kind} on channel {channel}")]
    UnknownKind {
        /// Where.
        channel: Protocol,
        /// What stood in its place.
        kind: u8,
    },
    /// On the control channel stands something else than a control message.
    #[error("control: {0}")]
    Control(#[from] control::Error),
    /// A second hello: what was agreed stays.
    #[error("a hello on an open link")]
    HelloAgain,
    /// There was no memory left for a message. It is passed over; the peer could not know.
    #[error("no room for a message of {length} bytes on channel {channel}")]
    OverBudget {
        /// Where.
        channel: Protocol,
        /// How long it is.
        length: u32,
    },
    /// More pings than are answered. Those that are too many are not.
    #[error("more pings than are answered")]
    PingFlood,
    /// More credit than was used, or for a channel that there is not.
    #[error("{bytes} bytes of credit on channel {channel}, more than was used")]
    Credit {
        /// Where.
        channel: Protocol,
        /// How much.
        bytes: u32,
    },
    /// What a message says breaks a rule of those who read it.
    #[error("what it said breaks a rule: {name}")]
    Content {
        /// The rule's name for operators and machines.
        name: &'static str,
    },
    /// So many faults in so little time that the link is not worth keeping.
    #[error("{count} faults, as many as are borne at a time")]
    Strikes {
        /// How many there were within the time that counts.
        count: u32,
    },
}

/// What a violation costs the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing: it is counted, and the message in question is lost.
    Count,
    /// A strike: what is at fault is rejected, the link stays open.
    Strike,
    /// The link.
    Close,
}

impl Violation {
    /// What it costs on an open link; of [`Content`](Self::Content) at least that, those who read it know more. Before a
    /// link is open, every violation closes it.
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::Frame(frame::Violation::TooShort { .. } | frame::Violation::TooLong { .. })
            | Self::Mux(
                mux::Violation::UnknownProtocol { .. }
                | mux::Violation::WrongMode { .. }
                | mux::Violation::Empty { .. }
                | mux::Violation::Overrun { .. }
                | mux::Violation::Cut { .. },
            )
            | Self::SlowMessage { .. }
            | Self::TooLong { .. }
            | Self::Endless { .. }
            | Self::UnknownKind { .. }
            | Self::Control(_)
            | Self::PingFlood
            | Self::Credit { .. }
            | Self::HelloAgain
            | Self::Content { .. } => Consequence::Strike,
            Self::OverBudget { .. } => Consequence::Count,
            // Nothing that comes after could be opened: the nonces are out of step.
            Self::Session(_) | Self::SlowFrame | Self::Strikes { .. } => Consequence::Close,
        }
    }

    /// Its name for operators and machines: it does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Session(fault) => fault.name(),
            Self::Frame(fault) => fault.name(),
            Self::Mux(fault) => fault.name(),
            Self::SlowFrame => "slow_frame",
            Self::SlowMessage { .. } => "slow_message",
            Self::TooLong { .. } => "too_long",
            Self::Endless { .. } => "endless_message",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::Control(control::Error::Unknown { .. }) => "unknown_control",
            Self::Control(_) => "bad_control",
            Self::HelloAgain => "hello_again",
            Self::OverBudget { .. } => "over_budget",
            Self::PingFlood => "ping_flood",
            Self::Credit { .. } => "credit",
            Self::Content { name } => name,
            Self::Strikes { .. } => "strikes",
        }
    }
}

/// How often each kind of violation happened. It holds no memory for a peer without any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    by_name: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts one.
    pub fn add(&mut self, violation: &Violation) {
        *self.by_name.entry(violation.name()).or_default() += 1;
    }

    /// How often it was this one.
    pub fn get(&self, name: &str) -> u64 {
        self.by_name.get(name).copied().unwrap_or(0)
    }

    /// Those that happened, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.by_name.iter().map(|(name, count)| (*name, *count))
    }
}
