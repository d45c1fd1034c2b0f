//! Checking a whole store: every record, the index, the headers file, every hash and link, every certificate, and, if
//! asked, every signature. Of bare blocks, that is all but their bodies.
//!
//! It stops at the first thing that is wrong, and says where: a repair cuts the log there. Fork segments and
//! snapshots are read by every start already.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;
use chain::{Counts, Format, Header, Position, State};

use crate::error::{Damage, Error};
use crate::files::Files;
use crate::finality::{self, Finality};
use crate::held::Held;
use crate::index::{self, Entry, HEADERS, INDEX};
use crate::judge::{Check, Item, Judge, Judged};
use crate::parallel::{self, Pool};
use crate::reader::{CHUNK_HEADERS, Reader};
use crate::segment::{HEADER_BYTES, Kind, RECORD_HEADER_BYTES};

/// Chunks of headers that are read ahead of the judge, for each thread.
const AHEAD: usize = 4;

/// What can be set about a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// How much of each header is checked.
    pub check: Check,
    /// Threads beside the one that calls.
    pub threads: usize,
}

impl Default for Verify {
    fn default() -> Self {
        Self { check: Check::Links, threads: parallel::available() }
    }
}

/// What a verification found.
#[derive(Debug)]
pub struct Verified {
    /// How many blocks hold, from the first on.
    pub blocks: u64,
    /// How many of them are bare: their bodies are not held, and were not checked.
    pub bare: u64,
    /// The state after them.
    pub state: State,
    /// Which checks ran.
    pub counts: Counts,
    /// How far certificates show finality, where a format has them.
    pub finality: Option<Finality>,
    /// What is wrong after those blocks; `None` if nothing is, or it was broken off.
    pub problem: Option<Error>,
}

/// A settled block's header, and where its record lies.
struct Settled {
    header: Header,
    entry: Entry,
    certificate: Option<Bytes>,
}

impl Item for Settled {
    fn header(&self) -> &Header {
        &self.header
    }

    fn doubtful(&self) -> bool {
        false
    }

    fn wants_state(&self) -> bool {
        self.certificate.is_some()
    }
}

/// Blocks read side by side, up to the first that is wrong.
struct Stretch {
    items: Vec<Settled>,
    problem: Option<Error>,
}

/// Verifies all settled blocks. `progress` is told how many were read, and may break it off.
pub fn verify<F: Files>(
    reader: &Reader<F>,
    format: &Format,
    options: &Verify,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Verified {
    let settled = reader.settled();
    let mut run = Run {
        reader,
        last: None,
        pushed: 0,
        problem: None,
        blocks: 0,
        counts: Counts::default(),
        finality: finality::Walk::new(format),
        is_broken: false,
    };
    let state = std::thread::scope(|scope| {
        let pool = Pool::start(scope, options.threads);
        let mut judge = Judge::new(format, &pool, options.check, format.genesis());
        let mut state = format.genesis();
        let mut reading = VecDeque::new();
        let mut next = 0;
        loop {
            while reading.len() < options.threads.max(1) * AHEAD && next < settled {
                let (first, end) = (Position(next), (next + CHUNK_HEADERS).min(settled));
                reading.push_back(pool.submit(move || stretch(reader, format, first, end)));
                next = end;
            }
            let read = reading.pop_front().map(parallel::Pending::wait);
            let more = read.is_some_and(|stretch| run.push(stretch, &mut judge));
            while judge.is_full() || judge.is_ended() || !more {
                let Some(judged) = judge.take() else { break };
                state = run.take(judged);
            }
            let interrupted = progress(run.blocks).is_break();
            if !more || judge.is_ended() || run.is_broken || interrupted {
                break state;
            }
        }
    });
    let damage = reader.check_certificates().err();
    let finality = run.finality.map(finality::Walk::end);
    Verified {
        blocks: run.blocks,
        bare: run.blocks.min(reader.bare()),
        state,
        counts: run.counts,
        finality,
        problem: run.problem.or(damage),
    }
}

struct Run<'a, F: Files> {
    reader: &'a Reader<F>,
    /// The record before the next.
    last: Option<Entry>,
    pushed: u64,
    problem: Option<Error>,
    blocks: u64,
    counts: Counts,
    finality: Option<finality::Walk>,
    /// A certificate shows nothing.
    is_broken: bool,
}

