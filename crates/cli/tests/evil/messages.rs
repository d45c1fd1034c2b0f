//! Messages that are wrong, too long, too many, never ended, or never taken.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::frames::STRIKES;
use crate::peer::{
    BODIES, CONSENSUS, CONTROL, ECHO, HEAD_BYTES, NOTE, PAYLOAD_BYTES, Peer, REPLY, REQUEST, SYNC, cost,
    head, segment,
};
use crate::scene::{LEFT, ROOM, Scene, eventually};
use crate::wire::{PATIENCE, Wire, framed};

const SLACK_BYTES: u64 = 8 << 20;

/// How long a flood lasts: long enough for several rounds of the honest peer.
const FLOOD: Duration = Duration::from_secs(3);

/// Places in `[peers]` whose floors fit that.
const FEW: &str = "max_connections = 128\nmax_inbound = 96\nmax_per_address = 64";

/// What an honest peer keeps beside a dozen others that the victim serves as well, on two cores that serve the
/// attackers too: far above a stall.
const SERVED_SHARE: f64 = 0.002;

/// How much all peers together may have the victim hold, in the tests that fill it.
const BUDGET_BYTES: u64 = 32 << 20;

#[test]
fn flood() {
    const PEERS: usize = 4;
    let scene = Scene::with(&format!("max_held_bytes = {BUDGET_BYTES}"), FEW);
    scene.attack_keeping(SERVED_SHARE, BUDGET_BYTES + SLACK_BYTES, || {
        std::thread::scope(|scope| {
            for _ in 0..PEERS {
                scope.spawn(|| exchange(scene.open(), 60_000));
                scope.spawn(|| exchange(scene.open(), 0));
                scope.spawn(|| spill(scene.open()));
            }
        });
        scene.ended(LEFT, 3 * PEERS as u64);
    });
}

/// Asks for echoes of this length as fast as they come.
fn exchange(mut peer: Peer, bytes: usize) {
    let body = vec![0x5a; bytes];
    // As many as are surely answered: answers that would have to wait in greater number are dropped.
    let most = (400_000 / cost(bytes)).min(64) as u32;
    let begun = Instant::now();
    let (mut asked, mut answered) = (0, 0);
    while begun.elapsed() < FLOOD {
        while asked - answered < most {
            peer.ask_echo(asked, &body).expect("it keeps the rules");
            asked += 1;
        }
        peer.answer().expect("it keeps the rules");
        answered += 1;
    }
    assert!(answered > 0);
}

/// Writes what nobody asked for, on all channels that the application has no use for yet, far beyond the credit.
fn spill(mut peer: Peer) {
    let begun = Instant::now();
    let note = [&head(NOTE, 0, 1_000)[..], &[0x5a; 1_000]].concat();
    let many: Vec<u8> = note.iter().copied().cycle().take(PAYLOAD_BYTES / note.len() * note.len()).collect();
    while begun.elapsed() < FLOOD {
        for channel in CONSENSUS..ECHO {
            if peer.segment(channel, &many).is_err() {
                return;
            }
        }
    }
}

#[test]
fn empty_messages() {
    let scene = Scene::with(&format!("max_held_bytes = {BUDGET_BYTES}"), FEW);
    // 1,365 messages in a segment, again and again: each of them costs more than it weighs.
    let many = head(NOTE, 0, 0).repeat(PAYLOAD_BYTES / HEAD_BYTES);
    let asked: Vec<u8> = (0..PAYLOAD_BYTES / HEAD_BYTES).flat_map(|at| head(REQUEST, at as u32, 0)).collect();
    scene.attack_keeping(SERVED_SHARE, BUDGET_BYTES + SLACK_BYTES, || {
        std::thread::scope(|scope| {
            for channel in CONTROL..=ECHO {
                let (many, scene) = (if channel == ECHO { &asked } else { &many }, &scene);
                scope.spawn(move || {
                    let mut peer = scene.open();
                    let begun = Instant::now();
                    while begun.elapsed() < FLOOD && peer.segment(channel, many).is_ok() {}
                });
            }
        });
        // Who wrote far beyond its credit was disconnected for it.
        scene.ended(&["strikes"], 1);
    });
}

