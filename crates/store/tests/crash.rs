//! Crashes, cuts, flipped bits and failing writes against the real recovery, on the memory file system.
//!
//! Nothing acknowledged is lost, nothing torn is served, and a store that opened goes on.

mod support;

use store::files::memory::{self, Fault};
use store::{Error, Scan};
use support::{Kept, World};

/// Different tears for each place of a crash.
const DRAWS: u64 = 4;

/// Opens and stores everything, with a fault; what was acknowledged, and whether the fault was met.
fn run_into(world: &World, files: &memory::Files, fault: Fault) -> (Kept, bool) {
    files.set_fault(Some(fault));
    let mut kept = Kept::default();
    let met = match world.open(files, Scan::Tail) {
        Ok((mut store, _)) => {
            let result = world.store_all(&mut store, &mut kept);
            if result.is_err() {
                assert!(matches!(store.sync(), Err(Error::Failed)), "a store that failed says so");
                let again = store.put_fork(&world.trunk[0]);
                assert!(matches!(again, Err(Error::Failed)), "a store that failed takes nothing");
            }
            result.is_err()
        }
        Err(_) => true,
    };
    files.set_fault(None);
    (kept, met)
}

fn check_restart(world: &World, files: &memory::Files, kept: &Kept, what: &str) {
    let (store, recovered) = world.open(files, Scan::Tail).unwrap_or_else(|error| panic!("{what}: {error}"));
    world.check_recovered(&recovered, kept);
    world.check_reads(&store.reader(), false);
    world.check_goes_on(files, store);
}

#[test]
fn a_crash_between_any_two_operations_loses_nothing_acknowledged() {
    let world = World::new(9);
    for at in 0.. {
        let files = memory::Files::new(at);
        let (kept, met) = run_into(&world, &files, Fault { at, lasting: true });
        for draw in 0..DRAWS {
            check_restart(&world, &files.crash(), &kept, &format!("operation {at}, draw {draw}"));
        }
        if !met {
            assert!(at > 100, "the script has only {at} operations");
            return;
        }
    }
}

