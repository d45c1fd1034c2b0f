//! The side that asks for addresses.

use std::time::Duration;

use link::Protocol;
use link::mux::Outbox;

use super::{Message, State};
use crate::conversation::{Speaker, admit, in_time, undecodable};
use crate::framing::Item;
use crate::upstream::Event;
use crate::{Violation, limits};

/// Asks when told to.
#[derive(Debug, Clone)]
pub struct Initiator {
    state: State,
    /// How many were asked for last.
    asked: u8,
    deadline: Option<Duration>,
    outbox: Outbox,
}

impl Initiator {
    /// An initiator that has not asked for anything.
    pub fn new() -> Self {
        Self { state: State::Idle, asked: 0, deadline: None, outbox: Outbox::default() }
    }

    /// Asks for addresses. While an answer is awaited, that answer is this one's too.
    pub fn ask(&mut self, now: Duration, amount: u8) {
        if self.state == State::Idle {
            Message::ShareRequest { amount }.encode(self.outbox.buffer());
            self.asked = amount;
            self.state = State::Busy;
            self.deadline = self.state.limits().time.choose(|_| 0).map(|time| now + time);
        }
    }

    /// Says that no more will be asked, if that can be said now.
    pub fn done(&mut self) {
        if self.state == State::Idle {
            Message::Done.encode(self.outbox.buffer());
            self.state = State::Done;
        }
    }
}

impl Default for Initiator {
    fn default() -> Self {
        Self::new()
    }
}

impl Speaker for Initiator {
    const PROTOCOL: Protocol = limits::PEER_SHARING;
    type Output = Event;

    fn limit(&self) -> usize {
        self.state.limits().bytes
    }

    fn on_message(&mut self, _: Duration, item: &Item<'_>) -> Result<Option<Event>, Violation> {
        let message = Message::decode(item.bytes()).map_err(undecodable(Self::PROTOCOL))?;
        let after = (self.state.after(&message), message.name());
        self.state = admit(Self::PROTOCOL, (self.state.agency(), self.state.name()), after)?;
        self.deadline = None;
        match message {
            // Not admitted in any state in which the responder has agency.
            Message::ShareRequest { .. } | Message::Done => Ok(None),
            Message::SharePeers { peers } => {
                let got = peers.iter().count();
                if got > usize::from(self.asked) {
                    return Err(Violation::TooManyPeers { asked: self.asked, got });
                }
                Ok(Some(Event::Peers { peers: peers.iter().map(|peer| peer.0).collect() }))
            }
        }
    }

    fn on_tick(&mut self, now: Duration) -> Result<(), Violation> {
        in_time(Self::PROTOCOL, self.state.name(), self.deadline, now)
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}
