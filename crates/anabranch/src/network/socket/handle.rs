//! An open connection: what its two routines and everybody else share.
//!
//! A socket has exactly two tasks, `read` and `write`; keep-alive, deadlines and stalls
//! live in them. Others reach it through this handle: they queue messages, give back what was delivered (by dropping
//! a [`Permit`]), close it, and look at it. Before it is open, it is a future in `open`.
//!
//! It does not know who else is connected: that is the pool's, which hears through `Above` what comes in and how
//! the socket ends.
//!
//! **Invariant:** no lock is held while something is sealed, read or written, nor while `Above` is called.
//!
//! **Invariant:** the two routines end together: what ends one of them ends the socket, with one reason.
//!
//! `spec/link.md`, "Halves" and "Backpressure".

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use link::agreement::Agreed;
use link::inbound::Inbound;
use link::message::Kind;
use link::outbound::{self, Outbound, Unsent, Why};
use link::reason::Reason;
use link::state::State;
use link::{PeerId, Protocol, Time};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::config::Config;
use super::figures::{ChannelFigures, Figures};
use super::permit::Permit;
use super::signal::Signal;
use crate::network::clock::Clock;
use crate::network::status::Direction;

/// How many routines a socket has.
const ROUTINES: u8 = 2;

/// What was taken is reported to the inbound half at the latest when it is this part of the channel's window. That half
/// grants credit back in lumps of a quarter; the window has room for the longest message beside both.
const TAKEN_PART: u32 = 8;

/// What a socket tells. Its routines stand still meanwhile: nothing here may wait.
pub(in crate::network) trait Above: Send + Sync + 'static {
    /// A message came in.
    fn on_message(&self, delivery: Delivery);
    /// There is more room to send than was seen, where somebody looked.
    fn on_room(&self) {}
    /// A round trip was measured.
    fn on_rtt(&self) {}
    /// The socket's end has begun. Called once.
    fn on_ending(&self, socket: &Arc<Socket>, reason: &Reason);
    /// Both routines have ended. Called once, last.
    fn on_closed(&self, socket: &Arc<Socket>, reason: &Reason);
}

/// A message that came in.
#[derive(Debug)]
pub(in crate::network) struct Delivery {
    /// On which channel.
    pub(in crate::network) channel: Protocol,
    /// Whether it is part of a question.
    pub(in crate::network) kind: Kind,
    /// Its content.
    pub(in crate::network) body: Bytes,
    /// Its place in the channel's window.
    pub(in crate::network) permit: Permit,
}

/// An open connection, as everybody sees it.
pub(in crate::network) struct Socket {
    peer: PeerId,
    direction: Direction,
    agreed: Agreed,
    config: Config,
    clock: Clock,
    /// Locked by the read routine for a turn's handling, and by who looks.
    inbound: Mutex<Inbound>,
    outbound: Mutex<Half>,
    /// Wakes the read routine.
    pub(super) reads: Signal,
    /// Wakes the write routine.
    pub(super) writes: Signal,
    /// What was taken of each agreed channel's window, in their order, and not reported yet.
    taken: Box<[AtomicU32]>,
    /// There may be room in a queue, or nothing left in any; a pong has come; or the end has begun.
    room: Notify,
    is_ending: AtomicBool,
    /// Nobody waits for last words any more.
    is_aborted: AtomicBool,
    running: AtomicU8,
    owner: Mutex<Owner>,
    /// On the bearer.
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) write_bytes: AtomicU32,
}

/// The outbound half, and what else is under its lock.
pub(super) struct Half {
    pub(super) outbound: Outbound,
    /// The write routine found nothing to send and has written everything: it waits to be signalled.
    pub(super) sleeps: bool,
}

/// Those who are told; gone when the socket is.
#[derive(Default)]
struct Owner {
    above: Option<Arc<dyn Above>>,
    place: Option<Box<dyn Any + Send>>,
}

