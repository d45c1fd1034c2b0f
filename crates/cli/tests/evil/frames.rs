//! After the handshake, below the messages: frames and segments that are wrong.
//!
//! What can be skipped is a strike and the socket stays open; what breaks the session ends it.

use crate::greeting::Dice;
use crate::peer::{DIALLED, ECHO, HEAD_BYTES, PAYLOAD_BYTES, Peer, SYNC, head, segment, segment_of};
use crate::scene::Scene;
use crate::wire::{MAX_FRAME_BYTES, framed};

const SLACK_BYTES: u64 = 6 << 20;

/// How many strikes a peer has before it is disconnected; the default.
pub(crate) const STRIKES: usize = 16;

/// What the victim says of a ciphertext that does not authenticate.
const UNSEALED: &[&str] = &["unauthentic"];

/// Makes a frame that cannot be opened.
type Forge = fn(&mut Peer) -> Vec<u8>;

#[test]
fn nonce_forgery() {
    let scene = Scene::new();
    let forgeries: [(&str, Forge); 6] = [
        ("a frame sent again", |peer| {
            let frame = peer.session.seal(&segment(ECHO, &head(0, 0, 0)));
            peer.wire.frame(&frame).expect("sent");
            frame
        }),
        ("a frame left out", |peer| {
            peer.session.sent += 1;
            peer.session.seal(&segment(ECHO, &head(0, 0, 0)))
        }),
        ("an old nonce", |peer| {
            peer.session.sent = 0;
            peer.session.seal(&segment(ECHO, &head(0, 0, 0)))
        }),
        ("the last nonce but one", |peer| {
            peer.session.sent = u64::MAX - 1;
            peer.session.seal(&segment(ECHO, &head(0, 0, 0)))
        }),
        ("a bit turned", |peer| {
            let mut frame = peer.session.seal(&segment(ECHO, &head(0, 0, 0)));
            frame[3] ^= 0x10;
            frame
        }),
        ("the tag cut off", |peer| {
            let mut frame = peer.session.seal(&segment(ECHO, &[0; 40]));
            frame.truncate(frame.len() - 16);
            frame
        }),
    ];
    scene.attack(SLACK_BYTES, || {
        for (what, forge) in forgeries {
            let mut peer = scene.open();
            let frame = forge(&mut peer);
            peer.wire.frame(&frame).expect("sent");
            assert!(peer.wire.is_closed_by_peer(), "{what}");
        }
        // Two links: what was sealed for one is said on the other.
        let (mut one, mut other) = (scene.open(), scene.open());
        let frame = one.session.seal(&segment(ECHO, &head(0, 0, 0)));
        other.wire.frame(&frame).expect("sent");
        assert!(other.wire.is_closed_by_peer(), "a frame of another link");
        one.wire.frame(&frame).expect("sent");
        one.ping().expect("the link that it was sealed for goes on");
        scene.ended(UNSEALED, forgeries.len() as u64 + 1);
    });
}

#[test]
fn noise_after_the_handshake() {
    let scene = Scene::new();
    let mut dice = Dice::new(8);
    scene.attack(SLACK_BYTES, || {
        for length in (25..400).step_by(7).chain([1_024, 12_000, MAX_FRAME_BYTES]) {
            let mut peer = scene.open();
            peer.wire.frame(&dice.bytes(length)).expect("sent");
            assert!(peer.wire.is_closed_by_peer(), "noise of {length} bytes");
        }
        for _ in 0..20 {
            let mut peer = scene.open();
            while peer.wire.raw(&dice.bytes(20_000)).is_ok() {}
        }
        scene.ended(UNSEALED, 50);
    });
}

#[test]
fn zero_length_frames() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        for length in [0, 1, 2, 15, 16, 24] {
            peer.wire.frame(&vec![0x5a; length]).expect("sent");
            peer.ping().unwrap_or_else(|error| panic!("open after a frame of {length} bytes: {error}"));
        }
        assert_eq!(scene.strikes(&peer), 6);
        // As many as one can send: the strikes end it, and what follows is not read.
        for _ in 0..8 {
            let mut peer = scene.open();
            let many = [0; 65_536];
            while peer.wire.raw(&many).is_ok() {}
        }
        scene.ended(&["strikes"], 8);
    });
}

