//! The machine itself: frames, deadlines, and who is told what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::channels::Channels;
use super::rules::Rules;
use crate::agreement::Agreed;
use crate::budget::{Charge, MIN_FLOOR_BYTES, Share};
use crate::frame::{Deframer, Limits};
use crate::message::Kind;
use crate::reason::Reason;
use crate::session::Opener;
use crate::violation::Counts;
use crate::{Mode, Protocol, Time, Violation, control};

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes arrived on the bearer. They are opened where they lie.
    Received(&'a mut [u8]),
    /// The application is done with messages of this channel.
    Taken {
        /// Of which channel.
        channel: Protocol,
        /// What they [cost](crate::channel::cost) together.
        bytes: u32,
    },
    /// The peer did something wrong that was noticed elsewhere.
    Fault(Violation),
    /// Nothing but that time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// A message came, whole and in its turn.
    Message {
        /// On which channel.
        channel: Protocol,
        /// Whether it is part of a question.
        kind: Kind,
        /// What it says.
        body: Bytes,
        /// What it holds of the budget: to be dropped with the body.
        charge: Charge,
    },
    /// A message for the outbound half: a ping, a pong, or credit.
    Control(control::Message),
    /// So much credit is to be granted to the peer.
    Grant {
        /// For which channel.
        channel: Protocol,
        /// How much.
        bytes: u32,
    },
    /// The peer did something wrong, which was counted; the link stays open.
    Rejected(Violation),
    /// The link ends. The last output.
    Closed(Reason),
}

/// What came in on a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Whole messages.
    pub messages: u64,
    /// Bytes of segments' payloads.
    pub bytes: u64,
}

/// The half that the reading routine owns.
#[derive(Debug)]
pub struct Inbound {
    deframer: Deframer,
    opener: Opener,
    channels: Channels,
    rules: Arc<Rules>,
    /// When the last whole frame came.
    heard: Duration,
    /// When the frame began that is not all there.
    frame_since: Option<Duration>,
    /// For an unfinished frame and a small control message; gone when the link is.
    frame: Option<Charge>,
}

impl Inbound {
    /// The half of a link that has just been opened, for the side that `ours` names: with the deframer as the
    /// handshake left it. A segment for a channel that was not agreed on is a fault.
    pub fn new(
        now: Time,
        rules: Arc<Rules>,
        ours: Mode,
        agreed: &Agreed,
        share: Share,
        deframer: Deframer,
        opener: Opener,
    ) -> Self {
        let frame = share.charge(u64::from(MIN_FLOOR_BYTES), 0);
        let frame = frame.expect("a link's floor has room for a frame");
        let channels = Channels::new(rules.clone(), ours, agreed, share);
        let frame_since = deframer.is_inside().then_some(now.mono);
        Self { deframer, opener, channels, rules, heard: now.mono, frame_since, frame: Some(frame) }
    }

    /// Takes an input and appends what is to be done. After [`Output::Closed`] nothing follows.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Vec<Output>) {
        let now = now.mono;
        if self.is_closed() {
            return;
        }
        match input {
            Input::Received(bytes) => self.on_received(now, bytes, out),
            Input::Taken { channel, bytes } => self.channels.on_taken(channel, bytes, out),
            Input::Fault(fault) => self.channels.judge.on_fault(now, fault, out),
            Input::Tick => {}
        }
        self.expire(now, out);
    }

    /// Gives back all memory: the link has ended, whoever ended it. Nothing is handled any more, and what it counted
    /// can still be looked at.
    pub fn let_go(&mut self) {
        self.channels.judge.end();
        self.channels.let_go();
        self.deframer = Deframer::new(Limits::TRANSPORT);
        (self.frame, self.frame_since) = (None, None);
    }

    /// When to call [`Self::handle`] again with nothing but the time.
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.is_closed() {
            return None;
        }
        let silent = Some(self.silent_at());
        [silent, self.frame_deadline(), self.channels.next_deadline()].into_iter().flatten().min()
    }

    /// Whether the link has ended.
    pub fn is_closed(&self) -> bool {
        self.channels.judge.is_closed()
    }

    /// Whether nothing is under way: it holds no buffer then.
    pub fn is_idle(&self) -> bool {
        self.deframer.held_bytes() == 0 && self.channels.is_idle()
    }

    /// When the last whole frame came.
    pub fn heard(&self) -> Duration {
        self.heard
    }

    /// What came in, by channel.
    pub fn traffic(&self) -> impl Iterator<Item = (Protocol, Traffic)> {
        self.channels.traffic()
    }

    /// What the peer did wrong so far.
    pub fn violations(&self) -> &Counts {
        self.channels.judge.counts()
    }

    /// How many faults count at this time.
    pub fn strikes(&self, now: Time) -> u32 {
        self.channels.judge.strikes(now.mono)
    }

    /// Panics when it is not as it must be: for tests and simulators.
    pub fn check_invariants(&self) {
        if !self.is_closed() {
            assert_eq!(
                self.deframer.is_inside(),
                self.frame_since.is_some(),
                "an unfinished frame has its time"
            );
            self.channels.check_invariants();
        }
        let frame = self.frame.as_ref().map_or(0, Charge::bytes);
        assert!(self.deframer.held_bytes() as u64 <= frame, "an unfinished frame is not accounted for");
    }

    fn on_received(&mut self, now: Duration, mut bytes: &mut [u8], out: &mut Vec<Output>) {
        while !self.is_closed() {
            match self.deframer.next(&mut bytes) {
                Ok(Some(frame)) => match self.opener.open(frame) {
                    Ok(segment) => {
                        (self.heard, self.frame_since) = (now, None);
                        self.channels.on_segment(now, segment, bytes.len(), out);
                    }
                    Err(fault) => self.channels.judge.on_fault(now, fault.into(), out),
                },
                Ok(None) => break,
                Err(fault) => {
                    self.frame_since = None;
                    self.channels.judge.on_fault(now, fault.into(), out);
                }
            }
        }
        self.channels.end_read();
        self.frame_since = if self.deframer.is_inside() { self.frame_since.or(Some(now)) } else { None };
    }

    fn expire(&mut self, now: Duration, out: &mut Vec<Output>) {
        if self.frame_deadline().is_some_and(|deadline| now >= deadline) {
            self.channels.judge.on_fault(now, Violation::SlowFrame, out);
        }
        if now >= self.silent_at() {
            self.channels.judge.close(Reason::Silent, out);
        }
        if !self.is_closed() {
            self.channels.expire(now, out);
        }
    }

    fn silent_at(&self) -> Duration {
        self.heard.saturating_add(self.rules.config().silence)
    }

    fn frame_deadline(&self) -> Option<Duration> {
        Some(self.frame_since?.saturating_add(self.rules.config().frame_deadline))
    }
}
