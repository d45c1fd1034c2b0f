//! Two nodes: what each call does.

use link::channel::{BODIES, CONSENSUS, SYNC};
use link::inbound::{self, Rules};
use link::message::Kind;

use super::raw::Raw;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_message_reaches_the_other_one() {
    let (a, mut b) = (node(1), node(2));
    a.connects_with(&b).await;
    a.network.send(b.id(), SYNC, bytes("hello")).await.expect("it is sent");
    let delivery = b.next().await;
    assert_eq!((delivery.peer, delivery.channel, delivery.kind), (a.id(), SYNC, Kind::Note));
    assert_eq!(delivery.body, bytes("hello"));
    assert!(delivery.into_asker().is_none());
    b.network.try_send(a.id(), CONSENSUS, bytes("back")).expect("there is room");
    let mut a = a;
    assert_eq!(a.next().await.body, bytes("back"));
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_and_others_are_told_apart() {
    let (a, mut b) = (node(1), node(2));
    a.connects_with(&b).await;
    let to = b.id();
    let answering = async {
        let (first, second) = (b.next().await, b.next().await);
        second.into_asker().expect("a question").reply(bytes("second")).await.expect("it is sent");
        first.into_asker().expect("a question").try_reply(bytes("first")).expect("there is room");
    };
    let deadline = Duration::from_secs(5);
    let (first, second, ()) = tokio::join!(
        a.network.request(to, SYNC, bytes("1"), deadline),
        a.network.request(to, SYNC, bytes("2"), deadline),
        answering,
    );
    assert_eq!(first.expect("answered").body, bytes("first"));
    assert_eq!(second.expect("answered").body, bytes("second"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_what_is_queued_and_says_why() {
    let (a, mut b) = (node(1), node(2));
    a.connects_with(&b).await;
    let block = Bytes::from(vec![7; 1 << 20]);
    a.network.send(b.id(), BODIES, block.clone()).await.expect("it is queued");
    a.network.stop().await;
    assert_eq!(b.next().await.body, block);
    b.until(|network| !network.is_connected(a.id())).await;
    assert_eq!(b.network.departed().recent[0].text, "the peer closed it: it is stopping");
    assert_eq!(a.network.totals().tasks, 0);
    assert_eq!(a.network.try_send(b.id(), SYNC, bytes("x")), Err(SendError::NotConnected { peer: b.id() }));
}

#[tokio::test(start_paused = true)]
async fn who_sets_all_times_to_for_ever_gets_a_network_all_the_same() {
    let for_ever = |config: &mut Config| {
        let inbound = inbound::Config {
            frame_deadline: Duration::MAX,
            silence: Duration::MAX,
            ..config.link.rules.config().clone()
        };
        let mut link = link::link::Config {
            rules: Rules::new(inbound).expect("sound"),
            dial_timeout: Duration::MAX,
            handshake_timeout: Duration::MAX,
            ..(*config.link).clone()
        };
        link.outbound.closing_timeout = Duration::MAX;
        link.outbound.ping.every = Duration::MAX;
        link.outbound.ping.refill = Duration::MAX;
        config.link = Arc::new(link);
        config.socket.write_stall = Duration::MAX;
        config.cool_off = Duration::MAX;
        config.drain = Duration::MAX;
        config.tries.address_interval = Duration::MAX;
        config.dial.timeout = Duration::MAX;
        config.dial.first_pause = Duration::MAX;
        config.dial.longest_pause = Duration::MAX;
    };
    let (a, mut b) = (node_with(1, for_ever), node_with(2, for_ever));
    a.connects_with(&b).await;
    a.network.send(b.id(), SYNC, bytes("hello")).await.expect("it is sent");
    assert_eq!(b.next().await.body, bytes("hello"));
    // A dial that fails, and faults that cool off.
    let (listener, nowhere) = Listener::pipe();
    drop(listener);
    let key = identity(3).peer_id();
    a.network.add(PeerAddress { key, address: Address::Pipe(nowhere) }).expect("it can be added");
    a.until(|network| network.known().iter().any(|known| known.failures > 0)).await;
    let mut raw = Raw::dial(&b, 4).await;
    for _ in 0..16 {
        raw.segment(link::Mode::Initiator, link::Protocol(99), b"x").await;
    }
    b.until(|network| network.totals().connections == 1).await;
    a.network.stop().await;
    b.network.stop().await;
}
