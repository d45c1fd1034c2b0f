//! What goes into the machine and what comes out of it.

use std::time::Duration;

use bytes::Bytes;
use chain::Hash;

use super::claim::{Claim, Signature};
use super::message::Message;
use super::violation::Violation;
use crate::sync::bodies::Producer;

/// What time it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Of a clock that never goes back; for deadlines.
    pub mono: Duration,
    /// Since the Unix epoch; for sequence numbers and the age of packets.
    pub wall: Duration,
}

/// Ties an effect to its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Whom something is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Everybody. Nobody confirms it.
    All,
    /// These producers, each of which confirms it. Ourselves, if we are among them, are left out.
    Producers(Vec<Producer>),
}

/// What somebody who looked at a packet says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Accept,
    /// Do not, and blame nobody.
    Ignore,
    /// Do not, and blame whoever sends it.
    Reject,
}

/// What happened. `P` names a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<P> {
    /// Time has passed: give it when [`State::next_deadline`](super::State::next_deadline) is reached.
    Tick,
    /// Who can be reached: all producers there are, and which of them we are. Again at each change.
    Producers {
        /// All of them; at most [`MAX_RECIPIENTS`](super::MAX_RECIPIENTS) are kept.
        all: Vec<Producer>,
        /// Ourselves.
        me: Option<Producer>,
    },
    /// A link opened.
    Joined {
        /// To whom.
        peer: P,
        /// Its round trip, where it was measured already.
        rtt: Option<Duration>,
        /// How many bytes the link takes on the routing channel now.
        room: u64,
    },
    /// A link closed, with all that was under way on it.
    Left {
        /// To whom.
        peer: P,
    },
    /// A round trip was measured.
    Rtt {
        /// Of the link to whom.
        peer: P,
        /// The smoothed one.
        rtt: Duration,
    },
    /// How many bytes the link takes on the routing channel now: body, head and the link's flat charge of each message.
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
    /// The answer to [`Output::Verify`].
    Verified {
        /// Of which.
        ticket: Ticket,
        /// What [`Claim::is_signed`] said.
        genuine: bool,
    },
    /// The answer to [`Output::Sign`].
    Signed {
        /// The claim.
        claim: Claim,
        /// Over [`Claim::bytes`].
        signature: Signature,
    },
    /// The answer to [`Output::Judge`].
    Judged {
        /// The packet.
        id: Hash,
        /// What it is worth.
        verdict: Verdict,
    },
    /// Send something. It is not looked at before: it is ours.
    Send {
        /// Chosen by the asker; comes back in [`Output::Confirmed`], [`Output::Over`] or [`Output::Refused`].
        ticket: Ticket,
        /// To whom.
        to: To,
        /// What; at most [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES).
        body: Bytes,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this as a note on the routing channel. There is room for it.
    Send {
        /// To whom.
        peer: P,
        /// What.
        message: Message,
    },
    /// Find out whether a claim is signed, anywhere, in any order.
    Verify {
        /// Comes back in [`Input::Verified`].
        ticket: Ticket,
        /// What to check.
        claim: Claim,
        /// Against which signature.
        signature: Signature,
    },
    /// Sign a claim with the key of the producer that we are.
    Sign {
        /// Comes back in [`Input::Signed`].
        claim: Claim,
    },
    /// Look at a packet before it is passed on; answered by [`Input::Judged`], in time.
    Judge {
        /// The packet.
        id: Hash,
        /// Who brought it first.
        peer: P,
        /// What it carries.
        body: Bytes,
    },
    /// A packet for us; once each.
    Deliver {
        /// The packet.
        id: Hash,
        /// What it carries.
        body: Bytes,
    },
    /// One recipient has our packet: its signature says so.
    Confirmed {
        /// The asker's.
        ticket: Ticket,
        /// Who.
        by: Producer,
    },
    /// Nothing more will be done about our packet.
    Over {
        /// The asker's.
        ticket: Ticket,
        /// Who has not confirmed it.
        missing: Vec<Producer>,
    },
    /// Our packet will not be sent.
    Refused {
        /// The asker's.
        ticket: Ticket,
        /// Why.
        why: Refusal,
    },
    /// A peer broke a rule.
    Misbehaved {
        /// Who.
        peer: P,
        /// How.
        violation: Violation,
    },
}

/// Why a packet of ours is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is too long.
    #[error("{bytes} bytes are more than a packet carries")]
    TooLong {
        /// What it has.
        bytes: usize,
    },
    /// It is for nobody but ourselves.
    #[error("it is for nobody else")]
    Nobody,
    /// It is for somebody who is no producer.
    #[error("{producer:?} is no producer")]
    Unknown {
        /// Who.
        producer: Producer,
    },
    /// Too much is unconfirmed already.
    #[error("too many packets wait to be confirmed; try again later")]
    Busy,
}

/// What operators may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Open links.
    pub peers: usize,
    /// Producers besides ourselves.
    pub producers: usize,
    /// Those to whom there is a route.
    pub reachable: usize,
    /// Our packets that are not confirmed yet.
    pub unconfirmed: usize,
    /// Bytes of memory of packets seen.
    pub seen_bytes: usize,
    /// What happened so far.
    pub counts: Counts,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came again and went no further.
    pub duplicates: u64,
    /// Packets that were too old, or from the future.
    pub stale: u64,
    /// Messages of peers beyond their pace.
    pub hasty: u64,
    /// Packets that found no place to be looked at.
    pub unjudged: u64,
    /// Messages that a link had no room for.
    pub no_room: u64,
    /// Packets that went over every link from here.
    pub floods: u64,
    /// Hops that did not deliver.
    pub faults: u64,
    /// Receipts for packets that we do not know any more, and signatures beyond what one peer may have us check.
    pub passed_over: u64,
    /// Claims with our own key that this process never made and that are newer than ours: of an earlier life with
    /// another clock or, where they go on, of a second process with our key.
    pub claims_elsewhere: u64,
}
