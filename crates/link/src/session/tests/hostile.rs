//! Handshake messages that nobody honest sends: each ends in a violation of its own, and none in a session.

use proptest::prelude::*;

use super::raw::Raw;
use super::{ALL, NOISE, acceptor, config, dialler, due, identity, peer, sent, shaken};
use crate::reason::Code;
use crate::session::payload::{preamble, proof};
use crate::session::{Handshake, Security, Violation};

/// u-coordinates of order 1, 2, 4 and 8, also as numbers beyond the prime (RFC 7748; <https://cr.yp.to/ecdh.html>).
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Both sides right before the message with this index arrives: the receiver of it, and the message.
fn before(message: usize, security: Security) -> (Handshake, Handshake, Vec<u8>) {
    let config = config(security);
    let (mut dialler, mut acceptor) = (dialler(&config, 1), acceptor(&config, 1));
    let first = sent(&mut dialler);
    if message == 0 {
        return (acceptor, dialler, first);
    }
    acceptor.receive(&first).expect("the first message");
    let second = sent(&mut acceptor);
    if message == 1 {
        return (dialler, acceptor, second);
    }
    dialler.receive(&second).expect("the second message");
    let third = sent(&mut dialler);
    (acceptor, dialler, third)
}

#[test]
fn refuses_every_cut_and_every_addition() {
    for security in ALL {
        let messages = if security == Security::Plain { 2 } else { 3 };
        for message in 0..messages {
            let (_, _, whole) = before(message, security);
            for length in 0..whole.len() {
                let (mut receiver, _, _) = before(message, security);
                let refused = receiver.receive(&whole[..length]).expect_err("a part of a message");
                let fits = matches!(refused, Violation::Malformed { .. } | Violation::NotAnabranch);
                assert!(fits, "{length} bytes of message {message}: {refused}");
                assert!(!receiver.is_finished());
            }
            let (mut receiver, _, _) = before(message, security);
            let longer = [&whole[..], &[0]].concat();
            let refused = receiver.receive(&longer);
            assert!(matches!(refused, Err(Violation::Malformed { .. })), "{refused:?}");
        }
    }
}

#[test]
fn a_flipped_bit_ends_the_handshake_before_anybody_believes_in_it() {
    for message in 0..3 {
        let (_, _, whole) = before(message, NOISE[0]);
        for bit in 0..whole.len() * 8 {
            let (mut receiver, mut sender, mut flipped) = before(message, NOISE[0]);
            flipped[bit / 8] ^= 1 << (bit % 8);
            let result = receiver.receive(&flipped);
            if let (Ok(()), 0) = (result, message) {
                // A key in clear: what it is mixed into does not open on the other side.
                let answer = sent(&mut receiver);
                let refused = sender.receive(&answer);
                assert_eq!(refused, Err(Violation::Unauthentic), "bit {bit} of the first message");
            } else {
                assert!(result.is_err(), "bit {bit} of message {message}");
            }
            assert!(!receiver.is_finished());
        }
    }
}

#[test]
fn a_recorded_handshake_is_of_no_use() {
    let (_, _, said) = shaken(NOISE[0], 1);
    let mut acceptor = acceptor(&config(NOISE[0]), 2);
    acceptor.receive(&said[0]).expect("anybody may knock");
    assert_ne!(sent(&mut acceptor), said[1]);
    assert_eq!(acceptor.receive(&said[2]), Err(Violation::Unauthentic));

    let mut dialler = dialler(&config(NOISE[0]), 2);
    sent(&mut dialler);
    assert_eq!(dialler.receive(&said[1]), Err(Violation::Unauthentic));
    assert_eq!(due(&mut dialler), None);
}

#[test]
fn refuses_messages_out_of_turn_or_out_of_order() {
    let (_, _, said) = shaken(NOISE[0], 1);
    // Twice the first.
    let mut side = acceptor(&config(NOISE[0]), 1);
    side.receive(&said[0]).expect("the first message");
    assert_eq!(side.receive(&said[0]), Err(Violation::OutOfTurn));
    // The third, or the second, as the first: there is no preamble where one must be.
    for message in [1, 2] {
        let mut side = acceptor(&config(NOISE[0]), 1);
        assert_eq!(side.receive(&said[message]), Err(Violation::NotAnabranch));
    }
    // The dialler's own words, and the third for the second.
    for message in [0, 2] {
        let mut side = dialler(&config(NOISE[0]), 1);
        sent(&mut side);
        let length = said[message].len() - 1;
        assert_eq!(side.receive(&said[message]), Err(Violation::Malformed { length }));
    }
    // Before the dialler has said anything; and after the end.
    let mut side = dialler(&config(NOISE[0]), 1);
    assert_eq!(side.receive(&said[1]), Err(Violation::OutOfTurn));
    let (mut side, _, third) = before(2, NOISE[0]);
    side.receive(&third).expect("the third message");
    assert_eq!(side.receive(&third), Err(Violation::OutOfTurn));
    assert!(!side.is_finished());
}

