//! The read routine: reads what has come, has the inbound half make messages of it, and hands them up.
//!
//! It ends at the end of the bearer, at an error, when the inbound half closes the link, or when the socket's end has
//! begun elsewhere (another's wish, the module's stop, a failed write). If the peer is to be told why, it goes
//! on reading for that long and looks at nothing: a connection that is closed with unread bytes is reset, and the
//! peer would not get to read the reason.
//!
//! **Invariant:** it holds no buffer between its turns.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use link::inbound::{Input, Output};
use link::reason::Reason;

use super::alarm::Alarm;
use super::bearer::Reader;
use super::buffers;
use super::handle::{Above, Delivery, Socket};
use super::permit::Permit;

/// Reads in one turn, if each brings less than it could; then others have theirs.
const ROUNDS: usize = 8;

/// A peer that sends so many messages in one read, small ones therefore, has less read at once: a turn should take
/// well below a millisecond, whatever is in it. A guess.
const MANY_OUTPUTS: usize = 1_024;

/// How much that is: `spec/link.md` has it as the read unit, one frame.
const SMALL_READ_BYTES: NonZeroU32 = NonZeroU32::new(12_312).expect("not zero");

/// How much is read without being looked at while the peer is told why. A guess: some kernel buffers' worth; a peer
/// that goes on for longer does not listen.
const MAX_IGNORED_BYTES: usize = 4 << 20;

/// For how long at most: `spec/link.md` gives an end 1 s.
const MAX_IGNORING: Duration = Duration::from_secs(1);

thread_local! {
    /// What the inbound half said in one turn.
    static OUTPUTS: Cell<Vec<Output>> = const { Cell::new(Vec::new()) };
}

/// The task that reads.
pub(super) struct Routine {
    socket: Arc<Socket>,
    above: Arc<dyn Above>,
    bearer: Reader,
    alarm: Alarm,
    /// What was read together with the end of the handshake.
    early: Vec<u8>,
    /// How much the next read brings at most.
    read_bytes: NonZeroU32,
    ending: Option<Ignoring>,
    has_left: bool,
}

/// The end has begun, and what comes is not looked at.
struct Ignoring {
    until: Duration,
    left: usize,
}

impl Routine {
    pub(super) fn new(socket: Arc<Socket>, above: Arc<dyn Above>, bearer: Reader, early: Vec<u8>) -> Self {
        let (alarm, read_bytes) = (Alarm::default(), socket.config().read_bytes);
        Self { socket, above, bearer, alarm, early, read_bytes, ending: None, has_left: false }
    }

    /// Does what can be done; ready when the routine has ended.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.report_taken();
        let mut early = std::mem::take(&mut self.early);
        if !early.is_empty() && !self.socket.is_ending() {
            self.handle(Input::Received(&mut early));
        }
        for _ in 0..ROUNDS {
            if self.socket.is_ending() && !self.may_ignore() {
                return Poll::Ready(());
            }
            match self.read(cx) {
                Poll::Ready(Ok(0)) => {
                    self.socket.close(Reason::Eof);
                    return Poll::Ready(());
                }
                // There is more, and others have their turn first.
                Poll::Ready(Ok(bytes)) if bytes == self.read_bytes.get() as usize => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    self.socket.close(Reason::ReadFailed(error.kind()));
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    let deadline = self.deadline();
                    if self.alarm.poll(cx, self.socket.clock(), deadline).is_pending() {
                        return Poll::Pending;
                    }
                    self.handle(Input::Tick);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        buffers::with_read(self.read_bytes, |scratch| {
            let read = self.bearer.poll_read(cx, scratch);
            if let Poll::Ready(Ok(bytes)) = read {
                self.socket.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                match &mut self.ending {
                    Some(ignoring) => ignoring.left = ignoring.left.saturating_sub(bytes),
                    None => self.handle(Input::Received(&mut scratch[..bytes])),
                }
            }
            read
        })
    }

    fn deadline(&self) -> Option<Duration> {
        match &self.ending {
            Some(ignoring) => Some(ignoring.until),
            None => self.socket.inbound().next_deadline(),
        }
    }

    /// Whether there is a reason to go on reading though the end has begun.
    fn may_ignore(&mut self) -> bool {
        if self.socket.is_aborted() {
            return false;
        }
        let now = self.socket.clock().now().mono;
        if self.ending.is_none() {
            let has_words = self.socket.reason().is_some_and(|reason| reason.code().is_some());
            let left = if has_words { MAX_IGNORED_BYTES } else { 0 };
            self.ending = Some(Ignoring { until: now + MAX_IGNORING, left });
        }
        self.ending.as_ref().is_some_and(|ignoring| ignoring.left > 0 && now < ignoring.until)
    }

    /// Tells the inbound half what the application took since the last turn.
    fn report_taken(&mut self) {
        let socket = self.socket.clone();
        for (channel, bytes) in socket.drain_taken() {
            self.handle(Input::Taken { channel, bytes });
        }
    }

    /// Has the inbound half handle something, and does what it says.
    fn handle(&mut self, input: Input<'_>) {
        let mut outputs = OUTPUTS.take();
        let now = self.socket.clock().now();
        self.socket.inbound().handle(now, input, &mut outputs);
        let most = self.socket.config().read_bytes;
        self.read_bytes = if outputs.len() > MANY_OUTPUTS { most.min(SMALL_READ_BYTES) } else { most };
        for output in outputs.drain(..) {
            self.on_output(output);
        }
        outputs.shrink_to(MANY_OUTPUTS);
        OUTPUTS.set(outputs);
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Message { channel, kind, body, charge } => {
                let permit = Permit::new(self.socket.clone(), channel, body.len(), charge);
                self.above.on_message(Delivery { channel, kind, body, permit });
            }
            Output::Control(message) => {
                if let Some(fault) = self.socket.hear(message) {
                    self.handle(Input::Fault(fault));
                }
            }
            Output::Grant { channel, bytes } => self.socket.grant(channel, bytes),
            Output::Rejected(violation) => {
                tracing::debug!(peer = %self.socket.peer(), %violation, "rejected what a peer sent");
            }
            Output::Closed(reason) => self.socket.close(reason),
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
        self.socket.reads.listen(cx.waker());
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
