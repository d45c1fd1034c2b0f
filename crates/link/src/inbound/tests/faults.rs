//! What each fault costs: a table of them, and that the link goes on behind it.

use super::*;
use crate::reason::{Code, Reason};
use crate::violation::Consequence;
use crate::{PeerId, frame, mux};

/// A fault of the peer, as it commits it.
struct Fault {
    commit: fn(&mut Scene),
    is: Violation,
}

fn raw(scene: &mut Scene, content: &[u8]) {
    let wire = scene.sealed(content);
    scene.feed(wire);
}

/// Every fault after which the link stays open.
fn rejected() -> Vec<Fault> {
    vec![
        Fault {
            commit: |scene| scene.feed([&[0xff, 0xff][..], &[7; 0xffff]].concat()),
            is: frame::Violation::TooLong { length: 0xffff, max: 12_312 }.into(),
        },
        Fault {
            commit: |scene| scene.feed(vec![0, 0]),
            is: frame::Violation::TooShort { length: 0, min: 25 }.into(),
        },
        Fault {
            commit: |scene| scene.send(UNKNOWN, b"hello?"),
            is: mux::Violation::UnknownProtocol { protocol: UNKNOWN }.into(),
        },
        Fault {
            commit: |scene| raw(scene, &segment(URGENT, Mode::Responder, b"from you")),
            is: mux::Violation::WrongMode { protocol: URGENT }.into(),
        },
        Fault {
            commit: |scene| {
                let mut longer = segment(URGENT, Mode::Initiator, b"short");
                longer.extend_from_slice(b"er");
                raw(scene, &longer);
            },
            is: mux::Violation::Cut { length: 5, held: 7 }.into(),
        },
        Fault {
            commit: |scene| raw(scene, &[&segment(URGENT, Mode::Initiator, b"")[..], b"x"].concat()),
            is: mux::Violation::Cut { length: 0, held: 1 }.into(),
        },
        Fault {
            commit: |scene| scene.send(URGENT, &message_bytes(Kind::Note, &[0; 1_001])),
            is: Violation::TooLong { channel: URGENT, length: 1_001, limit: 1_000 },
        },
        Fault {
            commit: |scene| scene.send(BULK, &[&[9, 0, 0, 0, 0, 0, 0, 0, 3][..], b"abc"].concat()),
            is: Violation::UnknownKind { channel: BULK, kind: 9 },
        },
        Fault {
            commit: |scene| scene.send(CONTROL, &message_bytes(Kind::Request(1), &[0x82, 4, 0])),
            is: Violation::UnknownKind { channel: CONTROL, kind: 1 },
        },
        Fault {
            commit: |scene| scene.send(CONTROL, &message_bytes(Kind::Note, b"gibberish")),
            is: control::Error::Expected { what: "message", at: 0 }.into(),
        },
        Fault {
            commit: |scene| scene.send(CONTROL, &message_bytes(Kind::Note, &[0x81, 23])),
            is: control::Error::Unknown { number: 23 }.into(),
        },
        Fault {
            commit: |scene| {
                scene.send_control(&control::Message::Hello(control::Hello {
                    versions: vec![1],
                    network_id: [7; 32],
                    channels: Vec::new(),
                    agent: "again".to_owned(),
                }));
            },
            is: Violation::HelloAgain,
        },
    ]
}

/// What came out but for credit that is granted back.
fn seen(scene: &mut Scene) -> Vec<Seen> {
    scene.seen().into_iter().filter(|seen| !matches!(seen, Seen::Grant(..))).collect()
}

#[test]
fn a_faulty_piece_is_rejected_and_the_socket_stays_open() {
    for Fault { commit, is } in rejected() {
        let mut scene = Scene::new();
        commit(&mut scene);
        assert_eq!(seen(&mut scene), [Seen::Rejected(is)]);
        assert_eq!(scene.inbound.strikes(scene.now), 1, "{is}");
        assert_eq!(scene.inbound.violations().iter().collect::<Vec<_>>(), [(is.name(), 1)]);
        for channel in [URGENT, BULK] {
            scene.send(channel, &message_bytes(Kind::Note, b"and on it goes"));
            assert_eq!(
                seen(&mut scene),
                [Seen::Message(channel, Kind::Note, b"and on it goes".to_vec())],
                "after {is}"
            );
        }
    }
}

#[test]
fn what_was_not_agreed_on_does_not_run() {
    let mut scene =
        Scene::agreed(Config::new(channels()), Budget::new(10 << 20), Security::Plain, |channel| {
            channel != BULK
        });
    scene.send(BULK, &message_bytes(Kind::Note, b"you said that you had it"));
    let fault = mux::Violation::UnknownProtocol { protocol: BULK };
    assert_eq!(scene.seen(), [Seen::Rejected(fault.into())]);
    for channel in [URGENT, OTHER] {
        scene.send(channel, &message_bytes(Kind::Note, b"agreed"));
        assert_eq!(scene.seen(), [Seen::Message(channel, Kind::Note, b"agreed".to_vec())]);
    }
}