#[test]
fn refuses_small_order_keys() {
    for point in SMALL_ORDER {
        let mut key = [0; 32];
        hex::decode_to_slice(point, &mut key).expect("32 bytes");
        // With the highest bit set too, which X25519 ignores.
        for high in [0, 0x80] {
            key[31] = key[31] & 0x7f | high;
            let (mut receiver, _, mut message) = before(0, NOISE[0]);
            message[1..33].copy_from_slice(&key);
            assert_eq!(receiver.receive(&message), Err(Violation::WeakKey), "{point}");
            assert_eq!(due(&mut receiver), None);

            let (mut receiver, _, mut message) = before(1, NOISE[0]);
            message[1..33].copy_from_slice(&key);
            assert_eq!(receiver.receive(&message), Err(Violation::WeakKey), "{point}");
            assert_eq!(due(&mut receiver), None);
        }
    }
}

#[test]
fn refuses_a_small_order_static_key() {
    let config = config(NOISE[0]);
    let (mut raw, mut acceptor) = (Raw::dial_with_a_weak_key(&config), acceptor(&config, 1));
    acceptor.receive(&raw.send(&preamble(&config))).expect("the first message");
    raw.receive(&sent(&mut acceptor));
    let last = raw.send(&proof(&identity(1), &[0; 32]));
    assert_eq!(acceptor.receive(&last), Err(Violation::WeakKey));
}

#[test]
fn refuses_a_key_that_is_not_proven() {
    let config = config(NOISE[0]);
    let key = Raw::dial(&config).key;
    let honest = proof(&identity(1), &key);
    // Peer 1's proof for another Noise key; its proof under peer 3's name; and the neutral element, for which
    // everybody could sign where the check is lax.
    let elsewhere = proof(&identity(1), &[5; 32]);
    let mut renamed = honest;
    renamed[..32].copy_from_slice(&peer(3).0);
    let mut neutral = [0; 96];
    (neutral[0], neutral[32]) = (1, 1);
    for payload in [elsewhere, renamed, neutral, [0; 96], [0xff; 96]] {
        let (mut raw, mut acceptor) = (Raw::dial(&config), acceptor(&config, 1));
        acceptor.receive(&raw.send(&preamble(&config))).expect("the first message");
        raw.receive(&sent(&mut acceptor));
        let refused = acceptor.receive(&raw.send(&payload));
        assert!(matches!(refused, Err(Violation::Unproven { .. })), "{refused:?}");
        assert!(!acceptor.is_finished());
    }
}

#[test]
fn our_own_key_in_another_hand_is_refused() {
    let config = config(NOISE[0]);
    let (mut raw, mut acceptor) = (Raw::dial(&config), acceptor(&config, 1));
    acceptor.receive(&raw.send(&preamble(&config))).expect("the first message");
    raw.receive(&sent(&mut acceptor));
    let key = raw.key;
    assert_eq!(acceptor.receive(&raw.send(&proof(&identity(2), &key))), Err(Violation::OwnKey));
}

#[test]
fn a_refusal_is_a_hint_at_any_time_before_the_end() {
    for (message, security) in [(0, NOISE[0]), (1, NOISE[0]), (2, NOISE[0]), (1, Security::Plain)] {
        for code in [0, 4, 255] {
            let (mut receiver, _, _) = before(message, security);
            let refused = Violation::Refused { code: Code::from_u8(code) };
            assert_eq!(receiver.receive(&[1, code]), Err(refused));
            assert_eq!(due(&mut receiver), None);
        }
    }
}

#[test]
fn other_protocols_are_told_apart() {
    let (mut receiver, _, _) = before(0, NOISE[0]);
    let http = [&[0][..], b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: something\r\n\r\n"].concat();
    assert_eq!(receiver.receive(&http), Err(Violation::NotAnabranch));
    assert_eq!(due(&mut receiver), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_finish(
        message in 0..3_usize,
        tag in prop::option::of(0..3_u8),
        mut content in prop::collection::vec(any::<u8>(), 0..300),
        like in any::<bool>(),
    ) {
        let (mut receiver, _, honest) = before(message, NOISE[0]);
        if let (Some(tag), Some(first)) = (tag, content.first_mut()) {
            *first = tag;
        }
        if like {
            content.resize(honest.len(), 0x55);
        }
        prop_assume!(content != honest);
        if receiver.receive(&content).is_ok() {
            prop_assert_eq!(message, 0, "only the first message is in clear");
        }
        due(&mut receiver);
        prop_assert!(!receiver.is_finished());
    }
}
