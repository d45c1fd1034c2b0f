//! On the control channel: hellos that lie, pings without end, credit that overflows.

use std::time::{Duration, Instant};

use minicbor::Encoder;

use crate::control::{Control, Hello, Offer, numbers};
use crate::frames::STRIKES;
use crate::peer::{CONTROL, ECHO, NOTE, PAYLOAD_BYTES, Peer, REQUEST, SYNC, head, hello};
use crate::scene::{LEFT, Scene};
use crate::wire::PATIENCE;

const SLACK_BYTES: u64 = 6 << 20;

/// How long a flood lasts.
const FLOOD: Duration = Duration::from_secs(3);

#[test]
fn hello_that_lies() {
    let scene = Scene::new();
    let truth = hello(scene.victim.network);
    let offer = |channel, max_message, window| Offer { channel, max_message, window };
    let with = |change: fn(&mut Hello)| {
        let mut hello = truth.clone();
        change(&mut hello);
        hello
    };
    let lies: Vec<(&str, Hello, &str)> = vec![
        ("another network inside", with(|hello| hello.network[0] ^= 1), "other_network"),
        ("no version", with(|hello| hello.versions.clear()), "bad_hello"),
        ("versions of another time", with(|hello| hello.versions = vec![0, 77, u16::MAX]), "no_version"),
        ("versions without end", with(|hello| hello.versions = (1..10_000).collect()), "not_hello"),
        ("no channel", with(|hello| hello.channels.clear()), "agreed"),
        ("control among them", with(|hello| hello.channels[0].channel = CONTROL), "bad_hello"),
        ("the agent of a novel", with(|hello| hello.agent = "novel ".repeat(5_000)), "not_hello"),
        ("no window", Hello { channels: vec![offer(ECHO, 65_536, 0)], ..truth.clone() }, "bad_window"),
        (
            "a window of one byte",
            Hello { channels: vec![offer(ECHO, 65_536, 1)], ..truth.clone() },
            "bad_window",
        ),
        ("no message fits", Hello { channels: vec![offer(ECHO, 0, 1 << 20)], ..truth.clone() }, "agreed"),
        ("a channel twice", with(|hello| hello.channels.push(hello.channels[6])), "bad_hello"),
        (
            "all channels that could be",
            Hello { channels: (1..4_000).map(|at| offer(at, 65_536, 1 << 20)).collect(), ..truth.clone() },
            "not_hello",
        ),
        (
            "windows as large as a number can be",
            Hello { channels: (1..8).map(|at| offer(at, u32::MAX, u32::MAX)).collect(), ..truth.clone() },
            "bad_window",
        ),
    ];
    scene.attack(SLACK_BYTES, || {
        for (what, lie, outcome) in &lies {
            let claim = scene.claim();
            let mut peer = Peer::authenticated(scene.silent(), &claim).expect("authenticated");
            peer.control(&Control::Hello(lie.clone())).expect("sent");
            // Either it is an agreement, and then the link serves, or it ends with a reason.
            let answered = peer.await_hello().and_then(|()| peer.ping()).is_ok();
            let found = if answered { "agreed".to_owned() } else { scene.reason_of(&claim) };
            assert_eq!(found, *outcome, "{what}");
            assert!(answered || peer.wire.is_closed_by_peer(), "{what}");
        }
    });
}

#[test]
fn channels_not_agreed_on() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        // Who reads no channel, or one, and writes on all of them: nothing can be granted back there.
        for channels in [&[][..], &[ECHO]] {
            let claim = scene.claim();
            let mut peer = Peer::authenticated(scene.silent(), &claim).expect("authenticated");
            let mut few = hello(claim.network);
            few.channels.retain(|offer| channels.contains(&offer.channel));
            peer.greet(&few).expect("agreed, on little");
            let body = [0x5a; 60_000];
            for channel in (CONTROL + 1..=ECHO).cycle().take(200) {
                // It may be closed while we write.
                if peer.message(channel, NOTE, 0, &body).is_err() {
                    break;
                }
            }
        }
        scene.ended(&["strikes"], 2);
    });
}

#[test]
fn hello_again_and_again() {
    let scene = Scene::new();
    let truth = hello(scene.victim.network);
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        // With other windows: what was agreed stays.
        let mut other = truth.clone();
        other.channels.iter_mut().for_each(|offer| offer.window = u32::MAX);
        peer.control(&Control::Hello(other)).expect("sent");
        peer.echo(1, b"still").expect("open");
        assert_eq!(scene.strikes(&peer), 1);
        while peer.control(&Control::Hello(truth.clone())).is_ok() {}
        scene.ended(&["strikes"], 1);
        // Everything but hello.
        let claim = scene.claim();
        let mut mute = Peer::authenticated(scene.silent(), &claim).expect("authenticated");
        for number in 0..2 * STRIKES as u32 {
            let _ = mute.message(ECHO, REQUEST, number, b"before hello");
        }
        assert!(mute.wire.is_closed_by_peer());
        scene.reason_of(&claim);
    });
}