#[test]
fn one_failed_operation_stops_the_store_and_loses_nothing_acknowledged() {
    let world = World::new(9);
    for at in 0.. {
        let files = memory::Files::new(at);
        let (kept, met) = run_into(&world, &files, Fault { at, lasting: false });
        // First as a new process on the same system finds it, then after a power cut.
        check_restart(&world, &files.copy(), &kept, &format!("operation {at}, restarted"));
        check_restart(&world, &files.crash(), &kept, &format!("operation {at}, crashed"));
        if !met {
            return;
        }
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing_either() {
    let world = World::new(9);
    let files = memory::Files::new(1);
    let (kept, _) = run_into(&world, &files, Fault { at: 90, lasting: true });
    assert!(kept.settled > 2);
    for seed in 0.. {
        let torn = files.crash();
        let mut met = 0;
        for at in 0.. {
            let again = torn.copy();
            again.set_fault(Some(Fault { at, lasting: true }));
            let opened = world.open(&again, Scan::Tail).is_ok();
            if opened {
                break;
            }
            met += 1;
            check_restart(&world, &again.crash(), &kept, &format!("draw {seed}, operation {at} of recovery"));
        }
        if seed == 5 {
            assert!(met > 3, "recovery has only {met} operations");
            return;
        }
    }
}

#[test]
fn a_log_cut_at_any_byte_keeps_the_blocks_before() {
    let world = World::new(7);
    let files = world.stored(1);
    let segments: Vec<String> = files.paths().into_iter().filter(|path| path.starts_with("log/")).collect();
    assert!(segments.len() > 1, "several segments are wanted");
    let (last, sealed) = segments.split_last().expect("there are segments");
    for path in &segments {
        for len in 0..length(&files, path) {
            let cut = files.copy();
            cut.edit(path, |bytes| bytes.truncate(len));
            match world.open(&cut, Scan::Tail) {
                Ok((store, recovered)) => {
                    assert!(path == last, "{path} was sealed: its end is known");
                    world.check_recovered(&recovered, &Kept::default());
                    world.check_reads(&store.reader(), false);
                }
                Err(error) => {
                    assert!(sealed.contains(path), "{path} cut to {len}: {error}");
                    assert!(matches!(error, Error::Damaged { .. }), "{error}");
                }
            }
            check_repair(&world, &cut, &whole_before(&world, &files, path, len));
        }
    }
}

#[test]
fn the_fork_tree_cut_at_any_byte_keeps_what_is_whole() {
    let world = World::new(7);
    let files = memory::Files::new(1);
    let (mut store, _) = world.open(&files, Scan::Tail).expect("opens");
    for block in world.trunk.iter().chain(world.siblings.values()) {
        store.put_fork(block).expect("puts");
    }
    store.sync().expect("syncs");
    drop(store);
    let segments: Vec<String> = files.paths().into_iter().filter(|path| path.starts_with("forks/")).collect();
    assert!(segments.len() > 1, "several segments are wanted");
    let all = world.trunk.len() + world.siblings.len();
    for path in &segments {
        let mut most = 0;
        for len in 0..=length(&files, path) {
            let cut = files.copy();
            cut.edit(path, |bytes| bytes.truncate(len));
            let (store, recovered) = world.open(&cut, Scan::Tail).expect("opens");
            world.check_recovered(&recovered, &Kept::default());
            assert!(recovered.forks.len() >= most, "more bytes, fewer blocks");
            most = recovered.forks.len();
            world.check_goes_on(&cut, store);
        }
        assert_eq!(most, all);
    }
}

#[test]
fn no_flipped_bit_is_served() {
    let world = World::new(7);
    let files = world.stored(1);
    let paths = files.paths();
    assert!(paths.iter().any(|path| path.starts_with("state/")));
    for path in paths.iter().filter(|path| *path != "meta.toml") {
        for at in 0..length(&files, path) {
            let flipped = files.copy();
            flipped.edit(path, |bytes| bytes[at] ^= 1 << (at % 8));
            match world.open(&flipped, Scan::Tail) {
                Ok((store, recovered)) => {
                    world.check_recovered(&recovered, &Kept::default());
                    world.check_reads(&store.reader(), true);
                }
                Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{path} byte {at}: {error}"),
            }
            let least =
                if path.starts_with("log/") { whole_before(&world, &files, path, at) } else { all(&world) };
            check_repair(&world, &flipped, &least);
        }
    }
}

#[test]
fn derived_files_are_made_again_from_the_log() {
    let world = World::new(7);
    let files = world.stored(1);
    for paths in [&["index"][..], &["headers"], &["index", "headers"]] {
        let damaged = files.copy();
        for path in paths {
            assert!(damaged.edit(path, Vec::clear));
        }
        // What was made again is as durable as it was.
        for _ in 0..20 {
            let again = damaged.copy();
            drop(world.open(&again, Scan::Tail).expect("opens"));
            check_restart(&world, &again.crash(), &all(&world), &format!("{paths:?} emptied, then a crash"));
        }
        check_restart(&world, &damaged, &all(&world), &format!("{paths:?} emptied"));
    }
    let without = files.copy();
    for path in files.paths().iter().filter(|path| path.starts_with("state/")) {
        without.edit(path, Vec::clear);
    }
    check_restart(&world, &without, &all(&world), "snapshots emptied");
}

/// A repairing start keeps all blocks that are whole, and the store goes on.
fn check_repair(world: &World, files: &memory::Files, least: &Kept) {
    let files = files.copy();
    let (store, recovered) = world.open(&files, Scan::Whole).expect("a repair opens");
    world.check_recovered(&recovered, least);
    world.check_reads(&store.reader(), false);
    world.check_goes_on(&files, store);
}

fn all(world: &World) -> Kept {
    Kept { settled: world.trunk.len() as u64, ..Kept::default() }
}

/// How many settled blocks end at or before a byte of a segment.
fn whole_before(world: &World, files: &memory::Files, path: &str, byte: usize) -> Kept {
    let (store, _) = world.open(&files.copy(), Scan::Tail).expect("opens");
    let number: u32 = path[4..10].parse().expect("a segment's name");
    let ends = (0..world.trunk.len() as u64).filter(|position| {
        let entry = store.reader().entry(chain::Position(*position)).expect("reads").expect("is settled");
        let end = entry.offset + store::segment::RECORD_HEADER_BYTES + entry.len;
        entry.segment < number || (entry.segment == number && end as usize <= byte)
    });
    Kept { settled: ends.count() as u64, ..Kept::default() }
}

fn length(files: &memory::Files, path: &str) -> usize {
    let mut len = 0;
    assert!(files.copy().edit(path, |bytes| len = bytes.len()));
    len
}

#[test]
fn the_checks_fire_on_a_disk_that_lies_about_syncs() {
    let world = World::new(9);
    let files = memory::Files::new(1);
    let (mut store, _) = world.open(&files, Scan::Tail).expect("opens");
    files.set_lying(true);
    let mut kept = Kept::default();
    world.store_all(&mut store, &mut kept).expect("stores");
    let held = |files: &memory::Files| {
        let check = || match world.open(files, Scan::Tail) {
            Ok((_, recovered)) => world.check_recovered(&recovered, &kept),
            Err(error) => panic!("{error}"),
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
    };
    assert!(held(&files.copy()), "without a crash nothing is lost");
    let fired = (0..20).filter(|_| !held(&files.crash())).count();
    assert!(fired > 15, "the checks fired in {fired} of 20 crashes");
}

#[test]
fn a_whole_block_that_does_not_follow_is_cut_off() {
    let world = World::new(7);
    let files = world.stored(1);
    let last = files.paths().into_iter().rfind(|path| path.starts_with("log/")).expect("there are segments");
    let (store, _) = world.open(&files, Scan::Tail).expect("opens");
    let entry = store.reader().entry(chain::Position(6)).expect("reads").expect("is settled");
    drop(store);
    let end = (entry.offset + store::segment::RECORD_HEADER_BYTES + entry.len) as usize;
    let mut record = Vec::new();
    store::segment::encode_record(&world.trunk[2].raw, &mut record);
    files.edit(&last, |bytes| bytes[end..end + record.len()].copy_from_slice(&record));
    let (store, recovered) = world.open(&files, Scan::Tail).expect("opens");
    let [cut] = &recovered.cut[..] else { panic!("one cut is wanted: {:?}", recovered.cut) };
    assert_eq!((cut.offset, cut.bytes), (end as u64, record.len() as u64));
    assert_eq!(cut.damage, store::Damage::Link);
    world.check_recovered(&recovered, &all(&world));
    world.check_goes_on(&files, store);
}
