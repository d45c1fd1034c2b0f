//! The side that has transactions.
//!
//! It answers what the responder asks: a blocking question for ids stays unanswered until there is something on
//! offer, all others are answered at once.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use link::Protocol;
use link::mux::Outbox;

use super::{IdAndSize, Message, State, Violation as Fault};
use crate::codec::{List, Raw};
use crate::conversation::{Speaker, admit, undecodable};
use crate::framing::Item;
use crate::{Violation, limits};

/// How many bytes of transactions may be on offer: the responder's queue for them, as the reference has it.
pub const MAX_OFFERED_BYTES: usize = 721_424;

/// A transaction on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Its id, as an item.
    pub id: Bytes,
    /// The transaction, as an item.
    pub tx: Bytes,
}

/// Offers transactions.
#[derive(Debug, Clone)]
pub struct Initiator {
    state: State,
    /// How many ids the blocking question asks for.
    requested: u16,
    /// Offers whose ids the responder does not know.
    fresh: VecDeque<Offered>,
    /// Offers whose ids it knows and has not acknowledged, oldest first.
    unacknowledged: VecDeque<Offered>,
    offered_bytes: usize,
    outbox: Outbox,
}

impl Initiator {
    /// An initiator without offers, before its first message.
    pub fn new() -> Self {
        Self {
            state: State::Init,
            requested: 0,
            fresh: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            offered_bytes: 0,
            outbox: Outbox::default(),
        }
    }

    /// Says that it is ready to be asked.
    pub fn start(&mut self) {
        assert_eq!(self.state, State::Init, "started once");
        Message::Init.encode(self.outbox.buffer());
        self.state = State::Idle;
    }

    /// Puts a transaction on offer; false when too much is on offer already.
    pub fn offer(&mut self, offer: Offered) -> bool {
        if self.offered_bytes + offer.tx.len() > MAX_OFFERED_BYTES {
            return false;
        }
        self.offered_bytes += offer.tx.len();
        self.fresh.push_back(offer);
        if self.state == State::BlockingIds {
            self.reply_ids(self.requested);
        }
        true
    }

    /// The protocol's state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Says that there will be no more transactions, if that can be said now.
    pub fn done(&mut self) {
        if self.state == State::BlockingIds {
            Message::Done.encode(self.outbox.buffer());
            self.state = State::Done;
        }
    }

    fn on_request_ids(&mut self, blocking: bool, acknowledged: u16, requested: u16) -> Result<(), Fault> {
        // The window is bounded by the limit below: its length fits.
        let unacknowledged = self.unacknowledged.len() as u16;
        let Some(unacknowledged) = unacknowledged.checked_sub(acknowledged) else {
            return Err(Fault::AcknowledgedTooMany { acknowledged, unacknowledged });
        };
        if requested > limits::UNACKNOWLEDGED_IDS - unacknowledged {
            return Err(Fault::RequestedTooMany { requested, unacknowledged });
        }
        if requested == 0 && (blocking || acknowledged == 0) {
            return Err(Fault::RequestedNothing);
        }
        if blocking != (unacknowledged == 0) {
            return Err(Fault::WrongKind { blocking, unacknowledged });
        }
        let through = self.unacknowledged.drain(..usize::from(acknowledged));
        self.offered_bytes -= through.map(|offer| offer.tx.len()).sum::<usize>();
        if blocking && self.fresh.is_empty() {
            self.requested = requested;
        } else {
            self.reply_ids(requested);
        }
        Ok(())
    }

    fn reply_ids(&mut self, requested: u16) {
        let told = self.fresh.len().min(usize::from(requested));
        let ids: Vec<IdAndSize<'_>> = self
            .fresh
            .iter()
            .take(told)
            .map(|offer| IdAndSize { id: Raw(&offer.id), size: offer.tx.len() as u32 })
            .collect();
        Message::ReplyTxIds { ids: List::new(&ids) }.encode(self.outbox.buffer());
        self.unacknowledged.extend(self.fresh.drain(..told));
        self.state = State::Idle;
    }

    fn on_request_txs(&mut self, ids: &List<'_, Raw<'_>>) -> Result<(), Fault> {
        let mut left: Vec<&Offered> = self.unacknowledged.iter().collect();
        let mut txs = Vec::new();
        for id in ids.iter() {
            let at = left.iter().position(|offer| offer.id == id.0).ok_or(Fault::NotOffered)?;
            txs.push(Raw(&left.swap_remove(at).tx));
        }
        Message::ReplyTxs { txs: List::new(&txs) }.encode(self.outbox.buffer());
        self.state = State::Idle;
        Ok(())
    }
}

impl Default for Initiator {
    fn default() -> Self {
        Self::new()
    }
}

impl Speaker for Initiator {
    const PROTOCOL: Protocol = limits::TX_SUBMISSION;
    type Output = Infallible;

    fn limit(&self) -> usize {
        self.state.limits().bytes
    }

    fn on_message(&mut self, _: Duration, item: &Item<'_>) -> Result<Option<Infallible>, Violation> {
        let message = Message::decode(item.bytes()).map_err(undecodable(Self::PROTOCOL))?;
        let after = (self.state.after(&message), message.name());
        self.state = admit(Self::PROTOCOL, (self.state.agency(), self.state.name()), after)?;
        match message {
            // Not admitted in any state in which the responder has agency.
            Message::Init | Message::ReplyTxIds { .. } | Message::ReplyTxs { .. } | Message::Done => {}
            Message::RequestTxIds { blocking, acknowledged, requested } => {
                self.on_request_ids(blocking, acknowledged, requested)?;
            }
            Message::RequestTxs { ids } => self.on_request_txs(&ids)?,
        }
        Ok(None)
    }

    /// The responder may be silent as long as it likes.
    fn on_tick(&mut self, _: Duration) -> Result<(), Violation> {
        Ok(())
    }

    fn next_deadline(&self) -> Option<Duration> {
        None
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}