#[test]
fn endless_message() {
    let limits = format!(
        "max_held_bytes = {BUDGET_BYTES}\nframe_timeout_ms = 2000\n[link.channels.sync]\nmessage_timeout_ms = 2000\n\
         [link.channels.bodies]\nmessage_timeout_ms = 2000"
    );
    let scene = Scene::with(&limits, FEW);
    scene.attack(BUDGET_BYTES + SLACK_BYTES, || {
        // A byte now and then of a message that is within the limits.
        let mut slow = scene.open();
        slow.segment(SYNC, &head(NOTE, 0, 60_000)).expect("sent");
        let begun = Instant::now();
        while scene.violations(&slow, "slow_message") == 0 {
            slow.segment(SYNC, &[0x5a]).expect("the socket stays open");
            assert!(begun.elapsed() < PATIENCE, "a message may take for ever");
            std::thread::park_timeout(Duration::from_millis(100));
        }
        slow.echo(1, b"beside it").expect("the other channels go on");
        // Nothing after the head, or after a part of it; its keep-alive is no excuse.
        for part in [&head(NOTE, 0, 60_000)[..], &head(NOTE, 0, 60_000)[..4]] {
            let mut mute = scene.open();
            mute.segment(SYNC, part).expect("sent");
            mute.ping().expect("answered");
            eventually(
                "its time is over",
                || scene.violations(&mute, "slow_message") == 1,
                || scene.victim.get("/peers").to_string(),
            );
            mute.ping().expect("the socket stays open");
        }
        // Half of a frame, and no more: nothing after it could be read.
        let mut half = scene.open();
        half.wire.raw(&[0x10, 0, 1, 2, 3]).expect("sent");
        assert!(half.wire.is_closed_by_peer());
        scene.ended(&["slow_frame"], 1);
        // Many that hold a part of the longest message each, more than all may hold together.
        let mut hoarders: Vec<Peer> = (0..24).map(|_| scene.open()).collect();
        hoarders.iter_mut().for_each(hoard);
        for hoarder in &mut hoarders {
            hoarder.echo(2, b"still").expect("a message that is not finished closes nothing");
        }
        eventually(
            "what they left is let go",
            // A floor is set aside for each open link.
            || scene.total("held_bytes") < 4 << 20,
            || scene.victim.get("/peers").to_string(),
        );
    });
}

/// Most of the longest message that the victim takes, without its end.
fn hoard(peer: &mut Peer) {
    let offers = &peer.hello.as_ref().expect("agreed").channels;
    let longest = offers.iter().find(|offer| offer.channel == BODIES).expect("offered").max_message;
    let part = (longest - 1).min(6 << 20) as usize;
    let mut plain = head(NOTE, 0, longest).to_vec();
    plain.resize(part, 0x5a);
    for payload in plain.chunks(PAYLOAD_BYTES) {
        peer.segment(BODIES, payload).expect("within its credit");
    }
}

#[test]
fn over_long_message() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        let mut strikes = 0;
        for offer in peer.hello.clone().expect("agreed").channels {
            // One byte more than the victim takes: skipped to its last byte, and the channel goes on behind it.
            if offer.max_message < 1 << 20 {
                let over = vec![0x5a; offer.max_message as usize + 1];
                peer.message(offer.channel, NOTE, 0, &over).expect("sent");
                strikes += 1;
            }
        }
        peer.echo(1, b"behind it").expect("open");
        assert_eq!(scene.strikes(&peer), strikes);
        // Numbers that overflow: nothing is allocated on their word, and the other channels go on.
        for length in [u32::MAX, u32::MAX - 8, 1 << 31] {
            let mut peer = scene.open();
            peer.segment(SYNC, &head(NOTE, 0, length)).expect("sent");
            for _ in 0..40 {
                peer.segment(SYNC, &[0x5a; PAYLOAD_BYTES]).expect("sent");
            }
            peer.echo(2, b"beside it").unwrap_or_else(|error| panic!("open beside {length}: {error}"));
            let violations = &scene.status(&peer)["violations"];
            assert_eq!(scene.strikes(&peer), 1, "one message, one strike: {violations}");
        }
        let mut peer = scene.open();
        let over = head(NOTE, 0, 70_000).into_iter().chain([0; 70_000]).collect::<Vec<u8>>();
        for _ in 0..STRIKES {
            for payload in over.chunks(PAYLOAD_BYTES) {
                // It may be closed while we write.
                let _ = peer.segment(CONTROL, payload);
            }
        }
        assert!(peer.wire.is_closed_by_peer());
        scene.ended(&["strikes"], 1);
    });
}

#[test]
fn unknown_kinds() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        let mut strikes = 0;
        for kind in [3, 7, 128, 255] {
            peer.message(ECHO, kind, 0, b"what is this").expect("sent");
            strikes += 1;
        }
        // A note has no number; a question on control is none.
        peer.message(ECHO, NOTE, 5, b"numbered").expect("sent");
        peer.echo(1, b"behind them").expect("open");
        assert_eq!(scene.strikes(&peer), strikes + 1);
        while peer.message(ECHO, 9, 0, &[0x5a; 500]).is_ok() {}
        scene.ended(&["strikes"], 1);
    });
}

