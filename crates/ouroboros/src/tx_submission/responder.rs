//! Tx-submission 2, the side that pulls: the client offers ids, we take what we want.
//!
//! One window at a time: up to ten ids are asked for and waited for, the wanted ones of them are pulled in one
//! or more requests, then all are acknowledged with the next request. It asks for nothing before it hears that
//! there is room to put it: where there is none, the client waits, and loses nothing.
//!
//! Spec: network specification, section 3.9. After MsgDone the client may begin again.

use std::time::Duration;

use bytes::Bytes;

use super::{IdAndSize, Message, State, Violation as Window};
use crate::Violation;
use crate::codec::{List, Raw};
use crate::limits::{TX_SUBMISSION, UNACKNOWLEDGED_IDS};

/// Transactions larger than this are not pulled: four times Cardano's own limit of 16,384 B. A guess.
pub(crate) const MAX_TX_BYTES: u32 = 65_536;

/// An id longer than this is refused. Cardano's takes 36 B: `[era, hash]`. A guess with room.
const MAX_ID_BYTES: usize = 128;

/// A transaction longer than this is refused: [`MAX_TX_BYTES`], and room for the envelope that some senders do
/// not count in the size that they state.
const LARGEST_BYTES: usize = MAX_TX_BYTES as usize + 32;

/// What one request may bring: it must fit the ingress queue of the protocol (721,424 B) with its framing.
const MAX_REQUEST_BYTES: u32 = 600_000;

/// A transaction on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its id, as an item.
    pub id: Bytes,
    /// The size that the client says it has.
    pub size: u32,
}

/// What it must know, or tell, before it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whether there is room for transactions: [`Responder::on_room`] as soon as there is.
    Room,
    /// Which of these are wanted: [`Responder::on_wanted`].
    Wanted(Vec<Announced>),
    /// These came. Each has its id where the client sent all that was asked for.
    Took(Vec<(Option<Bytes>, Bytes)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// The client is not ready yet.
    Init,
    /// It is to be found out, or was asked, whether there is room.
    Room { asked: bool },
    /// A request for ids is to be sent.
    Request,
    /// The client looks for ids.
    Ids,
    /// These are on offer, and it is to be found out which are wanted.
    Choose(Vec<Announced>),
    /// These are wanted; so many of them are to be asked for next, or were.
    Pull { wanted: Vec<Announced>, asked: usize, sent: bool },
}

/// The machine.
#[derive(Debug)]
pub struct Responder {
    phase: Phase,
    /// What is to be asked next.
    ask: Option<Ask>,
    /// Ids that the next request acknowledges.
    acknowledged: u16,
    /// Since when the client owes transactions.
    since: Duration,
}

impl Default for Responder {
    fn default() -> Self {
        Self { phase: Phase::Init, ask: None, acknowledged: 0, since: Duration::ZERO }
    }
}

impl Responder {
    /// Whether it takes another message now: not while what came last is being dealt with.
    pub fn has_room(&self) -> bool {
        matches!(self.phase, Phase::Init | Phase::Ids | Phase::Pull { sent: true, .. })
    }

