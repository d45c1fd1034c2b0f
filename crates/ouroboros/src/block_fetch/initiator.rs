//! The side that asks for blocks.
//!
//! Ranges are pipelined and answered in order. Which blocks a range must bring is not known here: who asked checks
//! that each block is the next one of its range, and ends the connection when one is not.

use std::time::Duration;

use chain::Point;
use link::Protocol;
use link::mux::Outbox;

use super::{Message, State};
use crate::conversation::{Speaker, admit, in_time, undecodable};
use crate::framing::Item;
use crate::upstream::Event;
use crate::{Violation, limits};

/// Asks for ranges.
#[derive(Debug, Clone)]
pub struct Initiator {
    /// Ranges that are asked for and not done.
    unanswered: usize,
    state: State,
    deadline: Option<Duration>,
    outbox: Outbox,
}

impl Initiator {
    /// An initiator that has not asked for anything.
    pub fn new() -> Self {
        Self { unanswered: 0, state: State::Idle, deadline: None, outbox: Outbox::default() }
    }

    /// Asks for the blocks from one point to another, both included. At most
    /// [`RANGES_IN_FLIGHT`](limits::RANGES_IN_FLIGHT) at a time.
    pub fn fetch(&mut self, now: Duration, from: Point, to: Point) {
        assert!(self.unanswered < limits::RANGES_IN_FLIGHT, "too many ranges asked for at a time");
        if self.state == State::Done {
            return;
        }
        Message::RequestRange { from, to }.encode(self.outbox.buffer());
        self.unanswered += 1;
        if self.unanswered == 1 {
            self.enter(now, State::Busy);
        }
    }

    /// Says that no more is wanted, if that can be said now.
    pub fn done(&mut self) {
        if self.state == State::Idle {
            Message::ClientDone.encode(self.outbox.buffer());
            self.state = State::Done;
        }
    }

    /// Panics where the parts do not hold together.
    pub fn check_invariants(&self) {
        assert!(self.unanswered <= limits::RANGES_IN_FLIGHT, "ranges are bounded");
        let waits = matches!(self.state, State::Busy | State::Streaming);
        assert_eq!(waits, self.unanswered > 0, "the state is that of the first range");
        assert_eq!(waits, self.deadline.is_some(), "whoever waits has a deadline");
    }

    fn on_range_end(&mut self, now: Duration) {
        self.unanswered -= 1;
        self.enter(now, if self.unanswered > 0 { State::Busy } else { State::Idle });
    }

    fn enter(&mut self, now: Duration, state: State) {
        self.state = state;
        self.deadline = state.limits().time.choose(|_| 0).map(|time| now + time);
    }
}

impl Default for Initiator {
    fn default() -> Self {
        Self::new()
    }
}

impl Speaker for Initiator {
    const PROTOCOL: Protocol = limits::BLOCK_FETCH;
    type Output = Event;

    fn limit(&self) -> usize {
        self.state.limits().bytes
    }

    fn on_message(&mut self, now: Duration, item: &Item<'_>) -> Result<Option<Event>, Violation> {
        let message = Message::decode(item.bytes()).map_err(undecodable(Self::PROTOCOL))?;
        let after = (self.state.after(&message), message.name());
        let state = admit(Self::PROTOCOL, (self.state.agency(), self.state.name()), after)?;
        Ok(match message {
            // Not admitted in any state in which the responder has agency.
            Message::RequestRange { .. } | Message::ClientDone => None,
            Message::StartBatch => {
                self.enter(now, state);
                Some(Event::BatchStarted)
            }
            Message::Block { raw } => {
                self.enter(now, state);
                Some(Event::Block { raw: item.keep(raw) })
            }
            Message::BatchDone => {
                self.on_range_end(now);
                Some(Event::BatchDone)
            }
            Message::NoBlocks => {
                self.on_range_end(now);
                Some(Event::NoBlocks)
            }
        })
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
