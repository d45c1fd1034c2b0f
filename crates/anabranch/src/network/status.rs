//! What operators see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use link::reason::Reason;
use link::state::{Lifecycle, State};
use link::{PeerId, ping};
use serde::{Serialize, Serializer};

use super::address::{Address, Remote};
use super::line::Line;
use super::pool::{Entry, Refused};
use super::socket::ChannelFigures;

/// Who made a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// This node.
    Dialled,
    /// The other one.
    Accepted,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerStatus {
    /// Its number, never used again.
    pub id: u64,
    /// Whose key was proven, if any was yet.
    #[serde(serialize_with = "maybe_text")]
    pub peer: Option<PeerId>,
    /// Whose key must be proven, where this node dialled.
    #[serde(serialize_with = "maybe_text")]
    pub expected: Option<PeerId>,
    /// The other end.
    pub address: Remote,
    /// Who made it.
    pub direction: Direction,
    /// How far it is.
    #[serde(serialize_with = "as_text")]
    pub state: State,
    /// For how long it has been in that state.
    pub state_ms: u64,
    /// For how long it has been there.
    pub age_ms: u64,
    /// Why it ends, in a word that stays the same, if it does.
    pub reason: Option<&'static str>,
    /// Why it ends, for people.
    pub text: Option<String>,
    /// What is known once it is open.
    #[serde(flatten)]
    pub link: Option<LinkStatus>,
}

/// A connection that is open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkStatus {
    /// The version of the link that both speak.
    pub version: u16,
    /// How the peer names its program.
    pub agent: String,
    /// The peer's faults that count at present.
    pub strikes: u32,
    /// What the peer did wrong, by name, and how often.
    pub violations: BTreeMap<&'static str, u64>,
    /// For how long nothing came.
    pub silent_ms: u64,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// How much is written at once at present.
    pub write_bytes: u32,
    /// Questions that the peer owes an answer to.
    pub requests: usize,
    /// What pings tell; nothing before the first answer.
    pub ping: Option<PingStatus>,
    /// Each channel, by number.
    pub channels: Vec<ChannelStatus>,
}

/// What pings tell, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PingStatus {
    /// The last round trip.
    pub last_us: u64,
    /// The quickest.
    pub least_us: u64,
    /// Smoothed.
    pub smoothed_us: u64,
    /// One way, to the peer: an estimate by both clocks.
    pub out_us: u64,
    /// One way, from the peer: an estimate by both clocks.
    pub back_us: u64,
    /// How many answers came.
    pub pongs: u64,
}

/// One channel of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// Its number.
    pub number: u16,
    /// Messages that came in whole.
    pub received_messages: u64,
    /// Their bytes, and those of what is under way.
    pub received_bytes: u64,
    /// Messages that went out.
    pub sent_messages: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages that wait to be sent.
    pub waiting_messages: usize,
    /// What they cost.
    pub waiting_bytes: u64,
    /// How much may be sent before the peer grants more.
    pub credit_bytes: u64,
}

/// What is counted for all connections together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Connections, those in their handshake included.
    pub connections: usize,
    /// Peers with which one is open.
    pub open: usize,
    /// Handshakes under way, dials included.
    pub handshakes: usize,
    /// Tasks that run long: one for each listener, two for each socket.
    pub tasks: usize,
    /// Tasks of handshakes, of dials, and of pauses between dials.
    pub handshake_tasks: usize,
    /// Answers that came too late.
    pub late_replies: u64,
    /// Answers to questions that nobody asked.
    pub unknown_replies: u64,
    /// Messages that wait for the application.
    pub waiting_deliveries: usize,
    /// What all links hold or have set aside of the budget.
    pub held_bytes: u64,
    /// The budget.
    pub budget_bytes: u64,
}

/// A peer that this node was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownPeer {
    /// Who.
    #[serde(serialize_with = "as_text")]
    pub peer: PeerId,
    /// Where to dial it, if anywhere.
    pub address: Option<Address>,
    /// Whether it has a reserved place and is never given up.
    pub pinned: bool,
    /// Whether a connection with it is open.
    pub connected: bool,
    /// Dials that failed since the last success.
    pub failures: u32,
    /// In how many milliseconds it is dialled again; 0 while it is being dialled.
    pub next_dial_ms: Option<u64>,
    /// Whether it is not dialled any more: too many dials failed in a row.
    pub given_up: bool,
    /// Why the last dial failed.
    pub last_failure: Option<String>,
}

