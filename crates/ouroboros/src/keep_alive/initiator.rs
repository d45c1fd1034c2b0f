//! The side that asks whether the other is there, and learns how long an answer takes.

use std::time::Duration;

use link::Protocol;
use link::mux::Outbox;

use super::{Message, State};
use crate::conversation::{Speaker, admit, in_time, undecodable};
use crate::framing::Item;
use crate::upstream::Event;
use crate::{Violation, limits};

/// Asks at an interval.
#[derive(Debug, Clone)]
pub struct Initiator {
    interval: Duration,
    cookie: u16,
    state: State,
    /// When the last question was asked.
    asked: Duration,
    /// When to ask next, or to stop waiting for the answer; none before the start and after the end.
    deadline: Option<Duration>,
    outbox: Outbox,
}

impl Initiator {
    /// An initiator that asks so often, beginning with this cookie.
    pub fn new(interval: Duration, cookie: u16) -> Self {
        Self {
            interval,
            cookie,
            state: State::Client,
            asked: Duration::ZERO,
            deadline: None,
            outbox: Outbox::default(),
        }
    }

    /// Asks for the first time.
    pub fn start(&mut self, now: Duration) {
        self.ask(now);
    }

    /// Says that no more will be asked, if that can be said now.
    pub fn done(&mut self) {
        if self.state == State::Client {
            Message::Done.encode(self.outbox.buffer());
            self.state = State::Done;
            self.deadline = None;
        }
    }

    fn ask(&mut self, now: Duration) {
        self.cookie = self.cookie.wrapping_add(1);
        Message::KeepAlive { cookie: self.cookie }.encode(self.outbox.buffer());
        self.state = State::Server;
        self.asked = now;
        self.deadline = self.state.limits().time.choose(|_| 0).map(|time| now + time);
    }
}

impl Speaker for Initiator {
    const PROTOCOL: Protocol = limits::KEEP_ALIVE;
    type Output = Event;

    fn limit(&self) -> usize {
        self.state.limits().bytes
    }

    fn on_message(&mut self, now: Duration, item: &Item<'_>) -> Result<Option<Event>, Violation> {
        let message = Message::decode(item.bytes()).map_err(undecodable(Self::PROTOCOL))?;
        let after = (self.state.after(&message), message.name());
        self.state = admit(Self::PROTOCOL, (self.state.agency(), self.state.name()), after)?;
        match message {
            // Not admitted in any state in which the responder has agency.
            Message::KeepAlive { .. } | Message::Done => Ok(None),
            Message::Response { cookie } if cookie != self.cookie => {
                Err(Violation::Cookie { sent: self.cookie, got: cookie })
            }
            Message::Response { .. } => {
                self.deadline = Some(now.max(self.asked + self.interval));
                Ok(Some(Event::Rtt { rtt: now.saturating_sub(self.asked) }))
            }
        }
    }

    fn on_tick(&mut self, now: Duration) -> Result<(), Violation> {
        match self.state {
            State::Client if self.deadline.is_some_and(|deadline| now >= deadline) => {
                self.ask(now);
                Ok(())
            }
            State::Client | State::Done => Ok(()),
            State::Server => in_time(Self::PROTOCOL, self.state.name(), self.deadline, now),
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}
