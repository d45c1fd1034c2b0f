//! The node's words to the store's: what it has appended, what it reads, where it goes on.
//!
//! The same stands in `sim`: `node` and `store` know nothing of each other, and this is all that joins them.

use chain::{Block, Format, Point, Position};
use consensus::quorum;
use node::{Found, Load, Record};
use store::{Error, Files, Held, Reader, Store};

/// Appends a record; durable after the next sync.
pub(crate) fn append<F: Files>(store: &mut Store<F>, record: &Record) -> Result<(), Error> {
    match record {
        Record::Fork(block) => store.put_fork(block),
        Record::Settle { blocks, state, certificate } => {
            store.settle(blocks)?;
            store.note_state(state);
            certificate.as_ref().map_or(Ok(()), |certificate| store.certify(state, certificate))
        }
        Record::Bare { headers, state, certificate } => {
            store.put_bare(headers)?;
            certificate.as_ref().map_or(Ok(()), |certificate| store.certify_bare(state, certificate))
        }
        Record::SettleBare { state } => store.settle_bare(state),
        Record::ForgetBare => store.forget_bare(),
        Record::Journal(record @ quorum::Record::Height { .. }) => store.begin_journal(&record.encode()),
        Record::Journal(record) => store.append_journal(&record.encode()),
    }
}

/// Reads what is asked for. An error is told to the node whole: what was left out, it would have others send again.
pub(crate) fn load<F: Files>(reader: &Reader<F>, format: &Format, load: &Load) -> Result<Found, Error> {
    Ok(match load {
        Load::Points(positions) => {
            let points: Result<Vec<Option<Point>>, _> =
                positions.iter().map(|at| reader.point_at(*at)).collect();
            Found::Points(points?.into_iter().flatten().collect())
        }
        Load::Find(points) => Found::Place(reader.find(points)?),
        Load::Headers { from, max } => Found::Headers(reader.headers(format, *from, *max as usize)?),
        Load::Blocks { from, to, max, max_bytes } => {
            blocks(reader.decoded_between(format, from, to, *max as usize, *max_bytes)?)
        }
        Load::BlocksAt { from, max, max_bytes } => {
            let end = Position(u64::MAX);
            blocks(reader.decoded(format, *from, end, *max as usize, *max_bytes)?)
        }
    })
}

/// Bodies that are not held are none for a peer, which asks another, and none for the application.
fn blocks(held: Held<Vec<Block>>) -> Found {
    match held {
        Held::Here(blocks) => Found::Blocks(blocks),
        Held::NotHeld | Held::Absent => Found::Blocks(Vec::new()),
    }
}

/// Where a node goes on that the store recovered; without the newest blocks and the application.
pub(crate) fn start(recovered: store::Recovered) -> node::Start {
    let settled = recovered.settled;
    // An older one shows nothing of the tip.
    let certificate = recovered.certificate.filter(|newest| newest.position.next().0 == settled);
    node::Start {
        settled,
        irreversible: recovered.irreversible,
        state: recovered.state,
        recent: Vec::new(),
        forks: recovered.forks,
        certificate: certificate.map(|newest| newest.certificate),
        journal: journal(&recovered.journal),
        applied: None,
        kept: node::Kept::default(),
    }
}

/// The journal as consensus reads it. A record that does not decode is not the one that was written.
fn journal(found: &store::Journal) -> quorum::Journal {
    let store::Journal::Read(records) = found else { return quorum::Journal::Damaged };
    let records: Result<Vec<_>, _> = records.iter().map(|bytes| quorum::Record::decode(bytes)).collect();
    records.map_or(quorum::Journal::Damaged, quorum::Journal::Read)
}