impl<F: Files> Run<'_, F> {
    /// Gives the judge what was read; says whether there may be more.
    fn push(&mut self, stretch: Stretch, judge: &mut Judge<'_, '_, Settled>) -> bool {
        self.problem = stretch.problem;
        let mut items = Vec::with_capacity(stretch.items.len());
        for item in stretch.items {
            let position = Position(self.pushed);
            if !follows(self.last.as_ref(), &item.entry, position.0 < self.reader.bare()) {
                self.problem = Some(self.reader.damaged_at(INDEX, index::byte_of(position), Damage::Differs));
                break;
            }
            self.last = Some(item.entry);
            self.pushed += 1;
            items.push(item);
        }
        judge.push(items);
        self.problem.is_none()
    }

    fn take(&mut self, judged: Judged<Settled>) -> State {
        let first = self.blocks;
        self.blocks += judged.items.len() as u64;
        self.counts += judged.counts;
        for (number, state) in &judged.states {
            let certificate = judged.items[*number].certificate.as_ref().expect("it wanted its state");
            let shown = self.finality.as_mut().map_or(Ok(()), |walk| walk.next(state, certificate));
            if let Err(reason) = shown
                && !self.is_broken
            {
                let position = Position(first + *number as u64);
                self.problem = Some(Error::Certificate { position, reason });
                self.is_broken = true;
            }
        }
        if let Some((_, reason)) = judged.refused {
            let position = Position(self.blocks);
            self.problem = Some(Error::Refused { position, reason: reason.to_string() });
        }
        judged.state
    }
}

/// Whether a record lies right behind the one before: no bytes of the log are left out. Bare blocks have none.
fn follows(before: Option<&Entry>, entry: &Entry, is_bare: bool) -> bool {
    if is_bare || entry.is_bare() {
        return is_bare && (entry.segment, entry.offset, entry.len) == (0, 0, 0);
    }
    let before = before.filter(|before| !before.is_bare());
    let first = (0, HEADER_BYTES);
    let expected = before.map_or(first, |before| {
        (before.segment, before.offset.saturating_add(RECORD_HEADER_BYTES).saturating_add(before.len))
    });
    let next_segment = (expected.0.saturating_add(1), HEADER_BYTES);
    let place = (entry.segment, entry.offset);
    place == expected || (before.is_some() && place == next_segment)
}

/// Reads the blocks from `first` to before `end`, and compares log, index and headers file.
fn stretch<F: Files>(reader: &Reader<F>, format: &Format, first: Position, end: u64) -> Stretch {
    let mut items = Vec::new();
    let problem = read_stretch(reader, format, first, end, &mut items).err();
    Stretch { items, problem }
}

fn read_stretch<F: Files>(
    reader: &Reader<F>,
    format: &Format,
    first: Position,
    end: u64,
    items: &mut Vec<Settled>,
) -> Result<(), Error> {
    let chunk = reader.chunk(first)?.expect("below the settled end");
    let entries = reader.entries_between(first, end)?;
    let mut start = 0;
    for (at, entry) in entries.into_iter().enumerate() {
        let position = Position(first.0 + at as u64);
        let end = chunk.entries[at].end as usize;
        let wire = chunk.bytes.slice(start..end);
        start = end;
        let header_at = entry.header_end.saturating_sub(wire.len() as u64);
        let header = match reader.block(position)? {
            Held::Here(raw) => header_of(reader, format, position, &entry, &raw)?,
            Held::NotHeld => format.header(&wire).map_err(|error| {
                reader.damaged_at(HEADERS, header_at, Damage::Block { reason: error.to_string() })
            })?,
            Held::Absent => unreachable!("below the settled end"),
        };
        if (header.id, header.slot, header.height) != (entry.id, entry.slot, entry.height) {
            return Err(reader.damaged_at(INDEX, index::byte_of(position), Damage::Differs));
        }
        if wire != header.wire {
            return Err(reader.damaged_at(HEADERS, header_at, Damage::Differs));
        }
        let certificate = reader.certificate(position)?;
        items.push(Settled { header, entry, certificate });
    }
    Ok(())
}

/// The header of a block that is held, once the body was compared with it.
fn header_of<F: Files>(
    reader: &Reader<F>,
    format: &Format,
    position: Position,
    entry: &Entry,
    raw: &Bytes,
) -> Result<Header, Error> {
    let block = format.block(raw).map_err(|error| {
        let damage = Damage::Block { reason: error.to_string() };
        reader.damaged_at(&Kind::Log.path(entry.segment), entry.offset.into(), damage)
    })?;
    let refused = |reason: chain::Reason| Error::Refused { position, reason: reason.to_string() };
    format.check_body(&block).map_err(refused)?;
    Ok(block.header)
}
