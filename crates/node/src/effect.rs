//! What goes into the [`Node`](crate::Node) and what comes out of it.
//!
//! Whatever costs time or may fail is an [`Output`] and comes back as an [`Input`] under the same
//! [`Ticket`]. A driver performs outputs in the order in which they were given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::format::{Counts, State};
use chain::{Block, Hash, Header, Point, Position, Tip, View};
use consensus::quorum;
use diffusion::sync::bodies::Mode;
use link::{PeerId, Protocol};
use ouroboros::upstream;

use crate::application::{Answer, Question};
use crate::follower::violation::Closing;
use crate::member;
use crate::pool;
use crate::work::{Fault, Work};

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
    /// A link with a peer opened, closed, or brought something. Nothing of a peer comes before `Joined` and after
    /// `Left`.
    Peer {
        /// Who.
        id: PeerId,
        /// What.
        event: member::Event,
    },
    /// The answer to [`Output::Verify`].
    Verified {
        /// Of which.
        ticket: Ticket,
        /// What [`Work::run`] said.
        result: Result<Counts, Fault>,
    },
    /// The answer to [`Output::Ask`]. One that comes late, or twice, changes nothing.
    Answered {
        /// Of which.
        ticket: Ticket,
        /// What the application says.
        answer: Answer,
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
    /// The answer to [`Output::Load`].
    Loaded {
        /// Of which.
        ticket: Ticket,
        /// What was found.
        found: Found,
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
    /// An operator's order.
    Command {
        /// Chosen by the asker, comes back in [`Output::Obeyed`].
        ticket: Ticket,
        /// What to do.
        command: Command,
    },
}

/// What an operator may order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Give a proposed block up that never gets a verdict: it is judged wrong here, and never voted for.
    Blacklist(Hash),
    /// Take that back: should the block be proposed again, it is judged as any other.
    Allow(Hash),
    /// Set how bodies go between a peer and this node; also over a reconnect.
    Mode(PeerId, Mode),
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
    /// Send this to a peer, in the order of the channel. The node never sends more than the link has room for; where
    /// the peer has left, it is dropped.
    Send {
        /// To whom.
        peer: PeerId,
        /// On which channel.
        channel: Protocol,
        /// The message.
        body: Bytes,
        /// Not before this is durable. A later message of the same channel waits behind it.
        after: Option<Ticket>,
    },
    /// So many messages of a channel, in their order, are done with: their place in the channel's window goes back to
    /// the peer.
    Took {
        /// Whose.
        peer: PeerId,
        /// Which channel.
        channel: Protocol,
        /// How many.
        messages: u32,
    },
    /// A peer broke a rule: what it costs is [`member::Violation::consequence`].
    Blame {
        /// Who.
        peer: PeerId,
        /// What it did.
        violation: member::Violation,
    },
    /// Close the link with a peer, without blame: it holds everybody up. Nothing of it may follow but `Left`.
    Part {
        /// With whom.
        peer: PeerId,
    },
    /// Run this anywhere, in any order.
    Verify {
        /// Comes back in [`Input::Verified`].
        ticket: Ticket,
        /// What to run.
        work: Work,
    },
    /// Ask the application. Deliveries are taken in their order, and what is asked after a delivery sees it; the rest
    /// may be answered in any order.
    Ask {
        /// Comes back in [`Input::Answered`].
        ticket: Ticket,
        /// What.
        question: Question,
    },
    /// Append this, in order of tickets, and make it durable. Several may share one sync.
    Persist {
        /// Comes back in [`Input::Persisted`], alone or covered by a later one.
        ticket: Ticket,
        /// What to append.
        record: Record,
    },
    /// Read the log.
    Load {
        /// Comes back in [`Input::Loaded`] or [`Input::LoadFailed`].
        ticket: Ticket,
        /// What.
        load: Load,
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
    /// The answer to [`Input::Command`].
    Obeyed {
        /// The asker's.
        ticket: Ticket,
        /// What was done, or why it was not: for a person.
        result: Result<String, String>,
    },
    /// Something that an operator should read once.
    Notice(Notice),
}

/// What is read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// The points at these positions; positions that the log does not hold are left out.
    Points(Vec<Position>),
    /// The first of these points that the log holds.
    Find(Vec<Point>),
    /// Headers in a row with their certificates, where these are kept, at most so many.
    Headers {
        /// The first.
        from: Position,
        /// How many.
        max: u32,
    },
    /// Blocks in a row, from a point of the log to a later one or the end, at most so many and, but for the first, so
    /// many bytes. None where the first is not in the log.
    Blocks {
        /// The first.
        from: Point,
        /// The last.
        to: Point,
        /// How many.
        max: u32,
        /// How many bytes.
        max_bytes: u64,
    },
    /// Blocks in a row from a position on, with the same bounds.
    BlocksAt {
        /// The first.
        from: Position,
        /// How many.
        max: u32,
        /// How many bytes.
        max_bytes: u64,
    },
}

