//! How many tasks there are: one for each listener and two for each socket, whatever else is going on.

use super::*;

/// A node with so many peers: all dial it, or it dials all.
async fn crowd(peers: u8, dials: bool) -> (Node, Vec<Node>) {
    let wide = |config: &mut Config| {
        config.caps.outbound = 256;
        config.caps.inbound = 256;
    };
    let centre = node_with(1, wide);
    let mut others = Vec::new();
    for number in 0..peers {
        let other = node(100 + number);
        let (from, to) = if dials { (&centre, &other) } else { (&other, &centre) };
        from.network.add(to.peer_address()).expect("it can be added");
        others.push(other);
    }
    centre.until(|network| network.totals().open == usize::from(peers)).await;
    for other in &others {
        other.until(|network| network.is_connected(centre.id())).await;
    }
    (centre, others)
}

#[tokio::test(start_paused = true)]
async fn five_peers_are_eleven_tasks() {
    let (centre, _others) = crowd(5, true).await;
    let totals = centre.network.totals();
    assert_eq!((totals.tasks, totals.handshake_tasks), (11, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_peers_are_two_hundred_and_one_and_none_once_they_are_gone() {
    let (centre, others) = crowd(100, false).await;
    let totals = centre.network.totals();
    assert_eq!((totals.tasks, totals.handshake_tasks), (201, 0));
    assert!(others.iter().all(|other| other.network.totals().tasks == 3));
    // Messages to all and from all change nothing.
    assert_eq!(centre.network.broadcast(link::channel::SYNC, &bytes("to all")), 100);
    let mut others = others;
    for other in &mut others {
        assert_eq!(other.next().await.body, bytes("to all"));
    }
    assert_eq!(centre.network.totals().tasks, 201);
    for other in &others {
        other.network.stop().await;
    }
    centre.until(|network| network.totals().connections == 0).await;
    let totals = centre.network.totals();
    assert_eq!((totals.tasks, totals.held_bytes, totals.handshake_tasks), (1, 0, 0));
    centre.network.stop().await;
    assert_eq!(centre.network.totals().tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn handshakes_and_dials_are_counted_apart() {
    let centre = node(1);
    let _silent = [raw::pipe_to(&centre).await, raw::pipe_to(&centre).await];
    let (_, nowhere) = Listener::pipe();
    let peer = identity(7).peer_id();
    centre.network.add(PeerAddress { key: peer, address: Address::Pipe(nowhere) }).expect("it can be added");
    centre.until(|network| network.totals().handshakes == 2).await;
    let totals = centre.network.totals();
    assert_eq!((totals.tasks, totals.handshake_tasks), (1, 3));
    assert!(centre.network.drop_peer(peer));
    centre.until(|network| network.totals().connections == 0).await;
    assert_eq!(centre.network.totals().handshake_tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_that_is_dropped_ends_everything() {
    let (a, b) = (node(1), node(2));
    a.connects_with(&b).await;
    let shared = b.network.shared().clone();
    shared.tasks.close();
    drop(b);
    tokio::time::timeout(PATIENCE, shared.tasks.wait()).await.expect("its tasks end");
    a.until(|network| !network.is_connected(identity(2).peer_id())).await;
}
