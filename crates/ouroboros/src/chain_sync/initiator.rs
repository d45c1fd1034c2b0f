//! The side that follows.
//!
//! Requests are pipelined: up to a window of RequestNext are sent before their answers come. The state kept is that
//! of the *first* unanswered request, which is where the responder is.
//!
//! Requests go out many at a time. A responder that waits at its tip has the turn and reads no further request, while
//! one that is built on `pallas-network` has room for 100 segments that it has not read: behind one more it reads
//! nothing, of any protocol. A window of requests in a segment each would silence it, and blocks asked for then would
//! never come.
//!
//! **Invariant:** at any time the unanswered requests of a window of up to 300 were sent in at most 11 goes; a go is
//! one segment.

use std::time::Duration;

use chain::Point;
use link::Protocol;
use link::mux::Outbox;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Message, State};
use crate::codec::List;
use crate::conversation::{Speaker, admit, in_time, undecodable};
use crate::framing::Item;
use crate::upstream::Event;
use crate::{Violation, limits};

/// How many points one FindIntersect may list: all of them fit a message three times over.
pub const MAX_POINTS: usize = 512;

/// How many batches make a window. Less than a batch is sent only where it at least doubles what is unanswered, so
/// that a small demand goes at once and the line never runs dry.
const BATCHES: u32 = 6;

/// Asks for an intersection and for what comes after it.
#[derive(Debug, Clone)]
pub struct Initiator {
    window: u32,
    rng: ChaCha8Rng,
    /// RequestNext that may be sent when the window has room for a batch of them.
    wanted: u32,
    /// RequestNext that are sent and not answered.
    unanswered: u32,
    /// A FindIntersect is sent, after those, and not answered.
    intersecting: bool,
    state: State,
    deadline: Option<Duration>,
    outbox: Outbox,
}

impl Initiator {
    /// An initiator that leaves at most so many RequestNext unanswered; `rng` draws its random time limits.
    pub fn new(window: u32, rng: ChaCha8Rng) -> Self {
        Self {
            window,
            rng,
            wanted: 0,
            unanswered: 0,
            intersecting: false,
            state: State::Idle,
            deadline: None,
            outbox: Outbox::default(),
        }
    }

    /// Asks which of these points, best first, the responder's chain has. Demand that was not sent is forgotten;
    /// the answers to what was sent come first. One question at a time.
    pub fn intersect(&mut self, now: Duration, points: &[Point]) {
        assert!(!self.intersecting, "the last question for an intersection is not answered");
        assert!(points.len() <= MAX_POINTS, "{} points to intersect with", points.len());
        if self.state == State::Done {
            return;
        }
        Message::FindIntersect { points: List::new(points) }.encode(self.outbox.buffer());
        self.intersecting = true;
        self.wanted = 0;
        if self.unanswered == 0 {
            self.await_answer(now);
        }
    }

    /// Asks for so many more changes of the chain, whichever way they go: at once, or with what is demanded next.
    pub fn demand(&mut self, now: Duration, n: u32) {
        self.wanted = self.wanted.saturating_add(n);
        let idle = self.unanswered == 0;
        self.request();
        if idle && self.unanswered > 0 {
            self.await_answer(now);
        }
    }

    /// Says that no more is wanted, if that can be said now.
    pub fn done(&mut self) {
        if self.state == State::Idle {
            Message::Done.encode(self.outbox.buffer());
            self.state = State::Done;
        }
    }

    /// Panics where the parts do not hold together.
    pub fn check_invariants(&self) {
        assert!(self.unanswered <= self.window, "the window is kept");
        let idle = self.unanswered == 0 && !self.intersecting;
        match self.state {
            State::Idle => assert!(idle, "idle with something unanswered"),
            State::Intersect => assert!(self.unanswered == 0 && self.intersecting, "no question is open"),
            State::CanAwait | State::MustReply => assert!(self.unanswered > 0, "nothing is awaited"),
            State::Done => {}
        }
        let waits = !matches!(self.state, State::Idle | State::Done);
        assert_eq!(self.deadline.is_some(), waits, "whoever waits has a deadline");
    }

    fn request(&mut self) {
        if self.intersecting || self.state == State::Done {
            return;
        }
        let n = self.window.saturating_sub(self.unanswered).min(self.wanted);
        if n < self.unanswered.min(self.window / BATCHES) {
            // The rest of a batch, or the answer to all that was sent, is still to come.
            return;
        }
        for _ in 0..n {
            Message::RequestNext.encode(self.outbox.buffer());
        }
        self.wanted -= n;
        self.unanswered += n;
    }

    /// The request before was answered, or there was none: the state is now the next request's.
    fn await_answer(&mut self, now: Duration) {
        let state = match (self.unanswered, self.intersecting) {
            (0, false) => State::Idle,
            (0, true) => State::Intersect,
            _ => State::CanAwait,
        };
        self.enter(now, state);
    }

    fn enter(&mut self, now: Duration, state: State) {
        self.state = state;
        // In Idle the turn, and with it the time limit, is ours.
        self.deadline = match state {
            State::Idle | State::Done => None,
            State::Intersect | State::CanAwait | State::MustReply => {
                let wait = state.limits().time.choose(|below| self.rng.random_range(0..below));
                wait.map(|wait| now + wait)
            }
        };
    }

    fn on_answer(&mut self, now: Duration) {
        self.unanswered -= 1;
        self.request();
        self.await_answer(now);
    }

    fn on_intersect_answer(&mut self, now: Duration) {
        self.intersecting = false;
        self.request();
        self.await_answer(now);
    }
}

impl Speaker for Initiator {
    const PROTOCOL: Protocol = limits::CHAIN_SYNC;
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
            Message::RequestNext | Message::FindIntersect { .. } | Message::Done => None,
            Message::AwaitReply => {
                self.enter(now, state);
                Some(Event::Waiting)
            }
            Message::RollForward { header, tip } => {
                self.on_answer(now);
                Some(Event::Forward { wire: item.keep(header), tip })
            }
            Message::RollBackward { point, tip } => {
                self.on_answer(now);
                Some(Event::Backward { point, tip })
            }
            Message::IntersectFound { point, tip } => {
                self.on_intersect_answer(now);
                Some(Event::Intersected { point, tip })
            }
            Message::IntersectNotFound { tip } => {
                self.on_intersect_answer(now);
                Some(Event::NotIntersected { tip })
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
