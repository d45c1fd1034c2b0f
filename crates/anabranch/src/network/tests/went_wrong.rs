//! What went wrong elsewhere: each line of that list in `spec/link.md` is a test here.

use std::num::{NonZeroU64, NonZeroUsize};

use link::channel::{BODIES, ECHO, SYNC};
use link::message::Kind;
use link::{Mode, Protocol, segment};
use tokio::io::AsyncReadExt;

use super::raw::{Raw, pipe_to};
use super::*;

const HERE: &str = include_str!("went_wrong.rs");
const DESCRIPTORS: &str = include_str!("../../../tests/peer_descriptors.rs");

/// The list, and where each line's tests are.
const LIST: &[(&str, &str, &[&str])] = &[
    (
        "a faulty chunk closed the socket though the design says it stays open",
        HERE,
        &["a_faulty_chunk_leaves_the_socket_open"],
    ),
    (
        "a reply to an unknown request blocked the read routine for ever",
        HERE,
        &["a_reply_to_an_unknown_request_blocks_nobody"],
    ),
    (
        "a reply after its timeout crashed the node",
        HERE,
        &["a_reply_after_its_timeout_is_counted_and_dropped"],
    ),
    ("an accept error closed a nil connection", DESCRIPTORS, &["accepting_goes_on_after_its_errors"]),
    (
        "no read deadline, so half-open connections lived for ever",
        HERE,
        &["a_half_open_connection_does_not_live_for_ever", "a_peer_that_went_without_a_word_is_noticed"],
    ),
    ("an unbounded write buffer", HERE, &["what_waits_for_a_peer_that_does_not_read_is_bounded"]),
    ("pool caps never enforced", HERE, &["the_caps_of_the_pool_hold"]),
    ("failed dials kept", HERE, &["failed_dials_are_not_kept"]),
    ("peers doubled because keyed by address", HERE, &["a_peer_at_two_addresses_is_one_peer"]),
    ("a simultaneous dial dropped both connections", HERE, &["a_simultaneous_dial_keeps_one_connection"]),
    ("overflow on a peer-supplied number", HERE, &["no_number_that_a_peer_says_overflows"]),
    ("memory grown by reassembly", HERE, &["reassembly_does_not_grow_memory"]),
    ("memory grown by empty frames", HERE, &["empty_frames_do_not_grow_memory"]),
    ("memory grown by pre-handshake state", HERE, &["what_comes_before_the_handshake_is_bounded"]),
    (
        "state changed before the peer was authenticated",
        HERE,
        &["nothing_changes_before_a_peer_is_authenticated"],
    ),
    ("half of the socket tests skipped", HERE, &["no_test_of_sockets_is_skipped"]),
];

