//! What a damaged disk may hold: log records, index entries, segment headers, snapshots.

use store::segment::{self, Kind, Record};
use store::{index, snapshot};

use crate::Target;

pub(crate) const LOG_RECORDS: Target = Target { name: "log_records", run: log_records, seeds: log_seeds };
pub(crate) const INDEX_ENTRY: Target = Target { name: "index_entry", run: index_entry, seeds: index_seeds };
pub(crate) const SNAPSHOT: Target = Target { name: "snapshot", run: run_snapshot, seeds: snapshot_seeds };

/// How many records are read off one input.
const MAX_RECORDS: usize = 1_000;

fn log_records(input: &[u8]) {
    if let Some((head, mut rest)) = input.split_first_chunk() {
        let _ = segment::Header::decode(Kind::Log, 1, head);
        for _ in 0..MAX_RECORDS {
            match segment::decode_record(rest) {
                Record::Whole(block) => {
                    let mut again = Vec::new();
                    segment::encode_record(block, &mut again);
                    assert_eq!(again, rest[..again.len()], "a whole record is what would be written");
                    rest = &rest[again.len()..];
                }
                Record::Short(needed) => {
                    assert!(needed > rest.len(), "asks for what is there");
                    break;
                }
                Record::End | Record::Damaged(_) => break,
            }
        }
    }
}

fn index_entry(input: &[u8]) {
    if let Some(bytes) = input.first_chunk()
        && let Some(entry) = index::Entry::decode(bytes)
    {
        let mut again = Vec::new();
        entry.encode(&mut again);
        assert_eq!(again, bytes);
    }
}

fn run_snapshot(input: &[u8]) {
    if let Some(state) = snapshot::decode(input) {
        assert_eq!(chain::State::decode(&state.encode()), Ok(state));
    }
    // The checksum hides what lies behind it from mutations: mend it.
    if let Some(length) = input.len().checked_sub(4) {
        let mut mended = input[..length].to_vec();
        mended.extend_from_slice(&crc32c::crc32c(&input[..length]).to_le_bytes());
        let _ = snapshot::decode(&mended);
    }
}

fn log_seeds() -> Vec<Vec<u8>> {
    let mut records = vec![0; segment::HEADER_BYTES as usize];
    for block in [&b"one"[..], &[7; 300], b"three"] {
        segment::encode_record(block, &mut records);
    }
    records.extend([0; 16]);
    vec![records]
}

fn index_seeds() -> Vec<Vec<u8>> {
    vec![vec![0; index::ENTRY_BYTES], vec![0xff; index::ENTRY_BYTES]]
}

fn snapshot_seeds() -> Vec<Vec<u8>> {
    let states = crate::chain_targets::state_seeds();
    states
        .into_iter()
        .map(|body| {
            let state = chain::State::decode(&body).expect("a state");
            let mut bytes = b"ANBRSTA1".to_vec();
            bytes.extend(state.next.0.to_le_bytes());
            bytes.extend(state.tip.point.hash().unwrap_or_default().0);
            bytes.extend((body.len() as u64).to_le_bytes());
            bytes.extend(&body);
            let sum = crc32c::crc32c(&bytes);
            bytes.extend(sum.to_le_bytes());
            assert_eq!(snapshot::decode(&bytes), Some(state), "a seed is a snapshot");
            bytes
        })
        .collect()
}
