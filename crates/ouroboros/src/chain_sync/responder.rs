//! Chain-sync, the side that answers.
//!
//! It keeps one cursor and a number of unanswered RequestNexts, and no queue of updates: what it says next is
//! derived from the cursor and the view at hand when there is room to send it. So nothing is lost, said twice
//! or said too late, whatever the chain did in between.
//!
//! Spec: "Chain-sync server" of the node-to-node page; network specification, section 3.7. After MsgDone the
//! client may begin again, as the reference allows: the cursor is then at origin as at first.
//!
//! **Invariant:** between calls it holds no view, and a chunk only until [`Responder::relax`].

use std::sync::Arc;
use std::time::Duration;

use chain::codec::encode_point;
use chain::view::{Find, Step};
use chain::{Chunk, Cursor, Point, Position, View};
use link::mux::Outbox;

use super::{Message, State};
use crate::Violation;

use crate::limits::CHAIN_SYNC;
use crate::server::Reason;

/// RequestNexts that may wait for an answer: as many as the ingress limit of the spec (462,000 B) holds.
pub(crate) const MAX_PENDING: usize = 231_000;

/// A message is not begun in what is left of a segment when less than this is: most would be cut in two, and
/// their second half kept. The largest header of preview is 1,002 B.
const TYPICAL_BYTES: usize = 1_200;

const AWAIT_REPLY: [u8; 2] = [0x81, 0x01];
const ROLL_FORWARD: [u8; 2] = [0x83, 0x02];
const ROLL_BACKWARD: [u8; 2] = [0x83, 0x03];
const INTERSECT_FOUND: [u8; 2] = [0x83, 0x05];
const INTERSECT_NOT_FOUND: [u8; 2] = [0x82, 0x06];

/// What it must know before it can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Which of these points, the first that is, is in the log, and where: [`Responder::on_located`].
    Locate(Vec<Point>),
    /// The chunk of headers around this position: [`Responder::on_chunk`].
    Chunk(Position),
    /// Whether the block at this position is the one at this point: [`Responder::on_checked`].
    Check(Position, Point),
}

/// What has to be said before the requests are answered, if anything.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Nothing: requests are answered.
    Follow,
    /// The log is asked for an intersection. If it has none, this point of the view is one.
    Locate { fallback: Option<Box<Point>> },
    /// This is the answer to a FindIntersect.
    Answer { found: Option<Box<Cursor>> },
}

/// What the next answer to a RequestNext is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// RollBackward to the cursor: it was just set, or is where every client begins.
    Back,
    /// Whatever comes next on the chain.
    Next,
    /// The same, and AwaitReply was sent already.
    Awaited,
}

/// The machine.
#[derive(Debug)]
pub struct Responder {
    phase: Phase,
    turn: Turn,
    cursor: Cursor,
    pending: usize,
    /// A FindIntersect, or else a Done, that came behind requests not answered yet.
    queued: Option<Queued>,
    chunk: Option<Arc<Chunk>>,
    question: Question,
    out: Outbox,
    /// Since when it is the client's turn.
    idle_since: Duration,
}

/// What is to be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    None,
    /// Which of these points is in the log.
    Locate(Vec<Point>),
    /// The chunk with the header after the cursor's.
    Chunk,
    /// Whether the cursor's block is in the log.
    Check,
    /// The answer to the last question is under way.
    Asked,
}

#[derive(Debug)]
enum Queued {
    FindIntersect(Box<[Point]>),
    Done,
}

impl Responder {
    /// A client that has not said anything.
    pub fn new(now: Duration) -> Self {
        Self {
            phase: Phase::Follow,
            turn: Turn::Back,
            cursor: Cursor::ORIGIN,
            pending: 0,
            queued: None,
            chunk: None,
            question: Question::None,
            out: Outbox::default(),
            idle_since: now,
        }
    }

    /// Whether it takes another message now; else the message stays where it is.
    pub fn has_room(&self) -> bool {
        self.phase == Phase::Follow && self.queued.is_none()
    }

    /// Where the client stands.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// How many requests wait for an answer.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// The protocol's state.
    pub fn state(&self) -> State {
        match (&self.phase, self.turn) {
            (Phase::Locate { .. } | Phase::Answer { .. }, _) => State::Intersect,
            (Phase::Follow, _) if self.pending == 0 => State::Idle,
            (Phase::Follow, Turn::Awaited) => State::MustReply,
            (Phase::Follow, Turn::Back | Turn::Next) => State::CanAwait,
        }
    }

    /// Since when it is the client's turn; `None` while it is ours.
    pub fn idle_since(&self) -> Option<Duration> {
        (self.state() == State::Idle).then_some(self.idle_since)
    }

    /// What must be found out before it can go on; each question is asked once.
    pub fn take_ask(&mut self) -> Option<Ask> {
        let ask = match std::mem::replace(&mut self.question, Question::Asked) {
            was @ (Question::None | Question::Asked) => {
                self.question = was;
                return None;
            }
            Question::Locate(points) => Ask::Locate(points),
            Question::Chunk => Ask::Chunk(self.cursor.next),
            Question::Check => Ask::Check(Position(self.cursor.next.0 - 1), self.cursor.point),
        };
        Some(ask)
    }