impl Socket {
    /// A socket around the halves of a link that is open. Its routines do not run yet.
    pub(super) fn new(
        peer: PeerId,
        direction: Direction,
        agreed: Agreed,
        halves: (Inbound, Outbound),
        config: Config,
        clock: Clock,
    ) -> Arc<Self> {
        let taken = agreed.channels.iter().map(|_| AtomicU32::new(0)).collect();
        let (inbound, outbound) = halves;
        Arc::new(Self {
            peer,
            direction,
            agreed,
            config,
            clock,
            inbound: Mutex::new(inbound),
            outbound: Mutex::new(Half { outbound, sleeps: false }),
            reads: Signal::default(),
            writes: Signal::default(),
            taken,
            room: Notify::new(),
            is_ending: AtomicBool::new(false),
            is_aborted: AtomicBool::new(false),
            running: AtomicU8::new(ROUTINES),
            owner: Mutex::default(),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            write_bytes: AtomicU32::new(config.pace.min_bytes.get()),
        })
    }

    /// Who is at the other end.
    pub(in crate::network) fn peer(&self) -> PeerId {
        self.peer
    }

    /// What both sides can do.
    pub(in crate::network) fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Queues a message, if it can be sent and there is room now; else it comes back with the reason.
    pub(in crate::network) fn try_send(
        self: &Arc<Self>,
        channel: Protocol,
        kind: Kind,
        body: Bytes,
    ) -> Result<(), Unsent> {
        self.act(|outbound, _, _| outbound.queue(channel, kind, body))
    }

