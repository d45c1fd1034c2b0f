//! The machine itself: from one state to the next.

use std::sync::Arc;
use std::time::Duration;

use rand::CryptoRng;

use super::{Config, Halves, Input, Output, hello};
use crate::agreement::{self, Agreed, Disagreement};
use crate::budget::Share;
use crate::control::{self, Hello, Message};
use crate::frame::{Deframer, Limits};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::reason::Reason;
use crate::session::{self, Handshake, Opener, Session};
use crate::state::{Event, Lifecycle, State};
use crate::violation::Violation;
use crate::{Identity, Mode, PeerId, Time};

/// How far the session is.
#[derive(Debug)]
pub(super) enum Stage {
    Handshake(Box<Handshake>),
    Session(Session),
    /// Between the two.
    Changing,
}

/// A link that is not open yet.
#[derive(Debug)]
pub struct Link {
    config: Arc<Config>,
    ours: Mode,
    life: Lifecycle,
    pub(super) stage: Stage,
    deframer: Deframer,
    /// The peer's, where it came before it is of use.
    hello: Option<Hello>,
    agreed: Option<Agreed>,
    outgoing: Vec<u8>,
    deadline: Option<Duration>,
}

impl Link {
    /// A link that we open, to a peer that we know or to whoever answers.
    pub fn dial(
        now: Time,
        config: Arc<Config>,
        identity: &Identity,
        expected: Option<PeerId>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let handshake = Handshake::dial(&config.session, identity, expected, rng);
        Self::new(now, config, Mode::Initiator, handshake)
    }

    /// A link that somebody else opens.
    pub fn accept(now: Time, config: Arc<Config>, identity: &Identity, rng: &mut impl CryptoRng) -> Self {
        let handshake = Handshake::accept(&config.session, identity, rng);
        Self::new(now, config, Mode::Responder, handshake)
    }

    fn new(now: Time, config: Arc<Config>, ours: Mode, handshake: Handshake) -> Self {
        assert!(control::is_agent(&config.agent), "our own name {:?} cannot be sent", config.agent);
        Self {
            config,
            ours,
            life: Lifecycle::new(now),
            stage: Stage::Handshake(Box::new(handshake)),
            deframer: Deframer::new(Limits::HANDSHAKE),
            hello: None,
            agreed: None,
            outgoing: Vec::new(),
            deadline: None,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Time, input: Input<'_, '_>, out: &mut Vec<Output>) {
        match input {
            Input::Dialling => self.on_dialling(now),
            Input::BearerUp => self.on_bearer_up(now),
            Input::Received(bytes) => self.on_received(now, bytes, out),
            Input::Allowed => self.on_allowed(now, out),
            Input::Close(reason) => self.end(now, reason, out),
            Input::Flushed => self.on_flushed(now, out),
            Input::Tick => self.on_tick(now, out),
        }
    }

    /// Appends what is to be sent.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut std::mem::take(&mut self.outgoing));
    }

    /// When to call [`Self::handle`] again with nothing but the time. Monotonic.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// State, since when, and why the link ends.
    pub fn life(&self) -> &Lifecycle {
        &self.life
    }

    /// Who the peer proved to be.
    pub fn peer(&self) -> Option<PeerId> {
        match &self.stage {
            Stage::Handshake(_) | Stage::Changing => None,
            Stage::Session(session) => Some(session.peer),
        }
    }

    /// Takes an open link apart; `share` is its part of the budget.
    ///
    /// # Panics
    /// When it is not open, or not all was transmitted.
    pub fn split(self, now: Time, share: Share) -> Halves {
        let (Stage::Session(Session { peer, sealer, opener }), Some(agreed)) = (self.stage, self.agreed)
        else {
            panic!("a link cannot be split while {}", self.life.state())
        };
        assert!(self.outgoing.is_empty(), "what is left is to be transmitted before a link is split");
        let rules = self.config.rules.clone();
        Halves {
            peer,
            inbound: Inbound::new(now, rules, self.ours, &agreed, share, self.deframer, opener),
            outbound: Outbound::new(self.config.outbound.clone(), self.ours, &agreed, self.life, now),
            agreed,
            sealer,
        }
    }

    fn on_dialling(&mut self, now: Time) {
        self.life.advance(now, Event::Dialling);
        self.deadline = Some(now.mono.saturating_add(self.config.dial_timeout));
    }

    fn on_bearer_up(&mut self, now: Time) {
        self.life.advance(now, Event::BearerUp);
        self.deadline = Some(now.mono.saturating_add(self.config.handshake_timeout));
        if let Stage::Handshake(handshake) = &mut self.stage {
            handshake.transmit(&mut self.outgoing);
        }
    }

    fn on_received(&mut self, now: Time, bytes: &mut &mut [u8], out: &mut Vec<Output>) {
        loop {
            let frame = match self.life.state() {
                State::Authenticating | State::Authenticated | State::Connected => self.deframer.next(bytes),
                // The rest is for the inbound half, or for nobody.
                _ => return,
            };
            match frame {
                Ok(None) => return,
                Err(violation) => self.end(now, Violation::Frame(violation).into(), out),
                Ok(Some(frame)) => match &mut self.stage {
                    Stage::Handshake(handshake) => {
                        let received = handshake.receive(frame);
                        handshake.transmit(&mut self.outgoing);
                        self.on_handshake(now, received, out);
                    }
                    Stage::Session(session) => match open(self.ours, &mut session.opener, frame) {
                        Ok(message) => self.on_message(now, message, out),
                        Err(reason) => self.end(now, reason, out),
                    },
                    Stage::Changing => return,
                },
            }
        }
    }