    /// The protocol's state.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Init => State::Init,
            Phase::Room { .. } | Phase::Request | Phase::Choose(_) | Phase::Pull { sent: false, .. } => {
                State::Idle
            }
            Phase::Ids => State::BlockingIds,
            Phase::Pull { sent: true, .. } => State::Txs,
        }
    }

    /// Since when the client owes transactions, if it does.
    pub fn client_since(&self) -> Option<Duration> {
        (self.state() == State::Txs).then_some(self.since)
    }

    /// What must be found out or told; once each.
    pub fn take_ask(&mut self) -> Option<Ask> {
        if self.ask.is_none()
            && let Phase::Room { asked: asked @ false } = &mut self.phase
        {
            *asked = true;
            return Some(Ask::Room);
        }
        self.ask.take()
    }

    /// A message of the client.
    pub fn on_message(&mut self, message: &Message<'_>) -> Result<(), Violation> {
        match (&mut self.phase, message) {
            (Phase::Init, Message::Init) => self.next_window(0),
            (Phase::Ids, Message::ReplyTxIds { ids }) if !ids.is_empty() => {
                let offers = read_ids(ids)?;
                self.ask = Some(Ask::Wanted(offers.clone()));
                self.phase = Phase::Choose(offers);
            }
            (Phase::Pull { wanted, asked, sent: true }, Message::ReplyTxs { txs }) => {
                let requested = *asked;
                let txs = read_txs(txs, requested)?;
                let complete = txs.len() == requested;
                let ids = wanted.drain(..requested).map(|offer| complete.then_some(offer.id));
                let took = ids.zip(txs).collect();
                let rest = std::mem::take(wanted);
                self.ask = Some(Ask::Took(took));
                self.pull(rest);
            }
            (Phase::Ids, Message::Done) => *self = Self::default(),
            (
                Phase::Init
                | Phase::Room { .. }
                | Phase::Request
                | Phase::Ids
                | Phase::Choose(_)
                | Phase::Pull { .. },
                _,
            ) => {
                return Err(Violation::Agency {
                    protocol: TX_SUBMISSION,
                    state: self.state().name(),
                    message: message.name(),
                });
            }
        }
        Ok(())
    }

    /// There is room for transactions.
    pub fn on_room(&mut self) {
        if self.wants_room() {
            self.phase = Phase::Request;
        }
    }

    /// Whether it waits until there is room for transactions.
    pub fn wants_room(&self) -> bool {
        matches!(self.phase, Phase::Room { .. })
    }

    /// Which of the offers are wanted, in their order.
    pub fn on_wanted(&mut self, wanted: &[bool]) {
        let Phase::Choose(offers) = &mut self.phase else { panic!("nothing was on offer") };
        self.acknowledged = offers.len() as u16;
        let offers = std::mem::take(offers).into_iter().zip(wanted);
        let offers = offers.filter(|(offer, wanted)| **wanted && offer.size <= MAX_TX_BYTES);
        self.pull(offers.map(|(offer, _)| offer).collect());
    }

    /// Appends the next request, if one is due; it takes a few hundred bytes, unless the client's ids are long.
    pub fn fill(&mut self, now: Duration, out: &mut Vec<u8>) {
        match &mut self.phase {
            Phase::Request => {
                let acknowledged = std::mem::take(&mut self.acknowledged);
                // All ids before are acknowledged: the request must be a blocking one.
                Message::RequestTxIds { blocking: true, acknowledged, requested: UNACKNOWLEDGED_IDS }
                    .encode(out);
                self.phase = Phase::Ids;
            }
            Phase::Pull { wanted, asked, sent } if !*sent => {
                let ids = wanted[..*asked].iter().map(|offer| Raw(&offer.id)).collect::<Vec<_>>();
                Message::RequestTxs { ids: List::new(&ids) }.encode(out);
                *sent = true;
                self.since = now;
            }
            Phase::Init | Phase::Room { .. } | Phase::Ids | Phase::Choose(_) | Phase::Pull { .. } => {}
        }
    }

    /// Asks for as many of these as one request may, or goes on to the next window.
    fn pull(&mut self, wanted: Vec<Announced>) {
        let mut bytes = 0_u32;
        let asked = wanted
            .iter()
            .take_while(|offer| {
                bytes += offer.size;
                bytes <= MAX_REQUEST_BYTES
            })
            .count();
        if asked == 0 {
            self.next_window(self.acknowledged);
        } else {
            self.phase = Phase::Pull { wanted, asked, sent: false };
        }
    }

    fn next_window(&mut self, acknowledged: u16) {
        self.acknowledged = acknowledged;
        self.phase = Phase::Room { asked: false };
    }
}

/// The offers of a message. Each is copied: a slice would keep all of the message in memory as long as one of
/// its transactions is kept.
fn read_ids(ids: &List<'_, IdAndSize<'_>>) -> Result<Vec<Announced>, Window> {
    let (requested, got) = (UNACKNOWLEDGED_IDS, ids.iter().count());
    if got > usize::from(requested) {
        return Err(Window::TooManyIds { requested, got });
    }
    let read = |IdAndSize { id: Raw(id), size }: IdAndSize<'_>| match id.len() {
        0..=MAX_ID_BYTES => Ok(Announced { id: Bytes::copy_from_slice(id), size }),
        bytes => Err(Window::IdTooLong { bytes }),
    };
    ids.iter().map(read).collect()
}

/// The transactions of a message, copied for the same reason.
fn read_txs(txs: &List<'_, Raw<'_>>, requested: usize) -> Result<Vec<Bytes>, Window> {
    let got = txs.iter().count();
    if got > requested {
        return Err(Window::TooManyTxs { requested, got });
    }
    let read = |Raw(tx): Raw<'_>| match tx.len() {
        0..=LARGEST_BYTES => Ok(Bytes::copy_from_slice(tx)),
        bytes => Err(Window::TxTooLong { bytes }),
    };
    txs.iter().map(read).collect()
}
