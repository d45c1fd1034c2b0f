//! Fuzz targets: one per decoder of bytes that a stranger or a damaged disk may have made.
//!
//! A target is a plain function that must neither panic nor break what it asserts, whatever the bytes, with seeds to
//! start from. It runs in two ways: over fixed seeds with our own mutations, on stable, in CI ([`smoke`]); and
//! for as long as one likes under cargo-fuzz (`cargo +nightly fuzz run NAME --features libfuzzer`), each through
//! a program of three lines in `fuzz_targets/`.

mod chain_targets;
mod config_targets;
mod consensus_targets;
mod control_targets;
mod framing_targets;
mod inbound_targets;
mod kv_targets;
mod link_targets;
mod machine_targets;
mod made;
mod message_targets;
mod relay_targets;
mod routing_targets;
mod session_targets;
pub mod smoke;
mod store_targets;
mod sync_targets;

/// One decoder under test.
pub struct Target {
    /// Its name, which is also its program's in `fuzz_targets/`.
    pub name: &'static str,
    /// Feeds it; panics when the decoder is wrong.
    pub run: fn(&[u8]),
    /// Well-formed inputs to mutate.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    link_targets::SEGMENTS,
    control_targets::CONTROL,
    session_targets::OUTER_FRAME,
    session_targets::LINK_HANDSHAKE,
    inbound_targets::LINK_MUX,
    inbound_targets::REASSEMBLY,
    framing_targets::FRAMING,
    message_targets::HANDSHAKE,
    message_targets::CHAIN_SYNC,
    message_targets::BLOCK_FETCH,
    message_targets::TX_SUBMISSION,
    message_targets::KEEP_ALIVE,
    message_targets::PEER_SHARING,
    chain_targets::CARDANO_HEADER,
    chain_targets::CARDANO_BLOCK,
    chain_targets::NATIVE_HEADER,
    chain_targets::NATIVE_BLOCK,
    chain_targets::NATIVE_PROOF,
    consensus_targets::CERTIFICATE,
    consensus_targets::CONSENSUS,
    consensus_targets::GREETING,
    chain_targets::POINTS,
    chain_targets::STATE,
    chain_targets::NETWORK_FILE,
    store_targets::LOG_RECORDS,
    store_targets::INDEX_ENTRY,
    store_targets::SNAPSHOT,
    store_targets::JOURNAL,
    store_targets::CERTIFICATE_FILE,
    config_targets::CONFIG,
    config_targets::GENESIS,
    kv_targets::KV_TRANSACTION,
    kv_targets::KV_PROOF,
    kv_targets::KV_QUERY,
    kv_targets::KV_PIECE,
    relay_targets::RELAY,
    routing_targets::ROUTING,
    sync_targets::SYNC,
    sync_targets::PIECES,
    machine_targets::CLIENT,
    machine_targets::UPSTREAM,
];

/// The target of this name; panics where there is none.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no fuzz target named {name}"))
}