#[test]
fn reply_without_a_request() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let mut peer = scene.open();
        for number in (0..2_000).chain([u32::MAX, 1 << 31]) {
            peer.message(SYNC, REPLY, number, b"you never asked").expect("sent");
            // As seldom as a peer may.
            if number % 200 == 0 {
                peer.ping().expect("harmless");
            }
        }
        for channel in CONSENSUS..=ECHO {
            peer.message(channel, REPLY, 7, b"you never asked").expect("sent");
        }
        peer.echo(1, b"still").expect("open");
        assert_eq!(scene.strikes(&peer), 0, "a reply that came too late looks the same");
        eventually(
            "they are counted",
            || scene.total("unknown_replies") >= 2_000,
            || scene.victim.get("/peers").to_string(),
        );
    });
}

#[test]
fn never_reads() {
    const PEERS: usize = 16;
    let scene = Scene::with("write_stall_ms = 1500", ROOM);
    // What each may have the victim keep is about its window of the channel, once on each way.
    scene.attack(PEERS as u64 * (2 << 20) + SLACK_BYTES, || {
        let mut deaf: Vec<Peer> = (0..PEERS).map(|_| deaf(&scene)).collect();
        let body = [0x5a; 8_000];
        // More and more, in turn: the credit that comes back for what was answered is not read either, but is there.
        for _ in 0..1_000 {
            for peer in &mut deaf {
                // It is closed at some time, in which nobody reads why.
                let _ = peer.message(ECHO, REQUEST, 1, &body);
            }
        }
        scene.ended(&["write_stall", "strikes"], PEERS as u64);
    });
}

#[test]
fn credit_overrun() {
    const BODY_BYTES: usize = 1_000;
    let window = 2 * cost(BODY_BYTES);
    // A window for two messages, so that one segment holds many more than may be under way.
    let limits = format!("[link.channels.sync]\nmax_message_bytes = {BODY_BYTES}\nwindow_bytes = {window}");
    let scene = Scene::with(&limits, "");
    let note = [&head(NOTE, 0, BODY_BYTES as u32)[..], &[0x5a; BODY_BYTES]].concat();
    let many = note.repeat(PAYLOAD_BYTES / note.len());
    scene.attack(SLACK_BYTES, || {
        let mut once = scene.open();
        assert_eq!(once.credit(SYNC), window);
        once.segment(SYNC, &many).expect("sent");
        once.echo(1, b"beside it").expect("open");
        assert!(scene.violations(&once, "overrun") > 0, "{}", scene.status(&once));
        for _ in 0..4 {
            let mut peer = scene.open();
            while peer.segment(SYNC, &many).is_ok() {}
        }
        scene.ended(&["strikes"], 4);
    });
}

/// A peer whose machine takes next to nothing.
fn deaf(scene: &Scene) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let address: SocketAddr = scene.victim.address;
    socket.connect_timeout(&address.into(), PATIENCE).expect("the victim accepts");
    let wire = Wire::over(TcpStream::from(socket)).expect("a socket");
    let claim = scene.claim();
    Peer::authenticated(wire, &claim).and_then(|peer| peer.agree(&claim)).expect("the victim opens a link")
}

#[test]
fn interleaved_messages() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        // Parts of messages on all channels in turn, each cut elsewhere: each channel must keep its own order.
        let mut peer = scene.open();
        let body: Vec<u8> = (0..40_000_u32).map(|at| at as u8).collect();
        let streams: Vec<(u16, Vec<u8>)> = (CONSENSUS..=ECHO)
            .map(|channel| {
                let kind = if channel == ECHO { REQUEST } else { NOTE };
                let number = if channel == ECHO { 9 } else { 0 };
                (channel, [&head(kind, number, body.len() as u32)[..], &body].concat())
            })
            .collect();
        let mut at = vec![0; streams.len()];
        let mut frames = Vec::new();
        for step in 0.. {
            let which = step % streams.len();
            let (channel, stream) = &streams[which];
            let end = (at[which] + 300 + 17 * which).min(stream.len());
            if end > at[which] {
                let plain = segment(*channel, &stream[at[which]..end]);
                frames.extend(framed(&peer.session.seal(&plain)));
            }
            at[which] = end;
            if at.iter().zip(&streams).all(|(at, (_, stream))| *at == stream.len()) {
                break;
            }
        }
        for piece in frames.chunks(7_777) {
            peer.wire.raw(piece).expect("sent");
        }
        assert!(peer.answer().expect("an answer").body == body, "whole and in order");
        assert_eq!(scene.strikes(&peer), 0);
    });
}
