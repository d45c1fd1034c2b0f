//! Block-fetch, the side that answers.
//!
//! A range is two points; while it is streamed, its state is a position and how many bytes of the block there
//! have been sent. Blocks come as stored: out of the view near the tip, in short runs out of the log before.
//! A run is let go when the client does not read, and read again when it does: so memory does not grow with a
//! range's length, nor with the number of slow clients.
//!
//! A range that leaves the chain while it is sent is sent to its end, as the reference does, so long as the view
//! still keeps its blocks; else the connection ends, since the protocol has no other way to say so.
//!
//! Spec: "Block-fetch server" of the node-to-node page; network specification, section 3.8. After MsgClientDone
//! the client may begin again, as the reference allows.

use std::collections::VecDeque;

use bytes::Bytes;
use chain::view::Find;
use chain::{Point, Position, View};
use link::mux::Outbox;

use super::ahead::Ahead;
use super::{Message, State, put_block_head};
use crate::Violation;
use crate::limits::{BLOCK_FETCH, RANGES_IN_FLIGHT};
use crate::server::Reason;

/// Ranges that are taken before the first is answered: the reference's clients pipeline up to 100. Those after
/// them stay in the ingress queue, under its limit.
pub(crate) const MAX_RANGES: usize = RANGES_IN_FLIGHT;

const START_BATCH: [u8; 2] = [0x81, 0x02];
const NO_BLOCKS: [u8; 2] = [0x81, 0x03];
const BATCH_DONE: [u8; 2] = [0x81, 0x05];

/// What it must know before it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Where these points are in the log: [`Responder::on_located`].
    Locate(Point, Point),
    /// Blocks from the first position on, up to the second, as many as are read at once:
    /// [`Responder::on_blocks`].
    Blocks(Position, Position),
}

/// What becomes of the oldest range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is none, or it was not looked at.
    Next,
    /// The log is asked where it is.
    Locate,
    /// It is being sent.
    Stream(Stream),
    /// It is not on the chain.
    Refuse,
}

/// A range under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stream {
    /// The block that is sent next or now.
    next: Position,
    last: Position,
    /// From here on its blocks are not on the chain any more: after its last one while all are.
    fork: Position,
    /// How much of its message was sent.
    sent: usize,
    started: bool,
    /// The view in which the end of the range was last looked for.
    epoch: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Responder {
    ranges: VecDeque<(Point, Point)>,
    phase: Phase,
    ahead: Ahead,
    ask: Option<Ask>,
    asked: bool,
    out: Outbox,
}

impl Default for Responder {
    fn default() -> Self {
        Self {
            ranges: VecDeque::new(),
            phase: Phase::Next,
            ahead: Ahead::default(),
            ask: None,
            asked: false,
            out: Outbox::default(),
        }
    }
}

impl Responder {
    /// Whether it takes another message now; else the message stays where it is.
    pub fn has_room(&self) -> bool {
        self.ranges.len() < MAX_RANGES
    }

    /// Whether nothing is under way: the machine may be dropped and made anew.
    pub fn is_idle(&self) -> bool {
        self.ranges.is_empty() && self.out.is_empty() && !self.asked
    }