    /// Queues a message when there is room. Dropped before it is ready, it has queued nothing.
    pub(in crate::network) async fn send(
        self: &Arc<Self>,
        channel: Protocol,
        kind: Kind,
        mut body: Bytes,
    ) -> Result<(), Unsent> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            match self.try_send(channel, kind, body) {
                Err(Unsent { why: Why::Full { .. }, body: back }) => body = back,
                done => return done,
            }
            room.await;
        }
    }

    /// Returns when everything that was queued has been written, or the end has begun.
    pub(in crate::network) async fn flushed(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            {
                let half = self.half();
                if self.is_ending() || half.sleeps && half.outbound.is_empty() {
                    return;
                }
            }
            room.await;
        }
    }

    /// Ready when something that others wait for may have changed: room in a queue, a pong, the end.
    pub(in crate::network) fn changed(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Has the peer pinged now.
    pub(in crate::network) fn ping(self: &Arc<Self>) {
        self.act(|outbound, now, out| outbound.handle(now, outbound::Input::Ping, out));
    }

    /// Begins the end: what the peer is to be told is still sent. The first reason stays.
    pub(in crate::network) fn close(self: &Arc<Self>, reason: Reason) {
        self.act(|outbound, now, out| outbound.handle(now, outbound::Input::Close(reason), out));
    }

    /// Ends at once, and says no more: for a socket whose time to close is over.
    pub(in crate::network) fn abort(self: &Arc<Self>, reason: Reason) {
        self.is_aborted.store(true, Ordering::Release);
        self.close(reason);
        self.reads.give();
        self.writes.give();
    }

    /// Whether it is to end at once.
    pub(super) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    /// Whether the end has begun.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Why the socket ends; nothing while it is open.
    pub(in crate::network) fn reason(&self) -> Option<Reason> {
        self.half().outbound.life().reason().cloned()
    }

    /// What operators see.
    pub(in crate::network) fn figures(&self) -> Figures {
        let now = self.clock.now();
        let (life, ping, mut channels) = {
            let half = self.half();
            let channels = half.outbound.status().map(ChannelFigures::new).collect::<Vec<_>>();
            (half.outbound.life().clone(), half.outbound.figures(), channels)
        };
        let inbound = self.inbound();
        for (number, traffic) in inbound.traffic() {
            if let Some(channel) = channels.iter_mut().find(|channel| channel.channel == number) {
                channel.received = traffic;
            }
        }
        Figures {
            life,
            ping,
            channels,
            heard: inbound.heard(),
            strikes: inbound.strikes(now),
            violations: inbound.violations().clone(),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            write_bytes: self.write_bytes.load(Ordering::Relaxed),
        }
    }

    /// Says who is told. Nothing was told before.
    pub(super) fn own(self: &Arc<Self>, above: Arc<dyn Above>, place: Box<dyn Any + Send>) {
        let before = {
            let mut owner = self.owner();
            *owner = Owner { above: Some(above.clone()), place: Some(place) };
            self.is_ending()
        };
        if before && let Some(reason) = self.reason() {
            above.on_ending(self, &reason);
        }
    }

    /// The inbound half, for a moment.
    pub(in crate::network) fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outbound half, for a moment.
    pub(super) fn half(&self) -> MutexGuard<'_, Half> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer may send more.
    pub(super) fn grant(self: &Arc<Self>, channel: Protocol, bytes: u32) {
        let input = outbound::Input::Grant { channel, bytes };
        self.act(|outbound, now, out| outbound.handle(now, input, out));
    }

    /// Nothing but time has passed, or all is written, while it closes.
    pub(super) fn settle(self: &Arc<Self>, input: outbound::Input) {
        self.act(|outbound, now, out| outbound.handle(now, input, out));
    }

    /// There may be room for those who wait for it, or nothing left to wait for.
    pub(super) fn make_room(&self) {
        self.room.notify_waiters();
    }

    /// What was taken since the last time, by channel.
    pub(super) fn drain_taken(&self) -> impl Iterator<Item = (Protocol, u32)> {
        let channels = self.agreed.channels.iter().map(|agreed| agreed.channel.number);
        channels.zip(&self.taken).filter_map(|(channel, taken)| {
            let is_idle = taken.load(Ordering::Relaxed) == 0;
            let bytes = if is_idle { 0 } else { taken.swap(0, Ordering::AcqRel) };
            (bytes > 0).then_some((channel, bytes))
        })
    }

    /// The application has given back so much of a channel's window.
    pub(super) fn on_taken(&self, channel: Protocol, bytes: u32) {
        let at = self.agreed.channels.iter().position(|agreed| agreed.channel.number == channel);
        let at = at.expect("the inbound half takes messages of agreed channels alone");
        let lump = self.agreed.channels[at].channel.window_bytes / TAKEN_PART;
        let before = self.taken[at].fetch_add(bytes, Ordering::AcqRel);
        // Whoever crosses the line signals.
        if before < lump && before.saturating_add(bytes) >= lump {
            self.reads.give();
        }
    }

    /// Has the outbound half do something, and does what follows from it.
    pub(super) fn act<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Outbound, Time, &mut Vec<outbound::Output>) -> T,
    ) -> T {
        let now = self.clock.now();
        let mut outputs = Vec::new();
        let (done, wakes, ending) = {
            let mut half = self.half();
            let was_live = half.outbound.life().state().is_live();
            let done = act(&mut half.outbound, now, &mut outputs);
            let life = half.outbound.life();
            let ending = life.reason().cloned().filter(|_| was_live);
            let wakes = ending.is_some() || half.sleeps && half.outbound.is_ready(now);
            half.sleeps &= !wakes;
            if ending.is_some() {
                self.is_ending.store(true, Ordering::Release);
            }
            (done, wakes, ending)
        };
        if wakes {
            self.writes.give();
        }
        if let Some(reason) = ending {
            self.on_ending(&reason);
        }
        done
    }

    fn on_ending(self: &Arc<Self>, reason: &Reason) {
        self.reads.give();
        self.make_room();
        if let Some(above) = self.above() {
            above.on_ending(self, reason);
        }
    }

    /// One of the routines has ended; `state` says how far the outbound half was.
    pub(super) fn leave(self: &Arc<Self>) {
        if self.running.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        // Permits keep the socket; they shall not keep what it held.
        self.inbound().let_go();
        let owner = std::mem::take(&mut *self.owner());
        if let (Some(above), Some(reason)) = (&owner.above, self.reason()) {
            above.on_closed(self, &reason);
        }
        // The place is free only now.
        drop(owner.place);
    }

    /// Whether everything is over, the last words included.
    pub(super) fn is_closed(&self) -> bool {
        self.half().outbound.life().state() == State::Closed
    }

    /// Who is told, once the routines run and until both have ended.
    pub(super) fn above(&self) -> Option<Arc<dyn Above>> {
        self.owner().above.clone()
    }

    fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("peer", &self.peer).field("direction", &self.direction).finish()
    }
}
