//! The consensus journal under crashes, cuts, flipped bits and failing writes.
//!
//! What was acknowledged comes back or is told as damaged; what was not comes back whole or not at all.

#[allow(dead_code, reason = "each test program uses its part")]
mod support;

use bytes::Bytes;
use proptest::prelude::*;
use store::files::memory::{self, Fault};
use store::{Config, Damage, Error, File as _, Files as _, Journal, Recovered, Scan, Store};
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
    record.resize(20 + (600 + height * 31 + number * 197) % 700, number as u8);
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
            if draw == at % DRAWS {
                check_goes_on(&world, &after, &what);
            }
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

/// A journal of several heights, stopped as a power cut stops it, or in good order.
fn stored(in_order: bool) -> (World, memory::Files, Model) {
    let world = World::new(3);
    let files = memory::Files::new(1);
    let (mut store, _) = world.open(&files, Scan::Tail).expect("opens");
    let mut model = Model::default();
    run(&world, &mut store, &mut model, 4).expect("runs");
    if in_order {
        store.checkpoint().expect("stops");
        drop(store);
        return (world, files.copy(), model);
    }
    drop(store);
    // What was never synced may be there or not.
    let after = (0..).map(|_| files.crash()).find(|after| {
        let (_, recovered) = world.open(&after.copy(), Scan::Tail).expect("opens");
        recovered.settled == 3
    });
    (world, after.expect("some draw keeps all"), model)
}

fn length(files: &memory::Files, path: &str) -> usize {
    let mut len = 0;
    assert!(files.copy().edit(path, |bytes| len = bytes.len()));
    len
}

/// The records of all batches but the last.
fn before_the_last_batch(model: &Model) -> &[Bytes] {
    let last = (3 + 2) % 3 + 1;
    &model.synced[..model.synced.len() - last]
}

#[test]
fn a_flipped_bit_is_told_or_costs_the_last_batch_at_most() {
    let (world, files, model) = stored(false);
    let (mut told, mut cost, mut harmless) = (0, 0, 0);
    for path in ["journal/0", "journal/1"] {
        // Pages behind these were never written.
        for at in 0..length(&files, path).min(10 * 512) {
            let flipped = files.copy();
            flipped.edit(path, |bytes| bytes[at] ^= 1 << (at % 8));
            let (_, recovered) = world.open(&flipped, Scan::Tail).expect("opens");
            match recovered.journal {
                Journal::Damaged { path: found, .. } => {
                    assert!(found.ends_with(path));
                    told += 1;
                }
                Journal::Read(records) if records == model.synced => harmless += 1,
                Journal::Read(records) => {
                    assert_eq!(records, before_the_last_batch(&model), "{path} byte {at}");
                    cost += 1;
                }
            }
        }
    }
    assert!(told > 1_000 && cost > 0 && harmless > 1_000, "{told} told, {cost} cost, {harmless} harmless");
}

#[test]
fn a_flipped_bit_is_always_told_after_a_stop_in_good_order() {
    let (world, files, model) = stored(true);
    let mut told = 0;
    for path in ["journal/0", "journal/1"] {
        for at in 0..length(&files, path).min(10 * 512) {
            let flipped = files.copy();
            flipped.edit(path, |bytes| bytes[at] ^= 1 << (at % 8));
            let (_, recovered) = world.open(&flipped, Scan::Tail).expect("opens");
            match recovered.journal {
                Journal::Damaged { .. } => told += 1,
                Journal::Read(records) => assert_eq!(records, model.synced, "{path} byte {at}"),
            }
        }
    }
    assert!(told > 1_000, "{told} told");
}

#[test]
fn a_file_that_was_cut_emptied_wiped_or_removed_is_told() {
    let (world, files, model) = stored(true);
    // The fourth journal is the current one, and the third says that it was begun.
    let wiped = |paths: &[&str]| {
        let wiped = files.copy();
        paths.iter().for_each(|path| assert!(wiped.edit(path, |bytes| bytes.fill(0))));
        world.open(&wiped, Scan::Tail).expect("opens").1.journal
    };
    assert!(matches!(wiped(&["journal/0"]), Journal::Damaged { damage: Damage::Lost, .. }));
    assert!(matches!(wiped(&["journal/0", "journal/1"]), Journal::Damaged { damage: Damage::Lost, .. }));
    assert_eq!(wiped(&["journal/1"]), Journal::Read(model.synced));
    for path in ["journal/0", "journal/1"] {
        // What is behind the pages that were written to is zero.
        let written = 10 * 512;
        for len in (0..written).chain((written..length(&files, path)).step_by(61)) {
            let cut = files.copy();
            cut.edit(path, |bytes| bytes.truncate(len));
            let (_, recovered) = world.open(&cut, Scan::Tail).expect("opens");
            assert!(matches!(recovered.journal, Journal::Damaged { .. }), "{path} cut to {len}");
        }
        let gone = files.copy();
        gone.remove(path).expect("removes");
        let (_, recovered) = world.open(&gone, Scan::Tail).expect("opens");
        assert!(
            matches!(recovered.journal, Journal::Damaged { damage: Damage::Missing, .. }),
            "{path} removed"
        );
    }
}

