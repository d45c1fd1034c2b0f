//! One client's task: its socket around its machine.
//!
//! The future is written by hand: it keeps a socket, what the socket did not take, and questions under way;
//! everything else is lent by the thread while its turn lasts. A turn reads what is there, answers what can be
//! answered, writes what the socket takes, and ends after a few rounds even if there is more.

mod effects;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use chain::View;
use link::Time;
use ouroboros::server::Input;
use store::Files;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::jobs::Answer;
use super::place::{DRAIN, EVICT, Ended, Inner, Place, ROOM, STOP, TICK};
use super::scratch::{self, Scratch};
use super::server::Shared;

/// Rounds of reading and writing in one turn; then others have theirs.
const ROUNDS: usize = 8;

/// What is taken from the machine for one write: at first, and at most. It doubles while the socket takes all,
/// so that a fast client's blocks go out in large writes, and what is kept for a slow one is small.
const FIRST_WRITE_BYTES: usize = 16 * 1024;
const LARGEST_WRITE_BYTES: usize = 256 * 1024;

/// The places of questions under way: chain-sync's, and block-fetch's.
const HEADERS: usize = 0;
const BLOCKS: usize = 1;

/// The task of one client.
pub(super) struct Connection<F: Files> {
    shared: Arc<Shared<F>>,
    place: Arc<Place>,
    socket: Socket,
    has_left: bool,
}

/// The socket, and what one turn leaves for the next.
struct Socket {
    stream: TcpStream,
    /// What the socket did not take, and how much of it is gone since.
    unsent: Vec<u8>,
    gone: usize,
    write_bytes: usize,
    /// Questions under way; what has not begun when the client goes never does.
    jobs: [Option<AbortOnDropHandle<Answer>>; 2],
    ending: Option<Ended>,
    draining: bool,
}

impl<F: Files> Connection<F> {
    pub(super) fn new(shared: Arc<Shared<F>>, place: Arc<Place>, stream: TcpStream) -> Self {
        let socket = Socket {
            stream,
            unsent: Vec::new(),
            gone: 0,
            write_bytes: FIRST_WRITE_BYTES,
            jobs: [None, None],
            ending: None,
            draining: false,
        };
        Self { shared, place, socket, has_left: false }
    }

    fn leave(&mut self, why: Ended) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.shared.places.leave(&self.place, self.shared.clock.now().mono, why);
        }
    }
}

impl<F: Files> Future for Connection<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, place, socket, .. } = &mut *self;
        place.set_waker(cx.waker());
        let ended = scratch::with(|scratch| {
            // What a client whose socket broke, or whose task panicked, wanted in its last turn is not this one's.
            scratch.outputs.clear();
            let mut seen = place.lock();
            let view = shared.newest(scratch.view.take());
            let now = shared.clock.now();
            let mut turn =
                Turn { shared, place, socket, seen: &mut seen, scratch, view: &view, now, asked: false };
            let ended = turn.run(cx);
            if ended.is_pending() {
                turn.settle(cx);
            }
            scratch.view = Some((shared.id, view));
            ended
        });
        let why = ready!(ended);
        let peer = self.place.peer;
        match why {
            Ended::Fault => tracing::error!(%peer, "a client's task failed"),
            why if why.is_violation() => tracing::info!(%peer, reason = %why, "disconnected a client"),
            why => tracing::debug!(%peer, reason = %why, "a client is gone"),
        }
        self.leave(why);
        Poll::Ready(())
    }
}

impl<F: Files> Drop for Connection<F> {
    fn drop(&mut self) {
        // Its task panicked, or the runtime is gone.
        self.leave(Ended::Fault);
    }
}

/// One turn of a client's task.
struct Turn<'a, F: Files> {
    shared: &'a Shared<F>,
    place: &'a Arc<Place>,
    socket: &'a mut Socket,
    seen: &'a mut Inner,
    scratch: &'a mut Scratch,
    view: &'a Arc<View>,
    now: Time,
    /// A question was asked: whoever answers it does not know yet whom to wake.
    asked: bool,
}