/// A connection that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Departed {
    /// Its number, never used again.
    pub id: u64,
    /// Whose key was proven, if any was.
    #[serde(serialize_with = "maybe_text")]
    pub peer: Option<PeerId>,
    /// The other end.
    pub address: Remote,
    /// Who made it.
    pub direction: Direction,
    /// The last state before its end began.
    #[serde(serialize_with = "as_text")]
    pub state: State,
    /// Why it ended, in a word that stays the same.
    pub reason: &'static str,
    /// Why it ended, for people.
    pub text: String,
    /// How long it was there.
    pub lasted_ms: u64,
    /// How long ago it ended.
    pub ago_ms: u64,
    /// The peer's faults that counted at its end.
    pub strikes: u32,
}

/// The connections that are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DepartedPeers {
    /// The last ones, the newest first.
    pub recent: Vec<Departed>,
    /// How many ended for which reason since the start.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many did not even get a place.
    pub refused: Refused,
}

impl PeerStatus {
    /// What the pool knows of a connection; and the connection, where it is open.
    pub(super) fn of_entry(entry: &Entry<Arc<Line>>, now: Duration) -> (Self, Option<Arc<Line>>) {
        let mut status = Self {
            id: entry.id,
            peer: entry.peer,
            expected: entry.expected,
            address: entry.remote.clone(),
            direction: entry.direction,
            state: State::Opening,
            state_ms: 0,
            age_ms: ms(now.saturating_sub(entry.since)),
            reason: None,
            text: None,
            link: None,
        };
        status.set_life(&entry.life, now);
        (status, entry.socket.clone())
    }

    /// The same with what the connection itself knows.
    pub(super) fn with(mut self, line: Option<&Line>, now: Duration) -> Self {
        let Some(line) = line else { return self };
        let figures = line.socket.figures();
        self.set_life(&figures.life, now);
        let agreed = line.socket.agreed();
        self.link = Some(LinkStatus {
            version: agreed.version,
            agent: agreed.agent.clone(),
            strikes: figures.strikes,
            violations: figures.violations.iter().collect(),
            silent_ms: ms(now.saturating_sub(figures.heard)),
            received_bytes: figures.received_bytes,
            sent_bytes: figures.sent_bytes,
            write_bytes: figures.write_bytes,
            requests: line.requests.len(),
            ping: figures.ping.as_ref().map(PingStatus::of),
            channels: figures.channels.iter().map(ChannelStatus::of).collect(),
        });
        self
    }

    fn set_life(&mut self, life: &Lifecycle, now: Duration) {
        self.state = life.state();
        self.state_ms = ms(now.saturating_sub(life.since().mono));
        self.reason = life.reason().map(Reason::name);
        self.text = life.reason().map(Reason::to_string);
    }
}

impl PingStatus {
    fn of(figures: &ping::Figures) -> Self {
        let us = |duration: Duration| duration.as_micros() as u64;
        Self {
            last_us: us(figures.last),
            least_us: us(figures.least),
            smoothed_us: us(figures.smoothed),
            out_us: us(figures.out),
            back_us: us(figures.back),
            pongs: figures.pongs,
        }
    }
}

impl ChannelStatus {
    fn of(figures: &ChannelFigures) -> Self {
        Self {
            number: figures.channel.0,
            received_messages: figures.received.messages,
            received_bytes: figures.received.bytes,
            sent_messages: figures.sending.sent.messages,
            sent_bytes: figures.sending.sent.bytes,
            waiting_messages: figures.sending.waiting_messages,
            waiting_bytes: figures.sending.waiting_bytes,
            credit_bytes: figures.sending.credit_bytes,
        }
    }
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// Serialises something as its text.
pub(super) fn as_text<S: Serializer>(value: &impl std::fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Serialises something as its text, or null.
pub(super) fn maybe_text<S: Serializer>(
    value: &Option<impl std::fmt::Display>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}
