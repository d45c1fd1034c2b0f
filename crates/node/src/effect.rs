//! What goes into the [`Node`](crate::Node) and what comes out of it.
//!
//! Whatever costs time or may fail is an [`Output`] and comes back as an [`Input`] under the same
//! [`Ticket`]. A driver performs outputs in the order in which they were given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::format::{Checks, Counts, Reason, State};
use chain::{Block, Hash, Point, Position, View};
use ouroboros::upstream;

use crate::pool;
use crate::violation::Closing;

/// Ties an effect to its answer; grows by one with each effect, so that tickets are ordered by time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One configured upstream: its place among them, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u32);

impl fmt::Display for UpstreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream {}", self.0)
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Time has passed: give it when [`next_deadline`](crate::Node::next_deadline) is reached, and once
    /// after the start.
    Tick,
    /// The machine that speaks with an upstream says something. `Closed` is its last word until the next
    /// [`Output::Connect`].
    Upstream {
        /// Who.
        id: UpstreamId,
        /// What.
        event: upstream::Event,
    },
    /// [`Output::Connect`] led to no connection, or the connection is gone without a word of its machine.
    ConnectFailed {
        /// Who could not be reached, or hung up.
        id: UpstreamId,
        /// The system's word for it, shown to the operator.
        error: String,
    },
    /// The answer to [`Output::Verify`].
    Verified {
        /// Of which.
        ticket: Ticket,
        /// What [`Checks::run`] said.
        result: Result<Counts, Reason>,
    },
    /// Every [`Output::Persist`] up to and including this ticket is durable.
    Persisted {
        /// The watermark.
        ticket: Ticket,
    },
    /// The disk refused an append or a sync: the node accepts nothing more.
    PersistFailed {
        /// Which append.
        ticket: Ticket,
        /// The system's word for it, shown to the operator.
        error: String,
    },
    /// The answer to [`Output::Load`]: the points at those positions, in the same order.
    Loaded {
        /// Of which.
        ticket: Ticket,
        /// The points; positions that the log does not hold are left out.
        points: Vec<Point>,
    },
    /// The disk refused to read the log: the node accepts nothing more. Without those points an upstream would
    /// be followed from far below, and what cannot be read cannot be served either.
    LoadFailed {
        /// Which read.
        ticket: Ticket,
        /// The system's word for it, shown to the operator.
        error: String,
    },
    /// Somebody asks this node to put a transaction into one of its blocks.
    Submit {
        /// Chosen by the asker, comes back in [`Output::Submitted`].
        ticket: Ticket,
        /// The transaction's bytes.
        tx: Bytes,
    },
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Dial this upstream and start a fresh machine for it. Answered by `Ready` or `Closed` in
    /// [`Input::Upstream`], or by [`Input::ConnectFailed`]. The driver never dials unasked: back-off and
    /// cool-off are the node's.
    Connect {
        /// Whom.
        id: UpstreamId,
    },
    /// Hand this command to the upstream's machine; dropped where the connection has ended meanwhile.
    Upstream {
        /// To whom.
        id: UpstreamId,
        /// What it shall do.
        command: upstream::Command,
    },
    /// Close the connection to this upstream. No event of it may follow until the next `Connect`.
    Disconnect {
        /// Whose.
        id: UpstreamId,
        /// Why, and for how long it stays away.
        closing: Closing,
    },
    /// Run these checks anywhere, in any order.
    Verify {
        /// Comes back in [`Input::Verified`].
        ticket: Ticket,
        /// What to run.
        checks: Checks,
    },
    /// Append this, in order of tickets, and make it durable. Several may share one sync.
    Persist {
        /// Comes back in [`Input::Persisted`], alone or covered by a later one.
        ticket: Ticket,
        /// What to append.
        record: Record,
    },
    /// Read the points of settled blocks.
    Load {
        /// Comes back in [`Input::Loaded`] or [`Input::LoadFailed`].
        ticket: Ticket,
        /// Which.
        positions: Vec<Position>,
    },
    /// The chain as readers may see it from now on; everything in it is durable.
    Publish(Arc<View>),
    /// The answer to [`Input::Submit`].
    Submitted {
        /// The asker's.
        ticket: Ticket,
        /// The transaction's id, or why it was refused.
        result: Result<Hash, pool::Refusal>,
    },
    /// Something that an operator should read once.
    Notice(Notice),
}

/// What is appended to the store.
#[derive(Debug, Clone)]
pub enum Record {
    /// A block above the irreversible tip, on any fork.
    Fork(Block),
    /// Blocks that became irreversible, oldest first; they move from the fork files to the log.
    Settle {
        /// The blocks.
        blocks: Vec<Block>,
        /// The state after the last of them, for a snapshot when the store finds it time for one.
        state: State,
    },
}

/// Something worth a line in the operator's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
    /// An upstream's chain leaves ours below the irreversible tip.
    #[error(
        "{id} serves a chain that conflicts with our irreversible block {irreversible:.16}: it left ours \
         at or before {at:.16}. Either it follows another network or fork, or our upstreams misled us: \
         compare with a node you trust"
    )]
    Conflict {
        /// Who.
        id: UpstreamId,
        /// The last point that it shares with us, or the first that it does not.
        at: Point,
        /// Our irreversible tip.
        irreversible: Point,
    },
    /// A single upstream decides what is irreversible.
    #[error("m = 1: one upstream alone decides what is irreversible here; configure more and raise m")]
    SingleWitness,
    /// The fork tree refused something.
    #[error("the fork tree refused {point:.16}: {reason}")]
    Refused {
        /// What.
        point: Point,
        /// Why.
        reason: chain::tree::Refusal,
    },
    /// The disk failed to write.
    #[error("a write failed ({error}): this node accepts nothing more; free the disk and start it again")]
    PersistFailed {
        /// The system's word.
        error: String,
    },
    /// The disk failed to read.
    #[error(
        "the log cannot be read ({error}): this node accepts nothing more; run `db verify`, and replace the \
         disk or import again"
    )]
    LoadFailed {
        /// The system's word.
        error: String,
    },
}

/// How far a slot may lie ahead of our clock: what the reference node allows for clocks that differ.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);
