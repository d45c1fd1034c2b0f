//! What a stranger may write: nothing of it may cost memory, time or another client's connection.

use std::io::Write;

use crate::scene::Scene;
use crate::wire::{
    BLOCK_FETCH, CHAIN_SYNC, HANDSHAKE, KEEP_ALIVE, PEER_SHARING, Point, TX_SUBMISSION, Wire, segment,
};

/// A few connections with a full message each, and the allocator's noise.
const SLACK_BYTES: u64 = 8 << 20;

/// Malformed from some byte on, in each of the ways that CBOR knows.
const MALFORMED: &[&[u8]] = &[
    &[0xff],                         // a break without anything to end
    &[0x82, 0x04, 0x1c],             // a length of no kind
    &[0x82, 0x04, 0x9f, 0x82, 0xff], // a break instead of a list's item
    &[0x82, 0x04, 0x5f, 0x01],       // a number inside a byte string
    &[0x82, 0x04, 0xbf, 0x01, 0xff], // a key without its value
    &[0x81, 0xf8, 0x00],             // a simple value in a form that is not allowed
];

/// Well-formed, and no message of the protocol.
const NO_MESSAGE: &[&[u8]] = &[
    &[0x00],
    &[0x80],
    &[0x81, 0x18, 0x63],
    &[0x82, 0x00, 0xf6],
    &[0x9f, 0x00, 0xff],
    &[0x83, 0x02, 0x80, 0x80], // what only a server may say
];

const PROTOCOLS: [u16; 5] = [CHAIN_SYNC, BLOCK_FETCH, TX_SUBMISSION, KEEP_ALIVE, PEER_SHARING];

#[test]
fn closes_on_malformed_cbor_at_once() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for bytes in MALFORMED.iter().chain(NO_MESSAGE) {
            for protocol in PROTOCOLS {
                let mut wire = scene.greeted();
                wire.send(protocol, bytes).expect("sent");
                assert!(wire.is_closed_by_server(), "{} on {protocol}", hex::encode(bytes));
            }
            let mut wire = scene.silent();
            wire.send(HANDSHAKE, bytes).expect("sent");
            assert!(wire.is_closed_by_server(), "{} in the handshake", hex::encode(bytes));
        }
        // Who goes on writing gets no further: nothing of it is kept.
        for _ in 0..50 {
            let mut wire = scene.greeted();
            let junk = segment(CHAIN_SYNC, &[0xff; 12_288]);
            while wire.socket.write_all(&junk).is_ok() {}
        }
    });
}

#[test]
fn an_endless_find_intersect_is_read_once_and_cut_off() {
    /// Just below the limit for a message, 65,535 B.
    const NEARLY: usize = 65_000;
    const CLIENTS: usize = 64;
    /// Segments this small make as many reads, of which each would begin again: 64 × 4,000 × 32 KB.
    const PIECE: usize = 16;
    /// Reading all once takes a fraction of this on any machine; 8 GB again and again, minutes.
    const CPU_TICKS: u64 = 500;

    let scene = Scene::new();
    let endless = {
        let point = Point::Block { slot: 1, hash: [7; 32] }.bytes();
        let mut bytes = vec![0x82, 0x04, 0x9f];
        while bytes.len() < NEARLY {
            bytes.extend(&point);
        }
        bytes
    };
    let before = scene.server.cpu_ticks();
    let mut wires: Vec<_> = (0..CLIENTS).map(|_| scene.greeted()).collect();
    for pieces in endless.chunks(PIECE * 32) {
        for wire in &mut wires {
            let many: Vec<u8> = pieces.chunks(PIECE).flat_map(|piece| segment(CHAIN_SYNC, piece)).collect();
            wire.socket.write_all(&many).expect("below the limit");
        }
    }
    for wire in &mut wires {
        // Still connected, with all of it taken in.
        wire.keep_alive(3_000).expect("served");
    }
    let spent = scene.server.cpu_ticks() - before;
    println!("{CLIENTS} lists of {NEARLY} B in pieces of {PIECE} B took {spent} ticks of CPU");
    assert!(spent < CPU_TICKS, "{spent} ticks of CPU: is it decoded again and again?");

    scene.attack(SLACK_BYTES, || {
        for mut wire in wires {
            let more = segment(CHAIN_SYNC, &endless[3..12_000]);
            while wire.socket.write_all(&more).is_ok() {}
            assert!(wire.is_closed_by_server());
        }
    });
}

#[test]
fn closes_on_whatever_breaks_the_rules_of_the_mux() {
    let scene = Scene::new();
    let from_responder = {
        let mut bytes = segment(CHAIN_SYNC, &[0x81, 0x00]);
        bytes[4] |= 0x80;
        bytes
    };
    let too_long_a_proposal =
        segment(HANDSHAKE, &[&[0x82, 0x00, 0xb9, 0xff, 0xff][..], &[0; 8_000]].concat());
    let announced: Vec<u8> = segment(BLOCK_FETCH, &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let greeted: [(&str, Vec<u8>); 6] = [
        ("a protocol that does not exist", segment(77, &[0x81, 0x00])),
        ("the handshake again", segment(HANDSHAKE, &crate::wire::proposal(scene.server.magic))),
        ("the server's side of the protocol", from_responder),
        ("a message without agency", segment(KEEP_ALIVE, &[0x82, 0x01, 0x19, 0x10, 0x00])),
        ("more than keep-alive may have waiting", segment(KEEP_ALIVE, &[0x5a; 8_000])),
        ("a message that announces more than its limit", announced),
    ];
    scene.attack(SLACK_BYTES, || {
        for (rule, bytes) in &greeted {
            let mut wire = scene.greeted();
            wire.socket.write_all(bytes).expect("sent");
            assert!(wire.is_closed_by_server(), "{rule}");
        }
        for (rule, bytes) in [
            ("another protocol before the handshake", segment(CHAIN_SYNC, &[0x81, 0x00])),
            ("a proposal that is too long", too_long_a_proposal),
        ] {
            let mut wire: Wire = scene.silent();
            wire.socket.write_all(&bytes).expect("sent");
            assert!(wire.is_closed_by_server(), "{rule}");
        }
    });
}
