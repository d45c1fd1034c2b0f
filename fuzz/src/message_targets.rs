//! The messages of the six mini-protocols: what is read is written back, and read as the same again.

use std::fmt::Debug;

use chain::{Hash, Height, Point, Slot, Tip};
use ouroboros::{block_fetch, chain_sync, handshake, keep_alive, peer_sharing, tx_submission};

use crate::Target;

pub(crate) const HANDSHAKE: Target = Target { name: "handshake", run: handshake, seeds: handshake_seeds };
pub(crate) const CHAIN_SYNC: Target = Target { name: "chain_sync", run: chain_sync, seeds: chain_sync_seeds };
pub(crate) const BLOCK_FETCH: Target =
    Target { name: "block_fetch", run: block_fetch, seeds: block_fetch_seeds };
pub(crate) const TX_SUBMISSION: Target =
    Target { name: "tx_submission", run: tx_submission, seeds: tx_submission_seeds };
pub(crate) const KEEP_ALIVE: Target = Target { name: "keep_alive", run: keep_alive, seeds: keep_alive_seeds };
pub(crate) const PEER_SHARING: Target =
    Target { name: "peer_sharing", run: peer_sharing, seeds: peer_sharing_seeds };

fn handshake(input: &[u8]) {
    if let Ok(message) = handshake::Message::decode(input) {
        let bytes = encoded(|out| message.encode(out));
        let again = handshake::Message::decode(&bytes);
        // A table is written without what it cannot say: versions that we do not know, data that make no sense.
        match (message, again) {
            (
                handshake::Message::ProposeVersions { versions },
                Ok(handshake::Message::ProposeVersions { versions: again }),
            )
            | (
                handshake::Message::QueryReply { versions },
                Ok(handshake::Message::QueryReply { versions: again }),
            ) => {
                let readable = versions.iter().filter(|(_, data)| data.is_ok());
                assert!(readable.eq(again.iter()));
            }
            (message, again) => assert_eq!(again, Ok(message)),
        }
        named(message.name());
    }
}

fn chain_sync(input: &[u8]) {
    if let Ok(message) = chain_sync::Message::decode(input) {
        let bytes = encoded(|out| message.encode(out));
        same(chain_sync::Message::decode(&bytes), message);
        if let chain_sync::Message::FindIntersect { points } = message {
            assert!(points.iter().count() <= input.len());
        }
        named(message.name());
    }
}

fn block_fetch(input: &[u8]) {
    if let Ok(message) = block_fetch::Message::decode(input) {
        let bytes = encoded(|out| message.encode(out));
        same(block_fetch::Message::decode(&bytes), message);
        named(message.name());
    }
}

fn tx_submission(input: &[u8]) {
    if let Ok(message) = tx_submission::Message::decode(input) {
        let bytes = encoded(|out| message.encode(out));
        same(tx_submission::Message::decode(&bytes), message);
        named(message.name());
    }
}

fn keep_alive(input: &[u8]) {
    if let Ok(message) = keep_alive::Message::decode(input) {
        let bytes = encoded(|out| message.encode(out));
        same(keep_alive::Message::decode(&bytes), message);
        named(message.name());
    }
}

fn peer_sharing(input: &[u8]) {
    if let Ok(message) = peer_sharing::Message::decode(input) {
        let bytes = encoded(|out| message.encode(out));
        same(peer_sharing::Message::decode(&bytes), message);
        named(message.name());
    }
}

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn same<M: PartialEq + Debug, E: PartialEq + Debug>(again: Result<M, E>, message: M) {
    assert_eq!(again, Ok(message), "written back, the message is another");
}

fn named(name: &str) {
    assert!(!name.is_empty());
}

fn hex(digits: &[&str]) -> Vec<Vec<u8>> {
    digits.iter().map(|digits| hex::decode(digits.replace(' ', "")).expect("hexadecimal digits")).collect()
}

/// Written by hand after the CDDL, not with our own encoder.
fn handshake_seeds() -> Vec<Vec<u8>> {
    hex(&[
        "8200 a2 0e 8402f401f4 0f 8402f401f4",
        "8200 a4 07 02 0a 8202f5 0e 8402f500f5 10 8502f401f4f5",
        "8301 0e 8402f401f4",
        "8202 8200 82 0e0f",
        "8202 8302 0e 65 7768793f21",
        "8202 8301 0e 60",
        "8203 a1 0f 8402f401f4",
    ])
}

fn tip() -> Tip {
    Tip { point: Point::Block(Slot(1_000_000), Hash([9; 32])), height: Height(50_000) }
}

fn chain_sync_seeds() -> Vec<Vec<u8>> {
    let mut seeds = hex(&["8100", "8101", "8107", "8204 80", "8204 9fff", "8206 8280 00"]);
    let header = [0x82, 0x05, 0xd8, 0x18, 0x43, 1, 2, 3];
    let point = tip().point;
    seeds.extend([
        encoded(|out| chain_sync::Message::RollForward { header: &header, tip: tip() }.encode(out)),
        encoded(|out| chain_sync::Message::RollBackward { point, tip: tip() }.encode(out)),
        encoded(|out| chain_sync::Message::IntersectFound { point, tip: tip() }.encode(out)),
    ]);
    let mut list = vec![0x82, 0x04, 0x9f];
    for _ in 0..3 {
        chain::codec::encode_point(&point, &mut list);
    }
    list.push(0xff);
    seeds.push(list);
    seeds
}

fn block_fetch_seeds() -> Vec<Vec<u8>> {
    let point = tip().point;
    let mut seeds = hex(&["8101", "8102", "8103", "8105", "8300 80 80", "8204 d818 43 820680"]);
    seeds.push(encoded(|out| block_fetch::Message::RequestRange { from: point, to: point }.encode(out)));
    seeds
}

fn tx_submission_seeds() -> Vec<Vec<u8>> {
    hex(&[
        "8106",
        "8104",
        "8400 f5 00 0a",
        "8400 f4 03 19ffff",
        "8201 9f 82 8206 4401020304 190100 ff",
        "8202 9f 8206 4401020304 8206 40 ff",
        "8203 9f 8206 d818 43 010203 ff",
        "8203 9f ff",
    ])
}

fn keep_alive_seeds() -> Vec<Vec<u8>> {
    hex(&["8200 00", "8200 19ffff", "8201 182a", "8102"])
}

fn peer_sharing_seeds() -> Vec<Vec<u8>> {
    hex(&[
        "8200 0a",
        "8102",
        "8201 9f 8300 1a7f000001 190bb9 ff",
        "8201 9f 8601 00 00 00 01 190bb9 ff",
        "8201 9f ff",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_a_message() {
        let all = |seeds: Vec<Vec<u8>>, ok: fn(&[u8]) -> bool| {
            for seed in seeds {
                assert!(ok(&seed), "{}", ::hex::encode(&seed));
            }
        };
        all(handshake_seeds(), |seed| handshake::Message::decode(seed).is_ok());
        all(chain_sync_seeds(), |seed| chain_sync::Message::decode(seed).is_ok());
        all(block_fetch_seeds(), |seed| block_fetch::Message::decode(seed).is_ok());
        all(tx_submission_seeds(), |seed| tx_submission::Message::decode(seed).is_ok());
        all(keep_alive_seeds(), |seed| keep_alive::Message::decode(seed).is_ok());
        all(peer_sharing_seeds(), |seed| peer_sharing::Message::decode(seed).is_ok());
    }
}
