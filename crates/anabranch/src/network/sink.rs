//! What came in and is not the network's own: handed to the application, one message after the other.
//!
//! It is bounded by what peers may send: each message in it holds its place in its channel's window and in the
//! byte budget of all links. So an application that takes nothing stops the channels of those who send, and
//! nothing else: no routine ever waits for it, nor does a stop.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use link::budget::Charge;
use link::channel::Lane;
use link::message::Kind;
use link::{PeerId, Protocol};
use tokio::sync::Notify;

use super::error::SendError;
use super::fair::Way;
use super::line::Line;
use super::link_handle::LinkHandle;
use super::mail::{Changes, Item, Mail};
use super::socket::Permit;

/// A message from a peer.
pub struct Delivery {
    /// From whom.
    pub peer: PeerId,
    /// On which channel.
    pub channel: Protocol,
    /// Whether it is a question. (Answers never come here.)
    pub kind: Kind,
    /// Its content.
    pub body: Bytes,
    /// Holds its place in the channel's window. While it is held the peer can send that much less.
    pub permit: Permit,
    pub(super) line: Arc<Line>,
}

/// What happens on the links, for who keeps count of them. Nothing of a peer comes before `Joined` and after `Left`, also
/// where one link with it takes the place of another.
#[derive(Debug)]
pub enum Event {
    /// A link opened. From now on there is news of its room.
    Joined(LinkHandle),
    /// Something of a link changed since it was last told; however often, it is told once.
    Changed {
        /// Whose.
        peer: PeerId,
        /// The round trip, smoothed, where it was measured.
        rtt: Option<Duration>,
        /// Whether the peer has a reserved place now, where it was given one or lost it.
        pinned: Option<bool>,
        /// The channels that take more than before: see [`LinkHandle::room_of`].
        room: Vec<Protocol>,
    },
    /// A message came.
    Message(Delivery),
    /// The link closed.
    Left(PeerId),
}

/// The answer to a question.
#[derive(Debug)]
pub struct Reply {
    /// Its content.
    pub body: Bytes,
    /// Holds its place in the channel's window. While it is held the peer can send that much less.
    pub permit: Permit,
}

/// Who asked a question, and which. While it is held, so is the question's place in its channel's window.
pub struct Asker {
    line: Arc<Line>,
    channel: Protocol,
    number: u32,
    permit: Permit,
}

/// An answer that is under way, with the question's part of the byte budget: who asks on and on and does not take
/// the answers is out of budget, and not this node out of memory.
struct UnderWay {
    body: Bytes,
    _charge: Option<Charge>,
}

/// Where deliveries come out. There is one per network.
pub struct Sink {
    queue: Arc<Queue>,
}

/// What is between the routines and the [`Sink`].
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    mail: Mail<LinkHandle, Delivery>,
    /// Nothing more comes in.
    closed: bool,
    /// Nobody takes anything any more.
    abandoned: bool,
}

impl Sink {
    /// The next message: urgent channels first, then each peer in turn, and each of its channels. Nothing once the network has stopped and
    /// all is taken.
    ///
    /// Cancel-safe: no message is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Item::Message(delivery) = self.item().await? {
                return Some(delivery);
            }
        }
    }

    /// What happens next: news of links first, then messages as [`next`](Self::next) has them. Nothing once the network
    /// has stopped and all is taken. Whoever takes some things with this takes all with it.
    ///
    /// Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next_event(&mut self) -> Option<Event> {
        Some(match self.item().await? {
            Item::Joined(link) => Event::Joined(link),
            Item::Changed(link, Changes { rtt, room, pinned }) => Event::Changed {
                peer: link.peer(),
                pinned: pinned.then(|| link.is_pinned()),
                rtt: if rtt { link.rtt() } else { None },
                room: if room { link.grown() } else { Vec::new() },
            },
            Item::Message(delivery) => Event::Message(delivery),
            Item::Left(peer) => Event::Left(peer),
        })
    }

    /// The peers that have joined and of whom messages wait to be taken.
    pub fn unread(&self) -> Vec<PeerId> {
        self.queue.lock().mail.unread().collect()
    }

    async fn item(&mut self) -> Option<Item<LinkHandle, Delivery>> {
        loop {
            {
                let mut inner = self.queue.lock();
                if let Some(item) = inner.mail.pop() {
                    return Some(item);
                }
                if inner.closed {
                    return None;
                }
            }
            self.queue.changed.notified().await;
        }
    }

    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        inner.abandoned = true;
        let mail = std::mem::take(&mut inner.mail);
        drop(inner);
        // Their permits go back without the lock.
        drop(mail);
    }
}

