//! Damaged `immutable` directories: where an import stops, what it keeps, how it goes on.

#[allow(dead_code, reason = "each test program uses its part")]
mod support;

use std::ops::ControlFlow;

use bytes::Bytes;
use chain::{Block, Position};
use store::files::memory::{self, Fault};
use store::immutable::{self, Error, Import, Report, Warning};
use store::{Check, File as _, Files as _, Scan, Store};
use support::{World, go_on};

/// Blocks in a chunk of the test's directories.
const PER_CHUNK: usize = 4;
const SECONDARY_BYTES: usize = 56;

/// An `immutable` directory with these blocks. The format of the blocks does not matter to it.
fn directory(blocks: &[Block]) -> memory::Files {
    let files = memory::Files::new(1);
    for (number, blocks) in blocks.chunks(PER_CHUNK).enumerate() {
        let (mut chunk, mut secondary, mut primary) = (Vec::new(), Vec::new(), vec![1, 0, 0, 0, 0]);
        for block in blocks {
            secondary.extend_from_slice(&(chunk.len() as u64).to_be_bytes());
            secondary.extend_from_slice(&[0; 4]);
            secondary.extend_from_slice(&crc32fast::hash(&block.raw).to_be_bytes());
            secondary.extend_from_slice(&block.header.id.0);
            secondary.extend_from_slice(&block.header.slot.0.to_be_bytes());
            chunk.extend_from_slice(&block.raw);
            primary.extend_from_slice(&(secondary.len() as u32).to_be_bytes());
        }
        for (extension, bytes) in [("chunk", chunk), ("secondary", secondary), ("primary", primary)] {
            let file = files.create(&format!("{number:05}.{extension}")).expect("creates");
            file.write_at(0, &bytes).expect("writes");
        }
    }
    files
}

fn import_into(
    world: &World,
    source: &memory::Files,
    data: &memory::Files,
    options: &Import,
) -> Result<Report, Error> {
    let (mut store, recovered) = world.open(data, Scan::Tail).expect("opens");
    immutable::import(source, &mut store, recovered.state, &world.format, options, &mut go_on)
}

fn links() -> Import {
    Import { check: Check::Links, threads: 1 }
}

/// The import kept exactly the first blocks, and they are there after a restart.
fn check_kept(world: &World, data: &memory::Files, report: &Report, blocks: usize) {
    assert_eq!(report.found + report.imported, blocks as u64);
    assert_eq!((&report.state, report.tip), (&world.states[blocks], world.states[blocks].tip));
    let (store, recovered) = world.open(data, Scan::Tail).expect("opens");
    assert_eq!(recovered.settled, blocks as u64);
    world.check_reads(&store.reader(), false);
}

/// Where a block begins in its chunk.
fn offset_of(world: &World, number: usize) -> u64 {
    let first = number - number % PER_CHUNK;
    world.trunk[first..number].iter().map(|block| block.raw.len() as u64).sum()
}

