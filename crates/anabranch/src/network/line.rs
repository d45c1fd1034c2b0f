//! One open connection as the network sees it: its socket, the questions asked over it, and where what comes in goes.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use link::channel::Lane;
use link::message::Kind;
use link::reason::Reason;
use link::{PeerId, Protocol};

use super::error::SendError;
use super::requests::Requests;
use super::shared::Shared;
use super::sink::{Delivery, Reply};
use super::socket::{self, Above, Socket};

/// One open connection.
pub(super) struct Line {
    pub(super) socket: Arc<Socket>,
    pub(super) requests: Arc<Requests<Reply>>,
}

/// What the socket's routines tell, and to whom.
pub(super) struct Ears {
    id: u64,
    shared: Arc<Shared>,
    requests: Arc<Requests<Reply>>,
    /// Weak: the socket owns its ears.
    line: Weak<Line>,
}

impl Line {
    /// A connection with the ears for its socket.
    pub(super) fn new(id: u64, socket: Arc<Socket>, shared: Arc<Shared>) -> (Arc<Self>, Arc<Ears>) {
        let requests = Arc::<Requests<Reply>>::default();
        let line = Arc::new(Self { socket, requests: requests.clone() });
        let ears = Arc::new(Ears { id, shared, requests, line: Arc::downgrade(&line) });
        (line, ears)
    }

    pub(super) fn peer(&self) -> PeerId {
        self.socket.peer()
    }

    /// Queues a message, as soon as there is room.
    pub(super) async fn send(&self, channel: Protocol, kind: Kind, body: Bytes) -> Result<(), SendError> {
        self.socket.send(channel, kind, body).await.map_err(|unsent| unsent.why.into())
    }

    /// Queues a message, if there is room now.
    pub(super) fn try_send(&self, channel: Protocol, kind: Kind, body: Bytes) -> Result<(), SendError> {
        self.socket.try_send(channel, kind, body).map_err(|unsent| unsent.why.into())
    }

    fn lane(&self, channel: Protocol) -> Lane {
        let agreed = &self.socket.agreed().channels;
        agreed
            .iter()
            .find(|agreed| agreed.channel.number == channel)
            .map_or(Lane::Bulk, |one| one.channel.lane)
    }
}

impl Above for Ears {
    fn on_message(&self, delivery: socket::Delivery) {
        let socket::Delivery { channel, kind, body, permit } = delivery;
        match kind {
            Kind::Reply(number) => {
                if let Err(stray) = self.requests.answer(number, Reply { body, permit }) {
                    self.shared.counters.count(stray);
                }
            }
            Kind::Note | Kind::Request(_) => {
                // The pool drops a line when both routines have ended, and one of them is here.
                let Some(line) = self.line.upgrade() else { return };
                let (peer, lane) = (line.peer(), line.lane(channel));
                let delivery = Delivery { peer, channel, kind, body, permit, line };
                self.shared.queue.put(lane, self.id, delivery);
            }
        }
    }

    fn on_ending(&self, socket: &Arc<Socket>, reason: &Reason) {
        let strikes = socket.inbound().strikes(self.shared.clock.now());
        self.shared.pool.end(self.id, reason.clone(), strikes);
        self.shared.queue.end(self.id);
        self.requests.close();
    }

    fn on_room(&self) {
        self.shared.queue.note_room(self.id);
    }

    fn on_rtt(&self) {
        self.shared.queue.note_rtt(self.id);
    }

    fn on_closed(&self, socket: &Arc<Socket>, reason: &Reason) {
        let (peer, id) = (socket.peer(), self.id);
        match reason {
            Reason::Violation(_) => tracing::info!(%peer, id, %reason, "disconnected a peer"),
            _ => tracing::debug!(%peer, id, %reason, "a peer's connection is over"),
        }
    }
}