impl Queue {
    /// A link opened, before anything came over it.
    pub(super) fn open(&self, id: u64, link: LinkHandle) {
        self.change(|mail| mail.open(id, link.peer(), link));
    }

    /// The end of a link has begun.
    pub(super) fn end(&self, id: u64) {
        self.change(|mail| mail.end(id));
    }

    /// A round trip was measured on a link.
    pub(super) fn note_rtt(&self, id: u64) {
        self.change(|mail| mail.change(id, Changes { rtt: true, ..Changes::default() }));
    }

    /// There is more room on a link.
    pub(super) fn note_room(&self, id: u64) {
        self.change(|mail| mail.change(id, Changes { room: true, ..Changes::default() }));
    }

    /// The peer of a link was given a reserved place, or lost it.
    pub(super) fn note_pinned(&self, id: u64) {
        self.change(|mail| mail.change(id, Changes { pinned: true, ..Changes::default() }));
    }

    /// Puts a message behind those of its channel and its link.
    pub(super) fn put(&self, lane: Lane, id: u64, delivery: Delivery) {
        let way = Way { lane, channel: delivery.channel };
        let mut late = Some(delivery);
        self.change(|mail| late = late.take().and_then(|delivery| mail.put(id, way, delivery)));
        // What nobody is to see any more goes without the lock.
        drop(late);
    }

    fn change(&self, change: impl FnOnce(&mut Mail<LinkHandle, Delivery>)) {
        let mut inner = self.lock();
        if inner.abandoned {
            return;
        }
        change(&mut inner.mail);
        drop(inner);
        self.changed.notify_one();
    }

    /// How many messages wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.lock().mail.len()
    }

    /// Nothing more comes in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked here left a queue that is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, channel, kind, body, .. } = self;
        let bytes = body.len();
        f.debug_struct("Delivery")
            .field("peer", peer)
            .field("channel", channel)
            .field("kind", kind)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

impl Delivery {
    /// Who is to be answered, if it is a question.
    pub fn into_asker(self) -> Option<Asker> {
        let Self { channel, kind, permit, line, .. } = self;
        match kind {
            Kind::Request(number) => Some(Asker { line, channel, number, permit }),
            Kind::Note | Kind::Reply(_) => None,
        }
    }
}

impl Asker {
    /// Who asked.
    pub fn peer(&self) -> PeerId {
        self.line.peer()
    }

    /// Answers, as soon as there is room. Cancel-safe: the answer is queued whole or not at all.
    ///
    /// # Errors
    /// When the connection on which the question came is gone, or the answer is too long.
    pub async fn reply(self, body: Bytes) -> Result<(), SendError> {
        let body = UnderWay::wrap(body, self.permit);
        self.line.send(self.channel, Kind::Reply(self.number), body).await
    }

    /// Answers, if there is room now.
    ///
    /// # Errors
    /// When there is none, the connection is gone, or the answer is too long.
    pub fn try_reply(self, body: Bytes) -> Result<(), SendError> {
        let body = UnderWay::wrap(body, self.permit);
        self.line.try_send(self.channel, Kind::Reply(self.number), body)
    }
}

impl UnderWay {
    /// The question's window is given back at once: two peers that ask each other as much as they may would
    /// otherwise wait for each other with their answers.
    fn wrap(body: Bytes, permit: Permit) -> Bytes {
        Bytes::from_owner(Self { body, _charge: permit.into_charge() })
    }
}

impl AsRef<[u8]> for UnderWay {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
