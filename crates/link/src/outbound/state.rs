//! The machine itself: what is told to it, what is taken out of it, and its end.

use std::time::Duration;

use bytes::Bytes;

use super::control::Control;
use super::queue::Queue;
use super::{Batch, Config, Input, Output, Status, Took, Unsent, Why};
use crate::agreement::Agreed;
use crate::channel::{CONTROL, cost};
use crate::control::Message;
use crate::message::Kind;
use crate::mux::{Lanes, Mux};
use crate::ping::Figures;
use crate::reason::Reason;
use crate::state::{Event, Lifecycle, State};
use crate::violation::Violation;
use crate::{Mode, Protocol, Time};

/// The half of a link that sends.
#[derive(Debug)]
pub struct Outbound {
    config: Config,
    life: Lifecycle,
    mux: Mux,
    lanes: Lanes,
    queues: Vec<Queue>,
    control: Control,
    closing_deadline: Option<Duration>,
}

impl Outbound {
    /// For a link that is open, on the side of the mux that `ours` names.
    ///
    /// # Panics
    /// When it is not open.
    pub fn new(config: Config, ours: Mode, agreed: &Agreed, life: Lifecycle, now: Time) -> Self {
        assert_eq!(life.state(), State::Open, "only an open link has halves");
        Self {
            life,
            mux: Mux::new(ours),
            lanes: Lanes::new(agreed.channels.iter().map(|agreed| &agreed.channel)),
            queues: agreed.channels.iter().map(Queue::new).collect(),
            control: Control::new(config.ping.clone(), agreed, now),
            closing_deadline: None,
            config,
        }
    }

    /// Puts a message behind those that wait on its channel.
    ///
    /// # Errors
    /// When it cannot be sent, now or at all; the body comes back.
    pub fn queue(&mut self, channel: Protocol, kind: Kind, body: Bytes) -> Result<(), Unsent> {
        match self.check(channel, body.len()) {
            Ok((at, length)) => {
                self.queues[at].push(kind, length, body);
                Ok(())
            }
            Err(why) => {
                if let Why::Full { channel } = why
                    && let Some(queue) = self.queues.iter_mut().find(|queue| queue.channel == channel)
                {
                    queue.refused();
                }
                Err(Unsent { why, body })
            }
        }
    }

    /// How much each channel takes now without waiting for credit, by what messages [cost] together. Whoever
    /// looks is told when there is more, once until it looks again: by [`Took::grown`] and [`Output::Room`].
    pub fn look(&mut self) -> Vec<(Protocol, u64)> {
        let Self { queues, config, .. } = self;
        queues.iter_mut().map(|queue| (queue.channel, queue.look(config))).collect()
    }

    /// The channels that have grown since somebody looked at them.
    pub fn grown(&self) -> impl Iterator<Item = Protocol> {
        self.queues.iter().filter(|queue| queue.has_grown()).map(|queue| queue.channel)
    }

    /// The same as [`look`](Self::look) for one channel; nothing where the peer does not have it.
    pub fn look_at(&mut self, channel: Protocol) -> Option<u64> {
        let Self { queues, config, .. } = self;
        queues.iter_mut().find(|queue| queue.channel == channel).map(|queue| queue.look(config))
    }

