//! Who is connected with whom: bans, pins, hooks, keys, and coming back.

use std::num::NonZeroUsize;

use link::channel::SYNC;
use link::reason::{Code, Reason};
use link::{Violation, session};

use super::raw::Raw;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_lost_is_dialled_again() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let lost = a.network.peers()[0].id;
    // It says that it goes, and comes back with its key at the same place, as after a restart.
    for line in b.network.shared().pool.all_sockets() {
        line.socket.close(Reason::Dropped);
    }
    a.until(|network| !network.is_connected(b.id())).await;
    assert_eq!(a.network.known()[0].failures, 1, "it did not last");
    a.until(|network| network.is_connected(b.id())).await;
    assert_ne!(a.network.peers()[0].id, lost);
    assert_eq!(a.network.departed().counts["by_peer"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_dropped_stays_away_until_it_is_added() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    assert!(a.network.drop_peer(b.id()));
    assert!(!a.network.drop_peer(b.id()), "it is unknown now");
    a.until(|network| network.totals().connections == 0).await;
    b.until(|network| network.totals().connections == 0).await;
    assert_eq!((a.reasons(), a.network.known().len()), (vec!["dropped"], 0));
    assert_eq!(b.network.departed().recent[0].text, Reason::ByPeer(Code::Dropped).to_string());
    a.connects_with(&b).await;
}

#[tokio::test(start_paused = true)]
async fn a_banned_peer_is_shown_out_and_not_let_in_again() {
    let (a, b) = (node(1), node(2));
    b.connects_with(&a).await;
    assert_eq!(a.network.ban(b.id()), Ok(true));
    assert_eq!(a.network.ban(b.id()), Ok(false));
    assert_eq!((a.network.banned(), a.network.ban(a.id())), (vec![b.id()], Err(PeerError::Ourselves)));
    a.until(|network| !network.is_connected(b.id())).await;
    // It tries again, and is told why not.
    b.until(|network| network.known()[0].failures >= 3).await;
    assert!(!a.network.is_connected(b.id()));
    let failure = b.network.known()[0].last_failure.clone().expect("it failed");
    assert_eq!(failure, Reason::ByPeer(Code::Banned).to_string());
    assert!(a.network.unban(b.id()));
    a.until(|network| network.is_connected(b.id())).await;
}

#[tokio::test(start_paused = true)]
async fn the_hook_decides_who_is_let_in() {
    let (listener, _) = Listener::pipe();
    let lists = Lists { allow: [identity(2).peer_id()].into(), ..Lists::default() };
    let picky = start(1, listener, |_| (), Arc::new(lists));
    let (welcome, other) = (node(2), node(3));
    let refused = other.network.connect(&picky.peer_address()).await;
    assert_eq!(refused, Err(Reason::ByPeer(Code::NotAllowed)));
    assert_eq!(welcome.network.connect(&picky.peer_address()).await, Ok(()));
    picky.until(|network| network.is_connected(welcome.id())).await;
    assert_eq!(picky.reasons(), ["not_allowed"]);
}

#[tokio::test(start_paused = true)]
async fn another_key_than_the_expected_one_is_a_violation_of_its_own() {
    let (a, b) = (node(1), node(2));
    let expected = identity(9).peer_id();
    let wrong = a.network.connect(&PeerAddress { key: expected, address: b.address.clone() }).await;
    let violation = session::Violation::WrongKey { expected, found: b.id() };
    assert_eq!(wrong, Err(Reason::Violation(Violation::Session(violation))));
    assert_eq!(a.reasons(), ["wrong_key"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_does_not_connect_with_itself() {
    let a = node(1);
    let own = Reason::Violation(Violation::Session(session::Violation::OwnKey));
    assert_eq!(a.network.connect(&a.peer_address()).await, Err(own.clone()));
    assert_eq!(a.network.add(a.peer_address()), Err(PeerError::Ourselves));
    assert_eq!(a.network.pin(a.id(), None), Err(PeerError::Ourselves));
    // Under another key's name it sees so in the handshake.
    let other = PeerAddress { key: identity(9).peer_id(), address: a.address.clone() };
    assert_eq!(a.network.connect(&other).await, Err(own));
}

#[tokio::test(start_paused = true)]
async fn a_node_of_another_network_is_told_apart() {
    let a = node(1);
    let (listener, _) = Listener::pipe();
    let mut config = Config::new([8; 32]);
    config.drain = Duration::from_millis(10);
    let rng = ChaCha20Rng::seed_from_u64(5);
    let (other, _sink) =
        Network::start(config, identity(5), Arc::new(Open), vec![listener], rng).expect("it starts");
    let address = PeerAddress { key: other.peer_id(), address: other.local_addrs()[0].clone() };
    let reason = a.network.connect(&address).await.expect_err("they have nothing in common");
    assert_eq!(reason, Reason::Refused(Code::OtherNetwork));
}

#[tokio::test(start_paused = true)]
async fn a_pinned_peer_is_waited_for_and_has_its_place() {
    let a = node_with(1, |config| {
        config.caps.connections = NonZeroUsize::new(2).expect("not zero");
        config.caps.reserved = 1;
    });
    let (stranger, other, pinned) = (node(2), node(3), node(4));
    a.network.pin(pinned.id(), None).expect("it can be pinned");
    stranger.connects_with(&a).await;
    assert_eq!(other.network.connect(&a.peer_address()).await, Err(Reason::ByPeer(Code::Busy)));
    pinned.connects_with(&a).await;
    assert!(a.network.unpin(pinned.id()) && !a.network.unpin(pinned.id()));
    assert!(a.network.is_connected(pinned.id()), "who is there stays");
}

#[tokio::test(start_paused = true)]
async fn too_many_strikes_close_and_cool_off() {
    let mut node = node(1);
    let mut raw = Raw::dial(&node, 2).await;
    for number in 0..16 {
        if number == 15 {
            raw.say(SYNC, link::message::Kind::Note, b"still here").await;
            assert_eq!(node.next().await.body, bytes("still here"));
        }
        raw.segment(link::Mode::Initiator, link::Protocol(99), b"x").await;
    }
    node.until(|network| network.totals().connections == 0).await;
    let departed = node.network.departed();
    assert_eq!((departed.recent[0].reason, departed.recent[0].strikes), ("strikes", 16));
    let same = super::node(2);
    assert_eq!(same.network.connect(&node.peer_address()).await, Err(Reason::ByPeer(Code::Banned)));
    assert_eq!(node.reasons()[0], "cooling_off");
    assert!(node.network.unban(raw.id));
    assert_eq!(same.network.connect(&node.peer_address()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_restarts_replaces_its_dying_connection() {
    let node = node(1);
    // It dialled, and its machine lost power: nothing was said.
    let dying = Raw::dial(&node, 2).await;
    node.until(|network| network.is_connected(dying.id)).await;
    let first = node.network.peers()[0].id;
    let _back = Raw::dial(&node, 2).await;
    node.until(|network| network.peers().iter().all(|peer| peer.id != first)).await;
    assert!(node.network.is_connected(dying.id));
    assert_eq!(node.reasons(), ["duplicate"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_changed_is_dialled_at_once() {
    let (a, b) = (node(1), node(2));
    let (listener, nowhere) = Listener::pipe();
    drop(listener);
    a.network.add(PeerAddress { key: b.id(), address: Address::Pipe(nowhere) }).expect("it can be added");
    a.until(|network| network.known()[0].failures >= 4).await;
    let before = tokio::time::Instant::now();
    a.connects_with(&b).await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!((a.network.known()[0].failures, a.network.known()[0].last_failure.clone()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_from_a_connection_that_lost() {
    let mut node = node(1);
    let (mut slow, hello) = Raw::dial_without_hello(&node, 2).await;
    let mut quick = Raw::dial(&node, 2).await;
    node.until(|network| network.is_connected(quick.id)).await;
    // The older one opens only now, and a message comes with its hello.
    let message = slow.sealed(SYNC, link::message::Kind::Note, b"lost");
    slow.bytes(&[hello, message].concat()).await;
    node.until(|network| network.departed().recent.len() == 1).await;
    assert_eq!(node.reasons(), ["duplicate"]);
    quick.say(SYNC, link::message::Kind::Note, b"kept").await;
    assert_eq!(node.next().await.body, bytes("kept"));
}
