//! What an upstream did wrong, and what follows from it: the one place where faults become consequences.

use std::time::Duration;

use chain::DecodeError;
use chain::format::Reason;
use chain::{Hash, Point};
use ouroboros::upstream;

/// A fault of an upstream: what it sent cannot come from an honest server of our chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A header that cannot be decoded.
    #[error("undecodable header: {0}")]
    HeaderUndecodable(DecodeError),
    /// A header that does not fit to its parent or fails a check.
    #[error("invalid header {id:.16}: {reason}")]
    HeaderInvalid {
        /// Which.
        id: Hash,
        /// What is wrong with it.
        reason: Reason,
    },
    /// A header that does not follow the last one that this upstream announced.
    #[error("header {id:.16} does not follow {last:.16}")]
    HeaderUnlinked {
        /// Which.
        id: Hash,
        /// Where the upstream stood.
        last: Point,
    },
    /// A header whose slot has not begun.
    #[error("header {id:.16} lies {ahead:?} in the future (is the clock of this machine right?)")]
    HeaderFromTheFuture {
        /// Which.
        id: Hash,
        /// How far.
        ahead: Duration,
    },
    /// A header nobody asked for.
    #[error("a header that was not asked for")]
    HeaderUnasked,
    /// More headers on more forks than a chain of ours can have.
    #[error("more than {headers} headers on forks above our irreversible block")]
    TooManyForks {
        /// How many are allowed.
        headers: usize,
    },
    /// A block that cannot be decoded.
    #[error("undecodable block: {0}")]
    BlockUndecodable(DecodeError),
    /// A body that is not the one its header names, or breaks another rule of its format.
    #[error("invalid block {id:.16}: {reason}")]
    BlockInvalid {
        /// Which.
        id: Hash,
        /// What is wrong with it.
        reason: Reason,
    },
    /// A block other than the next of the range that was asked for.
    #[error("block {id:.16} was not asked for")]
    BlockUnasked {
        /// Which.
        id: Hash,
    },
    /// A range ended before all of its blocks had come.
    #[error("a range ended {missing} blocks early")]
    RangeShort {
        /// How many are missing.
        missing: usize,
    },
    /// An intersection at a point that was not among ours.
    #[error("intersection at {at:.16}, which we did not offer")]
    IntersectionUnknown {
        /// What it said.
        at: Point,
    },
    /// Roll-backs without end, and no chain that grows.
    #[error("more than {times} roll-backs, and its chain did not grow")]
    RollBacks {
        /// How many are allowed.
        times: u32,
    },
    /// A chain that is behind ours and stays there, however often it moves.
    #[error("its chain moved {told} times and did not come to our irreversible block")]
    TrailsForEver {
        /// How often.
        told: u64,
    },
    /// A roll-back to a point above the irreversible tip that it never announced.
    #[error("roll-back to {to:.16}, which it never announced")]
    RollBackUnknown {
        /// Where to.
        to: Point,
    },
}

/// Why a connection ends or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// It broke a rule that we checked.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// Its machine ended: it broke the wire protocol, or refused the handshake.
    #[error(transparent)]
    Closed(upstream::Reason),
    /// The connection broke off.
    #[error("connection lost: {0}")]
    Lost(String),
    /// It could not be reached.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// Its chain conflicts with what is irreversible here.
    #[error("its chain conflicts with our irreversible block")]
    Conflict,
    /// It held up the blocks that everything else waits for.
    #[error("it held up the next wanted block and delivered nothing")]
    Stalled,
    /// It does not have blocks whose headers it announced.
    #[error("it announced headers and has no blocks for them")]
    NoBlocks,
    /// It has nothing in common with our chain, not even the beginning.
    #[error("no intersection, not even at the beginning: is it of the same network?")]
    NoIntersection,
    /// Its chain was dropped for want of room.
    #[error("there was no room for its chain")]
    Crowded,
    /// This node failed and accepts nothing more.
    #[error("this node has stopped accepting")]
    Failed,
}

/// The end of a connection with its consequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Why.
    pub cause: Cause,
    /// How long the upstream is left alone, jitter included.
    pub cool_off: Duration,
}

/// The first and the longest pause after a cause; between them it doubles with each fault in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// After the first.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

/// A dead server is often a restarting one: as the link's dial back-off.
const BACK_OFF: Pause = Pause { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// Slow now may be fine in a moment, but another try at once would stall us again. A guess.
const SLOW: Pause = Pause { first: Duration::from_secs(10), longest: Duration::from_secs(300) };
/// A liar costs us work with each connection, a few a day are cheap. A guess.
const LIED: Pause = Pause { first: Duration::from_secs(60), longest: Duration::from_secs(3_600) };

impl Cause {
    /// The consequence.
    pub fn pause(&self) -> Pause {
        match self {
            Self::Closed(upstream::Reason::Violation(_)) => LIED,
            Self::Closed(upstream::Reason::Handshake(_) | upstream::Reason::Done) => BACK_OFF,
            Self::Lost(_) | Self::Unreachable(_) => BACK_OFF,
            Self::Stalled | Self::NoBlocks | Self::Crowded => SLOW,
            Self::Violation(_) | Self::Conflict | Self::NoIntersection => LIED,
            // It dials no more.
            Self::Failed => Pause { first: Duration::ZERO, longest: Duration::ZERO },
        }
    }
}
