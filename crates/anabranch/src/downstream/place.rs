//! The places that clients have, and what is known of those in them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use chain::Chunk;
use ouroboros::server::{self, Client};
use serde::Serialize;

/// Look at the deadlines.
pub(super) const TICK: u8 = 1;
/// Finish and go.
pub(super) const DRAIN: u8 = 2;
/// Go at once: a newer connection has the place.
pub(super) const EVICT: u8 = 4;
/// Go at once: the server stops.
pub(super) const STOP: u8 = 8;
/// There is room for transactions.
pub(super) const ROOM: u8 = 16;

/// Why a client is no longer connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The protocols say so.
    #[error(transparent)]
    Protocol(#[from] server::Reason),
    /// The client closed the connection.
    #[error("the client closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {kind}")]
    Broken {
        /// How.
        kind: std::io::ErrorKind,
    },
    /// A newer connection has its place.
    #[error("silent, and a newer connection needed the place")]
    Evicted,
    /// It took nothing for too long.
    #[error("the client took nothing for too long")]
    Stalled,
    /// The clients together hold too much memory, and this one its part of it.
    #[error("too many bytes wait for this client, or were sent by it and wait")]
    Memory,
    /// The server stops, and the client had what it asked for, or time for it.
    #[error("the server stops")]
    Drained,
    /// Its task failed: a fault of ours.
    #[error("a fault of the server")]
    Fault,
}

impl Ended {
    /// Whether the client broke a rule.
    pub fn is_violation(&self) -> bool {
        matches!(self, Self::Protocol(reason) if reason.is_violation())
    }
}

/// A client's place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    pub(super) since: Duration,
    flags: AtomicU8,
    /// Whether it waits for the next view.
    pub(super) waits: AtomicBool,
    /// When bytes last came from the client, in ms since the server started.
    heard_ms: AtomicU64,
    waker: OnceLock<Waker>,
    inner: Mutex<Inner>,
}

/// What the client's task works on; others look at it between its turns.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) client: Client,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Since when the socket takes nothing, if it does not.
    pub(super) blocked: Option<Duration>,
    /// What of this client counts towards [`super::Config::max_held_bytes`].
    pub(super) held: usize,
    /// The chunk that was read for it, or that it could not be read.
    pub(super) loaded: Option<Option<Arc<Chunk>>>,
}

impl Place {
    pub(super) fn new(id: u64, peer: SocketAddr, now: Duration, client: Client) -> Self {
        Self {
            id,
            peer,
            since: now,
            flags: AtomicU8::new(0),
            waits: AtomicBool::new(false),
            heard_ms: AtomicU64::new(now.as_millis() as u64),
            waker: OnceLock::new(),
            inner: Mutex::new(Inner { client, received: 0, sent: 0, blocked: None, held: 0, loaded: None }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A task that panicked inside its turn is gone with its client; what is left is only looked at.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how the client's task is woken; a task's waker stays the same.
    pub(super) fn set_waker(&self, waker: &Waker) {
        if self.waker.get().is_none() {
            let _ = self.waker.set(waker.clone());
        }
    }

    /// Has the client's task look around.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Tells the client's task something.
    pub(super) fn tell(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
        self.wake();
    }

    /// What the task was told since it last asked.
    pub(super) fn take_flags(&self) -> u8 {
        if self.flags.load(Ordering::Acquire) == 0 { 0 } else { self.flags.swap(0, Ordering::AcqRel) }
    }

    pub(super) fn set_heard(&self, now: Duration) {
        self.heard_ms.store(now.as_millis() as u64, Ordering::Relaxed);
    }

    /// When bytes last came from the client.
    pub(super) fn heard(&self) -> Duration {
        Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }
}

/// A client that is connected, as an operator sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its number, never used again.
    pub id: u64,
    /// Its address.
    pub address: SocketAddr,
    /// For how long it has been connected.
    pub connected_s: u64,
    /// For how long it has said nothing.
    pub silent_s: u64,
    /// Bytes that came from it.
    pub received_bytes: u64,
    /// Bytes that it was sent.
    pub sent_bytes: u64,
    /// Whether its socket takes nothing at the moment.
    pub blocked: bool,
    /// What it is doing, protocol by protocol.
    #[serde(flatten)]
    pub status: server::Status,
}

/// A client that is gone, as an operator sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Departed {
    /// Its number.
    pub id: u64,
    /// Its address.
    pub address: SocketAddr,
    /// For how long it was connected.
    pub connected_s: u64,
    /// How long ago it went.
    pub ago_s: u64,
    /// Why.
    pub reason: String,
}

/// What has happened since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Connections admitted.
    pub admitted: u64,
    /// Connections refused: no place for them.
    pub refused: u64,
    /// Connections that lost their place to a newer one.
    pub evicted: u64,
    /// Connections that ended because the client broke a rule.
    pub violations: u64,
    /// Bytes received from clients that are gone.
    pub received_bytes: u64,
    /// Bytes sent to clients that are gone.
    pub sent_bytes: u64,
}
