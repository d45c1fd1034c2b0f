//! The consensus journal under crashes, cuts, flipped bits and failing writes.
//!
//! What was acknowledged comes back or is told as damaged; what was not comes back whole or not at all.

#[allow(dead_code, reason = "each test program uses its part")]
mod support;

use bytes::Bytes;
use store::files::memory::{self, Fault};
use store::{Error, Journal, Recovered, Scan, Store};
use support::World;

/// Different tears for each place of a crash.
const DRAWS: u64 = 4;

/// What the journal held at the last sync, and what was given to it since.
#[derive(Debug, Clone, Default)]
struct Model {
    synced: Vec<Bytes>,
    now: Vec<Bytes>,
}

impl Model {
    fn begin(&mut self, store: &mut Store<memory::Files>, record: &[u8]) -> Result<(), Error> {
        self.now = vec![Bytes::copy_from_slice(record)];
        store.begin_journal(record)
    }

    fn append(&mut self, store: &mut Store<memory::Files>, record: &[u8]) -> Result<(), Error> {
        self.now.push(Bytes::copy_from_slice(record));
        store.append_journal(record)
    }

    fn sync(&mut self, store: &mut Store<memory::Files>) -> Result<(), Error> {
        store.sync()?;
        self.synced = self.now.clone();
        Ok(())
    }

    /// What was acknowledged is there, and otherwise only what was being written.
    fn check(&self, recovered: &Recovered, what: &str) {
        let Journal::Read(records) = &recovered.journal else { panic!("{what}: {:?}", recovered.journal) };
        assert!(*records == self.synced || *records == self.now, "{what}: {records:?} instead of {self:?}");
    }
}

/// A record that says where it is from, of a length that depends on it.
fn record(height: usize, number: usize) -> Vec<u8> {
    let mut record = format!("height {height}, record {number};").into_bytes();
    record.resize(20 + (height * 31 + number * 197) % 700, number as u8);
    record
}

/// Heights of a few batches each, blocks settled between them.
fn run(
    world: &World,
    store: &mut Store<memory::Files>,
    model: &mut Model,
    heights: usize,
) -> Result<(), Error> {
    for height in 0..heights {
        model.begin(store, &record(height, 0))?;
        for batch in 0..3 {
            for number in 1..=(height + batch) % 3 + 1 {
                model.append(store, &record(height, 10 * batch + number))?;
            }
            model.sync(store)?;
        }
        if let Some(block) = world.trunk.get(height) {
            store.put_fork(block)?;
            model.append(store, &record(height, 50))?;
            model.sync(store)?;
            store.settle(std::slice::from_ref(block))?;
            model.sync(store)?;
        }
    }
    Ok(())
}

fn run_into(world: &World, files: &memory::Files, fault: Fault) -> (Model, bool) {
    files.set_fault(Some(fault));
    let mut model = Model::default();
    let result =
        world.open(files, Scan::Tail).and_then(|(mut store, _)| run(world, &mut store, &mut model, 5));
    files.set_fault(None);
    (model, result.is_err())
}

/// The journal goes on where it was found, over two more heights and restarts.
fn check_goes_on(world: &World, files: &memory::Files, what: &str) {
    let (mut store, recovered) =
        world.open(files, Scan::Tail).unwrap_or_else(|error| panic!("{what}: {error}"));
    let Journal::Read(records) = recovered.journal else { panic!("{what}: damaged") };
    let mut model = Model { synced: records.clone(), now: records.clone() };
    if records.is_empty() {
        model.begin(&mut store, b"the first").expect("begins");
    }
    for height in 70..73 {
        for number in 1..4 {
            model.append(&mut store, &record(height, number)).expect("appends");
            model.sync(&mut store).expect("syncs");
        }
        drop(store);
        let (again, recovered) = world.open(files, Scan::Tail).expect("opens");
        store = again;
        model.check(&recovered, what);
        model.begin(&mut store, &record(height + 1, 0)).expect("begins");
        model.sync(&mut store).expect("syncs");
    }
}

#[test]
fn a_crash_between_any_two_operations_loses_nothing_acknowledged() {
    let world = World::new(4);
    for at in 0.. {
        let files = memory::Files::new(at);
        let (model, met) = run_into(&world, &files, Fault { at, lasting: true });
        for draw in 0..DRAWS {
            let what = format!("operation {at}, draw {draw}");
            let after = files.crash();
            let (_, recovered) = world.open(&after.copy(), Scan::Tail).expect("opens");
            model.check(&recovered, &what);
            check_goes_on(&world, &after, &what);
        }
        if !met {
            assert!(at > 60, "the script has only {at} operations");
            return;
        }
    }
}

#[test]
fn a_failed_operation_stops_the_store_and_loses_nothing_acknowledged() {
    let world = World::new(4);
    for at in 0.. {
        let files = memory::Files::new(at);
        let (model, met) = run_into(&world, &files, Fault { at, lasting: false });
        for (after, what) in [(files.copy(), "restarted"), (files.crash(), "crashed")] {
            let what = format!("operation {at}, {what}");
            let (_, recovered) = world.open(&after.copy(), Scan::Tail).expect("opens");
            model.check(&recovered, &what);
            check_goes_on(&world, &after, &what);
        }
        if !met {
            return;
        }
    }
}
