//! What the store says and refuses when nothing is broken, and what readers see meanwhile.

#[allow(dead_code, reason = "each test program uses its part")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use chain::{Block, Format, Hash, Header, Height, Point, Position, Slot, Tip, native};
use store::files::{disk, memory};
use store::verify;
use store::{Config, Error, File as _, Files as _, Held, Scan, Store, identity};
use support::{Kept, ONE_THREAD, World, go_on};

fn native_format(magic: u32) -> Format {
    let key = native::Key::from_seed(&[1; 32]);
    Format::Native(Arc::new(native::Params::solo("other", magic, 1_000, key.public())))
}

#[test]
fn a_directory_in_use_names_the_process_and_is_free_again_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let open =
        || Store::open(disk::Files::new(dir.path().join("new")), &native_format(7), &Config::default());
    let (store, _) = open().expect("opens");
    let error = open().expect_err("is in use");
    assert!(matches!(error, Error::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains("give another directory"), "{error}");
    drop(store);
    open().expect("is free");
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("writes");
    let error = Store::open(disk::Files::new(dir.path()), &native_format(7), &Config::default());
    let error = error.expect_err("is not ours");
    assert!(matches!(error, Error::NotADataDir { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1);
}

#[test]
fn what_may_be_made_before_the_first_start_is_not_in_the_way() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("peer.key"), "a secret").expect("writes");
    std::fs::create_dir(dir.path().join("application")).expect("makes");
    Store::open(disk::Files::new(dir.path()), &native_format(7), &Config::default()).expect("opens");
}

#[test]
fn a_directory_of_another_network_or_version_is_left_alone() {
    let world = World::new(3);
    let files = world.stored(1);
    let open = |format: &Format| {
        let before = files.ops();
        let error = Store::open(files.clone(), format, &Config::default()).expect_err("is another's");
        // The root is made sure of; nothing else is touched.
        assert!(files.ops() - before <= 1);
        error
    };
    let error = open(&native_format(8));
    assert!(matches!(&error, Error::OtherNetwork { found, .. } if found.magic == 7), "{error}");
    assert_eq!(identity(&files).expect("reads").map(|found| found.network), Some("test".into()));
    for (from, to) in [("version = 1", "version = 2"), ("magic", "magick"), ("magic = 7", ""), ("format", "")]
    {
        let text = |bytes: &mut Vec<u8>| {
            let text = String::from_utf8(bytes.clone()).expect("is text");
            *bytes = text.replace(from, to).into_bytes();
        };
        let damaged = files.copy();
        damaged.edit("meta.toml", text);
        let error = world.open(&damaged, Scan::Tail).expect_err("is wrong");
        let expected = matches!(error, Error::Version { found: 2, .. } | Error::Meta { .. });
        assert!(expected, "{error}");
    }
    world.open(&files, Scan::Tail).expect("nothing was changed");
}

#[test]
fn only_what_is_durable_is_seen() {
    let world = World::new(4);
    let (mut store, _) = world.open(&memory::Files::new(1), Scan::Tail).expect("opens");
    let reader = store.reader();
    store.settle(&world.trunk[..3]).expect("settles");
    assert_eq!((store.settled(), store.tip()), (3, world.states[3].tip));
    assert_eq!((reader.settled(), reader.tip().expect("reads")), (0, Tip::default()));
    assert_eq!(reader.locate(&world.trunk[0].header.point()).expect("reads"), None);
    store.sync().expect("syncs");
    assert_eq!((reader.settled(), reader.tip().expect("reads")), (3, world.states[3].tip));
    assert_eq!(reader.locate(&Point::Origin).expect("reads"), None);
    world.check_reads(&reader, false);
}

#[test]
#[should_panic(expected = "follows the tip")]
fn a_block_that_does_not_follow_is_our_own_mistake() {
    let world = World::new(4);
    let (mut store, _) = world.open(&memory::Files::new(1), Scan::Tail).expect("opens");
    let _ = store.settle(&world.trunk[1..]);
}

