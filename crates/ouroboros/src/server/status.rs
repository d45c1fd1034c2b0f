//! What an operator may see of a client.

use chain::Point;
use serde::Serialize;

/// What a client is doing, protocol by protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The version that both sides speak; none before the handshake.
    pub version: Option<u64>,
    /// Chain-sync's state.
    pub chain_sync: &'static str,
    /// Where it stands on the chain: `origin` or `SLOT.HASH`.
    #[serde(serialize_with = "as_text")]
    pub cursor: Point,
    /// How many blocks lie behind it.
    pub position: u64,
    /// RequestNexts without an answer.
    pub requests: usize,
    /// Block-fetch's state.
    pub block_fetch: &'static str,
    /// Keep-alive's state.
    pub keep_alive: &'static str,
    /// Tx-submission's state.
    pub tx_submission: &'static str,
    /// Peer-sharing's state.
    pub peer_sharing: &'static str,
    /// Bytes that arrived and wait to be dealt with.
    pub held_bytes: usize,
}

fn as_text<S: serde::Serializer>(point: &Point, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(point)
}
