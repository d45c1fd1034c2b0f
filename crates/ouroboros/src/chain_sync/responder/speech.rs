//! What the responder says, derived from its cursor and the view.

use std::time::Duration;

use chain::codec::encode_point;
use chain::view::Step;
use chain::{Cursor, Position, View};

use super::{Phase, Question, Queued, Responder, Turn, header};
use crate::server::Reason;

/// A message is not begun in what is left of a segment when less than this is: most would be cut in two, and
/// their second half kept. The largest header of preview is 1,002 B.
const TYPICAL_BYTES: usize = 1_200;

const AWAIT_REPLY: [u8; 2] = [0x81, 0x01];
const ROLL_FORWARD: [u8; 2] = [0x83, 0x02];
const ROLL_BACKWARD: [u8; 2] = [0x83, 0x03];
const INTERSECT_FOUND: [u8; 2] = [0x83, 0x05];
const INTERSECT_NOT_FOUND: [u8; 2] = [0x82, 0x06];

impl Responder {
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
}

/// MsgRollForward behind the tip: the shared header and the view's suffix.
fn put_forward(wire: &[u8], view: &View, out: &mut Vec<u8>) {
    out.reserve(ROLL_FORWARD.len() + wire.len() + view.tip_suffix.len());
    out.extend_from_slice(&ROLL_FORWARD);
    out.extend_from_slice(wire);
    out.extend_from_slice(&view.tip_suffix);
}