    /// What came of a message of the handshake.
    fn on_handshake(&mut self, now: Time, received: Result<(), session::Violation>, out: &mut Vec<Output>) {
        match received {
            Err(session::Violation::Refused { code }) => self.end(now, Reason::Refused(code), out),
            Err(violation) => self.end(now, Violation::Session(violation).into(), out),
            Ok(()) => self.authenticate(now, out),
        }
    }

    /// Goes on to the session if the handshake is over.
    fn authenticate(&mut self, now: Time, out: &mut Vec<Output>) {
        match std::mem::replace(&mut self.stage, Stage::Changing) {
            Stage::Handshake(handshake) if handshake.is_finished() => {
                self.stage = Stage::Session(handshake.finish());
            }
            stage => self.stage = stage,
        }
        let Some(peer) = self.peer() else { return };
        self.deframer.set_limits(Limits::HELLO);
        self.life.advance(now, Event::Proven);
        out.push(Output::Authenticated { peer });
    }

    fn on_message(&mut self, now: Time, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Hello(hello) if self.hello.is_none() => {
                self.hello = Some(hello);
                if self.life.state() == State::Connected {
                    self.agree(now, out);
                }
            }
            Message::Close { code } => self.end(now, Reason::ByPeer(code), out),
            _ if self.hello.is_some() => self.end(now, Disagreement::Early.into(), out),
            _ => self.end(now, Disagreement::NotHello.into(), out),
        }
    }

    fn on_allowed(&mut self, now: Time, out: &mut Vec<Output>) {
        if !self.life.state().is_live() {
            // It ended while the hook was thinking.
            return;
        }
        self.life.advance(now, Event::Allowed);
        let Config { session, rules, agent, .. } = &*self.config;
        let hello = hello::ours(session.network_id, &rules.config().channels, agent);
        if self.say(now, &hello) {
            self.agree(now, out);
        } else {
            self.end(now, Reason::Exhausted, out);
        }
    }

    /// Opens the link if the peer's hello is there and fits.
    fn agree(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(theirs) = &self.hello else { return };
        let channels = &self.config.rules.config().channels;
        match agreement::agree(&self.config.session.network_id, channels, theirs) {
            Ok(agreed) => {
                self.agreed = Some(self.config.rules.share(agreed));
                self.deframer.set_limits(Limits::TRANSPORT);
                self.life.advance(now, Event::Agreed);
                out.push(Output::Open);
            }
            Err(disagreement) => self.end(now, disagreement.into(), out),
        }
    }

    /// Begins the end, unless it has begun.
    fn end(&mut self, now: Time, reason: Reason, out: &mut Vec<Output>) {
        let before = self.life.state();
        let is_violation = matches!(reason, Reason::Violation(_));
        let code = reason.code();
        if !self.life.end(now, reason) {
            return;
        }
        self.deadline = Some(now.mono.saturating_add(self.config.outbound.closing_timeout));
        match (before, code) {
            // Strangers who do not speak the protocol get no answer but the one that the handshake may have left.
            (State::Authenticating, Some(code)) if !is_violation => {
                session::refusal(code, &mut self.outgoing);
            }
            (State::Authenticated | State::Connected | State::Open, Some(code)) => {
                self.say(now, &Message::Close { code });
            }
            _ => {}
        }
        if self.outgoing.is_empty() || before < State::Authenticating || code.is_none() {
            self.finish(now, out);
        }
    }

    fn on_flushed(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.life.state() == State::Closing && self.outgoing.is_empty() {
            self.finish(now, out);
        }
    }

    fn on_tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.deadline.is_none_or(|deadline| now.mono < deadline) {
            return;
        }
        match self.life.state() {
            State::Connecting => self.end(now, Reason::DialTimeout, out),
            State::Closing => self.finish(now, out),
            _ => self.end(now, Reason::HandshakeTimeout, out),
        }
    }

    fn finish(&mut self, now: Time, out: &mut Vec<Output>) {
        self.life.advance(now, Event::Done);
        self.deadline = None;
        self.outgoing = Vec::new();
        out.extend(self.life.reason().cloned().map(Output::Closed));
    }

    /// Seals a message into a frame of its own; no where the session is used up.
    fn say(&mut self, now: Time, message: &Message) -> bool {
        match &mut self.stage {
            Stage::Handshake(_) | Stage::Changing => false,
            Stage::Session(session) => {
                hello::seal(now, self.ours, message, &mut session.sealer, &mut self.outgoing).is_ok()
            }
        }
    }
}

/// Opens a frame that is to hold one control message.
fn open(ours: Mode, opener: &mut Opener, frame: &mut [u8]) -> Result<Message, Reason> {
    // No sealed frame is as short as that.
    if let Some(code) = session::refused(frame) {
        return Err(Reason::Refused(code));
    }
    let segment = opener.open(frame).map_err(Violation::Session)?;
    Ok(hello::read(ours, segment)?)
}