impl<F: Files> Turn<'_, F> {
    /// Does what can be done; says why the connection ended, if it did.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(why) = self.hear() {
            return Poll::Ready(why);
        }
        for _ in 0..ROUNDS {
            let mut more = self.answers(cx);
            while self.socket.ending.is_none() {
                match self.read(cx) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ended::Closed),
                    // A full buffer means that there is more to read; it has its turn after what is to be sent.
                    Poll::Ready(Ok(got)) if got == self.scratch.read.len() => {
                        more = true;
                        break;
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Ended::Broken { kind: error.kind() }),
                    Poll::Pending => break,
                }
            }
            match self.write(cx) {
                Ok(has_more) => more |= has_more,
                Err(error) => return Poll::Ready(Ended::Broken { kind: error.kind() }),
            }
            let is_sent = self.socket.unsent.is_empty();
            if let Some(why) = self.socket.ending.filter(|_| is_sent) {
                return Poll::Ready(why);
            }
            if self.socket.draining && is_sent && self.seen.client.is_quiet() {
                return Poll::Ready(Ended::Drained);
            }
            more |= std::mem::take(&mut self.asked);
            if !more {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What others told this task.
    fn hear(&mut self) -> Option<Ended> {
        let flags = self.place.take_flags();
        if flags & STOP != 0 {
            return Some(Ended::Drained);
        }
        if flags & EVICT != 0 {
            return Some(Ended::Evicted);
        }
        if flags & TICK != 0 {
            let stalled_after = self.shared.config.stalled_after;
            if self.seen.blocked.is_some_and(|since| self.now.mono.saturating_sub(since) >= stalled_after) {
                return Some(Ended::Stalled);
            }
            if self.seen.blocked.is_some() || self.seen.client.is_resting(self.now.mono) {
                self.seen.client.relax();
            }
            self.tell(Input::Tick);
        }
        if flags & DRAIN != 0 {
            self.socket.draining = true;
            self.tell(Input::Drain);
        }
        if flags & ROOM != 0 && self.seen.client.wants_inbox_room() {
            self.tell(Input::InboxRoom);
        }
        if let Some(loaded) = self.seen.loaded.take() {
            self.tell(loaded.map_or(Input::LogFailed, Input::Chunk));
        }
        None
    }

    /// Takes the answers that have come; says whether any had.
    fn answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for slot in [HEADERS, BLOCKS] {
            let Some(job) = &mut self.socket.jobs[slot] else { continue };
            let Poll::Ready(answer) = Pin::new(job).poll(cx) else { continue };
            self.socket.jobs[slot] = None;
            // A job that panicked, or that the runtime dropped, answers nothing.
            self.tell(answer.unwrap_or(Input::LogFailed));
            any = true;
        }
        any
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.scratch.read);
        ready!(Pin::new(&mut self.socket.stream).poll_read(cx, &mut buffer))?;
        let got = buffer.filled().len();
        if got > 0 {
            self.seen.received += got as u64;
            self.place.set_heard(self.now.mono);
            let input = Input::Received(&self.scratch.read[..got]);
            self.seen.client.handle(self.now, input, self.view, &mut self.scratch.outputs);
            self.perform();
        }
        Poll::Ready(Ok(got))
    }

    /// Writes what is to be sent, as far as the socket takes it; says whether there may be more.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if !self.socket.unsent.is_empty() {
            self.write_unsent(cx)?;
            if !self.socket.unsent.is_empty() {
                return Ok(false);
            }
        }
        self.scratch.write.clear();
        let (budget, buffer, outputs) =
            (self.socket.write_bytes, &mut self.scratch.write, &mut self.scratch.outputs);
        let mut more = self.seen.client.transmit(self.now, self.view, budget, buffer, outputs);
        if !self.scratch.write.is_empty() {
            self.write_fresh(cx)?;
        }
        // What was asked may be at hand.
        more |= !self.scratch.outputs.is_empty();
        self.perform();
        Ok(more && self.socket.unsent.is_empty())
    }

    /// Writes what the machine just said; keeps what the socket does not take.
    fn write_fresh(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let bytes = &self.scratch.write;
        let mut gone = 0;
        while gone < bytes.len() {
            match Pin::new(&mut self.socket.stream).poll_write(cx, &bytes[gone..]) {
                Poll::Ready(wrote) => gone += wrote?,
                Poll::Pending => {
                    self.socket.unsent = bytes[gone..].to_vec();
                    self.socket.gone = 0;
                    self.socket.write_bytes = FIRST_WRITE_BYTES;
                    self.seen.blocked.get_or_insert(self.now.mono);
                    self.seen.sent += gone as u64;
                    return Ok(());
                }
            }
        }
        self.seen.sent += gone as u64;
        if gone >= self.socket.write_bytes {
            self.socket.write_bytes = (self.socket.write_bytes * 2).min(LARGEST_WRITE_BYTES);
        }
        Ok(())
    }

    /// Writes what the socket did not take before.
    fn write_unsent(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let socket = &mut *self.socket;
        let before = socket.gone;
        while socket.gone < socket.unsent.len() {
            let rest = &socket.unsent[socket.gone..];
            match Pin::new(&mut socket.stream).poll_write(cx, rest) {
                Poll::Ready(wrote) => socket.gone += wrote?,
                Poll::Pending => break,
            }
        }
        let wrote = socket.gone - before;
        self.seen.sent += wrote as u64;
        if wrote > 0 {
            self.seen.blocked = Some(self.now.mono);
        }
        if socket.gone == socket.unsent.len() {
            socket.unsent = Vec::new();
            socket.gone = 0;
            self.seen.blocked = None;
        }
        Ok(())
    }

    fn tell(&mut self, input: Input<'_>) {
        self.seen.client.handle(self.now, input, self.view, &mut self.scratch.outputs);
        self.perform();
    }
}

/// Whether the client is to look at the time: for a deadline, or since what was read ahead for it is of no use now.
pub(super) fn is_due(seen: &Inner, now: Duration) -> bool {
    let is_of_no_use = seen.blocked.is_some() || seen.client.is_resting(now);
    is_of_no_use || seen.client.next_deadline().is_some_and(|deadline| deadline <= now)
}