    /// Whether a message of this length would be queued now.
    ///
    /// # Errors
    /// When it would not, and why.
    pub fn room(&self, channel: Protocol, body_bytes: usize) -> Result<(), Why> {
        self.check(channel, body_bytes).map(drop)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Control(message) => self.on_control(now, message, out),
            Input::Grant { channel, bytes } => self.control.on_grant(channel, bytes),
            Input::Ping => self.control.ping.hurry(now),
            Input::Close(reason) => self.on_close(now, reason, out),
            Input::Flushed => self.on_flushed(now, out),
            Input::Tick => self.on_tick(now, out),
        }
    }

    /// Chooses segments of at most `budget` bytes on the wire and adds them to the batch (a first segment may
    /// exceed a tiny budget). Cheap: bodies are shared, nothing is encrypted.
    pub fn take(&mut self, now: Time, budget: usize, batch: &mut Batch) -> Took {
        let Self { mux, lanes, queues, control, life, config, .. } = self;
        let is_open = life.state() == State::Open;
        let (mut freed, mut grown) = (false, false);
        let more = mux.transmit_by(now, lanes, budget, batch, |channel, room, batch| {
            if channel == CONTROL {
                control.fill(now, room, is_open, batch);
            } else if is_open && let Some(queue) = queues.iter_mut().find(|queue| queue.channel == channel) {
                freed |= queue.fill(room, config, batch);
                grown |= queue.grows(config);
            }
        });
        Took { more, freed, grown }
    }

    /// Whether there is something to take.
    pub fn is_ready(&self, now: Time) -> bool {
        let is_open = self.life.state() == State::Open;
        self.control.is_ready(now, is_open) || is_open && self.queues.iter().any(Queue::is_ready)
    }

    /// Whether no message waits, not even for credit.
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(Queue::is_empty)
    }

    /// When to come back at the latest: to [`take`](Self::take) what is due while the link is open, and with
    /// [`Input::Tick`] while it closes. Monotonic time.
    pub fn next_deadline(&self) -> Option<Duration> {
        match self.life.state() {
            State::Open => Some(self.control.ping.next_deadline()),
            _ => self.closing_deadline,
        }
    }

    /// State, since when, and why the link ends.
    pub fn life(&self) -> &Lifecycle {
        &self.life
    }

    /// What pings tell; nothing before the first pong.
    pub fn figures(&self) -> Option<Figures> {
        self.control.ping.figures()
    }

    /// The channels, control first.
    pub fn status(&self) -> impl Iterator<Item = Status> {
        let control = Status {
            channel: CONTROL,
            sent: self.control.sent,
            waiting_messages: 0,
            waiting_bytes: 0,
            credit_bytes: 0,
        };
        std::iter::once(control).chain(self.queues.iter().map(|queue| {
            let (waiting_messages, waiting_bytes) = queue.len();
            let credit_bytes = queue.credit_bytes();
            Status { channel: queue.channel, sent: queue.sent, waiting_messages, waiting_bytes, credit_bytes }
        }))
    }

    /// Asserts what must always hold.
    pub fn check_invariants(&self) {
        for queue in &self.queues {
            queue.check_invariants();
            let (messages, bytes) = queue.len();
            assert!(messages <= self.config.queue_messages.get() as usize, "too many messages wait");
            let most = u64::from(self.config.queue_bytes.get()).max(cost(queue.max_message_bytes));
            assert!(bytes <= most, "too many bytes wait on channel {}", queue.channel);
        }
        self.control.check_invariants();
    }

    fn check(&self, channel: Protocol, body_bytes: usize) -> Result<(usize, u32), Why> {
        if self.life.state() != State::Open {
            return Err(Why::Ending);
        }
        let at = self.queues.iter().position(|queue| queue.channel == channel);
        let at = at.ok_or(Why::NoChannel { channel })?;
        let limit = self.queues[at].max_message_bytes;
        let length = u32::try_from(body_bytes).ok().filter(|length| *length <= limit);
        let length = length.ok_or(Why::TooLong { channel, length: body_bytes, limit })?;
        if self.queues[at].has_room(length, &self.config) {
            Ok((at, length))
        } else {
            Err(Why::Full { channel })
        }
    }

    fn on_control(&mut self, now: Time, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Ping { id, sent_us } => {
                if !self.control.ping.on_ping(now, id, sent_us) {
                    out.push(Output::Fault(Violation::PingFlood));
                }
            }
            // A pong that comes late, twice or unasked tells nothing and harms nobody.
            Message::Pong { id, sent_us, received_us } => {
                self.control.ping.on_pong(now, id, sent_us, received_us);
            }
            Message::Credit { channel, bytes } => self.on_credit(channel, bytes, out),
            Message::Close { code } => self.on_close(now, Reason::ByPeer(code), out),
            Message::Hello(_) => out.push(Output::Fault(Violation::HelloAgain)),
        }
    }

    fn on_credit(&mut self, channel: Protocol, bytes: u32, out: &mut Vec<Output>) {
        let queue = self.queues.iter_mut().find(|queue| queue.channel == channel);
        let Some(queue) = queue else { return out.push(Output::Fault(Violation::Credit { channel, bytes })) };
        if !queue.grant(bytes) {
            out.push(Output::Fault(Violation::Credit { channel, bytes }));
        }
        if queue.grows(&self.config) {
            out.push(Output::Room);
        }
    }

    fn on_close(&mut self, now: Time, reason: Reason, out: &mut Vec<Output>) {
        let code = reason.code();
        if !self.life.end(now, reason) {
            return;
        }
        for queue in &mut self.queues {
            queue.clear();
        }
        match code {
            Some(code) => {
                self.control.close = Some(code);
                self.closing_deadline = Some(now.mono.saturating_add(self.config.closing_timeout));
            }
            // Nobody to tell.
            None => self.end(now, out),
        }
    }

    fn on_flushed(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.life.state() == State::Closing && !self.control.is_ready(now, false) {
            self.end(now, out);
        }
    }

    fn on_tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.closing_deadline.is_some_and(|deadline| deadline <= now.mono) {
            self.end(now, out);
        }
    }

    fn end(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.life.state() == State::Closing {
            self.life.advance(now, Event::Done);
            self.closing_deadline = None;
            out.extend(self.life.reason().cloned().map(Output::Closed));
        }
    }
}