/// What was read from the log.
#[derive(Debug, Clone)]
pub enum Found {
    /// For [`Load::Points`]: in the same order.
    Points(Vec<Point>),
    /// For [`Load::Find`]: where it stands, and what it is.
    Place(Option<(Position, Tip)>),
    /// For [`Load::Headers`]: oldest first.
    Headers(Vec<(Header, Option<Bytes>)>),
    /// For [`Load::Blocks`] and [`Load::BlocksAt`]: oldest first.
    Blocks(Vec<Block>),
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
        /// What shows that the last is irreversible: an encoded certificate, where its format needs one.
        certificate: Option<Bytes>,
    },
    /// Headers of blocks that are to be bare, oldest first, after those before: their bodies are not held. Nothing is
    /// settled by it, and a crash forgets them.
    Bare {
        /// The headers.
        headers: Vec<Header>,
        /// The state after the last of them.
        state: State,
        /// What shows that the last is irreversible, where that is at hand.
        certificate: Option<Bytes>,
    },
    /// All blocks that were to be bare are settled at a stroke; the log goes on above them.
    SettleBare {
        /// The state after the last of them.
        state: State,
    },
    /// Drops the blocks that were to be bare: the log begins with the first block after all.
    ForgetBare,
    /// For the consensus journal. A [`quorum::Record::Height`] replaces all before it, and only once all that was
    /// appended before is durable.
    Journal(quorum::Record),
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
    /// A node that has nothing yet gets no snapshot, and begins again with all blocks.
    #[error(
        "no snapshot of the application's state is to be had after {bare} headers: taking all blocks from the first on; \
         see `[sync] snapshots` in the manual"
    )]
    NoSnapshot {
        /// How many headers it had let go of the bodies.
        bare: u64,
    },
    /// A header of a peer has no place in the fork tree; of those that follow, nothing more is told before a block is
    /// irreversible.
    #[error("no place for {point:.16} of peer {peer}: {reason}")]
    NoPlace {
        /// What.
        point: Point,
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: crate::member::Refusal,
    },
    /// Headers of slots that have not begun by our clock.
    #[error(
        "a header's slot begins {} ms after our time, and waits: set the clock of this machine, or of the one that made it",
        ahead.as_millis()
    )]
    Clock {
        /// How much later.
        ahead: Duration,
    },
    /// A peer no longer has what comes next for us.
    #[error(
        "{peer:.16} has blocks from {:.16} on only, and this node is further behind: connect to one that keeps \
         all of the chain, or start from a later state",
        oldest.point
    )]
    Behind {
        /// Who.
        peer: PeerId,
        /// The oldest block that it has.
        oldest: Tip,
    },
    /// Two certificates that cannot both be.
    #[error(
        "{:.16} and {:.16} are both certified: more validators lied than the chain bears, or one key votes in two \
         places; stop and compare with nodes you trust",
        ours.point, theirs.point
    )]
    TwoCertificates {
        /// The one that is taken for true here.
        ours: Tip,
        /// The other.
        theirs: Tip,
    },
    /// A validator signed two things of which an honest one signs one.
    #[error(
        "validator {} signed two things at height {} in round {}: if it is yours, one key runs in two places; stop one \
         of them",
        chain::Hash(.0.validator()), .0.height(), .0.round()
    )]
    Evidence(quorum::Evidence),
    /// This node's validator key speaks elsewhere.
    #[error(
        "this node's validator key is used by another node{}: stop one of the two; they will vote against each other, \
         and the chain counts that as a lie of this validator",
        peer.map_or(String::new(), |peer| format!(", {peer}"))
    )]
    KeyElsewhere {
        /// Who, where it is a peer.
        peer: Option<PeerId>,
    },
    /// This validator votes no more.
    #[error("this validator does not vote any more: {halt}")]
    Halted {
        /// Why.
        halt: quorum::Halt,
    },
    /// The application refuses a proposed block.
    #[error("the application refuses the proposed block {:.16}: {reason}", block.point)]
    BlockRejected {
        /// Which.
        block: Tip,
        /// Why, in its words.
        reason: String,
    },
    /// The application has blocks that the log lacks.
    #[error(
        "the application stands at {:.16} and the log ends at {:.16}: the log was put back; nothing is delivered \
         until it has caught up",
        applied.point, log.point
    )]
    ApplicationAhead {
        /// The application's last block.
        applied: Tip,
        /// The log's.
        log: Tip,
    },
    /// Nothing more is delivered to the application.
    #[error("nothing more is delivered to the application: {reason}; mend it and start again")]
    ApplicationStopped {
        /// Why.
        reason: String,
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