    /// A message of the client.
    pub fn on_message(&mut self, now: Duration, message: &Message<'_>, view: &View) -> Result<(), Violation> {
        match message {
            Message::RequestNext => self.on_request_next()?,
            Message::FindIntersect { points } => self.on_find_intersect(points.iter(), view),
            Message::Done => self.on_done(now),
            Message::AwaitReply
            | Message::RollForward { .. }
            | Message::RollBackward { .. }
            | Message::IntersectFound { .. }
            | Message::IntersectNotFound { .. } => {
                let (state, message) = (self.state().name(), message.name());
                return Err(Violation::Agency { protocol: CHAIN_SYNC, state, message });
            }
        }
        Ok(())
    }

    fn on_request_next(&mut self) -> Result<(), Violation> {
        if self.pending == MAX_PENDING {
            return Err(Violation::TooManyRequests { protocol: CHAIN_SYNC, limit: MAX_PENDING });
        }
        self.pending += 1;
        Ok(())
    }

    /// It may come at any time, also behind requests without an answer yet.
    fn on_find_intersect(&mut self, points: impl Iterator<Item = Point>, view: &View) {
        if self.pending > 0 {
            self.queued = Some(Queued::FindIntersect(points.collect()));
        } else {
            self.find(points, view);
        }
    }

    fn on_done(&mut self, now: Duration) {
        if self.pending > 0 {
            self.queued = Some(Queued::Done);
        } else {
            self.restart(now);
        }
    }

    /// The answer to [`Ask::Locate`]: the first of the points that is in the log.
    pub fn on_located(&mut self, found: Option<Cursor>, view: &View) {
        let Phase::Locate { fallback } = &self.phase else { panic!("no point was to be located") };
        self.question = Question::None;
        let fallback = fallback.as_deref().filter(|_| found.is_none()).copied();
        let found = match fallback.map(|point| (point, view.find(&point))) {
            Some((_, Find::At(cursor))) => Some(cursor),
            // It was in the view, and went into the log while the log was asked for the others.
            Some((point, Find::AskLog)) => return self.ask_log(vec![point], None),
            // It left the chain meanwhile.
            Some((_, Find::Absent)) | None => found,
        };
        self.phase = Phase::Answer { found: found.map(Box::new) };
    }

    /// The answer to [`Ask::Chunk`].
    pub fn on_chunk(&mut self, chunk: Arc<Chunk>) {
        self.question = Question::None;
        self.chunk = Some(chunk);
    }

    /// The answer to [`Ask::Check`].
    pub fn on_checked(&mut self, is_there: bool) -> Result<(), Reason> {
        self.question = Question::None;
        self.cursor.settled = is_there;
        if is_there { Ok(()) } else { Err(Reason::Lost) }
    }

    /// Asks for the chunk that the next answer needs, so that it is there when there is room to send.
    pub fn anticipate(&mut self, view: &View) {
        let is_due = self.pending > 0 && self.turn != Turn::Back && self.phase == Phase::Follow;
        if is_due && self.chunk.is_none() && matches!(view.next(&self.cursor), Step::Settled(_)) {
            self.raise(Question::Chunk);
        }
    }

    /// Appends at most `room` bytes of what is to be said.
    pub fn fill(&mut self, now: Duration, view: &View, room: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        let start = out.len();
        let end = start + room;
        self.out.fill(room, out);
        while self.out.is_empty() && out.len() < end {
            let before = out.len();
            if before > start && end - before < TYPICAL_BYTES {
                break;
            }
            self.say(now, view, out)?;
            if out.len() == before {
                break;
            }
            if out.len() > end {
                self.out.buffer().extend_from_slice(&out[end..]);
                out.truncate(end);
            }
        }
        Ok(())
    }

    /// Lets go of the chunk: whoever holds it has nothing to send now, or nobody who reads.
    pub fn relax(&mut self) {
        self.chunk = None;
    }

    fn restart(&mut self, now: Duration) {
        let out = std::mem::take(&mut self.out);
        *self = Self { out, ..Self::new(now) };
    }

    fn find(&mut self, points: impl Iterator<Item = Point>, view: &View) {
        let mut older = Vec::new();
        for point in points {
            match view.find(&point) {
                Find::At(cursor) if older.is_empty() => {
                    self.phase = Phase::Answer { found: Some(Box::new(cursor)) };
                    return;
                }
                Find::At(_) => {
                    self.ask_log(older, Some(point));
                    return;
                }
                Find::AskLog => older.push(point),
                Find::Absent => {}
            }
        }
        if older.is_empty() {
            self.phase = Phase::Answer { found: None };
        } else {
            self.ask_log(older, None);
        }
    }

    fn ask_log(&mut self, points: Vec<Point>, fallback: Option<Point>) {
        self.phase = Phase::Locate { fallback: fallback.map(Box::new) };
        self.question = Question::Locate(points);
    }