#[test]
fn each_line_of_the_list_has_its_tests() {
    assert_eq!(LIST.len(), 16);
    for (line, source, tests) in LIST {
        assert!(!tests.is_empty(), "{line}");
        for test in *tests {
            let is_there = source.lines().any(|line| line.contains(&format!("fn {test}(")));
            assert!(is_there, "{line}: {test} is missing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_faulty_chunk_leaves_the_socket_open() {
    let mut node = node(1);
    let mut raw = Raw::dial(&node, 2).await;
    // A length that no frame has, with its bytes; a segment for the wrong side; a channel that there is not; one that
    // says another length than it has; a message of no known kind.
    raw.bytes(&[&u16::to_be_bytes(13_000)[..], &[7; 13_000]].concat()).await;
    raw.bytes(&[0, 3, 1, 2, 3]).await;
    raw.segment(Mode::Responder, SYNC, b"x").await;
    raw.segment(Mode::Initiator, Protocol(99), b"x").await;
    let lying = segment::Header { sent_us: 0, mode: Mode::Initiator, protocol: SYNC, length: 77 };
    raw.frame(lying.encode(), b"x").await;
    raw.segment(Mode::Initiator, SYNC, &[9, 0, 0, 0, 0, 0, 0, 0, 1, 5]).await;
    raw.say(SYNC, Kind::Note, b"still here").await;
    assert_eq!(node.next().await.body, bytes("still here"));
    let status = &node.network.peers()[0];
    let link = status.link.as_ref().expect("it is open");
    assert_eq!(link.strikes, 6, "{:?}", link.violations);
    assert_eq!(link.violations.values().sum::<u64>(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_an_unknown_request_blocks_nobody() {
    let mut node = node(1);
    let mut raw = Raw::dial(&node, 2).await;
    // More than the channel's window holds: each one's place is given back.
    for number in 0..2_000 {
        raw.say(ECHO, Kind::Reply(number), &[0; 1_000]).await;
        if number % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    raw.say(SYNC, Kind::Note, b"still here").await;
    assert_eq!(node.next().await.body, bytes("still here"));
    assert_eq!(node.network.totals().unknown_replies, 2_000);
    assert!(node.network.is_connected(raw.id));
}

#[tokio::test(start_paused = true)]
async fn a_reply_after_its_timeout_is_counted_and_dropped() {
    let mut node = node(1);
    let mut raw = Raw::dial(&node, 2).await;
    let after = Duration::from_secs(3);
    let asked = node.network.request(raw.id, SYNC, bytes("question"), after);
    assert_eq!(asked.await.expect_err("nobody answers"), RequestError::Late { after });
    let (_, kind, _) = raw.hear().await;
    let Kind::Request(number) = kind else { panic!("{kind:?} is no question") };
    raw.say(SYNC, Kind::Reply(number), b"late").await;
    raw.say(SYNC, Kind::Note, b"still here").await;
    assert_eq!(node.next().await.body, bytes("still here"));
    let totals = node.network.totals();
    assert_eq!((totals.late_replies, totals.unknown_replies), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_does_not_live_for_ever() {
    let node = node(1);
    let (mut silent, mut half) = (pipe_to(&node).await, pipe_to(&node).await);
    // Half of a first message, and then nothing.
    tokio::io::AsyncWriteExt::write_all(&mut half, &[0, 90, 0, 1, 2, 3]).await.expect("it reads");
    node.until(|network| network.departed().recent.len() == 2).await;
    assert_eq!(node.reasons(), ["handshake_timeout", "handshake_timeout"]);
    assert!(node.network.departed().recent.iter().all(|gone| gone.lasted_ms == 5_000));
    for pipe in [&mut silent, &mut half] {
        pipe.read_to_end(&mut Vec::new()).await.expect("it is closed");
    }
    assert_eq!((node.network.totals().connections, node.network.totals().tasks), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_went_without_a_word_is_noticed() {
    let node = node(1);
    let raw = Raw::dial(&node, 2).await;
    node.until(|network| network.is_connected(raw.id)).await;
    node.until(|network| !network.is_connected(raw.id)).await;
    node.until(|network| network.totals().tasks == 1).await;
    assert_eq!(node.reasons(), ["silent"]);
    let lasted = node.network.departed().recent[0].lasted_ms;
    assert!((75_000..77_000).contains(&lasted), "{lasted}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_peer_that_does_not_read_is_bounded() {
    let node = node(1);
    let raw = Raw::dial(&node, 2).await;
    node.until(|network| network.is_connected(raw.id)).await;
    let block = Bytes::from(vec![1; 100_000]);
    let mut taken = 0_u64;
    while node.network.try_send(raw.id, BODIES, block.clone()).is_ok() {
        taken += block.len() as u64;
        assert!(taken < 1 << 30, "there is no bound");
    }
    assert_eq!(node.network.try_send(raw.id, BODIES, block.clone()), Err(SendError::Full));
    let config = Config::new(NETWORK_ID);
    let queue = u64::from(config.link.outbound.queue_bytes.get());
    assert!(taken <= queue + (1 << 20), "{taken}");
    // It is shown out once it has taken nothing for too long, and who waits to send is told.
    let refused = node.network.send(raw.id, BODIES, block).await;
    assert_eq!(refused, Err(SendError::Ending));
    node.until(|network| network.totals().tasks == 1).await;
    assert_eq!(node.reasons(), ["write_stall"]);
}

#[tokio::test(start_paused = true)]
async fn the_caps_of_the_pool_hold() {
    let node = node_with(1, |config| {
        config.caps.connections = NonZeroUsize::new(3).expect("not zero");
        config.caps.reserved = 0;
    });
    let _one = Raw::dial(&node, 2).await;
    let _two = Raw::dial(&node, 3).await;
    // One of them does not even shake hands, and counts all the same.
    let _silent = pipe_to(&node).await;
    node.until(|network| network.totals().connections == 3).await;
    let mut refused = pipe_to(&node).await;
    assert_eq!(refused.read_to_end(&mut Vec::new()).await.expect("it is closed"), 0);
    assert_eq!((node.network.departed().refused.full, node.network.peers().len()), (1, 3));
    node.until(|network| network.totals().connections == 2).await;
    let _third = Raw::dial(&node, 4).await;
}

#[tokio::test(start_paused = true)]
async fn failed_dials_are_not_kept() {
    let (node, gone) = (node(1), node(2));
    let address = gone.peer_address();
    drop(gone);
    node.network.add(address.clone()).expect("it can be added");
    node.until(|network| network.departed().counts.get("dial_failed").is_some_and(|count| *count >= 6)).await;
    assert_eq!(node.network.totals().connections, 0);
    assert!(node.network.peers().is_empty());
    assert_eq!(node.network.totals().handshake_tasks, 1, "it dials, or waits until it does");
    node.network.drop_peer(address.key);
    node.network.stop().await;
    assert_eq!(node.network.totals().handshake_tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_at_two_addresses_is_one_peer() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let (second, address) = Listener::pipe();
    let twin = start(2, second, |_| (), Arc::new(Open));
    a.network.add(PeerAddress { key: b.id(), address: Address::Pipe(address) }).expect("it can be added");
    // The same key from elsewhere: the newer one replaces the older one.
    twin.connects_with(&a).await;
    a.until(|network| network.totals().connections == 1).await;
    assert_eq!((a.network.known().len(), a.network.totals().open), (1, 1));
    assert_eq!(a.network.broadcast(SYNC, &bytes("once")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_simultaneous_dial_keeps_one_connection() {
    let mut ties = 0;
    for round in 0..20 {
        let (mut a, mut b) = (node(1), node(2));
        a.network.add(b.peer_address()).expect("it can be added");
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        b.network.add(a.peer_address()).expect("it can be added");
        a.until(|network| network.is_connected(b.id())).await;
        b.until(|network| network.is_connected(a.id())).await;
        // Whatever was begun is over.
        a.until(|network| network.totals().connections == 1 && network.totals().handshake_tasks == 0).await;
        b.until(|network| network.totals().connections == 1 && network.totals().handshake_tasks == 0).await;
        let dialler = if a.id() < b.id() { &a } else { &b };
        // Where the first was open before the second was dialled, there never was a second.
        if a.network.departed().counts.len() + b.network.departed().counts.len() > 0 {
            ties += 1;
            assert_eq!(dialler.network.peers()[0].direction, Direction::Dialled, "in round {round}");
        }
        a.network.send(b.id(), SYNC, bytes("there")).await.expect("it is sent");
        b.network.send(a.id(), SYNC, bytes("back")).await.expect("it is sent");
        assert_eq!((b.next().await.body, a.next().await.body), (bytes("there"), bytes("back")));
    }
    assert!(ties > 0, "they never met");
}

#[tokio::test(start_paused = true)]
async fn no_number_that_a_peer_says_overflows() {
    let mut node = node(1);
    let mut raw = Raw::dial(&node, 2).await;
    // The longest length that a head can say, and the greatest numbers.
    raw.segment(Mode::Initiator, SYNC, &[0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).await;
    raw.say(ECHO, Kind::Reply(u32::MAX), b"x").await;
    raw.say(ECHO, Kind::Request(u32::MAX), b"x").await;
    assert_eq!(node.next().await.kind, Kind::Request(u32::MAX));
    // Credit beyond all bounds, and times of the end of the world.
    for _ in 0..3 {
        for message in [
            link::control::Message::Credit { channel: ECHO, bytes: u32::MAX },
            link::control::Message::Ping { id: u32::MAX, sent_us: u64::MAX },
            link::control::Message::Pong { id: 0, sent_us: u64::MAX, received_us: u64::MAX },
        ] {
            let mut body = Vec::new();
            message.encode(&mut body);
            raw.say(link::channel::CONTROL, Kind::Note, &body).await;
        }
    }
    raw.say(ECHO, Kind::Note, b"still here").await;
    assert_eq!(node.next().await.body, bytes("still here"));
    assert!(node.network.peers()[0].link.as_ref().expect("it is open").strikes >= 1);
}

#[tokio::test(start_paused = true)]
async fn reassembly_does_not_grow_memory() {
    let node = node_with(1, |config| {
        config.budget_bytes = NonZeroU64::new(8 << 20).expect("not zero");
        config.caps.connections = NonZeroUsize::new(64).expect("not zero");
        config.caps.reserved = 0;
    });
    let mut raws = Vec::new();
    for number in 10..20 {
        let mut raw = Raw::dial(&node, number).await;
        // Says that 2 MB come, and sends all of them but the end.
        raw.segment(Mode::Initiator, BODIES, &[0, 0, 0, 0, 0, 0, 0x20, 0, 0]).await;
        for _ in 0..2 * 1024 / 12 - 1 {
            raw.segment(Mode::Initiator, BODIES, &[5; 12_288]).await;
        }
        raw.say(SYNC, Kind::Note, b"done").await;
        raws.push(raw);
    }
    let mut node = node;
    for _ in 0..10 {
        assert_eq!(node.next().await.body, bytes("done"));
        let totals = node.network.totals();
        assert!(totals.held_bytes <= totals.budget_bytes);
    }
    let over: u64 = node
        .network
        .peers()
        .iter()
        .filter_map(|peer| peer.link.as_ref()?.violations.get("over_budget").copied())
        .sum();
    assert!(over > 0, "20 MB do not fit into 8");
    drop(raws);
    node.until(|network| network.totals().connections == 0).await;
    assert_eq!(node.network.totals().held_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn empty_frames_do_not_grow_memory() {
    let node = node_with(1, |config| {
        let window = config.link.rules.channels().iter().find(|channel| channel.number == ECHO);
        assert!(window.expect("there is an echo").window_bytes < 64 * 100_000);
    });
    let mut raw = Raw::dial(&node, 2).await;
    // Empty messages, of which each costs something: nobody takes them.
    let empty = link::message::Head { kind: Kind::Note, length: 0 }.encode();
    let many = empty.repeat(1_000);
    for _ in 0..100 {
        raw.segment(Mode::Initiator, ECHO, &many).await;
    }
    // Empty outer frames are no frames.
    raw.bytes(&[0; 64]).await;
    node.until(|network| network.totals().connections == 0).await;
    assert_eq!(node.reasons(), ["strikes"]);
    let waiting = node.network.totals().waiting_deliveries;
    assert!(waiting < 20_000, "{waiting} wait");
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_the_handshake_is_bounded() {
    let node = node(1);
    // The longest frame that may come is 1,024 bytes long; this one says more, and is believed in nothing.
    let mut pipe = pipe_to(&node).await;
    tokio::io::AsyncWriteExt::write_all(&mut pipe, &[0xff; 4_096]).await.expect("it reads");
    node.until(|network| network.departed().recent.len() == 1).await;
    assert!(node.network.departed().recent[0].lasted_ms < 5_000);
    assert_eq!(node.network.totals().held_bytes, 0, "who is not authenticated has no part of the budget");
    // As many as shake hands at once are let in.
    let node = node_with(2, |config| config.caps.handshakes = NonZeroUsize::new(8).expect("not zero"));
    let mut pipes = Vec::new();
    for _ in 0..20 {
        pipes.push(pipe_to(&node).await);
    }
    node.until(|network| network.departed().refused.full_handshakes == 12).await;
    assert_eq!((node.network.totals().handshakes, node.network.totals().held_bytes), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_changes_before_a_peer_is_authenticated() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let before = (a.network.known(), a.network.totals().open);
    // A first message of b's, said by somebody who then cannot prove the key, and garbage.
    for number in 0..10 {
        let mut pipe = pipe_to(&a).await;
        let mut garbage = vec![0, 33, 0];
        garbage.extend_from_slice(&[number; 32]);
        tokio::io::AsyncWriteExt::write_all(&mut pipe, &garbage).await.expect("it reads");
    }
    a.until(|network| network.departed().recent.len() == 10).await;
    assert!(a.network.departed().recent.iter().all(|gone| gone.peer.is_none()));
    assert_eq!((a.network.known(), a.network.totals().open), before);
    assert_eq!(a.network.totals().waiting_deliveries, 0);
    assert!(a.network.is_connected(b.id()));
}

#[test]
fn no_test_of_sockets_is_skipped() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of crates");
    let mut folders =
        vec![crates.join("link"), crates.join("anabranch/src/network"), crates.join("anabranch/tests")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the sources are there") {
            let path = entry.expect("the sources are there").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                // In two parts, so that this line is not what it looks for.
                assert!(!text.contains(concat!("#[ig", "nore")), "{} skips a test", path.display());
                seen += text.matches("#[test]").count() + text.matches("#[tokio::test").count();
            }
        }
    }
    assert!(seen > 100, "only {seen} tests were found");
}
