//! The machine of one client.

mod receive;

use std::sync::Arc;
use std::time::Duration;

use chain::View;
use link::mux::{Demux, Mux, Outbox, Policy};
use link::{Mode, Protocol, Time};

use super::ingress::Ingress;
use super::{Config, Input, LIMITS, LIMITS_OF_FOLLOWERS, LIMITS_WITHOUT_SHARING, Output, Reason, Status};
use crate::limits::{
    BLOCK_FETCH, CHAIN_SYNC, HANDSHAKE, HANDSHAKE_LIMITS, HANDSHAKE_SEGMENT, KEEP_ALIVE, PEER_SHARING,
    SEGMENT, TX_SUBMISSION, Wait,
};
use crate::{Violation, block_fetch, chain_sync, handshake, keep_alive, peer_sharing, tx_submission};

/// What may stand in an egress buffer of keep-alive or peer-sharing before another answer is made: nothing.
const SMALL_ANSWER_BYTES: usize = 6;

/// A client that asks for headers one by one asks again within its round trip; one that has not asked for so
/// long may not ask again. A guess: several round trips around the world.
const RESTS_AFTER: Duration = Duration::from_secs(1);

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client has not proposed versions.
    Handshake,
    /// The protocols run.
    Open { version: handshake::Version, sharing: bool },
    /// The handshake ended the connection; its answer is still to be sent.
    Closing(Reason),
    /// It is over.
    Closed,
}

/// Everything about one downstream client but its socket.
#[derive(Debug)]
pub struct Client {
    config: Arc<Config>,
    phase: Phase,
    draining: bool,
    demux: Demux,
    mux: Mux,
    ingress: [Ingress; LIMITS.len()],
    chain_sync: chain_sync::Responder,
    keep_alive: keep_alive::Responder,
    block_fetch: Option<Box<block_fetch::Responder>>,
    rare: Option<Box<Rare>>,
    /// Since when the client owes its proposal, or the rest of a segment.
    since: Option<Duration>,
}

/// What few clients use, and none for long.
#[derive(Debug, Default)]
struct Rare {
    handshake: Outbox,
    sharing: peer_sharing::Responder,
    sharing_out: Outbox,
    txs: tx_submission::Responder,
    txs_out: Outbox,
}

impl Rare {
    fn is_idle(&self) -> bool {
        let is_empty = self.handshake.is_empty() && self.sharing_out.is_empty() && self.txs_out.is_empty();
        is_empty && self.sharing.has_room() && self.txs.state() == tx_submission::State::Init
    }
}

impl Client {
    /// A client that has just connected.
    pub fn new(config: Arc<Config>, now: Time) -> Self {
        Self {
            config,
            phase: Phase::Handshake,
            draining: false,
            demux: Demux::new(Mode::Responder, Policy::Close, HANDSHAKE_LIMITS),
            mux: Mux::new(Mode::Responder),
            ingress: Default::default(),
            chain_sync: chain_sync::Responder::new(now.mono),
            keep_alive: keep_alive::Responder::default(),
            block_fetch: None,
            rare: None,
            since: Some(now.mono),
        }
    }

    /// Takes an input. `view` is the newest one; outputs are appended to `out`.
    pub fn handle(&mut self, now: Time, input: Input<'_>, view: &View, out: &mut Vec<Output>) {
        if self.is_over() {
            return;
        }
        if let Err(reason) = self.on_input(now, input, view, out) {
            self.close(reason, out);
            return;
        }
        self.chain_sync.anticipate(view);
        self.ask(out);
    }

    /// Appends what is to be sent to `buffer`, about `budget` bytes of it. Says whether there may be more.
    pub fn transmit(
        &mut self,
        now: Time,
        view: &View,
        budget: usize,
        buffer: &mut Vec<u8>,
        out: &mut Vec<Output>,
    ) -> bool {
        let limits = match self.phase {
            Phase::Handshake | Phase::Closed => return false,
            Phase::Closing(_) => HANDSHAKE_LIMITS,
            // The answer to the handshake goes first.
            Phase::Open { .. } if self.rare.as_ref().is_some_and(|rare| !rare.handshake.is_empty()) => {
                HANDSHAKE_LIMITS
            }
            // Most clients only follow.
            Phase::Open { .. } if self.block_fetch.is_none() && self.rare.is_none() => LIMITS_OF_FOLLOWERS,
            Phase::Open { sharing: true, .. } => LIMITS,
            Phase::Open { sharing: false, .. } => LIMITS_WITHOUT_SHARING,
        };
        let mut mux = self.mux.clone();
        let mut fault = None;
        let mut more = mux.transmit(now, limits, budget, buffer, |protocol, room, buffer| {
            if fault.is_none()
                && let Err(reason) = self.fill(now.mono, protocol, view, room, buffer)
            {
                fault = Some(reason);
            }
        });
        self.mux = mux;
        self.chain_sync.tidy();
        match (fault, self.phase) {
            (Some(reason), _) | (None, Phase::Closing(reason)) => {
                self.close(reason, out);
                return false;
            }
            (None, Phase::Handshake | Phase::Open { .. } | Phase::Closed) => {}
        }
        // The other protocols have their turn after it.
        more |= limits == HANDSHAKE_LIMITS;
        match self.resume(now, view) {
            Ok(resumed) => more |= resumed,
            Err(reason) => {
                self.close(reason, out);
                return false;
            }
        }
        self.ask(out);
        self.forget();
        more
    }

