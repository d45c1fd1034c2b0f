//! What happens on links, told to who keeps count of them.

use std::future::Future;
use std::task::Poll;

use link::channel::{BODIES, CONSENSUS, SYNC, cost};
use link::reason::{Code, Reason};

use super::*;

async fn event(node: &mut Node) -> Event {
    let next = tokio::time::timeout(PATIENCE, node.sink.next_event()).await;
    next.expect("something happens").expect("the network runs")
}

/// The link that opens next, whatever else happens before.
async fn joined(node: &mut Node) -> LinkHandle {
    loop {
        if let Event::Joined(link) = event(node).await {
            return link;
        }
    }
}

/// What there is now, without waiting.
async fn at_once(node: &mut Node) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let mut next = std::pin::pin!(node.sink.next_event());
        match std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
            Poll::Ready(Some(event)) => events.push(event),
            Poll::Ready(None) | Poll::Pending => return events,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_joins_before_its_messages_and_leaves_after_them() {
    let (a, mut b) = (node(1), node(2));
    b.network.pin(a.id(), None).expect("it can be pinned");
    a.connects_with(&b).await;
    for (channel, body) in [(SYNC, "header"), (CONSENSUS, "vote")] {
        a.network.send(b.id(), channel, bytes(body)).await.expect("it is sent");
    }
    a.network.stop().await;
    b.until(|network| !network.is_connected(a.id())).await;
    let Event::Joined(link) = event(&mut b).await else { panic!("it opened") };
    assert_eq!((link.peer(), link.is_pinned()), (a.id(), true));
    let mut bodies = Vec::new();
    let left = loop {
        match event(&mut b).await {
            Event::Message(delivery) => bodies.push(delivery.body),
            Event::Left(peer) => break peer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((bodies, left), (vec![bytes("vote"), bytes("header")], a.id()));
    assert_eq!(link.try_send(SYNC, bytes("late")), Err(SendError::Ending));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_anothers_place_joins_when_that_has_left() {
    let (a, mut b) = (node(1), node(2));
    a.connects_with(&b).await;
    let first = joined(&mut b).await;
    a.network.send(b.id(), SYNC, bytes("one")).await.expect("it is sent");
    // It comes back with its key from elsewhere: the new link is kept.
    let again = node(1);
    again.connects_with(&b).await;
    again.network.send(b.id(), CONSENSUS, bytes("two")).await.expect("it is sent");
    let (mut told, mut second) = (Vec::new(), None);
    while told.last() != Some(&"two") {
        told.push(match event(&mut b).await {
            Event::Message(delivery) if delivery.body == bytes("one") => "one",
            Event::Message(_) => "two",
            Event::Left(peer) => {
                assert_eq!(peer, a.id());
                "left"
            }
            Event::Joined(link) => {
                second = Some(link);
                "joined"
            }
            Event::Changed { .. } => continue,
        });
    }
    assert_eq!(told, ["one", "left", "joined", "two"]);
    assert_eq!(first.try_send(SYNC, bytes("x")), Err(SendError::Ending));
    second.expect("it joined").try_send(SYNC, bytes("x")).expect("it is open");
}

#[tokio::test(start_paused = true)]
async fn round_trips_and_room_are_told_once_however_often_they_change() {
    let (mut a, mut b) = (node(1), node(2));
    a.connects_with(&b).await;
    let to_b = joined(&mut a).await;
    let whole = to_b.room().into_iter().find(|(channel, _)| *channel == BODIES).expect("it has it").1;
    let block = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..30 {
        a.network.send(b.id(), BODIES, block.clone()).await.expect("there is room at last");
    }
    for _ in 0..3 {
        a.network.ping(b.id()).expect("it is open");
        a.network.ping(b.id()).expect("it is open");
        // Time passes once everything that can be sent is there.
        tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await.expect_err("ever");
    }
    let mut news = 0;
    for event in at_once(&mut a).await {
        let Event::Changed { peer, rtt, room, pinned: None } = event else { panic!("{event:?}") };
        assert_eq!(peer, b.id());
        assert!(rtt.is_some() && room == [BODIES]);
        news += 1;
    }
    assert_eq!(news, 1);
    let used = 30 * cost(block.len() as u32);
    assert_eq!(to_b.room_of(BODIES), Some((40 << 20) - used), "what is left of the window");
    // What the peer takes comes back as well.
    joined(&mut b).await;
    drop(at_once(&mut b).await);
    tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await.expect_err("ever");
    let [Event::Changed { room, .. }] = &at_once(&mut a).await[..] else { panic!("there is more room") };
    assert_eq!((&room[..], to_b.room_of(BODIES)), (&[BODIES][..], Some(whole)));
}

#[tokio::test(start_paused = true)]
async fn what_a_message_says_may_cost_a_strike_or_the_link() {
    let (mut a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let to_b = joined(&mut a).await;
    to_b.strike("header_unlinked");
    to_b.strike("header_unlinked");
    let status = a.network.peers().remove(0).link.expect("it is open");
    assert_eq!((status.strikes, status.violations["header_unlinked"]), (2, 2));
    to_b.close_for("conflict");
    a.until(|network| network.totals().connections == 0).await;
    b.until(|network| network.totals().connections == 0).await;
    assert_eq!((a.reasons(), a.network.departed().recent[0].strikes), (vec!["conflict"], 2));
    assert_eq!(b.network.departed().recent[0].text, Reason::ByPeer(Code::Violation).to_string());
    // It cools off.
    let refused = b.network.connect(&a.peer_address()).await;
    assert_eq!(refused, Err(Reason::ByPeer(Code::Banned)));
    assert!(matches!(at_once(&mut a).await.last(), Some(Event::Left(peer)) if *peer == b.id()));
}

#[tokio::test(start_paused = true)]
async fn as_many_strikes_for_content_as_for_frames_end_a_link() {
    let (mut a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let to_b = joined(&mut a).await;
    for _ in 0..16 {
        assert!(a.network.is_connected(b.id()));
        to_b.strike("nonsense");
    }
    a.until(|network| network.totals().connections == 0).await;
    assert_eq!(a.reasons(), ["strikes"]);
    b.until(|network| network.totals().connections == 0).await;
    assert_eq!(b.network.departed().recent[0].text, Reason::ByPeer(Code::Strikes).to_string());
}

#[tokio::test(start_paused = true)]
async fn who_holds_others_up_is_parted_with_and_may_come_back() {
    let (mut a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    joined(&mut a).await.part();
    a.until(|network| !network.is_connected(b.id())).await;
    a.until(|network| network.is_connected(b.id())).await;
    assert_eq!(a.reasons(), ["held_up"]);
    let told: Vec<_> = at_once(&mut a).await;
    let of_links = told.iter().filter(|event| !matches!(event, Event::Changed { .. }));
    let of_links: Vec<_> = of_links.map(|event| matches!(event, Event::Left(_))).collect();
    assert_eq!(of_links, [true, false], "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pin_is_told_at_once_and_so_is_its_end() {
    let (a, mut b) = (node(1), node(2));
    a.connects_with(&b).await;
    let link = joined(&mut b).await;
    assert!(!link.is_pinned());
    for is_pinned in [true, false] {
        match is_pinned {
            true => b.network.pin(a.id(), None).expect("it can be pinned"),
            false => assert!(b.network.unpin(a.id())),
        }
        let told = loop {
            match event(&mut b).await {
                Event::Changed { peer, pinned: Some(pinned), .. } => break (peer, pinned),
                Event::Changed { pinned: None, .. } => continue,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((told, link.is_pinned()), ((a.id(), is_pinned), is_pinned));
    }
}
