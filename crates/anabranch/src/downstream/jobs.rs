//! What only the log can say: read on the threads for blocking work, one question per protocol at a time.

use chain::{Cursor, Point, Position};
use ouroboros::server::Input;
use store::{Files, Held, Reader};

/// Blocks are read in runs of this many bytes: large enough that a read is cheap, small enough that a client
/// may hold one.
const RUN_BYTES: usize = 256 * 1024;

/// The answer to a question, as the machine's input.
pub(super) type Answer = Input<'static>;

/// Which of these points is the first in the log.
pub(super) fn first_in_log<F: Files>(log: &Reader<F>, points: &[Point]) -> Answer {
    for point in points {
        match log.locate(point) {
            Ok(Some(at)) => return Input::FirstInLog(Some(Cursor::settled(at.next(), *point))),
            Ok(None) => {}
            Err(error) => return failed(&error),
        }
    }
    Input::FirstInLog(None)
}

/// Whether the block at a position is the one at this point.
pub(super) fn check<F: Files>(log: &Reader<F>, position: Position, point: Point) -> Answer {
    match log.point_at(position) {
        Ok(found) => Input::Checked(found == Some(point)),
        Err(error) => failed(&error),
    }
}

/// Where two points are. A range that begins with a bare block is none: the client is told that there are no blocks.
pub(super) fn range<F: Files>(log: &Reader<F>, from: &Point, to: &Point) -> Answer {
    match (log.locate(from), log.locate(to)) {
        (Ok(from), Ok(to)) => Input::Range(from.filter(|from| from.0 >= log.bare()), to),
        (Err(error), _) | (_, Err(error)) => failed(&error),
    }
}

/// A run of blocks.
pub(super) fn blocks<F: Files>(log: &Reader<F>, from: Position, to: Position) -> Answer {
    match log.blocks(from, to, RUN_BYTES) {
        Ok(Held::Here(run)) => Input::Blocks(run.first(), run.blocks().collect()),
        // No range begins with a bare block.
        Ok(Held::NotHeld | Held::Absent) => not_there(from),
        Err(error) => failed(&error),
    }
}

fn failed(error: &store::Error) -> Answer {
    tracing::error!(%error, "the log cannot be read");
    Input::LogFailed
}

/// The view says that a block is in the log, and the log that it is not: it must be written before it is shown.
fn not_there(position: Position) -> Answer {
    tracing::error!(%position, "the log lacks a block that the view says it has");
    Input::LogFailed
}
