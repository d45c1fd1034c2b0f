//! What goes into the machine of bodies, what comes out of it, and what operators see.

use std::time::Duration;

use chain::Hash;

use super::{Mode, Producer};
use crate::sync::Message;

/// Something that happened. `P` names a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<P> {
    /// Both hellos of a connection have come.
    Joined {
        /// Who.
        peer: P,
    },
    /// A connection is gone, and everything that waited for it or on it.
    Left {
        /// Who.
        peer: P,
    },
    /// A round trip was measured.
    Rtt {
        /// To whom.
        peer: P,
        /// How long it took.
        rtt: Duration,
    },
    /// The operator sets how bodies go between a peer and us.
    Mode {
        /// Who.
        peer: P,
        /// How.
        mode: Mode,
    },
    /// A body is wanted: its header joined the best chain, or consensus names it, whatever chain it is on. Wanting what
    /// is wanted changes nothing.
    Want {
        /// The block.
        id: Hash,
        /// Who made it.
        producer: Producer,
        /// How large its header says it is.
        bytes: u64,
        /// Who announced it first.
        from: Option<P>,
    },
    /// A body is wanted no more.
    Unwant {
        /// The block.
        id: Hash,
    },
    /// A header came from a peer: said before its body is wanted.
    Announced {
        /// Who.
        peer: P,
        /// The block.
        id: Hash,
        /// Who made it.
        producer: Producer,
    },
    /// A peer sent a body. Where its header is known, it is the one that the header names.
    Arrived {
        /// Who.
        peer: P,
        /// The block.
        id: Hash,
        /// Who made it.
        producer: Producer,
        /// How large it is.
        bytes: usize,
        /// Whether we have it already, durable or about to be.
        held: bool,
    },
    /// We have a body and can serve it: it is durable, or we made it.
    Stored {
        /// The block.
        id: Hash,
        /// Who made it.
        producer: Producer,
        /// Who sent it.
        from: Option<P>,
    },
    /// A header goes to a peer: said before anything that is sent to it later. With [`Input::Stored`] it makes the
    /// promise of [`Message::Pushes`] true, whichever comes first.
    Told {
        /// Whom.
        peer: P,
        /// The block.
        id: Hash,
        /// Who made it, where we have its body.
        held: Option<Producer>,
    },
    /// A peer asks for a body.
    Asked {
        /// Who.
        peer: P,
        /// The block.
        id: Hash,
        /// Whether it wants its producer's next ones pushed.
        follow: bool,
        /// Who made it, where we have it.
        held: Option<Producer>,
    },
    /// A peer will not send a body, or sent another one under its name.
    Refused {
        /// Who.
        peer: P,
        /// The block.
        id: Hash,
    },
    /// A peer wants no more of a producer's bodies unasked.
    Stopped {
        /// Who.
        peer: P,
        /// The producer.
        producer: Producer,
    },
    /// A peer pushes a producer's bodies from now on.
    Pushes {
        /// Who.
        peer: P,
        /// The producer.
        producer: Producer,
    },
    /// Nothing but the time.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this on the sync channel.
    Send {
        /// To whom.
        peer: P,
        /// What.
        message: Message,
    },
    /// Send this body on the channel of bodies.
    Serve {
        /// To whom.
        peer: P,
        /// The block.
        id: Hash,
    },
    /// Store the body that just arrived, or that was kept.
    Take {
        /// Who sent it.
        peer: P,
        /// The block.
        id: Hash,
    },
    /// Keep the body that just arrived: it is not wanted yet.
    Keep {
        /// Who sent it.
        peer: P,
        /// The block.
        id: Hash,
    },
    /// Let a body go that was kept.
    Forget {
        /// Who sent it.
        peer: P,
        /// The block.
        id: Hash,
    },
}

/// What operators may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status {
    /// Bodies that are wanted.
    pub wanted: usize,
    /// Producers that have a parent.
    pub parents: usize,
    /// Requests of peers that wait for their bodies.
    pub parked: usize,
    /// Bodies that arrived.
    pub arrived: u64,
    /// Bodies that arrived though we had them.
    pub twice: u64,
    /// Bodies that there was no room to keep until somebody wants them.
    pub useless: u64,
    /// Requests that ran out of time.
    pub late: u64,
}
