//! The write routine: takes what is to be sent out of the outbound half, seals it, and writes it.
//!
//! It owns the nonce, in its [`Sealer`], and the bearer's half. It sleeps until it is signalled, the bearer takes bytes
//! again, or a deadline passes: a ping that is due, a peer that takes nothing, an end that lasts too long.
//!
//! Segments are chosen as late as possible, when everything before them has gone to the kernel, and no more at once than
//! [`Pace`] says: what is urgent waits for that much and no more.
//!
//! **Invariant:** it holds a buffer only while the bearer has not taken all of it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use link::outbound::{Batch, Input};
use link::reason::Reason;
use link::session::Sealer;
use link::state::State;

use super::alarm::Alarm;
use super::bearer::Writer;
use super::buffers::{self, Unsent};
use super::handle::Socket;
use super::pace::Pace;

/// Writes in one turn; then others have theirs.
const ROUNDS: usize = 16;

thread_local! {
    /// The segments of one write, between the lock and the sealing.
    static BATCH: RefCell<Batch> = RefCell::new(Batch::new());
}

/// The task that writes.
pub(super) struct Routine {
    socket: Arc<Socket>,
    bearer: Writer,
    sealer: Sealer,
    pace: Pace,
    alarm: Alarm,
    /// What was sealed and not taken by the bearer.
    unsent: Unsent,
    /// Since when the bearer has taken nothing.
    blocked: Option<Duration>,
    has_left: bool,
}

/// What there is to do next.
enum Next {
    /// Something was sealed.
    Write,
    /// Nothing before this time, unless signalled.
    Sleep(Option<Duration>),
    /// Nothing any more.
    End,
}

impl Routine {
    pub(super) fn new(socket: Arc<Socket>, bearer: Writer, sealer: Sealer) -> Self {
        let (pace, alarm) = (Pace::new(&socket.config().pace), Alarm::default());
        // Where the system refuses, the connection is broken, and the first write will see that.
        let _ = bearer.set_unsent_bytes(pace.bytes());
        let unsent = Unsent::default();
        Self { socket, bearer, sealer, pace, alarm, unsent, blocked: None, has_left: false }
    }

    /// Does what can be done; ready when there is nothing left to do, ever.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            let deadline = if self.write(cx).is_ready() {
                match self.next() {
                    Next::Write => continue,
                    Next::Sleep(deadline) => deadline,
                    Next::End => return self.bearer.poll_shutdown(cx).map(drop),
                }
            } else if self.socket.is_closed() || self.socket.is_aborted() {
                return Poll::Ready(());
            } else {
                self.blocked_deadline()
            };
            if self.alarm.poll(cx, self.socket.clock(), deadline).is_pending() {
                return Poll::Pending;
            }
            self.on_deadline();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what was sealed; ready when all of it is gone, or the bearer is broken.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unsent.is_empty() {
            return Poll::Ready(());
        }
        while !self.unsent.is_empty() {
            match self.bearer.poll_write(cx, self.unsent.bytes()) {
                Poll::Ready(Ok(wrote)) if wrote > 0 => self.on_wrote(wrote),
                Poll::Ready(wrote) => {
                    let kind = wrote.map_or_else(|error| error.kind(), |_| std::io::ErrorKind::WriteZero);
                    self.socket.close(Reason::WriteFailed(kind));
                    break;
                }
                Poll::Pending => {
                    self.unsent.settle();
                    self.blocked.get_or_insert_with(|| self.socket.clock().now().mono);
                    return Poll::Pending;
                }
            }
        }
        self.unsent.clear();
        self.blocked = None;
        Poll::Ready(())
    }

    fn on_wrote(&mut self, wrote: usize) {
        self.unsent.advance(wrote);
        self.blocked = None;
        self.socket.sent_bytes.fetch_add(wrote as u64, Ordering::Relaxed);
        let now = self.socket.clock().now().mono;
        if self.pace.on_taken(&self.socket.config().pace, now, wrote) {
            let bytes = self.pace.bytes();
            self.socket.write_bytes.store(bytes, Ordering::Relaxed);
            // As at the start: a broken connection shows itself.
            let _ = self.bearer.set_unsent_bytes(bytes);
        }
    }

    /// Chooses what goes next and seals it, if there is something.
    fn next(&mut self) -> Next {
        BATCH.with_borrow_mut(|batch| {
            batch.clear();
            let now = self.socket.clock().now();
            let mut half = self.socket.half();
            let took = half.outbound.take(now, self.pace.bytes() as usize, batch);
            if !batch.is_empty() {
                drop(half);
                if took.freed {
                    self.socket.make_room();
                }
                if took.grown {
                    self.socket.tell_room();
                }
                return self.seal(batch);
            }
            let (state, deadline) = (half.outbound.life().state(), half.outbound.next_deadline());
            half.sleeps = state == State::Open;
            let is_empty = half.outbound.is_empty();
            drop(half);
            self.pace.on_empty();
            match state {
                State::Open => {
                    if is_empty {
                        self.socket.make_room();
                    }
                    Next::Sleep(deadline)
                }
                _ => {
                    // The last words are written.
                    self.socket.settle(Input::Flushed);
                    Next::End
                }
            }
        })
    }

    fn seal(&mut self, batch: &mut Batch) -> Next {
        let mut buffer = buffers::take();
        let sealed = batch.seal(&mut self.sealer, &mut buffer);
        // Bodies are shared with whoever sent them: let go of them now.
        batch.clear();
        self.unsent = Unsent::new(buffer, sealed.unwrap_or(0));
        if sealed.is_err() {
            self.unsent.clear();
            self.socket.close(Reason::Exhausted);
            return Next::End;
        }
        Next::Write
    }

    /// Until when a bearer that takes nothing is borne.
    fn blocked_deadline(&self) -> Option<Duration> {
        let half = self.socket.half();
        let outbound = &half.outbound;
        if outbound.life().state().is_live() {
            self.blocked.map(|since| since.saturating_add(self.socket.config().write_stall))
        } else {
            outbound.next_deadline()
        }
    }

    fn on_deadline(&mut self) {
        let stall = self.socket.config().write_stall;
        let now = self.socket.clock().now().mono;
        if self.socket.is_ending() {
            self.socket.settle(Input::Tick);
        } else if self.blocked.is_some_and(|since| now.saturating_sub(since) >= stall) {
            self.socket.close(Reason::WriteStall);
        }
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.socket.leave();
        }
    }
}

impl Future for Routine {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.writes.listen(cx.waker());
        let turn = self.turn(cx);
        if turn.is_ready() {
            self.leave();
        }
        turn
    }
}

impl Drop for Routine {
    fn drop(&mut self) {
        // Where it did not come to its end, it panicked or was stopped; the other routine is to end as well.
        self.socket.close(Reason::Dropped);
        self.leave();
    }
}