#[test]
fn over_long_frames() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        for length in [MAX_FRAME_BYTES + 1, 20_000, 65_535] {
            peer.wire.frame(&vec![0x5a; length]).expect("sent");
            peer.ping().unwrap_or_else(|error| panic!("open after a frame of {length} bytes: {error}"));
        }
        assert_eq!(scene.strikes(&peer), 3);
        // One that is skipped in pieces, with an honest frame right behind it in the same write.
        let behind = framed(&peer.session.seal(&segment(ECHO, &head(1, 7, 3))));
        let rest = framed(&peer.session.seal(&segment(ECHO, b"abc")));
        let bytes = [&framed(&[1; 30_000])[..], &behind, &rest].concat();
        for piece in bytes.chunks(4_999) {
            peer.wire.raw(piece).expect("sent");
        }
        let answer = peer.answer().expect("an answer");
        assert_eq!((answer.number, &answer.body[..]), (7, &b"abc"[..]));
        for _ in 0..8 {
            let mut peer = scene.open();
            while peer.wire.frame(&[0; 65_535]).is_ok() {}
        }
        scene.ended(&["strikes"], 8);
    });
}

#[test]
fn bad_segments() {
    let scene = Scene::new();
    let body = head(0, 0, 0);
    let bad: [(&str, Vec<u8>); 7] = [
        ("a channel that does not exist", segment(77, &body)),
        ("the highest channel that could be", segment(DIALLED - 1, &body)),
        ("the victim's side", segment(ECHO | DIALLED, &body)),
        ("the victim's side of control", segment(DIALLED, &body)),
        ("a length below what is there", segment_of(ECHO, 3, &body)),
        ("a length above what is there", segment_of(ECHO, 4_000, &body)),
        ("a length of nothing", segment_of(ECHO, 0, &body)),
    ];
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        for (at, (what, plain)) in bad.iter().enumerate() {
            peer.seal(plain).expect("sent");
            peer.echo(at as u32, what.as_bytes())
                .unwrap_or_else(|error| panic!("open after {what}: {error}"));
        }
        assert_eq!(scene.strikes(&peer), bad.len() as u64);
        // Again and again: the strikes end it.
        for (what, plain) in &bad {
            let mut peer = scene.open();
            for _ in 0..STRIKES {
                // It may be closed while we write.
                let _ = peer.seal(plain);
            }
            assert!(peer.wire.is_closed_by_peer(), "{what}");
        }
        scene.ended(&["strikes"], bad.len() as u64);
    });
}

#[test]
fn unknown_channels() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for _ in 0..4 {
            let mut peer = scene.open();
            let payload = [0x5a; PAYLOAD_BYTES];
            for channel in ECHO + 1.. {
                if peer.segment(channel % DIALLED, &payload).is_err() {
                    break;
                }
            }
            // Who wrote on reads that the other side hung up; it is the status that says why.
        }
        scene.ended(&["strikes"], 4);
        let peer = scene.open();
        assert_eq!(scene.strikes(&peer), 0, "another key has a clean slate");
    });
}

#[test]
fn tiny_segments() {
    /// Bytes of one message, each in a segment of its own; 27 bytes of frame for each.
    const BYTES: usize = 20_000;
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for round in 0..3_u32 {
            let mut peer = scene.open();
            let body = Dice::new(u64::from(round)).bytes(BYTES);
            let mut frames = Vec::new();
            for byte in head(1, round, BYTES as u32).iter().chain(&body) {
                frames.extend(framed(&peer.session.seal(&segment(ECHO, &[*byte]))));
            }
            peer.wire.raw(&frames).expect("sent");
            let answer = peer.answer().expect("it is slow, not wrong");
            assert!(answer.body == body, "whole");
            // Two heads in one segment, the second cut after its first byte.
            let mut plain = [head(1, 1, 0), head(1, 2, 0)].concat();
            let last = plain.split_off(HEAD_BYTES + 1);
            peer.segment(ECHO, &plain).expect("sent");
            peer.segment(ECHO, &last).expect("sent");
            assert_eq!([1, 2].map(|_| peer.answer().expect("an answer").number), [1, 2]);
            peer.segment(SYNC, &[0]).expect("sent");
            peer.ping().expect("a head that is not whole holds up its own channel alone");
        }
    });
}
