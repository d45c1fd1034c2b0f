//! Two nodes: what each call does.

use link::channel::{BODIES, CONSENSUS, SYNC};
use link::message::Kind;

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