#[test]
fn runs_hold_what_was_asked_for_and_no_more() {
    let world = World::new(12);
    let (store, _) = world.open(&world.stored(1), Scan::Tail).expect("opens");
    let reader = store.reader();
    for (from, to, max_bytes) in [(0, 11, usize::MAX), (3, 8, 700), (5, 5, 0), (2, 99, 1), (11, 11, 4_096)] {
        let mut next = Position(from);
        let mut found = Vec::new();
        while let Held::Here(run) = reader.blocks(next, Position(to), max_bytes).expect("reads") {
            assert_eq!((run.first(), run.count()), (next, run.blocks().len()));
            let bytes: usize = run.blocks().map(|block| block.len()).sum();
            assert!(run.count() == 1 || bytes <= max_bytes);
            next = run.next();
            found.extend(run.blocks());
        }
        let end = (to as usize + 1).min(12);
        assert!(found.iter().eq(world.trunk[from as usize..end].iter().map(|block| &block.raw)));
    }
    assert!(reader.blocks(Position(8), Position(3), 100).expect("reads").here().is_none());
    assert!(reader.blocks(Position(12), Position(12), 100).expect("reads").here().is_none());
    assert!(reader.chunk(Position(12)).expect("reads").is_none());
}

#[test]
fn what_members_ask_for_is_read() {
    let world = World::new(12);
    let (store, _) = world.open(&world.stored(1), Scan::Tail).expect("opens");
    let reader = store.reader();
    let point = |at: usize| world.trunk[at].header.point();
    let unknown = Point::Block(Slot(5), Hash([9; 32]));
    let found = reader.find(&[unknown, Point::Origin, point(7), point(3)]).expect("reads");
    assert_eq!(found, Some((Position(7), world.states[8].tip)));
    assert_eq!(reader.find(&[unknown]).expect("reads"), None);
    for (from, max, wanted) in [(0, 3, 0..3), (10, 9, 10..12), (12, 3, 12..12), (99, 3, 12..12), (4, 0, 4..4)]
    {
        let headers = reader.headers(&world.format, Position(from), max).expect("reads");
        let headers = headers.into_iter().map(|(header, _)| header);
        assert!(headers.eq(world.trunk[wanted].iter().map(|block| block.header.clone())), "{from}, {max}");
    }
    let bytes = |range: std::ops::Range<usize>| -> u64 {
        world.trunk[range].iter().map(|block| block.raw.len() as u64).sum()
    };
    let read = |from, to, max, max_bytes| {
        let blocks = reader
            .decoded(&world.format, Position(from), Position(to), max, max_bytes)
            .expect("reads")
            .here()
            .unwrap_or_default();
        let first = from as usize;
        assert_eq!(blocks, world.trunk[first.min(12)..(first + blocks.len()).min(12)]);
        blocks.len()
    };
    assert_eq!(read(2, 5, 100, u64::MAX), 4);
    assert_eq!(read(2, u64::MAX, 100, u64::MAX), 10);
    assert_eq!(read(2, 5, 3, u64::MAX), 3);
    assert_eq!(read(2, 5, 0, u64::MAX), 0);
    assert_eq!(read(2, 9, 9, 0), 1);
    assert_eq!(read(2, 9, 9, bytes(2..6)), 4);
    assert_eq!(read(2, 9, 9, bytes(2..6) - 1), 3);
    assert_eq!((read(12, 12, 9, 9), read(5, 4, 9, 9)), (0, 0));
    let between =
        |from, to| match reader.decoded_between(&world.format, &from, &to, 100, u64::MAX).expect("reads") {
            Held::Here(blocks) => blocks.len(),
            Held::NotHeld => panic!("all bodies are held"),
            Held::Absent => 0,
        };
    assert_eq!((between(point(3), point(6)), between(point(3), unknown)), (4, 9));
    assert_eq!((between(unknown, point(6)), between(point(6), point(3))), (0, 0));
}