    /// Whether the client asked for no header for so long that what was read ahead for it is better let go.
    pub fn is_resting(&self, now: Duration) -> bool {
        let idle = self.chain_sync.idle_since().filter(|_| self.chain_sync.read_ahead_bytes() > 0);
        idle.is_some_and(|since| now.saturating_sub(since) >= RESTS_AFTER)
    }

    /// How many bytes were read ahead for the client; others may share them.
    pub fn read_ahead_bytes(&self) -> usize {
        let blocks = self.block_fetch.as_ref().map_or(0, |blocks| blocks.read_ahead_bytes());
        self.chain_sync.read_ahead_bytes() + blocks
    }

    /// Lets go of what was read ahead: for a client that takes nothing, or where memory is short.
    pub fn relax(&mut self) {
        self.chain_sync.relax();
        if let Some(blocks) = &mut self.block_fetch {
            blocks.relax();
        }
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.is_over() {
            return None;
        }
        self.deadlines().map(|(deadline, _)| deadline).min()
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether the handshake is over and the protocols run.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Whether it waits for the next view: a request at the tip.
    pub fn waits_for_view(&self) -> bool {
        self.chain_sync.state() == chain_sync::State::MustReply
    }

    /// Whether a range of blocks is under way.
    pub fn is_streaming(&self) -> bool {
        self.block_fetch.as_ref().is_some_and(|blocks| blocks.state() != block_fetch::State::Idle)
    }

    /// Whether it waits until there is room for transactions.
    pub fn wants_inbox_room(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.txs.wants_room())
    }

    /// Whether nothing that was asked for is still to be sent, but for the next block.
    pub fn is_quiet(&self) -> bool {
        let waits = matches!(self.chain_sync.state(), chain_sync::State::Idle | chain_sync::State::MustReply);
        waits && self.keep_alive.has_room() && !self.is_streaming()
    }

    /// How many bytes that arrived wait to be dealt with.
    pub fn held_bytes(&self) -> usize {
        self.ingress.iter().map(Ingress::len).sum()
    }

    /// Whether anything is allocated for it.
    #[cfg(test)]
    pub(super) fn holds_anything(&self) -> bool {
        self.held_bytes() + self.read_ahead_bytes() > 0 || self.block_fetch.is_some() || self.rare.is_some()
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let rare = self.rare.as_deref();
        Status {
            version: match self.phase {
                Phase::Open { version, .. } => Some(version.0),
                Phase::Handshake | Phase::Closing(_) | Phase::Closed => None,
            },
            chain_sync: self.chain_sync.state().name(),
            cursor: self.chain_sync.cursor().point,
            position: self.chain_sync.cursor().next.0,
            requests: self.chain_sync.pending(),
            block_fetch: self.block_fetch.as_ref().map_or(block_fetch::State::Idle, |b| b.state()).name(),
            keep_alive: self.keep_alive.state().name(),
            tx_submission: rare.map_or(tx_submission::State::Init, |rare| rare.txs.state()).name(),
            peer_sharing: rare.map_or(peer_sharing::State::Idle, |rare| rare.sharing.state()).name(),
            held_bytes: self.held_bytes(),
        }
    }

    /// Panics where the parts do not hold together.
    pub fn check_invariants(&self) {
        self.chain_sync.check_invariants();
        if let Some(blocks) = &self.block_fetch {
            blocks.check_invariants();
        }
    }

    fn on_input(
        &mut self,
        now: Time,
        input: Input<'_>,
        view: &View,
        out: &mut Vec<Output>,
    ) -> Result<(), Reason> {
        match input {
            Input::Received(bytes) => return self.on_received(now, bytes, view, out),
            Input::Tick => return self.on_tick(now),
            Input::Drain => self.draining = true,
            Input::FirstInLog(found) => self.chain_sync.on_located(found, view),
            Input::Chunk(chunk) => self.chain_sync.on_chunk(chunk),
            Input::Checked(is_there) => return self.chain_sync.on_checked(is_there),
            Input::Range(from, to) => return self.blocks().on_located(from, to, view),
            Input::Blocks(first, blocks) => self.blocks().on_blocks(first, blocks.into()),
            Input::Peers(peers) => self.rare().sharing.on_peers(peers.into_iter()),
            Input::InboxRoom => self.rare().txs.on_room(),
            Input::Wanted(wanted) => self.rare().txs.on_wanted(&wanted),
            Input::LogFailed => return Err(Reason::LogFailed),
        }
        Ok(())
    }

