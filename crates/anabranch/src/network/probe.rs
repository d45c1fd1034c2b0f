//! One link with one peer, outside of any pool: for an operator who wants to know whether a peer is there, who it is
//! and how far away.
//!
//! It does what a network does for each of its links, with the same machines and routines, and nothing beside.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use link::agreement::Agreed;
use link::budget::Budget;
use link::link::Link;
use link::message::Kind;
use link::reason::Reason;
use link::{Identity, channel, ping};
use rand_chacha::ChaCha20Rng;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::address::PeerAddress;
use super::clock::Clock;
use super::socket::{Above, Delivery, Permit, Socket};
use super::socket::{Opening, open};
use super::status::Direction;
use super::{Config, dial};

/// How much may be under way while the peer's echo is measured: half of the echo channel's usual window, so that
/// neither side ever has to wait for credit alone.
const UNDER_WAY_BYTES: usize = 256 << 10;

/// A link with a peer, and how long it took to get there.
pub struct Probe {
    socket: Arc<Socket>,
    heard: Arc<Heard>,
    ended: watch::Receiver<Option<Reason>>,
    tasks: TaskTracker,
    /// How long an answer is waited for, though the peer says other things: as long as silence is borne.
    patience: Duration,
    /// From the first thought of the peer's address to a bearer.
    pub dial: Duration,
    /// From the bearer to an open link.
    pub handshake: Duration,
}

/// What became of an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echoed {
    /// Messages that came back.
    pub messages: u64,
    /// Their bodies' bytes, counted once.
    pub bytes: u64,
    /// From the first sent to the last that came back.
    pub took: Duration,
}

/// Why there is no echo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EchoError {
    /// The peer sends nothing back.
    #[error("the peer has no echo channel")]
    NoChannel,
    /// The peer takes no messages of that length.
    #[error("the peer echoes messages of at most {limit} bytes")]
    TooLong {
        /// Its limit.
        limit: u32,
    },
    /// The peer does not answer, or not all.
    #[error("not all that was sent came back within {after:?}")]
    Lost {
        /// How long was waited after the last was sent.
        after: Duration,
    },
    /// Other bytes came back than were sent.
    #[error("other bytes came back than were sent")]
    Altered,
    /// The link ended.
    #[error(transparent)]
    Ended(#[from] Reason),
}

/// Answers that came in. They keep their places in the window until they are looked at, so there are never many.
#[derive(Default)]
struct Heard {
    answers: Mutex<BTreeMap<u32, (Bytes, Permit)>>,
    came: Notify,
    ended: watch::Sender<Option<Reason>>,
}