#[test]
fn a_boundary_block_and_its_child_are_told_apart_by_their_hash() {
    let (mut store, _) =
        Store::open(memory::Files::new(1), &native_format(7), &Config::default()).expect("opens");
    let mut prev = None;
    let mut points = Vec::new();
    for number in 0..40u8 {
        // Every tenth block shares its slot with the next.
        let slot = Slot(u64::from(number - u8::from(number % 10 == 1)) * 5);
        let id = Hash([number + 1; 32]);
        let wire = Bytes::from(vec![number; 10]);
        let header = Header { id, prev, slot, height: Height(1), boundary: number % 10 == 0, wire };
        (prev, points) = (Some(id), [points, vec![header.point()]].concat());
        store.settle(&[Block { header, raw: Bytes::from(vec![number; 30]) }]).expect("settles");
    }
    store.sync().expect("syncs");
    let reader = store.reader();
    for (position, point) in (0..).map(Position).zip(&points) {
        assert_eq!(reader.locate(point).expect("reads"), Some(position));
        assert_eq!(reader.point_at(position).expect("reads"), Some(*point));
    }
}

#[test]
fn verify_names_the_place_of_each_flipped_bit() {
    let world = World::new(7);
    let files = world.stored(1);
    let paths = files.paths();
    for path in paths.iter().filter(|path| ["log/000000.seg", "index", "headers"].contains(&path.as_str())) {
        // The first segment is sealed: a start trusts it, and what was derived from it.
        let file = files.open(path, store::files::Access::Read).expect("opens");
        for at in (0..file.len().expect("has a length") as usize).step_by(3) {
            let flipped = files.copy();
            flipped.edit(path, |bytes| bytes[at] ^= 0x10);
            let Ok((store, recovered)) = world.open(&flipped, Scan::Tail) else { continue };
            let verified = verify::verify(&store.reader(), &world.format, &ONE_THREAD, &mut go_on);
            match verified.problem {
                Some(Error::Damaged { path: found, .. }) => assert_eq!(found, format!("memory:{path}")),
                Some(error) => panic!("{path} byte {at}: {error}"),
                // The start made it again from the log, or it is the segment's own header, which no block needs.
                None => {
                    assert!(path != "log/000000.seg" || at < 32, "{path} byte {at} went unnoticed");
                    world.check_recovered(&recovered, &Kept { settled: 7, ..Kept::default() });
                    world.check_reads(&store.reader(), false);
                }
            }
        }
    }
}

#[test]
fn readers_see_a_true_chain_while_it_grows() {
    let world = World::new(60);
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config { cache_bytes: 4_096, open_segments: 2, ..support::small() };
    let (mut store, _) = Store::open(disk::Files::new(dir.path()), &world.format, &config).expect("opens");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (reader, world, done) = (store.reader(), &world, &done);
                scope.spawn(move || {
                    let mut reads = 0;
                    while !done.load(Ordering::Acquire) || reads == 0 {
                        let Some(last) = reader.settled().checked_sub(1) else { continue };
                        let raw = reader.block(Position(last)).expect("reads").here().expect("is settled");
                        assert_eq!(raw, world.trunk[last as usize].raw);
                        let chunk = reader.chunk(Position(last)).expect("reads").expect("is settled");
                        assert_eq!(
                            chunk.entries[last as usize].point,
                            world.trunk[last as usize].header.point()
                        );
                        reads += 1;
                    }
                })
            })
            .collect();
        for block in &world.trunk {
            store.settle(std::slice::from_ref(block)).expect("settles");
            store.sync().expect("syncs");
        }
        done.store(true, Ordering::Release);
        readers.into_iter().for_each(|reader| reader.join().expect("reads"));
    });
}

#[test]
fn old_fork_segments_go_away() {
    let world = World::new(40);
    let files = world.stored(1);
    let count = |prefix: &str| files.paths().iter().filter(|path| path.starts_with(prefix)).count();
    assert!(count("log/") > 5);
    assert!(count("forks/") <= 4, "{:?}", files.paths());
    assert_eq!(count("state/"), 2);
}
