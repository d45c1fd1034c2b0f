//! What goes into the machine and what comes out of it.

use bytes::Bytes;
use chain::Hash;

use super::{Kind, Message, Name, Violation};

/// Ties a submission to its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the application says of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pool it and offer it to others.
    Accept,
    /// Do not, and blame nobody: it is stale, or cannot be told.
    Ignore,
    /// It is wrong.
    Reject,
}

/// What happened. `P` names a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<P> {
    /// Time has passed: give it when [`State::next_deadline`](super::State::next_deadline) is reached.
    Tick,
    /// Whether the application is far enough to judge items; it counts as such at the start. While it is not, nothing is
    /// asked of peers, and what they offer waits.
    Pulling(bool),
    /// A link opened.
    Joined {
        /// To whom.
        peer: P,
        /// How many bytes the link takes on the relay channel now.
        room: u64,
    },
    /// A link closed, with all that was under way on it.
    Left {
        /// To whom.
        peer: P,
    },
    /// How many bytes the link takes on the relay channel now: body, head and the link's flat charge of each message.
    Room {
        /// The link to whom.
        peer: P,
        /// In bytes.
        bytes: u64,
    },
    /// A message came, in the order of its channel.
    Message {
        /// From whom.
        peer: P,
        /// Decoded.
        message: Message,
    },
    /// An item of our own.
    Submit {
        /// Chosen by the asker; comes back in [`Output::Submitted`].
        ticket: Ticket,
        /// Its kind.
        kind: Kind,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The answer to [`Output::Judge`]. A rejection may also come later, for an item that was accepted: it is dropped.
    Judged {
        /// The item.
        name: Name,
        /// What it is worth.
        verdict: Verdict,
    },
    /// These items are in an irreversible block, or otherwise need no relay any more.
    Included {
        /// Their kind.
        kind: Kind,
        /// Which.
        ids: Vec<Hash>,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this as a note on the relay channel. There is room for it.
    Send {
        /// To whom.
        peer: P,
        /// What.
        message: Message,
    },
    /// Ask the application; answered by [`Input::Judged`]. What is not answered within
    /// [`Config::judge_timeout`](super::Config::judge_timeout) waits on, and a later answer still counts.
    Judge {
        /// The item.
        name: Name,
        /// Its bytes.
        bytes: Bytes,
        /// Who brought it; nobody where it is our own.
        from: Option<P>,
    },
    /// The answer to [`Input::Submit`], at once.
    Submitted {
        /// The asker's.
        ticket: Ticket,
        /// Its name, or why it was not taken.
        result: Result<Name, Refusal>,
    },
    /// An item of our own has come to another stage.
    Progressed {
        /// Which.
        name: Name,
        /// Where it is now.
        stage: Stage,
    },
    /// A peer broke a rule.
    Misbehaved {
        /// Who.
        peer: P,
        /// How.
        violation: Violation,
    },
}

/// Why an item of our own was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such kind is relayed here.
    #[error("this node relays no items of kind {}", kind.0)]
    Unknown {
        /// The kind.
        kind: Kind,
    },
    /// Nothing in it.
    #[error("the item is empty")]
    Empty,
    /// Too large.
    #[error("the item has {bytes} bytes, {max_bytes} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// It waits already.
    #[error("the item waits already")]
    Waits,
    /// It was included.
    #[error("the item was included already")]
    Included,
    /// No room: back off.
    #[error("the pool is full: try again after the next block")]
    Full,
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The application looks at it.
    Judging,
    /// The application takes long; it waits, and is not offered.
    Late,
    /// It is accepted, and offered to peers.
    Pooled,
    /// It was included.
    Included,
    /// It is wrong.
    Rejected,
    /// The application could not tell, or did not answer.
    Ignored,
    /// It was pooled for as long as it may be.
    Expired,
}

/// How far an item came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub stage: Stage,
    /// To how many peers it was offered, where it is our own and here. A peer that comes back counts again.
    pub offered: u32,
    /// How many peers asked for it, likewise.
    pub requested: u32,
    /// Whether another node has offered it to us, likewise.
    pub seen_back: bool,
}

/// What operators may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Open links.
    pub peers: usize,
    /// Items in the pool.
    pub pooled: usize,
    /// Bytes of them.
    pub pooled_bytes: usize,
    /// Items that the application has before it, the late ones included.
    pub judging: usize,
    /// Bytes of them.
    pub judging_bytes: usize,
    /// Items for whose verdict we wait for longer than the application should take.
    pub late: usize,
    /// Items that were offered and are not here.
    pub wanted: usize,
    /// Those of them that somebody is waited for.
    pub asked: usize,
    /// What happened so far.
    pub counts: Counts,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items that were accepted.
    pub accepted: u64,
    /// Items that were rejected.
    pub rejected: u64,
    /// Items of which the application could tell nothing.
    pub ignored: u64,
    /// Items without a verdict that were given up.
    pub unjudged: u64,
    /// Items that left the pool for their age.
    pub expired: u64,
    /// Items that were included while they were here.
    pub included: u64,
    /// Items that peers were asked for.
    pub asked: u64,
    /// Leases that ran out.
    pub lapses: u64,
    /// Items that came after their lease.
    pub late: u64,
    /// Items that came and were here already.
    pub duplicates: u64,
    /// Items that came late and found no room.
    pub no_room: u64,
    /// Offers of kinds that we do not know.
    pub strange: u64,
    /// Offers of items that are longer than their kind may be here.
    pub too_large: u64,
    /// Offers that were sent.
    pub offers: u64,
    /// Items that were sent.
    pub served: u64,
    /// Wants that were refused.
    pub refused: u64,
}

/// What is known of a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its offers that are neither here nor given up.
    pub offers: usize,
    /// What it was asked for and has not answered.
    pub asked: usize,
    /// Of these, those whose lease ran out.
    pub overdue: usize,
    /// Items that it brought when they were needed.
    pub useful: u64,
    /// Items that it brought when they were here already.
    pub duplicates: u64,
    /// Items that it brought after their lease.
    pub late: u64,
    /// Leases that it let run out.
    pub lapses: u64,
    /// Items of its that are wrong.
    pub wrong: u64,
}