#[test]
fn as_many_faults_as_are_borne_close_the_link_and_no_more_is_taken() {
    for Fault { commit, is } in rejected() {
        let config = Config { strikes: strikes(3), ..Config::new(channels()) };
        let mut scene = Scene::with(config, Budget::new(10 << 20), Security::Plain);
        commit(&mut scene);
        commit(&mut scene);
        scene.pass(Duration::from_secs(60));
        assert_eq!(seen(&mut scene), [Seen::Rejected(is), Seen::Rejected(is)]);
        commit(&mut scene);
        let end = Reason::Violation(Violation::Strikes { count: 3 });
        assert_eq!(seen(&mut scene), [Seen::Rejected(is), Seen::Closed(end)]);
        commit(&mut scene);
        scene.send(URGENT, &message_bytes(Kind::Note, b"too late"));
        scene.pass(Duration::from_secs(600));
        assert_eq!(seen(&mut scene), []);
        assert_eq!(scene.inbound.next_deadline(), None);
    }
}

#[test]
fn faults_that_are_noticed_elsewhere_count_as_well() {
    let config = Config { strikes: strikes(2), ..Config::new(channels()) };
    let mut scene = Scene::with(config, Budget::new(10 << 20), Security::Plain);
    scene.send(UNKNOWN, b"x");
    scene.handle(Input::Fault(Violation::HelloAgain));
    assert!(scene.inbound.is_closed());
}

#[test]
fn bytes_that_do_not_authenticate_close_the_link() {
    for security in [Security::Noise(session::Cipher::Aes256Gcm), Security::Plain] {
        let mut scene = Scene::with(Config::new(channels()), Budget::new(10 << 20), security);
        let mut wire =
            scene.sealed(&segment(URGENT, Mode::Initiator, &message_bytes(Kind::Note, b"authentic")));
        *wire.last_mut().unwrap() ^= 1;
        scene.feed(wire);
        let end = Reason::Violation(session::Violation::Unauthentic.into());
        assert_eq!(scene.seen(), [Seen::Closed(end)]);
    }
}

#[test]
fn a_frame_of_a_length_that_cannot_be_spends_no_nonce() {
    let security = Security::Noise(session::Cipher::Aes256Gcm);
    let mut scene = Scene::with(Config::new(channels()), Budget::new(10 << 20), security);
    let good = scene.sealed(&segment(URGENT, Mode::Initiator, &message_bytes(Kind::Note, b"a")));
    scene.feed([&[0x40, 0][..], &[1; 0x4000], &good].concat());
    let fault = frame::Violation::TooLong { length: 0x4000, max: 12_312 };
    assert_eq!(
        scene.seen(),
        [Seen::Rejected(fault.into()), Seen::Message(URGENT, Kind::Note, b"a".to_vec())]
    );
}

#[test]
fn a_message_that_takes_too_long_is_given_up() {
    let mut scene = Scene::new();
    let bytes = message_bytes(Kind::Request(4), &[1; 60_000]);
    for piece in bytes[..40_000].chunks(10_000) {
        scene.send(BULK, piece);
    }
    assert_eq!(scene.inbound.next_deadline(), Some(Duration::from_secs(10)));
    scene.pass(Duration::from_millis(9_999));
    assert_eq!(scene.seen(), []);
    let before = scene.budget.used_bytes();
    scene.pass(Duration::from_millis(1));
    assert_eq!(seen(&mut scene), [Seen::Rejected(Violation::SlowMessage { channel: BULK })]);
    assert!(scene.budget.used_bytes() < before, "it held on to what had come");
    scene.send(BULK, &bytes[40_000..50_000]);
    scene.send(BULK, &[&bytes[50_000..], &message_bytes(Kind::Note, b"next")[..]].concat());
    assert_eq!(seen(&mut scene), [Seen::Message(BULK, Kind::Note, b"next".to_vec())]);
}

#[test]
fn half_a_head_does_not_wait_for_ever_either() {
    let mut scene = Scene::new();
    let bytes = message_bytes(Kind::Note, b"abc");
    scene.send(BULK, &bytes[..4]);
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.seen(), [Seen::Rejected(Violation::SlowMessage { channel: BULK })]);
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.seen(), [], "once is enough");
    scene.send(BULK, &bytes[4..7]);
    scene.send(BULK, &[&bytes[7..], &message_bytes(Kind::Note, b"next")].concat());
    assert_eq!(scene.seen(), [Seen::Message(BULK, Kind::Note, b"next".to_vec())]);
}