#[test]
fn every_page_that_is_lost_is_told_but_the_last() {
    let (world, files, model) = stored(false);
    let mut told = 0;
    for path in ["journal/0", "journal/1"] {
        for page in 0..10 {
            let lost = files.copy();
            lost.edit(path, |bytes| bytes[page * 512..(page + 1) * 512].fill(0));
            let (_, recovered) = world.open(&lost, Scan::Tail).expect("opens");
            match recovered.journal {
                Journal::Damaged { .. } => told += 1,
                Journal::Read(records) => {
                    assert!(records == model.synced || records == before_the_last_batch(&model));
                }
            }
        }
    }
    assert!(told > 2, "{told} told");
}

#[test]
fn a_damaged_journal_stays_so_until_another_is_begun() {
    let (world, files, _) = stored(false);
    files.edit("journal/0", |bytes| bytes.truncate(700));
    for _ in 0..2 {
        let (mut store, recovered) = world.open(&files, Scan::Tail).expect("opens");
        assert!(matches!(recovered.journal, Journal::Damaged { .. }));
        store.checkpoint().expect("the rest goes on");
    }
    // Whatever happens while the next is begun, it is damaged or there.
    for at in 0.. {
        let again = files.copy();
        let (mut store, _) = world.open(&again, Scan::Tail).expect("opens");
        again.set_fault(Some(Fault { at: again.ops() + at, lasting: true }));
        let begun = store.begin_journal(b"anew").and_then(|()| store.sync());
        again.set_fault(None);
        drop(store);
        for _ in 0..DRAWS {
            let after = again.crash();
            let (_, recovered) = world.open(&after, Scan::Tail).expect("opens");
            match recovered.journal {
                Journal::Damaged { .. } => assert!(begun.is_err(), "operation {at}"),
                Journal::Read(records) => assert_eq!(records, [&b"anew"[..]]),
            }
        }
        if begun.is_ok() {
            assert!(at > 4, "beginning takes {at} operations");
            return check_goes_on(&world, &again, "begun anew");
        }
    }
}

#[test]
fn a_journal_that_is_put_in_place_by_hand_counts() {
    let (world, files, model) = stored(true);
    let restored = memory::Files::new(2);
    drop(world.open(&restored, Scan::Tail).expect("opens"));
    for path in ["journal/0", "journal/1"] {
        let mut held = Vec::new();
        files.copy().edit(path, |bytes| held = bytes.clone());
        restored.create(path).and_then(|file| file.write_at(0, &held)).expect("writes");
    }
    for _ in 0..2 {
        let (_, recovered) = world.open(&restored, Scan::Tail).expect("opens");
        assert_eq!(recovered.journal, Journal::Read(model.synced.clone()));
    }
    restored.remove("journal/0").expect("removes");
    let (_, recovered) = world.open(&restored, Scan::Tail).expect("opens");
    assert!(matches!(recovered.journal, Journal::Damaged { .. }), "it is known by now");
}

#[test]
fn a_journal_that_is_forgotten_is_gone_for_good() {
    let (world, files, _) = stored(false);
    for at in 0.. {
        let again = files.copy();
        let (mut store, recovered) = world.open(&again, Scan::Tail).expect("opens");
        let before = recovered.journal;
        again.set_fault(Some(Fault { at: again.ops() + at, lasting: true }));
        let forgotten = store.forget_journal();
        again.set_fault(None);
        drop(store);
        let after = again.crash();
        let (_, recovered) = world.open(&after, Scan::Tail).expect("opens");
        let is_gone = recovered.journal == Journal::Read(Vec::new());
        let is_damaged = matches!(recovered.journal, Journal::Damaged { .. });
        assert!(is_gone || (forgotten.is_err() && (is_damaged || recovered.journal == before)));
        if forgotten.is_ok() {
            return check_goes_on(&world, &after, "forgotten");
        }
    }
}

#[test]
fn large_batches_and_long_journals_come_back_and_do_not_stay() {
    let world = World::new(1);
    let files = memory::Files::new(1);
    let (mut store, _) = world.open(&files, Scan::Tail).expect("opens");
    let mut model = Model::default();
    model.begin(&mut store, b"long").expect("begins");
    for number in 0..30 {
        let large = vec![number; usize::from(number) * 5_000 + 1];
        model.append(&mut store, &large).expect("appends");
        if number % 4 == 0 {
            model.sync(&mut store).expect("syncs");
        }
    }
    model.sync(&mut store).expect("syncs");
    let longest = |files: &memory::Files| length(files, "journal/0").max(length(files, "journal/1"));
    assert!(longest(&files) > 2 << 20);
    drop(store);
    let (mut store, recovered) = world.open(&files.crash(), Scan::Tail).expect("opens");
    model.check(&recovered, "long");
    for height in 0..3u8 {
        model.begin(&mut store, &[height]).expect("begins");
        model.sync(&mut store).expect("syncs");
    }
    drop(store);
    let (mut store, _) = world.open(&files, Scan::Tail).expect("opens");
    for height in 0..3u8 {
        store.begin_journal(&[height]).and_then(|()| store.sync()).expect("begins");
    }
    assert_eq!(longest(&files), 1 << 20);
}

