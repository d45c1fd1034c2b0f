//! The same over what the system has: TCP, Unix sockets, several threads at once.

use link::channel::{BODIES, SYNC};
use link::reason::{Code, Reason};

use super::*;
use crate::peers::Listen;

fn at_loopback(number: u8, change: impl FnOnce(&mut Config)) -> Node {
    let at = Listen::Tcp("127.0.0.1:0".parse().expect("an address"));
    start(number, Listener::bind(&at).expect("a port"), change, Arc::new(Open))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_go_both_ways_over_tcp() {
    let (mut a, mut b) = (at_loopback(1, |_| ()), at_loopback(2, |_| ()));
    a.connects_with(&b).await;
    let address = a.network.peers()[0].address.clone();
    assert!(matches!(address, Remote::Ip(ip) if ip.ip().is_loopback()), "{address}");
    let block = Bytes::from((0..2_000_000_u32).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let (to_a, to_b) = (a.id(), b.id());
    let (from_a, from_b) = (a.network.clone(), b.network.clone());
    let send = |network: Network, to, block: Bytes| async move {
        for _ in 0..20 {
            network.send(to, BODIES, block.clone()).await.expect("it is sent");
        }
    };
    let take = async |node: &mut Node| {
        for _ in 0..20 {
            assert!(node.next().await.body == block, "a block changed on its way");
        }
    };
    tokio::join!(
        send(from_a, to_b, block.clone()),
        send(from_b, to_a, block.clone()),
        take(&mut a),
        take(&mut b)
    );
    a.network.stop().await;
    b.network.stop().await;
    assert_eq!((a.network.totals().tasks, b.network.totals().tasks), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_a_bearer_too_and_its_file_goes_with_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("peer");
    let listener = Listener::bind(&Listen::Unix(path.clone())).expect("it can be bound");
    let (a, mut b) = (node(1), start(2, listener, |_| (), Arc::new(Open)));
    a.connects_with(&b).await;
    a.network.send(b.id(), SYNC, bytes("hello")).await.expect("it is sent");
    assert_eq!(b.next().await.body, bytes("hello"));
    assert_eq!(b.network.peers()[0].address, Remote::Unix);
    assert!(matches!(Listener::bind(&Listen::Unix(path.clone())), Err(BindError::InUse { .. })));
    b.network.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_dial_each_other_at_once_keep_one_connection() {
    for _ in 0..40 {
        let (a, b) = (at_loopback(1, |_| ()), at_loopback(2, |_| ()));
        let (to_a, to_b) = (a.peer_address(), b.peer_address());
        let (one, two) = (a.network.clone(), b.network.clone());
        let (one, two) = tokio::join!(
            tokio::spawn(async move { one.add(to_b) }),
            tokio::spawn(async move { two.add(to_a) })
        );
        one.expect("it ran").expect("it can be added");
        two.expect("it ran").expect("it can be added");
        // The first once more: what it has when the second has settled may be news to it.
        for node in [&a, &b, &a] {
            node.until(|network| network.totals().open == 1 && network.totals().connections == 1).await;
        }
        // The one that is left is the same at both ends, and works.
        let (at_a, at_b) = (a.network.peers()[0].direction, b.network.peers()[0].direction);
        assert_ne!(at_a, at_b);
        let mut b = b;
        a.network.send(b.id(), SYNC, bytes("hello")).await.expect("it is sent");
        assert_eq!(b.next().await.body, bytes("hello"));
        let lost = |node: &Node| node.network.departed().counts.values().sum::<u64>();
        assert!(lost(&a) <= 2 && lost(&b) <= 2, "{:?} {:?}", a.network.departed(), b.network.departed());
        a.network.stop().await;
        b.network.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_place_is_told_so_before_any_handshake() {
    let full = at_loopback(1, |config| config.caps.per_address = std::num::NonZeroUsize::MIN);
    let (one, two) = (node(2), node(3));
    one.connects_with(&full).await;
    let refused = two.network.connect(&full.peer_address()).await;
    // The refusal may be lost when the system resets the connection.
    let heard = matches!(
        refused,
        Err(Reason::Refused(Code::Busy) | Reason::Eof | Reason::ReadFailed(_) | Reason::WriteFailed(_))
    );
    assert!(heard, "{refused:?}");
    assert_eq!(full.network.departed().refused.full_address, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_nobody_listens_at_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = listener.local_addr().expect("it is bound");
    drop(listener);
    let (a, key) = (node(1), identity(2).peer_id());
    let refused = a.network.connect(&PeerAddress { key, address: nobody.into() }).await;
    assert_eq!(refused, Err(Reason::DialFailed(std::io::ErrorKind::ConnectionRefused)));
    let address = Address::Tcp { host: "nowhere.invalid".into(), port: 1 };
    assert_eq!(a.network.connect(&PeerAddress { key, address }).await, Err(Reason::UnknownHost));
    let taken = at_loopback(3, |_| ());
    let Address::Tcp { port, .. } = taken.address else { panic!("it listens at a port") };
    let again = Listener::bind(&Listen::Tcp(([127, 0, 0, 1], port).into()));
    assert!(matches!(again, Err(BindError::InUse { .. })));
}