impl Probe {
    /// Links with a peer.
    ///
    /// # Errors
    /// Why there is no link: the same as a network would note.
    pub async fn start(
        config: &Config,
        identity: &Identity,
        peer: &PeerAddress,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self, Reason> {
        let clock = Clock::start();
        let begun = Instant::now();
        let (bearer, _) = dial::dial(&peer.address, config.dial.timeout).await?;
        let dialled = Instant::now();
        let opening = Opening {
            bearer,
            link: Link::dial(clock.now(), config.link.clone(), identity, Some(peer.key), rng),
            direction: Direction::Dialled,
            budget: Budget::new(config.budget_bytes.get()),
            floor_bytes: config.floor_bytes.get(),
            config: config.socket,
            clock,
        };
        let opened = open(opening, |_| Ok(())).await?;
        let handshake = dialled.elapsed();
        let (socket, heard, tasks) = (opened.socket().clone(), Arc::<Heard>::default(), TaskTracker::new());
        let ended = heard.ended.subscribe();
        opened.start(heard.clone(), Box::new(()), &tasks);
        let patience = config.link.rules.config().silence;
        Ok(Self { socket, heard, ended, tasks, patience, dial: dialled - begun, handshake })
    }

    /// What both sides agreed on.
    pub fn agreed(&self) -> &Agreed {
        self.socket.agreed()
    }

    /// What pings tell once there are more answers than `seen`. The first ping goes out by itself.
    ///
    /// # Errors
    /// When the link ends before, or the peer does not answer.
    pub async fn pong(&mut self, seen: u64) -> Result<ping::Figures, Reason> {
        let socket = self.socket.clone();
        let pong = async {
            loop {
                let heard = socket.changed();
                match socket.figures().ping {
                    Some(figures) if figures.pongs > seen => return figures,
                    _ => heard.await,
                }
            }
        };
        tokio::select! {
            biased;
            figures = pong => Ok(figures),
            reason = ended(&mut self.ended) => Err(reason),
            () = tokio::time::sleep(self.patience) => Err(Reason::Silent),
        }
    }

    /// Pings again.
    pub fn ping(&self) {
        self.socket.ping();
    }

    /// Sends messages of `size` bytes for `time`, several at once, and waits until all have come back.
    ///
    /// # Errors
    /// When the peer echoes nothing of the kind, not all or something else comes back, or the link ends.
    pub async fn echo(&mut self, size: u32, time: Duration) -> Result<Echoed, EchoError> {
        let agreed = self.agreed().channels.iter().find(|agreed| agreed.channel.number == channel::ECHO);
        let limit = agreed.ok_or(EchoError::NoChannel)?.peer_max_message_bytes;
        if size > limit {
            return Err(EchoError::TooLong { limit });
        }
        let (socket, heard) = (self.socket.clone(), self.heard.clone());
        tokio::select! {
            biased;
            reason = ended(&mut self.ended) => Err(reason.into()),
            echoed = echo(&socket, &heard, size as usize, time) => echoed,
            () = tokio::time::sleep(time.saturating_add(self.patience)) => {
                Err(EchoError::Lost { after: self.patience })
            }
        }
    }

    /// Closes the link, and waits until that is done.
    pub async fn close(self) {
        self.socket.close(Reason::Dropped);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn echo(socket: &Arc<Socket>, heard: &Heard, size: usize, time: Duration) -> Result<Echoed, EchoError> {
    let body: Bytes = (0..size).map(|at| at as u8).collect::<Vec<_>>().into();
    let most = (UNDER_WAY_BYTES / size.max(1)).clamp(1, 64);
    let begun = Instant::now();
    let (mut asked, mut messages, mut under_way) = (0_u32, 0, BTreeSet::new());
    loop {
        while under_way.len() < most && begun.elapsed() < time {
            asked = asked.wrapping_add(1);
            under_way.insert(asked);
            // Where it cannot be sent, the link has ended; who calls this knows the reason.
            let _ = socket.send(channel::ECHO, Kind::Request(asked), body.clone()).await;
        }
        if under_way.is_empty() {
            let took = begun.elapsed();
            return Ok(Echoed { messages, bytes: messages * size as u64, took });
        }
        for (number, (answer, _)) in heard.next().await {
            if !under_way.remove(&number) || answer != body {
                return Err(EchoError::Altered);
            }
            messages += 1;
        }
    }
}

/// Why the link ended, once it has.
async fn ended(ended: &mut watch::Receiver<Option<Reason>>) -> Reason {
    match ended.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(Reason::Dropped),
        Err(_) => Reason::Dropped,
    }
}

impl Heard {
    /// The answers that came since the last time; waits for one.
    async fn next(&self) -> BTreeMap<u32, (Bytes, Permit)> {
        loop {
            let came = self.came.notified();
            let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
            if !answers.is_empty() {
                return answers;
            }
            came.await;
        }
    }
}

impl Above for Heard {
    fn on_message(&self, delivery: Delivery) {
        let Delivery { kind, body, permit, .. } = delivery;
        if let Kind::Reply(number) = kind {
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (body, permit));
            self.came.notify_one();
        }
    }

    fn on_ending(&self, _: &Arc<Socket>, reason: &Reason) {
        self.ended.send_replace(Some(reason.clone()));
    }

    fn on_closed(&self, _: &Arc<Socket>, _: &Reason) {}
}