    /// The protocol's state.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Stream(_) => State::Streaming,
            _ if self.ranges.is_empty() => State::Idle,
            Phase::Next | Phase::Locate | Phase::Refuse => State::Busy,
        }
    }

    /// What must be found out before it can go on; each question is asked once.
    pub fn take_ask(&mut self) -> Option<Ask> {
        self.ask.take()
    }

    /// A message of the client. It must be asked [`Responder::has_room`] first.
    pub fn on_message(&mut self, message: &Message<'_>) -> Result<(), Violation> {
        assert!(self.has_room(), "messages are taken one by one while there is room");
        match message {
            Message::RequestRange { from, to } => self.ranges.push_back((*from, *to)),
            // Ranges that were asked for before are still answered; then it may begin again.
            Message::ClientDone => {}
            Message::StartBatch | Message::NoBlocks | Message::Block { .. } | Message::BatchDone => {
                let (state, message) = (self.state().name(), message.name());
                return Err(Violation::Agency { protocol: BLOCK_FETCH, state, message });
            }
        }
        Ok(())
    }

    /// The answer to [`Ask::Locate`].
    pub fn on_located(
        &mut self,
        from: Option<Position>,
        to: Option<Position>,
        view: &View,
    ) -> Result<(), Reason> {
        self.asked = false;
        let (first, last) = *self.ranges.front().expect("a range was looked up");
        // An end that the view knows is newer than the log.
        let known = |point, in_log| match view.find(&point) {
            Find::At(cursor) => cursor.next.0.checked_sub(1).map(Position),
            Find::AskLog => in_log,
            Find::Absent => None,
        };
        match (self.phase, known(first, from), known(last, to)) {
            (Phase::Stream(stream), _, Some(to)) if to == stream.last => {
                self.go_on(stream, stream.last.next(), view);
                Ok(())
            }
            (Phase::Stream(stream), _, _) => {
                let fork = left_at(&last, view).ok_or(Reason::LeftChain)?;
                self.go_on(stream, fork, view);
                Ok(())
            }
            (Phase::Next | Phase::Locate | Phase::Refuse, from, to) => {
                self.begin(from, to, view);
                Ok(())
            }
        }
    }

    /// The answer to [`Ask::Blocks`]: blocks in order, the first at the position that was asked for.
    pub fn on_blocks(&mut self, first: Position, blocks: VecDeque<Bytes>) {
        self.asked = false;
        if self.ranges.is_empty() {
            // Read ahead for a range whose end the view had in the meantime.
            return;
        }
        self.ahead.put(first, blocks);
    }

    /// Appends at most `room` bytes of what is to be said.
    pub fn fill(&mut self, view: &View, room: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        let end = out.len() + room;
        self.out.fill(room, out);
        while self.out.is_empty() && out.len() < end {
            let before = (out.len(), self.phase);
            self.say(view, end - out.len(), out)?;
            if (out.len(), self.phase) == before {
                break;
            }
        }
        Ok(())
    }

    /// How many bytes the blocks take that were read ahead.
    pub fn read_ahead_bytes(&self) -> usize {
        self.ahead.bytes()
    }

    /// Lets go of the blocks that were read ahead: nobody takes them now.
    pub fn relax(&mut self) {
        self.ahead = Ahead::default();
    }

    fn say(&mut self, view: &View, room: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        match self.phase {
            Phase::Next => self.look_up(view),
            Phase::Locate => {
                // Nothing, unless another question was still open when it was to be asked.
                let (from, to) = *self.ranges.front().expect("a range is looked up");
                self.raise(Ask::Locate(from, to));
            }
            Phase::Refuse => {
                self.put(&NO_BLOCKS, room, out);
                self.finish();
            }
            Phase::Stream(mut stream) => {
                if stream.epoch != view.epoch {
                    return self.confirm(stream, view);
                }
                if !stream.started {
                    self.put(&START_BATCH, room, out);
                    stream.started = true;
                    self.phase = Phase::Stream(stream);
                } else if stream.next > stream.last {
                    self.put(&BATCH_DONE, room, out);
                    self.finish();
                } else {
                    self.say_block(stream, view, room, out)?;
                }
            }
        }
        Ok(())
    }

    /// Begins with the oldest range.
    fn look_up(&mut self, view: &View) {
        let Some(&(from, to)) = self.ranges.front() else { return };
        match (view.find(&from), view.find(&to)) {
            (Find::Absent, _) | (_, Find::Absent) => self.phase = Phase::Refuse,
            (Find::At(from), Find::At(to)) => {
                let at = |next: Position| next.0.checked_sub(1).map(Position);
                self.begin(at(from.next), at(to.next), view);
            }
            (Find::AskLog, _) | (_, Find::AskLog) => {
                self.phase = Phase::Locate;
                self.raise(Ask::Locate(from, to));
            }
        }
    }

    fn begin(&mut self, from: Option<Position>, to: Option<Position>, view: &View) {
        self.phase = match (from, to) {
            (Some(next), Some(last)) if next <= last => {
                let (fork, epoch) = (last.next(), view.epoch);
                Phase::Stream(Stream { next, last, fork, sent: 0, started: false, epoch })
            }
            // Not on the chain, backwards, or from origin, which is no block.
            _ => Phase::Refuse,
        };
    }

    /// Finds out, in a new view, how far the range is still on the chain; asks the log where only that knows.
    fn confirm(&mut self, stream: Stream, view: &View) -> Result<(), Reason> {
        let (from, to) = *self.ranges.front().expect("a range is under way");
        if let Some(fork) = left_at(&to, view) {
            self.go_on(stream, fork, view);
            return Ok(());
        }
        match view.find(&to) {
            Find::At(cursor) if cursor.next == stream.last.next() => self.go_on(stream, cursor.next, view),
            Find::At(_) | Find::Absent => return Err(Reason::LeftChain),
            Find::AskLog => self.raise(Ask::Locate(from, to)),
        }
        Ok(())
    }

    fn go_on(&mut self, stream: Stream, fork: Position, view: &View) {
        self.phase = Phase::Stream(Stream { fork, epoch: view.epoch, ..stream });
    }

    fn say_block(
        &mut self,
        mut stream: Stream,
        view: &View,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let is_here = self.ahead.skip_to(stream.next);
        let log_end = stream.fork.min(Position(view.settled));
        if is_here && self.ahead.is_low() && self.ahead.end() < log_end {
            self.raise(Ask::Blocks(self.ahead.end(), Position(log_end.0 - 1)));
        }
        let block = match self.ahead.front() {
            Some(block) if is_here => block,
            _ if stream.next >= stream.fork => self.orphan(stream.next, view).ok_or(Reason::LeftChain)?,
            _ => match view.entry(stream.next) {
                Some(entry) => &entry.block,
                None if stream.next < log_end => {
                    self.raise(Ask::Blocks(stream.next, Position(log_end.0 - 1)));
                    return Ok(());
                }
                None => return Err(Reason::LeftChain),
            },
        };
        let (put, is_all) = put_block(block, stream.sent, room, out);
        stream.sent += put;
        if is_all {
            stream.sent = 0;
            stream.next = stream.next.next();
        }
        self.phase = Phase::Stream(stream);
        Ok(())
    }

    /// A block of the range that is not on the chain any more.
    fn orphan<'a>(&self, at: Position, view: &'a View) -> Option<&'a Bytes> {
        let end = self.ranges.front()?.1.hash()?;
        Some(&view.orphans.on_branch(&end, at)?.block)
    }

    fn put(&mut self, message: &[u8], room: usize, out: &mut Vec<u8>) {
        let now = message.len().min(room);
        out.extend_from_slice(&message[..now]);
        if now < message.len() {
            self.out.buffer().extend_from_slice(&message[now..]);
        }
    }

    fn finish(&mut self) {
        self.ranges.pop_front();
        self.phase = Phase::Next;
        if self.ranges.is_empty() {
            self.ranges = VecDeque::new();
            self.relax();
        }
    }

    fn raise(&mut self, ask: Ask) {
        if !self.asked {
            self.asked = true;
            self.ask = Some(ask);
        }
    }

    /// Panics where the parts do not hold together.
    pub fn check_invariants(&self) {
        assert!(self.ranges.len() <= MAX_RANGES, "ranges are bounded");
        assert!(self.ask.is_none() || self.asked, "a question was raised that was not noted");
        assert!(
            self.phase == Phase::Next || !self.ranges.is_empty(),
            "a range is under way that was not asked for"
        );
        self.ahead.check_invariants();
        if let Phase::Stream(stream) = self.phase {
            assert!(stream.next.0 <= stream.last.0 + 1, "a range ends where it ends");
        }
    }
}

/// Where the branch that ends with this block left the chain, if it did lately.
fn left_at(end: &Point, view: &View) -> Option<Position> {
    Some(view.orphans.ancestor(&end.hash()?)?.next)
}

/// Appends at most `room` bytes of a block's message, from byte `sent` on. Says how many, and whether that was
/// the end of it.
fn put_block(block: &[u8], sent: usize, room: usize, out: &mut Vec<u8>) -> (usize, bool) {
    let start = out.len();
    put_block_head(out, block.len());
    let head = out.len() - start;
    // Rarely is a head cut in two: it is made afresh, and what was sent of it taken off.
    out.drain(start..start + sent.min(head));
    out.truncate(start + room);
    let body = &block[sent.saturating_sub(head).min(block.len())..];
    let left = start + room - out.len();
    let take = if sent + (out.len() - start) >= head { body.len().min(left) } else { 0 };
    out.extend_from_slice(&body[..take]);
    let put = out.len() - start;
    (put, sent + put == head + block.len())
}