    fn on_tick(&mut self, now: Time) -> Result<(), Reason> {
        match self.deadlines().filter(|(deadline, _)| *deadline <= now.mono).min_by_key(|(at, _)| *at) {
            Some((_, violation)) => Err(violation.into()),
            None => Ok(()),
        }
    }

    /// Appends at most `room` bytes of a protocol.
    fn fill(
        &mut self,
        now: Duration,
        protocol: Protocol,
        view: &View,
        room: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        match (protocol, &mut self.rare) {
            (CHAIN_SYNC, _) => self.chain_sync.fill(now, view, room, buffer)?,
            (KEEP_ALIVE, _) if room >= SMALL_ANSWER_BYTES => self.keep_alive.fill(now, buffer),
            (BLOCK_FETCH, _) => {
                if let Some(blocks) = &mut self.block_fetch {
                    blocks.fill(view, room, buffer)?;
                }
            }
            (HANDSHAKE, Some(rare)) => rare.handshake.fill(room, buffer),
            (PEER_SHARING, Some(rare)) => {
                if rare.sharing_out.is_empty() {
                    rare.sharing.fill(rare.sharing_out.buffer());
                }
                rare.sharing_out.fill(room, buffer);
            }
            (TX_SUBMISSION, Some(rare)) => {
                if rare.txs_out.is_empty() {
                    rare.txs.fill(now, rare.txs_out.buffer());
                }
                rare.txs_out.fill(room, buffer);
            }
            (_, _) => {}
        }
        Ok(())
    }

    /// Passes on what the protocols must know.
    fn ask(&mut self, out: &mut Vec<Output>) {
        match self.chain_sync.take_ask() {
            Some(chain_sync::Ask::Locate(points)) => out.push(Output::FirstInLog(points)),
            Some(chain_sync::Ask::Chunk(position)) => out.push(Output::Chunk(position)),
            Some(chain_sync::Ask::Check(position, point)) => out.push(Output::Check(position, point)),
            None => {}
        }
        match self.block_fetch.as_mut().and_then(|blocks| blocks.take_ask()) {
            Some(block_fetch::Ask::Locate(from, to)) => out.push(Output::Range(from, to)),
            Some(block_fetch::Ask::Blocks(from, to)) => out.push(Output::Blocks(from, to)),
            None => {}
        }
        let Some(rare) = &mut self.rare else { return };
        out.extend(rare.sharing.take_ask().map(Output::Peers));
        while let Some(ask) = rare.txs.take_ask() {
            out.push(match ask {
                tx_submission::Ask::Room => Output::InboxRoom,
                tx_submission::Ask::Wanted(offers) => Output::Offered(offers),
                tx_submission::Ask::Took(txs) => Output::Transactions(txs),
            });
        }
    }

    /// Drops the machines that have nothing under way.
    fn forget(&mut self) {
        if self.block_fetch.as_ref().is_some_and(|blocks| blocks.is_idle()) {
            self.block_fetch = None;
        }
        if self.rare.as_ref().is_some_and(|rare| rare.is_idle()) {
            self.rare = None;
        }
    }

    fn close(&mut self, reason: Reason, out: &mut Vec<Output>) {
        self.phase = Phase::Closed;
        self.ingress = Default::default();
        self.block_fetch = None;
        self.rare = None;
        out.push(Output::Closed(reason));
    }

    fn blocks(&mut self) -> &mut block_fetch::Responder {
        self.block_fetch.get_or_insert_default()
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The time limits that run, and what passing them means.
    fn deadlines(&self) -> impl Iterator<Item = (Duration, Violation)> {
        let limit = |wait: Wait| match wait {
            Wait::Fixed(limit) => Some(limit),
            // None that binds a client is random.
            Wait::Forever | Wait::Between(..) => None,
        };
        let late = |protocol, state| Violation::Timeout { protocol, state };
        let first = self.since.map(|since| match self.phase {
            Phase::Handshake => (since + HANDSHAKE_SEGMENT, late(HANDSHAKE, "Propose")),
            Phase::Open { .. } | Phase::Closing(_) | Phase::Closed => {
                (since + SEGMENT, Violation::SlowSegment)
            }
        });
        let idle = self.chain_sync.idle_since().filter(|_| self.is_open()).and_then(|since| {
            let state = chain_sync::State::Idle;
            Some((since + limit(state.limits().time)?, late(CHAIN_SYNC, state.name())))
        });
        let alive = self.keep_alive.client_since().and_then(|since| {
            let state = keep_alive::State::Client;
            Some((since + limit(state.limits().time)?, late(KEEP_ALIVE, state.name())))
        });
        let txs = self.rare.as_ref().and_then(|rare| rare.txs.client_since()).and_then(|since| {
            let state = tx_submission::State::Txs;
            Some((since + limit(state.limits().time)?, late(TX_SUBMISSION, state.name())))
        });
        [first, idle, alive, txs].into_iter().flatten()
    }
}
