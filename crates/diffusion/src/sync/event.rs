//! What goes into a connection's machine, what comes out of it, and what operators see.

use chain::{Header, Point, Position, Tip};

use super::{Fin, Hello, Message, Place, Violation};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The link is open: say hello.
    Start,
    /// The peer's hello.
    Hello(Hello),
    /// A header of the peer's, decoded.
    Header(Header),
    /// A header of the peer's that was not taken, since there is no place for it: what hangs on it is passed over without
    /// blame.
    Refused(Tip),
    /// The peer says what is irreversible.
    Fin(Fin),
    /// The answer to [`Output::Find`]: the first of the points that is in the log.
    Found(Option<Place>),
    /// What [`Output::Load`] asked for is at hand.
    Loaded,
    /// How much the link takes on the sync channel now.
    Room {
        /// In bytes.
        bytes: u64,
    },
    /// This block of the tree is about to become irreversible: said before anything is pruned.
    Settling(Place),
    /// The best chain or the LIB changed, or [`Output::Insert`] was performed.
    Moved,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this on the sync channel.
    Send(Message),
    /// Check this header, whose parent is known, and put it into the tree.
    Insert(Header),
    /// This block, whose header we have, is irreversible if the certificate says so.
    Commit(Fin),
    /// Look for these points in the log, and answer with [`Input::Found`].
    Find {
        /// Highest first.
        points: Vec<Point>,
    },
    /// Bring the headers from this position of the log on, and say [`Input::Loaded`].
    Load {
        /// The first.
        from: Position,
    },
    /// A header was passed over, without blame.
    Passed {
        /// Which.
        header: Tip,
        /// Why.
        why: Why,
    },
    /// We are so far behind that this peer no longer has what comes next: a snapshot, or another peer.
    Behind {
        /// The oldest block that it has.
        oldest: Tip,
    },
    /// The peer is so far behind that we no longer have what comes next for it.
    PeerBehind {
        /// Its LIB.
        lib: Tip,
    },
    /// The peer broke a rule.
    Violation(Violation),
}

/// Why a header was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It is at or below our LIB.
    Old,
    /// It stands on what our LIB cut off, or on what was passed over before.
    Conflict,
}

/// How far the two hellos are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing was said.
    Start,
    /// Our hello is under way.
    HelloSent,
    /// Both have come.
    Ready,
}

/// What operators may see of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// How far the hellos are.
    pub phase: Phase,
    /// The sent cursor; `None`: the peer is ahead of us.
    pub sent: Option<Place>,
    /// The last header received, where it still stands in our tree or log.
    pub received: Option<Place>,
    /// The peer's LIB, as far as we know.
    pub lib: Tip,
    /// The peer's best block.
    pub best: Tip,
    /// The highest finality sent.
    pub fin: Tip,
}
