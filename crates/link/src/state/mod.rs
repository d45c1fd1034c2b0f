//! The states of a link, from a place in the pool to its end.
//!
//! A pure table: which event leads from which state to which. It knows no clock and no bytes; who drives a link
//! asks it for the next state and keeps the answer in a [`Lifecycle`], which operators see. Drawn in `docs/link.md`.
//!
//! **Invariant:** a link ends in [`State::Closed`] exactly once and never leaves it: reopening is a new link.
//! **Invariant:** the first reason for a link's end stays; a fault while it closes does not replace it.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write};

use crate::Time;
use crate::reason::Reason;

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// A place in the pool is reserved.
    Opening,
    /// The bearer is being made; inbound links skip it.
    Connecting,
    /// Noise messages are exchanged.
    Authenticating,
    /// The peer's key is proven; the hook and the tie-break decide.
    Authenticated,
    /// Versions, network id and channels are being agreed.
    Connected,
    /// Messages flow.
    Open,
    /// A fatal fault happened; usable for nothing.
    Errored,
    /// The control lane is flushed and the reason sent.
    Closing,
    /// The place in the pool is free.
    Closed,
}

/// What moves a link from one state to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The dial began.
    Dialling,
    /// Bytes can flow.
    BearerUp,
    /// The last message of the handshake proved the peer's key.
    Proven,
    /// The hook and the tie-break let the peer in.
    Allowed,
    /// Both sides' hellos agree.
    Agreed,
    /// A fault that ends the link.
    Failed,
    /// We or the peer want an end without a fault.
    Asked,
    /// What an errored link still has to say is under way.
    Flushing,
    /// All was said, or there was no more time for it.
    Done,
}

/// Every transition there is.
pub const TRANSITIONS: &[(State, Event, State)] = &[
    (State::Opening, Event::Dialling, State::Connecting),
    (State::Opening, Event::BearerUp, State::Authenticating),
    (State::Connecting, Event::BearerUp, State::Authenticating),
    (State::Authenticating, Event::Proven, State::Authenticated),
    (State::Authenticated, Event::Allowed, State::Connected),
    (State::Connected, Event::Agreed, State::Open),
    (State::Opening, Event::Failed, State::Errored),
    (State::Connecting, Event::Failed, State::Errored),
    (State::Authenticating, Event::Failed, State::Errored),
    (State::Authenticated, Event::Failed, State::Errored),
    (State::Connected, Event::Failed, State::Errored),
    (State::Open, Event::Failed, State::Errored),
    (State::Opening, Event::Asked, State::Closing),
    (State::Connecting, Event::Asked, State::Closing),
    (State::Authenticating, Event::Asked, State::Closing),
    (State::Authenticated, Event::Asked, State::Closing),
    (State::Connected, Event::Asked, State::Closing),
    (State::Open, Event::Asked, State::Closing),
    (State::Errored, Event::Flushing, State::Closing),
    (State::Closing, Event::Done, State::Closed),
];

/// A link's state, since when, and why it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    state: State,
    since: Time,
    /// In a box, since most of a life has none.
    reason: Option<Box<Reason>>,
    ended_in: Option<State>,
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Opening,
        Self::Connecting,
        Self::Authenticating,
        Self::Authenticated,
        Self::Connected,
        Self::Open,
        Self::Errored,
        Self::Closing,
        Self::Closed,
    ];

    /// The state after this event; nothing where the event cannot happen.
    pub fn after(self, event: Event) -> Option<Self> {
        TRANSITIONS.iter().find(|(from, by, _)| (*from, *by) == (self, event)).map(|(_, _, to)| *to)
    }

    /// Whether the link may still become or stay usable: no end has begun.
    pub fn is_live(self) -> bool {
        self < Self::Errored
    }

    /// Its name for operators.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Connecting => "connecting",
            Self::Authenticating => "authenticating",
            Self::Authenticated => "authenticated",
            Self::Connected => "connected",
            Self::Open => "open",
            Self::Errored => "errored",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Dialling,
        Self::BearerUp,
        Self::Proven,
        Self::Allowed,
        Self::Agreed,
        Self::Failed,
        Self::Asked,
        Self::Flushing,
        Self::Done,
    ];

    /// What the diagram calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dialling => "dial begins",
            Self::BearerUp => "bearer up",
            Self::Proven => "key proven",
            Self::Allowed => "hook allows",
            Self::Agreed => "hellos agree",
            Self::Failed => "fault",
            Self::Asked => "asked",
            Self::Flushing => "at once",
            Self::Done => "flushed, or 1 s over",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Lifecycle {
    /// The life of a link whose place in the pool was reserved now.
    pub fn new(now: Time) -> Self {
        Self { state: State::Opening, since: now, reason: None, ended_in: None }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// When it began.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Why the link ends; nothing while it is live.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_deref()
    }

    /// In which state it was when its end began; nothing while it is live.
    pub fn ended_in(&self) -> Option<State> {
        self.ended_in
    }

    /// Moves on.
    ///
    /// # Panics
    /// When the event cannot happen in this state: that is our own fault.
    pub fn advance(&mut self, now: Time, event: Event) {
        let next = self.state.after(event);
        let Some(next) = next else { panic!("{event:?} cannot happen while {}", self.state) };
        self.state = next;
        self.since = now;
    }

    /// Begins the end, by way of errored where the reason is a fault; a link that ends already keeps its reason.
    /// Returns whether it was this call that began it.
    pub fn end(&mut self, now: Time, reason: Reason) -> bool {
        if !self.state.is_live() {
            return false;
        }
        self.ended_in = Some(self.state);
        if reason.is_fault() {
            self.advance(now, Event::Failed);
            self.advance(now, Event::Flushing);
        } else {
            self.advance(now, Event::Asked);
        }
        self.reason = Some(Box::new(reason));
        true
    }
}

/// The diagram of [`TRANSITIONS`] in mermaid's language, as `docs/link.md` shows it.
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> opening\n");
    for (from, event, to) in TRANSITIONS {
        let _ = writeln!(text, "    {from} --> {to}: {}", event.name());
    }
    text.push_str("    closed --> [*]\n");
    text
}
