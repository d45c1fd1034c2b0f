//! The application: what the peers say to each other, and how they take what they hear.

use std::time::Duration;

use bytes::Bytes;
use link::channel::{self, BODIES, CONSENSUS, Channel, Lane, SYNC, TRANSACTIONS};
use link::message::Kind;
use link::outbound::{Input, Why};
use link::{Protocol, control};
use rand::{Rng, RngExt};

use super::check::{Broken, ConnectionId, Stream};
use super::config::{Behaviour, Config, Sabotage};
use super::world::{Event, World};

/// How long something urgent is, at most.
const URGENT_BYTES: usize = 200;

/// The channels of all links: small windows, so that credit matters.
pub(super) fn channels() -> Vec<Channel> {
    let channel = |number, name, lane, share, max_message_bytes: u32| Channel {
        number,
        name,
        lane,
        share,
        max_message_bytes,
        window_bytes: 2 * channel::cost(max_message_bytes) as u32 + 10_000,
        deadline: Duration::from_secs(60),
    };
    vec![
        channel(CONSENSUS, "consensus", Lane::Consensus, 1, 16 << 10),
        channel(SYNC, "sync", Lane::Bulk, 4, 64 << 10),
        channel(TRANSACTIONS, "transactions", Lane::Bulk, 1, 20 << 10),
        channel(BODIES, "bodies", Lane::Bulk, 4, 256 << 10),
    ]
}

impl Config {
    /// How long something takes at most that goes before all bulk, with so many urgent bytes ahead of it: what one
    /// write leaves in the bearer, one write more that was begun, its own, and the way.
    pub(super) fn urgent_within(&self, ahead: usize) -> Duration {
        // A write may exceed its budget by a segment, and control messages go before what is urgent.
        let bytes = 3 * (self.write_bytes + 12_400) + 2 * ahead + 4_096;
        let transfer = Duration::from_secs_f64(bytes as f64 / self.line.bytes_per_s as f64);
        self.line.latency + self.line.jitter + transfer + Duration::from_millis(1)
    }
}

impl World {
    /// An end of a connection begins to talk.
    pub(super) fn begin_talk(&mut self, connection: ConnectionId, side: usize) {
        self.schedule.after(Duration::ZERO, Event::Urgent { connection, side });
        self.schedule.after(Duration::ZERO, Event::Bulk { connection, side });
    }

    pub(super) fn on_urgent(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        if !self.is_open(connection, side) || self.is_quiet() {
            return Ok(());
        }
        let pause = Duration::from_millis(self.rng.random_range(50..1_500));
        self.schedule.after(pause, Event::Urgent { connection, side });
        let one_lane = self.config.sabotage == Some(Sabotage::OneLane);
        let channel = if one_lane { BODIES } else { CONSENSUS };
        let ahead = self.checker.under_way_bytes(Stream { connection, from: side, channel: CONSENSUS });
        // What is not taken counts against the window: nothing is late that waits for that.
        let untaken = self.untaken_at_other(connection, side, CONSENSUS);
        let is_timed =
            self.is_sound(connection) && (ahead as u64 + untaken) < u64::from(window(CONSENSUS)) / 2;
        let length = self.rng.random_range(0..=URGENT_BYTES);
        let within = is_timed.then(|| self.config.urgent_within(ahead + length));
        self.say(connection, side, channel, length, within)?;
        self.pump(connection, side)
    }

    pub(super) fn on_bulk(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        if !self.is_open(connection, side) || self.is_quiet() {
            return Ok(());
        }
        let pause = Duration::from_millis(self.rng.random_range(100..4_000));
        self.schedule.after(pause, Event::Bulk { connection, side });
        // Nothing for a while, then much at once.
        let average = (self.config.bulk_bytes_per_s as f64 * pause.as_secs_f64()) as usize;
        let mut left = if self.rng.random_bool(0.25) { 4 * average } else { 0 };
        while left > 0 {
            let channel = [SYNC, TRANSACTIONS, BODIES][self.rng.random_range(0..3)];
            let length = self.length(channel);
            left = left.saturating_sub(length + channel::OVERHEAD_BYTES as usize);
            if !self.say(connection, side, channel, length, None)? {
                break;
            }
        }
        if self.behaviour(connection, side) == Behaviour::Greedy {
            self.grant_itself(connection, side, u32::MAX)?;
        } else if self.config.sabotage == Some(Sabotage::GrantsItself) {
            self.grant_itself(connection, side, 100_000)?;
        }
        self.pump(connection, side)
    }