#[test]
fn ping_flood() {
    let scene = Scene::new();
    let ping = Control::Ping { id: 1, sent_us: 1 }.bytes();
    let note = [&head(NOTE, 0, ping.len() as u32)[..], &ping].concat();
    let many = note.repeat(PAYLOAD_BYTES / note.len());
    scene.attack(SLACK_BYTES, || {
        // One that reads the answers, one that does not.
        let mut hasty = scene.open();
        let begun = Instant::now();
        while begun.elapsed() < FLOOD {
            if hasty.segment(CONTROL, &many).is_err() {
                break;
            }
        }
        let mut asked = scene.open();
        for _ in 0..20 {
            if asked.segment(CONTROL, &many).is_err() || asked.ping().is_err() {
                break;
            }
        }
        let sent = 20 * (PAYLOAD_BYTES / note.len()) as u64;
        scene.ended(&["strikes"], 2);
        assert!(asked.pongs() < sent / 4, "{} pongs for {sent} pings: the flood is doubled", asked.pongs());
        // Pongs that nobody asked for, with times from elsewhere.
        let mut unasked = scene.open();
        for id in [0, 1, 2, u32::MAX] {
            let pong = Control::Pong { id, sent_us: u64::MAX, received_us: u64::MAX };
            unasked.control(&pong).expect("sent");
            unasked.control(&Control::Pong { id, sent_us: 0, received_us: 0 }).expect("sent");
        }
        unasked.echo(1, b"still").expect("open");
    });
}

#[test]
fn credit_that_overflows() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for bytes in [u32::MAX, 1 << 31, 0] {
            let mut peer = scene.open();
            for _ in 0..8 {
                peer.control(&Control::Credit { channel: ECHO, bytes }).expect("sent");
            }
            peer.echo(1, b"still").unwrap_or_else(|error| panic!("open after credit of {bytes}: {error}"));
        }
        // Credit for what has none, or does not exist.
        let mut peer = scene.open();
        for channel in [CONTROL, 77, u16::MAX] {
            peer.control(&Control::Credit { channel, bytes: 1_000 }).expect("sent");
        }
        peer.message(CONTROL, NOTE, 0, &numbers(3, &[7, u64::MAX])).expect("sent");
        peer.echo(1, b"still").expect("open");
        // The whole of what may be sent, given to a peer that never takes: the victim's queues are bounded too.
        let mut greedy = scene.open();
        greedy.control(&Control::Credit { channel: ECHO, bytes: u32::MAX }).expect("sent");
        let begun = Instant::now();
        let body = [0x5a; 8_000];
        while begun.elapsed() < FLOOD && greedy.message(ECHO, REQUEST, 1, &body).is_ok() {}
        drop(greedy);
        scene.ended(LEFT, 4);
    });
}

#[test]
fn control_that_cannot_be_read() {
    let scene = Scene::new();
    let mut deep = vec![0x81; 60_000];
    deep.push(0x00);
    let mut wide = Vec::new();
    Encoder::new(&mut wide).array(u64::MAX).and_then(|to| to.u8(1)).expect("a vector");
    let mut cut = Control::Ping { id: 9, sent_us: 9 }.bytes();
    cut.pop();
    let mut longer = Control::Ping { id: 9, sent_us: 9 }.bytes();
    longer.push(0);
    let unreadable: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("no CBOR", vec![0xff; 40]),
        ("lists in lists", deep),
        ("a list of 2^64 items", wide),
        ("a message cut off", cut),
        ("a message and a byte", longer),
        ("a tag that nobody knows", numbers(99, &[1, 2, 3])),
        ("the text of a tag", vec![0x82, 0x64, b'p', b'i', b'n', b'g', 0x01]),
    ];
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        for (at, (what, bytes)) in unreadable.iter().enumerate() {
            peer.message(CONTROL, NOTE, 0, bytes).expect("sent");
            peer.echo(at as u32, b"still").unwrap_or_else(|error| panic!("open after {what}: {error}"));
        }
        assert_eq!(scene.strikes(&peer), unreadable.len() as u64);
        for (what, bytes) in &unreadable {
            let mut peer = scene.open();
            for _ in 0..STRIKES {
                // It may be closed while we write.
                let _ = peer.message(CONTROL, NOTE, 0, bytes);
            }
            assert!(peer.wire.is_closed_by_peer(), "{what}");
        }
        scene.ended(&["strikes"], unreadable.len() as u64);
    });
}

#[test]
fn close_and_go_on() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for code in [0, 1, 7, 255] {
            let claim = scene.claim();
            let mut peer = Peer::open(scene.victim.address, &claim).expect("open");
            peer.control(&Control::Close { code }).expect("sent");
            let begun = Instant::now();
            // Who says goodbye and keeps talking is not listened to for long.
            while peer.message(SYNC, NOTE, 0, &[0x5a; 2_000]).is_ok() {
                assert!(begun.elapsed() < PATIENCE, "it goes on after its own close");
            }
            assert_eq!(scene.reason_of(&claim), "by_peer");
        }
    });
}

#[test]
fn agent_with_a_terminal_in_it() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let claim = scene.claim();
        let mut peer = Peer::authenticated(scene.silent(), &claim).expect("authenticated");
        let mut lie = hello(claim.network);
        lie.agent = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{202e}".into();
        assert!(peer.greet(&lie).and_then(|()| peer.ping()).is_err(), "it is no name");
        assert_eq!(scene.reason_of(&claim), "bad_hello");
        let shown = scene.victim.get("/peers").to_string() + &scene.victim.get("/peers/departed").to_string();
        for wrong in ["\\u001b", "\\u0007", "\\r", "\\n", "\u{202e}"] {
            assert!(!shown.contains(wrong), "what a peer calls itself is shown to operators: {shown}");
        }
    });
}
