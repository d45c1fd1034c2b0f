//! What a damaged disk may hold: log records, index entries, segment headers, snapshots, journals, certificates.

use bytes::Bytes;
use store::journal::{self, page};
use store::segment::{self, Kind, Record};
use store::{Certified, index, snapshot};

use crate::Target;

pub(crate) const LOG_RECORDS: Target = Target { name: "log_records", run: log_records, seeds: log_seeds };
pub(crate) const INDEX_ENTRY: Target = Target { name: "index_entry", run: index_entry, seeds: index_seeds };
pub(crate) const JOURNAL: Target = Target { name: "journal", run: run_journal, seeds: journal_seeds };
pub(crate) const CERTIFICATE_FILE: Target =
    Target { name: "certificate_file", run: certificate_file, seeds: certificate_seeds };
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

/// A file of the journal: its bytes as they are, and with the sums of its pages mended, which hide the rest.
fn run_journal(input: &[u8]) {
    let mut mended = input.to_vec();
    for page in mended.as_chunks_mut::<{ page::PAGE_BYTES }>().0 {
        let sum = crc32c::crc32c(&page[4..]);
        page[..4].copy_from_slice(&sum.to_le_bytes());
    }
    for file in [input, &mended] {
        let Some(newest) = journal::newest(file) else { continue };
        for number in [newest, newest.saturating_sub(1)] {
            let Ok(read) = journal::read(file, number) else { continue };
            let pages = file.len() / page::PAGE_BYTES;
            assert!(read.end <= read.torn_to && read.torn_to as usize <= pages);
            // What was read can be written again, and then reads the same.
            let (mut again, mut end) = (Vec::new(), 0);
            for record in &read.records {
                let mut records = Vec::new();
                page::encode_record(record, &mut records);
                end = page::encode_batch(number, end, &records, &mut again);
            }
            let written = journal::read(&again, number).expect("just written");
            assert_eq!((written.records, written.end), (read.records, end));
        }
    }
}

/// A slot or a kept record.
fn certificate_file(input: &[u8]) {
    if let Some(certified) = Certified::decode(&Bytes::copy_from_slice(input)) {
        let mut record = Vec::new();
        certified.encode(&mut record);
        assert_eq!(record[segment::RECORD_HEADER_BYTES as usize..], *input);
    }
    if let Record::Whole(payload) = segment::decode_record(input) {
        let _ = Certified::decode(&Bytes::copy_from_slice(payload));
    }
}

fn journal_seeds() -> Vec<Vec<u8>> {
    let mut file = Vec::new();
    let mut end = 0;
    for records in [vec![vec![1; 30], vec![2; 700]], vec![vec![3; 5]], Vec::new(), vec![vec![4; 1_500]]] {
        let mut batch = Vec::new();
        records.iter().for_each(|record| page::encode_record(record, &mut batch));
        end = page::encode_batch(7, end, &batch, &mut file);
    }
    let over = page::Page { number: end, journal: 7, first: end, kind: page::Kind::Over };
    let (torn, mut is_over) = (file[..file.len() - page::PAGE_BYTES].to_vec(), file.clone());
    over.encode(&[], &mut is_over);
    // What an older journal left behind a newer one.
    let mut recycled = Vec::new();
    let mut batch = Vec::new();
    page::encode_record(b"the next but one", &mut batch);
    page::encode_batch(9, 0, &batch, &mut recycled);
    recycled.extend_from_slice(&file[page::PAGE_BYTES..]);
    vec![file, torn, is_over, recycled]
}

fn certificate_seeds() -> Vec<Vec<u8>> {
    let certified = Certified {
        position: chain::Position(77),
        id: chain::Hash([5; 32]),
        certificate: Bytes::from_static(b"opaque to the store"),
    };
    let mut record = Vec::new();
    certified.encode(&mut record);
    let payload = record[segment::RECORD_HEADER_BYTES as usize..].to_vec();
    vec![record, payload]
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
