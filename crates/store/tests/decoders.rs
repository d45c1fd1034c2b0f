//! Decoders against random bytes: they never panic, and what they read they would write the same.

#[allow(dead_code, reason = "each test program uses its part")]
mod support;

use chain::{Hash, Height, Slot};
use proptest::prelude::*;
use store::files::memory;
use store::immutable::{self, Import};
use store::index::{ENTRY_BYTES, Entry};
use store::segment::{self, HEADER_BYTES, Header, Kind, Record};
use store::{File as _, Files as _, Scan, snapshot};
use support::{Kept, World, go_on};

/// Random bytes, or a few whole records with one byte changed.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let blocks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..4);
    let damaged = (blocks, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(blocks, at, flip)| {
        let mut bytes = Vec::new();
        blocks.iter().for_each(|block| segment::encode_record(block, &mut bytes));
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), damaged]
}

fn entries() -> impl Strategy<Value = Entry> {
    (any::<[u8; 32]>(), any::<[u64; 3]>(), any::<[u32; 4]>()).prop_map(|(id, long, short)| Entry {
        id: Hash(id),
        slot: Slot(long[0]),
        height: Height(long[1]),
        header_end: long[2],
        segment: short[0],
        offset: short[1],
        len: short[2],
        header_crc: short[3],
    })
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written_or_not_at_all(bytes in records()) {
        match segment::decode_record(&bytes) {
            Record::Whole(block) => {
                let mut again = Vec::new();
                segment::encode_record(block, &mut again);
                prop_assert!(bytes.starts_with(&again));
            }
            Record::Short(wanted) => prop_assert!(wanted > bytes.len()),
            Record::End | Record::Damaged(_) => {}
        }
    }

    #[test]
    fn an_index_record_is_read_as_it_was_written(entry in entries(), at in 0..ENTRY_BYTES, flip in 1..=u8::MAX) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let mut bytes: [u8; ENTRY_BYTES] = bytes.try_into().expect("one record");
        prop_assert_eq!(Entry::decode(&bytes), Some(entry));
        bytes[at] ^= flip;
        prop_assert_eq!(Entry::decode(&bytes), None);
    }

    #[test]
    fn random_bytes_are_no_segment_header_and_no_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(header) = bytes.first_chunk::<{ HEADER_BYTES as usize }>() {
            prop_assert_eq!(Header::decode(Kind::Log, 0, header), None);
        }
        prop_assert_eq!(snapshot::decode(&bytes), None);
    }

    #[test]
    fn an_import_of_random_files_takes_nothing(
        chunk in prop::collection::vec(any::<u8>(), 1..300),
        secondary in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let world = World::new(1);
        let source = memory::Files::new(1);
        for (name, bytes) in [("00000.chunk", &chunk), ("00000.secondary", &secondary)] {
            source.create(name).and_then(|file| file.write_at(0, bytes)).expect("writes");
        }
        let (mut store, recovered) = world.open(&memory::Files::new(1), Scan::Tail).expect("opens");
        let options = Import { threads: 1, ..Import::default() };
        let state = recovered.state;
        let report = immutable::import(&source, &mut store, state, &world.format, &options, &mut go_on);
        let report = report.expect("the store is well");
        prop_assert!(report.imported == 0 && report.stop.is_some());
    }

    /// Any script of puts, settles, syncs and restarts, with a crash at any operation.
    #[test]
    fn any_script_survives_a_crash(
        steps in prop::collection::vec((0..5u8, 1..4usize), 1..30),
        at in 0..150u64,
        seed in any::<u64>(),
    ) {
        let world = World::new(12);
        let files = memory::Files::new(seed);
        files.set_fault(Some(memory::Fault { at, lasting: true }));
        let mut kept = Kept::default();
        let _ = script(&world, &files, &steps, &mut kept);
        let after = files.crash();
        let (store, recovered) = world.open(&after, Scan::Tail).expect("opens");
        world.check_recovered(&recovered, &kept);
        world.check_reads(&store.reader(), false);
        world.check_goes_on(&after, store);
    }
}

/// Performs the steps until one fails.
fn script(
    world: &World,
    files: &memory::Files,
    steps: &[(u8, usize)],
    kept: &mut Kept,
) -> Result<(), store::Error> {
    let (mut store, _) = world.open(files, Scan::Tail)?;
    let mut put = 0;
    for (step, count) in steps {
        match step {
            0 => {
                for block in world.trunk.iter().skip(put).take(*count) {
                    store.put_fork(block)?;
                    kept.put.push(block.header.id);
                    put += 1;
                }
            }
            1 => {
                let from = store.settled() as usize;
                let to = (from + count).min(put.max(from));
                store.settle(&world.trunk[from..to])?;
                store.note_state(&world.states[to]);
            }
            2 => {
                store.sync()?;
                kept.acknowledge(store.settled());
            }
            3 => {
                store.checkpoint()?;
                kept.acknowledge(store.settled());
            }
            _ => {
                // A restart without a crash keeps what was written; what was only buffered is gone.
                drop(store);
                kept.put.clear();
                let (again, recovered) = world.open(files, Scan::Tail)?;
                world.check_recovered(&recovered, kept);
                (store, put) = (again, recovered.settled as usize);
            }
        }
    }
    Ok(())
}
