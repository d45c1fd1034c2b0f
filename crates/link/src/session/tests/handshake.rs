//! What two honest sides come to, and what they tell each other when they do not fit.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::raw::Raw;
use super::{ALL, NOISE, acceptor, config, dialler, due, identity, peer, sent, sessions, shaken};
use crate::reason::Code;
use crate::session::payload::{preamble, proof};
use crate::session::{Config, Handshake, Security, Violation, WIRE_VERSION};

#[test]
fn both_sides_learn_who_the_other_is() {
    for security in ALL {
        let (dialler, acceptor) = sessions(security);
        assert_eq!((dialler.peer, acceptor.peer), (peer(2), peer(1)));
    }
}

#[test]
fn the_same_seed_says_the_same_bytes_and_another_seed_others() {
    for security in NOISE {
        let (mut first, _, said) = shaken(security, 1);
        let (mut again, _, said_again) = shaken(security, 1);
        assert_eq!(said, said_again);
        let mut sealed = [Vec::new(), Vec::new()];
        first.sealer.seal([1; 8], [b"bytes"], &mut sealed[0]).expect("a nonce");
        again.sealer.seal([1; 8], [b"bytes"], &mut sealed[1]).expect("a nonce");
        assert_eq!(sealed[0], sealed[1]);
        let (_, _, others) = shaken(security, 2);
        for (one, other) in said.iter().zip(&others) {
            assert_ne!(one[1..33], other[1..33], "a key is used twice");
        }
    }
}

#[test]
fn a_message_is_no_longer_than_a_frame_before_authentication_may_be() {
    let (_, _, said) = shaken(NOISE[0], 1);
    assert_eq!(said.iter().map(Vec::len).collect::<Vec<_>>(), [77, 193, 161]);
}

#[test]
fn an_unexpected_peer_is_named_and_learns_nothing() {
    for security in ALL {
        let config = config(security);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut dialler = Handshake::dial(&config, &identity(1), Some(peer(3)), &mut rng);
        let mut acceptor = acceptor(&config, 1);
        acceptor.receive(&sent(&mut dialler)).expect("the first message");
        let wrong = Violation::WrongKey { expected: peer(3), found: peer(2) };
        assert_eq!(dialler.receive(&sent(&mut acceptor)), Err(wrong));
        assert_eq!(due(&mut dialler), None);
        assert!(!dialler.is_finished());
    }
}

#[test]
fn a_dial_without_an_expected_key_takes_whoever_proves_one() {
    for security in ALL {
        let config = config(security);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut dialler = Handshake::dial(&config, &identity(1), None, &mut rng);
        let mut acceptor = acceptor(&config, 1);
        acceptor.receive(&sent(&mut dialler)).expect("the first message");
        dialler.receive(&sent(&mut acceptor)).expect("the second message");
        due(&mut dialler);
        assert_eq!(dialler.finish().peer, peer(2));
    }
}

#[test]
fn a_node_that_dials_itself_is_told_so() {
    for security in NOISE {
        let config = config(security);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut dialler = Handshake::dial(&config, &identity(2), Some(peer(3)), &mut rng);
        let mut acceptor = acceptor(&config, 1);
        acceptor.receive(&sent(&mut dialler)).expect("the first message");
        assert_eq!(dialler.receive(&sent(&mut acceptor)), Err(Violation::OwnKey));
    }
    let config = config(Security::Plain);
    let mut dialler = Handshake::dial(&config, &identity(2), None, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(acceptor(&config, 1).receive(&sent(&mut dialler)), Err(Violation::OwnKey));
}

#[test]
fn what_does_not_fit_is_named_on_both_sides() {
    let other_network = Config { network_id: [8; 32], security: NOISE[0] };
    let wrong_network = Violation::WrongNetwork { theirs: [8; 32] };
    let mut cases = vec![(other_network, wrong_network, Code::OtherNetwork)];
    for (number, theirs) in [(2, NOISE[1]), (0, Security::Plain)] {
        let wrong_cipher = Violation::WrongCipher { ours: 1, theirs: number };
        cases.push((config(theirs), wrong_cipher, Code::OtherCipher));
    }
    for (theirs, violation, code) in cases {
        let mut dialler = dialler(&theirs, 1);
        let mut acceptor = acceptor(&config(NOISE[0]), 1);
        assert_eq!(acceptor.receive(&sent(&mut dialler)), Err(violation));
        assert_eq!(dialler.receive(&sent(&mut acceptor)), Err(Violation::Refused { code }));
        assert_eq!(due(&mut acceptor), None, "it says more than its refusal");
        assert!(!acceptor.is_finished() && !dialler.is_finished());
    }
}

#[test]
fn another_version_is_named_whatever_else_it_says() {
    let config = config(NOISE[0]);
    let mut message = sent(&mut dialler(&config, 1));
    let version = 1 + 32 + b"anabranch".len();
    message[version..version + 2].copy_from_slice(&9_u16.to_be_bytes());
    for cut in 0..=message.len() - version - 2 {
        let mut acceptor = acceptor(&config, 1);
        let wrong = Violation::WrongVersion { ours: WIRE_VERSION, theirs: 9 };
        assert_eq!(acceptor.receive(&message[..message.len() - cut]), Err(wrong));
        assert_eq!(sent(&mut acceptor), [1, Code::OtherVersion.to_u8()]);
    }
}

#[test]
fn nobody_on_the_way_can_change_what_was_asked_for() {
    // The acceptor is made to believe that the dialler asked for what it offers.
    let (ours, theirs) = (config(NOISE[0]), Config { network_id: [8; 32], security: NOISE[0] });
    let (mut dialler, mut acceptor) = (dialler(&theirs, 1), acceptor(&ours, 1));
    let mut message = sent(&mut dialler);
    message[33..].copy_from_slice(&preamble(&ours));
    acceptor.receive(&message).expect("a preamble like its own");
    assert_eq!(dialler.receive(&sent(&mut acceptor)), Err(Violation::Unauthentic));
}

#[test]
fn a_peer_made_of_snow_alone_can_talk_to_us() {
    let config = config(NOISE[0]);
    let (mut raw, mut acceptor) = (Raw::dial(&config), acceptor(&config, 1));
    acceptor.receive(&raw.send(&preamble(&config))).expect("the first message");
    let answer = raw.receive(&sent(&mut acceptor));
    assert_eq!(answer[..32], peer(2).0);
    let key = raw.key;
    acceptor.receive(&raw.send(&proof(&identity(1), &key))).expect("the third message");
    let mut session = acceptor.finish();
    assert_eq!(session.peer, peer(1));

    let transport = raw.state.into_stateless_transport_mode().expect("finished");
    let (mut frame, mut plain) = (vec![0; 1_024], vec![0; 1_024]);
    for number in 0..3 {
        let length = transport.write_message(number, b"header..payload", &mut frame).expect("room");
        assert_eq!(session.opener.open(&mut frame[..length]), Ok(&b"header..payload"[..]));
        let mut sealed = Vec::new();
        session.sealer.seal(*b"header..", [b"back"], &mut sealed).expect("a nonce");
        let length = transport.read_message(number, &sealed[2..], &mut plain).expect("what we sealed");
        assert_eq!(plain[..length], b"header..back"[..]);
    }
}
