//! The real chain at hand through the whole node: headers checked, bodies fetched, blocks settled.

#![allow(clippy::disallowed_methods, reason = "a test reads the data's files")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chain::{Block, Format, cardano};

use super::rig::{Rig, follow_format};

/// Unoptimised, so many blocks are enough for a test; optimised, all of them.
const DEBUG_BLOCKS: usize = 3_000;

/// preview's k.
const K: u64 = 432;

fn blocks(folder: &Path, format: &Format) -> Vec<Block> {
    let listed = std::fs::read_dir(folder).expect("the data's folder");
    let mut chunks: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    chunks.retain(|path| path.extension().is_some_and(|extension| extension == "chunk"));
    chunks.sort();
    let most = if cfg!(debug_assertions) { DEBUG_BLOCKS } else { usize::MAX };
    chunks
        .iter()
        .flat_map(|chunk| cut(chunk))
        .take(most)
        .map(|raw| format.block(&raw).expect("a block"))
        .collect()
}

fn cut(chunk: &Path) -> Vec<Bytes> {
    let bytes = Bytes::from(std::fs::read(chunk).expect("a chunk"));
    let secondary = std::fs::read(chunk.with_extension("secondary")).expect("its secondary file");
    let offset = |entry: &[u8]| u64::from_be_bytes(entry[..8].try_into().expect("8 bytes")) as usize;
    let starts: Vec<_> = secondary.chunks_exact(56).map(offset).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).map(|(start, end)| bytes.slice(*start..end)).collect()
}

#[test]
fn follows_the_real_chain_from_two_servers() {
    let Some(folder) = testdata::preview() else { return };
    let params = cardano::Params::built_in("preview").expect("preview is built in");
    let format = Format::Cardano(Arc::new(params));
    let chain = blocks(&folder, &format);
    let mut rig = Rig::unstarted(follow_format(&format, K, 2, 2), vec![chain.clone(); 2]);
    rig.checks_each = false;
    rig.give(crate::Input::Tick);
    rig.node.check_invariants();
    let last = chain.last().expect("not empty").header.point();
    assert_eq!(rig.head(), last, "{:?}", rig.closings);
    assert_eq!(rig.log, chain[..chain.len() - K as usize]);
    let checks = rig.node.status(rig.now()).checks;
    assert_eq!((checks.headers, checks.bodies), (chain.len() as u64, chain.len() as u64));
    assert_eq!(checks.counts.nonces_unknown, 0);
}