#[test]
fn an_endless_message_is_a_fault_again_and_again() {
    let config = Config { strikes: strikes(16), ..Config::new(channels()) };
    let mut scene = Scene::with(config, Budget::new(10 << 20), Security::Plain);
    let used = scene.budget.used_bytes();
    scene.send(URGENT, &Head { kind: Kind::Note, length: u32::MAX }.encode());
    let mut segments = 0;
    while !scene.inbound.is_closed() {
        scene.send(URGENT, &[0; 3_000]);
        segments += 1;
        assert_eq!(scene.budget.used_bytes(), used, "it keeps what it passes over");
        assert!(segments < 400, "nobody stops it");
    }
    let seen = scene.seen();
    let end = Seen::Closed(Reason::Violation(Violation::Strikes { count: 16 }));
    assert_eq!(seen.last(), Some(&end));
    assert!(seen.contains(&Seen::Rejected(Violation::Endless { channel: URGENT, bytes: 66_000 })));
}

#[test]
fn a_message_that_is_a_little_too_long_is_one_fault() {
    let mut scene = Scene::new();
    // Longer than what may pass by before it is complained of again, and by that much no more.
    let bytes = message_bytes(Kind::Note, &[1; 65_537]);
    for piece in bytes.chunks(3_000) {
        scene.send(URGENT, piece);
    }
    let faults = scene.seen().iter().filter(|seen| matches!(seen, Seen::Rejected(_))).count();
    assert_eq!(faults, 1);
}

#[test]
fn a_frame_that_stops_in_its_middle_closes_the_link() {
    let mut scene = Scene::new();
    let wire = scene.sealed(&segment(URGENT, Mode::Initiator, &message_bytes(Kind::Note, b"abc")));
    scene.feed(wire[..1].to_vec());
    for byte in &wire[1..20] {
        scene.pass(Duration::from_secs(1));
        scene.feed(vec![*byte]);
    }
    assert_eq!(scene.inbound.next_deadline(), Some(Duration::from_secs(30)));
    scene.pass(Duration::from_secs(11));
    assert_eq!(scene.seen(), [Seen::Closed(Reason::Violation(Violation::SlowFrame))]);
}

#[test]
fn a_silent_peer_is_taken_for_dead() {
    let mut scene = Scene::new();
    scene.pass(Duration::from_secs(74));
    scene.send(URGENT, &message_bytes(Kind::Note, b""));
    assert_eq!(scene.inbound.next_deadline(), Some(Duration::from_secs(149)));
    scene.pass(Duration::from_secs(75));
    assert_eq!(scene.seen(), [Seen::Message(URGENT, Kind::Note, Vec::new()), Seen::Closed(Reason::Silent)]);
}

#[test]
fn the_peer_says_why_it_closes() {
    let mut scene = Scene::new();
    scene.send_control(&control::Message::Close { code: Code::Stopping });
    assert_eq!(scene.seen(), [Seen::Closed(Reason::ByPeer(Code::Stopping))]);
}

#[test]
fn pings_and_credit_go_to_the_other_half() {
    let mut scene = Scene::new();
    let messages = [
        control::Message::Ping { id: 1, sent_us: 2 },
        control::Message::Pong { id: 1, sent_us: 2, received_us: 3 },
        control::Message::Credit { channel: BULK, bytes: 7 },
    ];
    for message in &messages {
        scene.send_control(message);
    }
    assert_eq!(scene.seen(), messages.map(Seen::Control));
}

/// What costs what: the table in one piece, so that a change of it is seen.
#[test]
fn only_what_cannot_be_gone_on_from_closes() {
    let channel = BULK;
    let strikes: Vec<Violation> = rejected()
        .into_iter()
        .map(|fault| fault.is)
        .chain([
            mux::Violation::Empty { protocol: BULK }.into(),
            mux::Violation::Overrun { protocol: BULK, limit: 1 }.into(),
            Violation::SlowMessage { channel },
            Violation::Endless { channel, bytes: 1 },
        ])
        .collect();
    for fault in strikes {
        assert_eq!(fault.consequence(), Consequence::Strike, "{fault}");
    }
    assert_eq!(Violation::OverBudget { channel, length: 1 }.consequence(), Consequence::Count);
    let (peer, other) = (PeerId([1; 32]), PeerId([2; 32]));
    let closing = [
        session::Violation::Unauthentic.into(),
        session::Violation::WrongKey { expected: peer, found: other }.into(),
        session::Violation::Exhausted.into(),
        Violation::SlowFrame,
        Violation::Strikes { count: 16 },
    ];
    for fault in closing {
        assert_eq!(fault.consequence(), Consequence::Close, "{fault}");
    }
}
