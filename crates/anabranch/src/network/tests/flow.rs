//! Backpressure: who waits for whom, and who does not.

use std::future::Future;
use std::num::{NonZeroU64, NonZeroUsize};

use link::channel::{BODIES, CONSENSUS, ECHO, SYNC};
use link::message::Kind;

use super::raw::Raw;
use super::*;

/// The window of a channel.
fn window(channel: link::Protocol) -> u64 {
    let channels = Config::new(NETWORK_ID).link.rules.channels().to_vec();
    channels.iter().find(|one| one.number == channel).expect("there is one").window_bytes.into()
}

/// Sends blocks until that has to wait.
async fn fill(from: &Node, to: PeerId, block: &Bytes) -> usize {
    let mut sent = 0;
    // Time stands still, so that it goes on only when there is nothing else to do.
    while tokio::time::timeout(Duration::from_millis(1), from.network.send(to, BODIES, block.clone()))
        .await
        .is_ok()
    {
        sent += 1;
    }
    sent
}

/// Lets time pass, and whatever happens in it.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// Returns when nothing goes on without time: it stands still until then.
async fn settle() {
    pass(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_nobody_empties_stops_that_channel_of_that_peer_alone() {
    let (a, mut b, c) = (node(1), node(2), node(3));
    a.connects_with(&b).await;
    c.connects_with(&b).await;
    let block = Bytes::from(vec![1; 1 << 20]);
    let sent = fill(&a, b.id(), &block).await;
    assert!(sent as u64 * block.len() as u64 >= window(BODIES), "the window was not even used");
    assert!(b.network.totals().held_bytes <= b.network.totals().budget_bytes);
    // What is urgent goes on, and so do other peers, on the same channel.
    a.network.try_send(b.id(), CONSENSUS, bytes("vote")).expect("there is room");
    c.network.try_send(b.id(), BODIES, bytes("c's")).expect("there is room");
    settle().await;
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(b.next().await);
    }
    assert_eq!(got[0].channel, CONSENSUS, "what is urgent is taken first");
    assert!(got.iter().any(|delivery| delivery.peer == c.id()), "and then each peer in turn");
    // They stayed alive beside the full channel.
    pass(Duration::from_secs(300)).await;
    assert!(a.network.is_connected(b.id()) && b.network.is_connected(a.id()));
    drop(got);
    // Taken, all of it comes, in order and whole.
    let mut blocks = 1;
    while blocks < sent {
        let delivery = b.next().await;
        assert_eq!((delivery.peer, delivery.body.len()), (a.id(), block.len()));
        blocks += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_sink_does_not_delay_a_stop() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    fill(&a, b.id(), &Bytes::from(vec![1; 1 << 20])).await;
    let before = tokio::time::Instant::now();
    b.network.stop().await;
    assert!(before.elapsed() <= Duration::from_millis(1_001), "{:?}", before.elapsed());
    assert_eq!(b.network.totals().tasks, 0);
    let before = tokio::time::Instant::now();
    a.network.stop().await;
    assert!(before.elapsed() <= Duration::from_millis(1_001), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_does_not_delay_a_stop() {
    let node = node(1);
    let raw = Raw::dial(&node, 2).await;
    node.until(|network| network.is_connected(raw.id)).await;
    while node.network.try_send(raw.id, BODIES, Bytes::from(vec![1; 100_000])).is_ok() {}
    settle().await;
    let before = tokio::time::Instant::now();
    node.network.stop().await;
    assert!(before.elapsed() <= Duration::from_millis(1_001), "{:?}", before.elapsed());
    assert_eq!((node.network.totals().tasks, node.reasons()), (0, vec!["stopping"]));
}

#[tokio::test(start_paused = true)]
async fn broadcast_never_waits_for_a_slow_peer() {
    let (a, slow, mut quick) = (node(1), node(2), node(3));
    a.connects_with(&slow).await;
    a.connects_with(&quick).await;
    let block = Bytes::from(vec![1; 1 << 20]);
    fill(&a, slow.id(), &block).await;
    assert_eq!(a.network.broadcast(BODIES, &block), 1);
    assert_eq!(quick.next().await.body.len(), block.len());
    assert_eq!(a.network.broadcast(CONSENSUS, &bytes("vote")), 2);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_given_up_has_sent_nothing() {
    let (a, mut b) = (node(1), node(2));
    a.connects_with(&b).await;
    let block = Bytes::from(vec![1; 1 << 20]);
    let sent = fill(&a, b.id(), &block).await;
    {
        let mut given_up = std::pin::pin!(a.network.send(b.id(), BODIES, Bytes::from(vec![2; 1 << 20])));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(given_up.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    let waiting = a.network.send(b.id(), BODIES, Bytes::from(vec![3; 1 << 20]));
    let taking = async {
        for _ in 0..sent {
            assert_eq!(b.sink.next().await.expect("it runs").body[0], 1);
        }
        b.sink.next().await.expect("it runs").body[0]
    };
    let (waited, last) = tokio::join!(waiting, taking);
    assert_eq!((waited, last), (Ok(()), 3));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_dropped_lets_everything_pass() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let Node { network, sink, .. } = b;
    drop(sink);
    let block = Bytes::from(vec![1; 1 << 20]);
    for _ in 0..4 * window(BODIES) / block.len() as u64 {
        let sent = a.network.send(network.peer_id(), BODIES, block.clone());
        tokio::time::timeout(PATIENCE, sent).await.expect("there is room").expect("it is sent");
    }
    assert_eq!(network.totals().waiting_deliveries, 0);
}

#[tokio::test(start_paused = true)]
async fn questions_are_bounded_and_end_with_their_connection() {
    let a = node_with(1, |config| config.max_requests = NonZeroUsize::new(2).expect("not zero"));
    let b = node(2);
    a.connects_with(&b).await;
    let ask = || a.network.request(b.id(), ECHO, bytes("?"), Duration::from_secs(9));
    let (mut one, mut two) = (std::pin::pin!(ask()), std::pin::pin!(ask()));
    let poll_both = std::future::poll_fn(|cx| {
        std::task::Poll::Ready(one.as_mut().poll(cx).is_pending() && two.as_mut().poll(cx).is_pending())
    });
    assert!(poll_both.await);
    assert_eq!(ask().await.expect_err("there are two"), RequestError::TooMany);
    assert_eq!(a.network.peers()[0].link.as_ref().expect("it is open").requests, 2);
    b.network.stop().await;
    assert_eq!(one.await.expect_err("it ended"), RequestError::Ended);
    assert_eq!(two.await.expect_err("it ended"), RequestError::Ended);
    let unconnected = RequestError::Unsent(SendError::NotConnected { peer: b.id() });
    assert_eq!(ask().await.expect_err("it is gone"), unconnected);
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_does_not_take_is_not_sent() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let channels = Config::new(NETWORK_ID).link.rules.channels().to_vec();
    let echo = channels.iter().find(|one| one.number == ECHO).expect("there is one").max_message_bytes;
    let long = Bytes::from(vec![0; echo as usize + 1]);
    let refused = a.network.try_send(b.id(), ECHO, long.clone());
    assert_eq!(refused, Err(SendError::TooLong { length: long.len(), limit: echo }));
    assert_eq!(a.network.try_send(b.id(), link::Protocol(77), long.clone()), Err(SendError::NoChannel));
    assert_eq!(a.network.try_send(b.id(), link::channel::CONTROL, bytes("x")), Err(SendError::NoChannel));
    a.network.send(b.id(), ECHO, long.slice(1..)).await.expect("it fits");
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_but_is_held_still_counts() {
    let mut node = node(1);
    let mut raw = Raw::dial(&node, 2).await;
    raw.say(SYNC, Kind::Note, &[7; 10_000]).await;
    let before = node.network.totals().held_bytes;
    let delivery = node.next().await;
    drop(raw);
    node.until(|network| network.totals().connections == 0).await;
    let held = node.network.totals().held_bytes;
    assert!(held >= 10_000 && held <= before.max(64 << 10), "{held} of {before}");
    drop(delivery);
    assert_eq!(node.network.totals().held_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn answers_that_the_asker_does_not_take_count_in_the_budget() {
    let mut node = node_with(1, |config| {
        config.budget_bytes = NonZeroU64::new(8 << 20).expect("not zero");
        config.caps.connections = NonZeroUsize::new(32).expect("not zero");
        config.caps.reserved = 0;
    });
    let mut raw = Raw::dial(&node, 2).await;
    let set_aside = node.network.totals().held_bytes;
    for number in 0..30 {
        raw.say(ECHO, Kind::Request(number), &[7; 10_000]).await;
        let asked = node.next().await;
        let body = asked.body.clone();
        asked.into_asker().expect("a question").try_reply(body).expect("there is room");
    }
    // 64 KiB are in the pipe; the rest waits, and nobody but its queue has it any more.
    settle().await;
    let held = node.network.totals().held_bytes - set_aside;
    assert!((100_000..300_000).contains(&held), "{held}");
    drop(raw);
    node.until(|network| network.totals().connections == 0).await;
    assert_eq!(node.network.totals().held_bytes, 0);
}