#[test]
fn a_whole_directory_is_imported_alike_by_any_number_of_threads() {
    let world = World::new(30);
    let source = directory(&world.trunk);
    let mut reports = Vec::new();
    for threads in [1, 2, 5] {
        for check in [Check::Links, Check::Headers] {
            let data = memory::Files::new(1);
            let report = import_into(&world, &source, &data, &Import { check, threads }).expect("imports");
            check_kept(&world, &data, &report, 30);
            assert_eq!((report.warned, &report.stop, report.interrupted), (0, &None, false));
            let wanted = if check == Check::Headers { 30 } else { 0 };
            assert_eq!(report.counts.signatures, wanted);
            reports.push((report.tip, report.state));
        }
    }
    assert!(reports.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_chunk_cut_at_any_byte_is_imported_up_to_there_and_gone_on_with_later() {
    let world = World::new(11);
    let source = directory(&world.trunk);
    let chunk = 1;
    let end = offset_of(&world, 7) + world.trunk[7].raw.len() as u64;
    for len in 0..=end {
        let cut = source.copy();
        assert!(cut.edit("00001.chunk", |bytes| bytes.truncate(len as usize)));
        let data = memory::Files::new(1);
        let report = import_into(&world, &cut, &data, &links()).expect("imports");
        let whole =
            (4..8).filter(|number| offset_of(&world, *number) + raw_len(&world, *number) <= len).count();
        let kept = if whole == 4 { 11 } else { 4 + whole };
        check_kept(&world, &data, &report, kept);
        match &report.stop {
            None => assert_eq!(len, end),
            // Cut between two blocks, the chunk is whole in itself: the next one does not follow.
            Some(stop) if len == offset_of(&world, kept) && whole < 4 => {
                assert_eq!((stop.chunk, stop.block, stop.offset), (2, 0, 0));
            }
            Some(stop) => {
                assert_eq!((stop.chunk, stop.block), (chunk, whole));
                assert_eq!(stop.offset, offset_of(&world, kept));
            }
        }
        let report = import_into(&world, &source, &data, &links()).expect("goes on");
        assert_eq!(report.found, kept as u64);
        check_kept(&world, &data, &report, 11);
    }
}

fn raw_len(world: &World, number: usize) -> u64 {
    world.trunk[number].raw.len() as u64
}

#[test]
fn a_flipped_bit_in_a_chunk_stops_the_import_at_its_block() {
    let world = World::new(11);
    let source = directory(&world.trunk);
    for number in 4..8 {
        let start = offset_of(&world, number);
        for byte in start..start + raw_len(&world, number) {
            let flipped = source.copy();
            flipped.edit("00001.chunk", |bytes| bytes[byte as usize] ^= 1 << (byte % 8));
            let data = memory::Files::new(1);
            let report = import_into(&world, &flipped, &data, &links()).expect("imports");
            let stop = report.stop.clone().unwrap_or_else(|| panic!("byte {byte} went unnoticed"));
            assert_eq!((stop.chunk, stop.block, stop.offset), (1, number - 4, start), "{stop}");
            check_kept(&world, &data, &report, number);
        }
    }
}

#[test]
fn a_damaged_secondary_file_costs_checks_and_no_blocks() {
    let world = World::new(11);
    let source = directory(&world.trunk);
    for byte in 0..PER_CHUNK * SECONDARY_BYTES {
        let flipped = source.copy();
        flipped.edit("00001.secondary", |bytes| bytes[byte] ^= 1 << (byte % 8));
        let data = memory::Files::new(1);
        let report = import_into(&world, &flipped, &data, &links()).expect("imports");
        check_kept(&world, &data, &report, 11);
        // Header places and slots are not used: flips there change nothing.
        let used = matches!(byte % SECONDARY_BYTES, 0..8 | 12..48);
        assert_eq!(report.counts.signatures > 0, used, "byte {byte}");
        assert_eq!(report.warnings.is_empty(), !used, "byte {byte}: {:?}", report.warnings);
    }
}

#[test]
fn missing_files_are_told_apart() {
    let world = World::new(11);
    let source = directory(&world.trunk);
    let without = |name: &str| {
        let files = source.copy();
        files.remove(name).expect("removes");
        let data = memory::Files::new(1);
        let report = import_into(&world, &files, &data, &links()).expect("imports");
        (report, data)
    };
    let (report, data) = without("00001.secondary");
    check_kept(&world, &data, &report, 11);
    assert_eq!(report.warnings, [Warning::NoSecondary { chunk: 1 }]);
    assert_eq!(report.counts.signatures, PER_CHUNK as u64);
    let (report, data) = without("00001.primary");
    check_kept(&world, &data, &report, 11);
    assert_eq!(report.warnings, [Warning::Primary { chunk: 1 }]);
    let (report, data) = without("00001.chunk");
    check_kept(&world, &data, &report, 4);
    let stop = report.stop.expect("stops");
    assert_eq!(stop.to_string(), "00001.chunk, block 0 at byte 0: the file is missing, later ones are there");
}

#[test]
fn an_import_goes_on_where_secondary_files_are_missing_or_wrong() {
    let world = World::new(15);
    let remove = |files: &memory::Files, name: &str| files.remove(name).expect("removes");
    let spoil = |files: &memory::Files, name: &str| assert!(files.edit(name, |bytes| bytes.fill(0xff)));
    for is_removed in [true, false] {
        let damage = |files: &memory::Files, name: &str| match is_removed {
            true => remove(files, name),
            false => spoil(files, name),
        };
        for missing in [vec![1], vec![2], vec![1, 2], vec![0, 1, 2, 3]] {
            let whole = directory(&world.trunk);
            missing.iter().for_each(|number| damage(&whole, &format!("{number:05}.secondary")));
            for before in 5..12 {
                let data = memory::Files::new(1);
                let first = directory(&world.trunk[..before]);
                import_into(&world, &first, &data, &links()).expect("imports");
                let report = import_into(&world, &whole, &data, &links());
                let report = report.unwrap_or_else(|error| panic!("{before} without {missing:?}: {error}"));
                assert_eq!(report.found, before as u64);
                check_kept(&world, &data, &report, 15);
            }
        }
    }
}

#[test]
fn a_wrong_directory_is_refused_and_nothing_is_changed() {
    let world = World::new(11);
    let data = memory::Files::new(1);
    let nothing = memory::Files::new(1);
    let refused = import_into(&world, &nothing, &data, &links()).expect_err("there are no chunks");
    assert!(matches!(refused, Error::NotImmutable { .. }), "{refused}");

    import_into(&world, &directory(&world.trunk[..6]), &data, &links()).expect("imports");
    let behind = import_into(&world, &directory(&world.trunk[..5]), &data, &links()).expect_err("is behind");
    assert!(matches!(behind, Error::TipMissing { .. }), "{behind}");
    let report = import_into(&world, &directory(&world.trunk), &data, &links()).expect("goes on");
    assert_eq!((report.found, report.imported), (6, 5));
}

#[test]
fn a_forged_signature_passes_links_and_not_headers() {
    let world = World::new(9);
    let mut blocks = world.trunk.clone();
    let last = blocks.last_mut().expect("there are blocks");
    let end = &last.header.wire[last.header.wire.len() - 32..];
    let at = last.raw.windows(32).position(|window| window == end).expect("the header is in the block");
    let mut raw = last.raw.to_vec();
    raw[at + 31] ^= 1;
    *last = world.format.block(&Bytes::from(raw)).expect("decodes");
    let source = directory(&blocks);
    let import = |check| {
        let data = memory::Files::new(1);
        import_into(&world, &source, &data, &Import { check, threads: 2 }).expect("imports")
    };
    assert_eq!(import(Check::Links).imported, 9);
    let report = import(Check::Headers);
    assert_eq!((report.imported, &report.state), (8, &world.states[8]));
    let stop = report.stop.expect("stops");
    assert_eq!((stop.chunk, stop.block, stop.point), (2, 0, Some(blocks[8].header.point())));
}

#[test]
fn an_import_broken_off_goes_on_where_it_was() {
    let world = World::new(23);
    let source = directory(&world.trunk);
    let data = memory::Files::new(1);
    let mut found = 0;
    for _ in 0..23 {
        let (mut store, recovered) = world.open(&data, Scan::Tail).expect("opens");
        // The first chunk asked for may be in the store already.
        let mut asked = 0;
        let mut stop = |_| {
            asked += 1;
            if asked > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let state = recovered.state;
        let report = immutable::import(&source, &mut store, state, &world.format, &links(), &mut stop)
            .expect("imports");
        assert_eq!(report.found, found);
        found += report.imported;
        if !report.interrupted {
            break;
        }
        assert!(report.imported > 0);
    }
    assert_eq!(found, 23);
}

#[test]
fn a_failing_disk_ends_the_import_and_what_was_synced_stays() {
    let world = World::new(11);
    let source = directory(&world.trunk);
    for at in 0.. {
        let data = memory::Files::new(at);
        let (mut store, recovered): (Store<_>, _) = world.open(&data, Scan::Tail).expect("opens");
        data.set_fault(Some(Fault { at: data.ops() + at, lasting: true }));
        let state = recovered.state;
        let result = immutable::import(&source, &mut store, state, &world.format, &links(), &mut go_on);
        drop(store);
        let whole = result.is_ok();
        assert!(whole || matches!(result, Err(Error::Store(_))));
        let after = data.crash();
        let (store, recovered) = world.open(&after, Scan::Tail).expect("opens");
        world.check_reads(&store.reader(), false);
        assert!(!whole || recovered.settled == 11);
        drop(store);
        let report = import_into(&world, &source, &after, &links()).expect("goes on");
        check_kept(&world, &after, &report, 11);
        if whole {
            assert!(at > 4);
            return;
        }
    }
}

#[test]
fn exported_blocks_are_those_that_were_settled() {
    let world = World::new(11);
    let (store, _) = world.open(&world.stored(1), Scan::Tail).expect("opens");
    let mut out = Vec::new();
    let range = (Position(2), Position(8));
    let count = immutable::export::blocks(&store.reader(), range, &mut out, &mut go_on).expect("exports");
    let wanted: Vec<u8> = world.trunk[2..=8].iter().flat_map(|block| block.raw.clone()).collect();
    assert_eq!((count, out), (7, wanted));
    let target = memory::Files::new(1);
    let refused = immutable::export(&store.reader(), &world.format, &target, &mut go_on);
    assert!(matches!(refused, Err(immutable::export::Error::NotCardano)));
}
