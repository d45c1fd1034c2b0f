//! Chain-sync, the side that answers.
//!
//! It keeps one cursor and a number of unanswered RequestNexts, and no queue of updates: what it says next is
//! derived from the cursor and the view at hand when there is room to send it. So nothing is lost, said twice
//! or said too late, whatever the chain did in between.
//!
//! Spec: "Chain-sync server" of the node-to-node page; network specification, section 3.7. After MsgDone the
//! client may begin again, as the reference allows: the cursor is then at origin as at first.
//!
//! **Invariant:** between calls it holds no view, and no chunk but the one with its next header, until
//! [`Responder::relax`].

mod speech;

use std::sync::Arc;
use std::time::Duration;

use chain::view::{Find, Step};
use chain::{Chunk, Cursor, Point, Position, View};
use link::mux::Outbox;

use super::{Message, State};
use crate::Violation;

use crate::limits::CHAIN_SYNC;
use crate::server::Reason;

/// RequestNexts that may wait for an answer: as many as the ingress limit of the spec (462,000 B) holds.
pub(crate) const MAX_PENDING: usize = 231_000;

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
        if is_due && !self.has_next() && matches!(view.next(&self.cursor), Step::Settled(_)) {
            self.raise(Question::Chunk);
        }
    }

    /// How many bytes the chunk takes that it holds; others may hold the same.
    pub fn read_ahead_bytes(&self) -> usize {
        self.chunk.as_ref().map_or(0, |chunk| chunk.bytes.len() + size_of_val(&*chunk.entries))
    }

    /// Lets go of a chunk that the next answer is not in.
    pub fn tidy(&mut self) {
        if !self.has_next() {
            self.relax();
        }
    }

    /// Lets go of the chunk: whoever holds it has nothing to send now, or nobody who reads.
    pub fn relax(&mut self) {
        self.chunk = None;
    }

    fn has_next(&self) -> bool {
        self.chunk.as_ref().is_some_and(|chunk| header(chunk, self.cursor.next).is_some())
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