    /// The application of a peer takes a message.
    pub(super) fn on_take(&mut self, host: usize, number: u64) -> Result<(), Broken> {
        let held = self.hosts[host].take(number);
        let (connection, channel, bytes) = (held.connection, held.channel, held.cost());
        drop(held);
        if self.config.sabotage == Some(Sabotage::TakesEarly) {
            return Ok(());
        }
        let Some(side) = self.side_of(connection, host) else { return Ok(()) };
        self.taken(connection, side, channel, bytes)?;
        self.pump(connection, side)
    }

    /// After how long the application takes a message.
    pub(super) fn patience(&mut self, host: usize, channel: Protocol) -> Duration {
        let is_slow = self.hosts[host].behaviour == Behaviour::Slow && channel != CONSENSUS;
        Duration::from_millis(self.rng.random_range(0..if is_slow { 10_000 } else { 20 }))
    }

    /// Queues a message; false where there is no room for it.
    fn say(
        &mut self,
        connection: ConnectionId,
        side: usize,
        channel: Protocol,
        length: usize,
        within: Option<Duration>,
    ) -> Result<bool, Broken> {
        let mut body = vec![0; length];
        self.rng.fill_bytes(&mut body);
        let kind = match self.rng.random_range(0..3) {
            0 => Kind::Note,
            1 => Kind::Request(self.rng.random()),
            _ => Kind::Reply(self.rng.random()),
        };
        let now = self.schedule.now().mono;
        let body = Bytes::from(body);
        let Some(halves) = self.halves(connection, side) else { return Ok(false) };
        match halves.outbound.queue(channel, kind, body.clone()) {
            Ok(()) => {
                let stream = Stream { connection, from: side, channel };
                self.checker.on_said(stream, now, kind, &body, within);
                Ok(true)
            }
            Err(unsent) => match unsent.why {
                Why::Full { .. } | Why::Ending => Ok(false),
                // Forgers have fewer channels.
                Why::NoChannel { .. } if self.has_forger(connection) => Ok(true),
                why @ (Why::TooLong { .. } | Why::NoChannel { .. }) => Err(Broken::Stuck {
                    what: format!("connection {connection} does not take what it agreed to: {why}"),
                }),
            },
        }
    }

    fn has_forger(&self, connection: ConnectionId) -> bool {
        [0, 1].iter().any(|side| self.behaviour(connection, *side) == Behaviour::Forger)
    }

    /// Many short messages, some of the longest, and some in between.
    fn length(&mut self, channel: Protocol) -> usize {
        let longest = max_bytes(channel);
        match self.rng.random_range(0..10) {
            0 => longest,
            1..4 => self.rng.random_range(0..=longest),
            4 => 0,
            _ => self.rng.random_range(0..=600),
        }
    }

    fn grant_itself(&mut self, connection: ConnectionId, side: usize, bytes: u32) -> Result<(), Broken> {
        let now = self.schedule.now();
        for channel in channels() {
            let credit = control::Message::Credit { channel: channel.number, bytes };
            let Some(halves) = self.halves(connection, side) else { return Ok(()) };
            // It says that this is too much, and takes what it used for granted all the same.
            halves.outbound.handle(now, Input::Control(credit), &mut Vec::new());
        }
        Ok(())
    }
}

fn find(channel: Protocol) -> Channel {
    channels().into_iter().find(|known| known.number == channel).expect("one of ours")
}

/// How many bytes may be under way on a channel.
pub(super) fn window(channel: Protocol) -> u32 {
    find(channel).window_bytes
}

fn max_bytes(channel: Protocol) -> usize {
    find(channel).max_message_bytes as usize
}