    fn raise(&mut self, question: Question) {
        if self.question == Question::None {
            self.question = question;
        }
    }

    /// Appends one whole message, or nothing.
    fn say(&mut self, now: Duration, view: &View, out: &mut Vec<u8>) -> Result<(), Reason> {
        match &self.phase {
            Phase::Locate { .. } => Ok(()),
            Phase::Answer { found } => {
                let found = found.as_deref().copied();
                self.say_intersection(found, view, out);
                self.idle_since = now;
                Ok(())
            }
            // While a question is open nothing is said: its answer must find the cursor that it is about.
            Phase::Follow if self.pending > 0 && self.question == Question::None => {
                self.say_next(now, view, out)
            }
            Phase::Follow => Ok(()),
        }
    }

    fn say_intersection(&mut self, found: Option<Cursor>, view: &View, out: &mut Vec<u8>) {
        match found {
            Some(cursor) => {
                out.extend_from_slice(&INTERSECT_FOUND);
                encode_point(&cursor.point, out);
                self.cursor = cursor;
                self.turn = Turn::Back;
            }
            // The cursor stays where it was.
            None => out.extend_from_slice(&INTERSECT_NOT_FOUND),
        }
        out.extend_from_slice(&view.tip_suffix);
        self.phase = Phase::Follow;
    }

    /// Answers the oldest request, if it can be answered now.
    fn say_next(&mut self, now: Duration, view: &View, out: &mut Vec<u8>) -> Result<(), Reason> {
        match view.next(&self.cursor) {
            Step::Backward(cursor) => self.say_back(cursor, view, out),
            Step::Lost => return Err(Reason::Lost),
            Step::CheckLog(_) => {
                self.raise(Question::Check);
                return Ok(());
            }
            // The spec's "first answer after IntersectFound": also for a client that never asked for one.
            Step::Forward(_) | Step::AtTip | Step::Settled(_) if self.turn == Turn::Back => {
                self.say_back(self.cursor, view, out);
            }
            Step::Forward(entry) => {
                if entry.position.next() == view.len() {
                    out.extend_from_slice(&view.tip_frame);
                } else {
                    put_forward(&entry.header.wire, view, out);
                }
                self.cursor = view.after(entry);
                self.turn = Turn::Next;
            }
            Step::Settled(position) => {
                if !self.say_settled(position, view, out) {
                    return Ok(());
                }
            }
            Step::AtTip if self.turn == Turn::Awaited => return Ok(()),
            Step::AtTip => {
                out.extend_from_slice(&AWAIT_REPLY);
                self.turn = Turn::Awaited;
                return Ok(());
            }
        }
        self.answered(now, view);
        Ok(())
    }

    fn say_back(&mut self, to: Cursor, view: &View, out: &mut Vec<u8>) {
        out.extend_from_slice(&ROLL_BACKWARD);
        encode_point(&to.point, out);
        out.extend_from_slice(&view.tip_suffix);
        self.cursor = to;
        self.turn = Turn::Next;
    }

    /// Says the header at a position of the log; false where its chunk is not at hand.
    fn say_settled(&mut self, position: Position, view: &View, out: &mut Vec<u8>) -> bool {
        let found = self.chunk.as_ref().and_then(|chunk| header(chunk, position));
        let Some((wire, point)) = found else {
            self.raise(Question::Chunk);
            return false;
        };
        put_forward(wire, view, out);
        self.cursor = Cursor::settled(position.next(), point);
        self.turn = Turn::Next;
        true
    }

    /// One request less; what was queued behind the last one has its turn.
    fn answered(&mut self, now: Duration, view: &View) {
        self.pending -= 1;
        if self.pending > 0 {
            return;
        }
        self.idle_since = now;
        match self.queued.take() {
            Some(Queued::FindIntersect(points)) => self.find(points.into_iter(), view),
            Some(Queued::Done) => self.restart(now),
            None => {}
        }
    }

    /// Panics where the parts do not hold together.
    pub fn check_invariants(&self) {
        assert!(self.pending <= MAX_PENDING, "requests are bounded");
        assert!(self.queued.is_none() || self.pending > 0, "something is queued behind nothing");
        assert!(self.turn != Turn::Awaited || self.pending > 0, "AwaitReply answers a request");
    }
}

/// The header at a position of a chunk, and its point.
fn header(chunk: &Chunk, position: Position) -> Option<(&[u8], Point)> {
    let index = usize::try_from(position.0.checked_sub(chunk.first.0)?).ok()?;
    let entry = chunk.entries.get(index)?;
    let begin = index.checked_sub(1).map_or(0, |before| chunk.entries[before].end as usize);
    Some((&chunk.bytes[begin..entry.end as usize], entry.point))
}

/// MsgRollForward behind the tip: the shared header and the view's suffix.
fn put_forward(wire: &[u8], view: &View, out: &mut Vec<u8>) {
    out.reserve(ROLL_FORWARD.len() + wire.len() + view.tip_suffix.len());
    out.extend_from_slice(&ROLL_FORWARD);
    out.extend_from_slice(wire);
    out.extend_from_slice(&view.tip_suffix);
}