#[test]
fn the_checks_fire_on_a_disk_that_lies_about_syncs() {
    let world = World::new(3);
    let files = memory::Files::new(1);
    let (mut store, _) = world.open(&files, Scan::Tail).expect("opens");
    let mut model = Model::default();
    model.begin(&mut store, b"before").and_then(|()| model.sync(&mut store)).expect("begins");
    files.set_lying(true);
    run(&world, &mut store, &mut model, 3).expect("a lie is not noticed");
    let fired = (0..20).filter(|_| {
        let check = || model.check(&world.open(&files.crash(), Scan::Tail).expect("opens").1, "");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err()
    });
    let fired = fired.count();
    assert!(fired > 15, "the checks fired in {fired} of 20 crashes");
}

#[test]
fn a_sync_costs_the_files_that_it_touches() {
    let world = World::new(4);
    let files = memory::Files::new(1);
    // Segments that do not roll meanwhile.
    let opened = Store::open(files.clone(), &world.format, &Config::default());
    let (mut store, _) = opened.expect("opens");
    store.put_fork(&world.trunk[0]).expect("puts");
    store.begin_journal(b"one").and_then(|()| store.sync()).expect("syncs");
    store.begin_journal(b"two").and_then(|()| store.sync()).expect("syncs");
    let mut cost = |act: &mut dyn FnMut(&mut Store<memory::Files>) -> Result<(), Error>| {
        let (ops, syncs) = (files.ops(), files.syncs());
        act(&mut store).and_then(|()| store.sync()).expect("stores");
        (files.ops() - ops, files.syncs() - syncs)
    };
    assert_eq!(cost(&mut |_| Ok(())), (0, 0));
    assert_eq!(cost(&mut |store| store.append_journal(b"a vote")), (2, 1));
    assert_eq!(cost(&mut |store| store.put_fork(&world.trunk[1])), (2, 1));
    let both = |store: &mut Store<memory::Files>| {
        store.put_fork(&world.siblings[&1])?;
        store.append_journal(b"a block")?;
        store.append_journal(b"and a vote")
    };
    assert_eq!(cost(&mut { both }), (4, 2));
    // The second write says that the one before is over, and is not synced.
    assert_eq!(cost(&mut |store| store.begin_journal(b"three")), (3, 1));
}

proptest! {
    /// Any script of appends, beginnings, syncs, stops and restarts, with a crash at any operation.
    #[test]
    fn any_script_survives_a_crash(
        steps in prop::collection::vec((0..6u8, 1..900usize), 1..40),
        at in 0..120u64,
        seed in any::<u64>(),
    ) {
        let world = World::new(1);
        let files = memory::Files::new(seed);
        files.set_fault(Some(Fault { at, lasting: true }));
        let mut model = Model::default();
        let _ = script(&world, &files, &steps, &mut model);
        let after = files.crash();
        let (_, recovered) = world.open(&after.copy(), Scan::Tail).expect("opens");
        model.check(&recovered, "script");
        check_goes_on(&world, &after, "script");
    }

    /// Whatever the files hold, what is read from them is no more than was given.
    #[test]
    fn any_damage_is_told_or_costs_what_is_last(
        bent in prop::collection::vec((any::<bool>(), 0..6_000usize, any::<u8>()), 1..6),
    ) {
        let (world, files, model) = stored(true);
        for (second, at, to) in bent {
            files.edit(if second { "journal/1" } else { "journal/0" }, |bytes| bytes[at] = to);
        }
        let (_, recovered) = world.open(&files, Scan::Tail).expect("opens");
        if let Journal::Read(records) = recovered.journal {
            prop_assert!(!records.is_empty() && model.synced.starts_with(&records));
        }
    }
}

/// Performs the steps until one fails.
fn script(
    world: &World,
    files: &memory::Files,
    steps: &[(u8, usize)],
    model: &mut Model,
) -> Result<(), Error> {
    let (mut store, _) = world.open(files, Scan::Tail)?;
    for (number, (step, len)) in steps.iter().enumerate() {
        let record = vec![number as u8; *len];
        match step {
            0 => model.begin(&mut store, &record)?,
            1 | 2 if !model.now.is_empty() => model.append(&mut store, &record)?,
            1..=3 => model.sync(&mut store)?,
            4 => {
                store.checkpoint()?;
                model.synced = model.now.clone();
            }
            _ => {
                drop(store);
                let (again, recovered) = world.open(files, Scan::Tail)?;
                // A restart without a crash keeps what was synced; what was only given is gone.
                model.now = model.synced.clone();
                model.check(&recovered, "restart");
                store = again;
            }
        }
    }
    Ok(())
}
