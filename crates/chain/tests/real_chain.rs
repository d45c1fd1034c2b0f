//! All real blocks at hand through every check: each must hold, and none be skipped for want of a nonce.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a test reads files, uses both cores and tells what it counted"
)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chain::format::Checks;
use chain::{Counts, Format, Reason, cardano};

/// The number of Alonzo's headers on the wire: the data's only TPraos era, with two proofs a header.
const ALONZO: u64 = 4;

/// The blocks of every chunk, cut by the secondary files.
fn blocks(folder: &Path) -> Vec<Bytes> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the data's folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "chunk"))
        .collect();
    names.sort();
    names.iter().flat_map(|name| cut(name)).collect()
}

fn cut(chunk: &Path) -> Vec<Bytes> {
    let bytes = Bytes::from(std::fs::read(chunk).expect("a chunk"));
    let secondary = std::fs::read(chunk.with_extension("secondary")).expect("its secondary file");
    let offset = |entry: &[u8]| u64::from_be_bytes(entry[..8].try_into().expect("8 bytes")) as usize;
    let starts: Vec<_> = secondary.chunks_exact(56).map(offset).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).map(|(start, end)| bytes.slice(*start..end)).collect()
}

fn run_all(checks: &[Checks]) -> Result<Counts, Reason> {
    let mut counts = Counts::default();
    for checks in checks {
        counts += checks.run()?;
    }
    Ok(counts)
}

#[test]
fn every_real_block_passes_every_check() {
    let Some(folder) = testdata::preview() else { return };
    let params = cardano::Params::built_in("preview").expect("preview is built in");
    let format = Format::Cardano(Arc::new(params));
    let mut state = format.genesis();
    let mut checks = Vec::new();
    let mut transitional = 0;
    for raw in blocks(&folder) {
        let block = format.block(&raw).expect("a block");
        let header = format.header(&block.header.wire).expect("its header in wire form");
        assert_eq!(header, block.header);
        format.check_body(&block).unwrap_or_else(|reason| panic!("{}: {reason}", header.point()));
        checks.push(format.checks(&state, &header));
        state = format.next(&state, &header).unwrap_or_else(|reason| panic!("{}: {reason}", header.point()));
        transitional += u64::from(chain::codec::header_era(&header.wire) == Ok(ALONZO));
    }
    assert_eq!(state.next.0, testdata::PREVIEW_BLOCKS);
    let middle = checks.len() / 2;
    let counts = std::thread::scope(|scope| {
        let half = scope.spawn(|| run_all(&checks[..middle]));
        let mut counts = run_all(&checks[middle..]).expect("checks hold");
        counts += half.join().expect("the thread ends").expect("checks hold");
        counts
    });
    println!("{} blocks ({transitional} of TPraos): {counts:?}", state.next);
    let expected = Counts {
        kes: testdata::PREVIEW_BLOCKS,
        certificates: testdata::PREVIEW_BLOCKS,
        vrf: testdata::PREVIEW_BLOCKS + transitional,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}
