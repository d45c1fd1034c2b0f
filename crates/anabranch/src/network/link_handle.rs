//! One open link, for who keeps count of links: what is said over it goes over it, and over no other with its peer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use link::message::Kind;
use link::reason::Reason;
use link::{PeerId, Protocol, Violation};

use super::error::SendError;
use super::line::Line;
use super::pool::Pool;

/// An open link with a peer.
#[derive(Clone)]
pub struct LinkHandle {
    line: Arc<Line>,
    pool: Arc<Pool<Arc<Line>>>,
}

impl LinkHandle {
    pub(super) fn new(line: Arc<Line>, pool: Arc<Pool<Arc<Line>>>) -> Self {
        Self { line, pool }
    }

    /// With whom.
    pub fn peer(&self) -> PeerId {
        self.line.peer()
    }

    /// Whether the peer has a reserved place now.
    pub fn is_pinned(&self) -> bool {
        self.pool.is_pinned(self.peer())
    }

    /// The round trip, smoothed, once measured.
    pub fn rtt(&self) -> Option<Duration> {
        self.line.socket.rtt()
    }

    /// How many bytes each channel takes now and sends without waiting for the peer's credit, by what messages
    /// [cost](link::channel::cost) together. From now on the sink tells when there is more, in lumps.
    pub fn room(&self) -> Vec<(Protocol, u64)> {
        self.line.socket.look()
    }

    /// The same for one channel; nothing where the peer does not have it.
    pub fn room_of(&self, channel: Protocol) -> Option<u64> {
        self.line.socket.look_at(channel)
    }

    pub(super) fn grown(&self) -> Vec<Protocol> {
        self.line.socket.grown()
    }

    /// Sends a message, if there is a place for it now.
    ///
    /// # Errors
    /// When there is none, the link is at its end, or the peer does not take such a message.
    pub fn try_send(&self, channel: Protocol, body: Bytes) -> Result<(), SendError> {
        self.line.try_send(channel, Kind::Note, body)
    }

    /// What the peer said broke a rule of who reads it: it is counted under the rule's name, and a strike.
    pub fn strike(&self, rule: &'static str) {
        self.line.socket.strike(rule);
    }

    /// Closes the link, since what the peer said broke a rule; it cools off.
    pub fn close_for(&self, rule: &'static str) {
        self.line.socket.close(Reason::Violation(Violation::Content { name: rule }));
    }

    /// Closes the link without blame: the peer holds others up.
    pub fn part(&self) {
        self.line.socket.close(Reason::HeldUp);
    }
}

impl fmt::Debug for LinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkHandle").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
