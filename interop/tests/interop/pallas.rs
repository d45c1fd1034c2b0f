//! `pallas-network`, both ways round: its client at our server, its server for our clients.

use std::net::SocketAddr;

use pallas_network::facades::{PeerClient, PeerServer};
use pallas_network::miniprotocols::handshake::n2n::{VersionData, VersionTable};
use pallas_network::miniprotocols::peersharing::PeerAddress;
use pallas_network::miniprotocols::{
    PROTOCOL_N2N_HANDSHAKE, PROTOCOL_N2N_PEER_SHARING, Point, blockfetch, chainsync, handshake, keepalive,
    peersharing,
};
use pallas_network::multiplexer::{Bearer, Plexer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::real::Block;

/// Preview's.
pub(crate) const MAGIC: u64 = 2;

fn point(block: &Block) -> Point {
    Point::Specific(block.slot, block.hash.to_vec())
}

/// Follows a server from origin to its tip with pallas's client, one request at a time, and compares each header; then
/// waits at the tip.
pub(crate) async fn follow(address: SocketAddr, chain: &[Block]) {
    let mut client = PeerClient::connect(address, MAGIC).await.expect("the handshake");
    let (last, height) = (chain.last().expect("a chain"), chain.last().expect("a chain").height());
    let (found, tip) = client.chainsync().find_intersect(vec![Point::Origin]).await.expect("an answer");
    assert_eq!((found, &tip), (Some(Point::Origin), &chainsync::Tip(point(last), height)));
    let back = client.chainsync().request_next().await.expect("an answer");
    assert!(
        matches!(back, chainsync::NextResponse::RollBackward(Point::Origin, _)),
        "first back to the intersection"
    );
    for block in chain {
        match client.chainsync().request_next().await.expect("an answer") {
            chainsync::NextResponse::RollForward(header, told) => {
                assert_eq!(header.cbor, block.header(), "the header of {}", block.point());
                assert_eq!(told, tip);
            }
            other => panic!("{other:?} instead of {}", block.point()),
        }
    }
    let at_tip = client.chainsync().request_next().await.expect("an answer");
    assert!(matches!(at_tip, chainsync::NextResponse::Await), "{at_tip:?} at the tip");
    client.abort().await;
}

/// Loads all blocks in one range and some in small ones, and compares each.
pub(crate) async fn load(address: SocketAddr, chain: &[Block]) {
    let mut client = PeerClient::connect(address, MAGIC).await.expect("the handshake");
    let fetch = client.blockfetch();
    for step in [chain.len(), 997] {
        for part in chain.chunks(step).step_by(7) {
            let range = (point(&part[0]), point(part.last().expect("not empty")));
            assert!(fetch.request_range(range).await.expect("an answer").is_some(), "the range is there");
            for block in part {
                let body =
                    fetch.recv_while_streaming().await.expect("a block").expect("as many as asked for");
                assert!(body == block.raw, "the block {}", block.point());
            }
            assert!(fetch.recv_while_streaming().await.expect("the end").is_none(), "and no more");
        }
    }
    let backwards = (point(&chain[9]), point(&chain[3]));
    assert!(
        fetch.request_range(backwards).await.expect("an answer").is_none(),
        "a range that runs backwards"
    );
    let unknown = (Point::Specific(chain[3].slot, vec![7; 32]), point(&chain[9]));
    assert!(fetch.request_range(unknown).await.expect("an answer").is_none(), "a block that is not there");
    client.abort().await;
}

/// What the server answers to a client that only asks for its versions.
pub(crate) async fn versions(address: SocketAddr) -> Vec<u64> {
    let table = PeerClient::handshake_query(address, MAGIC).await.expect("an answer");
    let mut versions: Vec<_> = table.values.into_keys().collect();
    versions.sort_unstable();
    versions
}

/// The addresses that the server tells of.
pub(crate) async fn peers(address: SocketAddr) -> Vec<String> {
    // `PeerClient` never agrees to peer-sharing: the handshake by hand.
    let bearer = Bearer::connect_tcp(address).await.expect("a connection");
    let mut plexer = Plexer::new(bearer);
    let mut greeting = handshake::N2NClient::new(plexer.subscribe_client(PROTOCOL_N2N_HANDSHAKE));
    let mut sharing = peersharing::Client::new(plexer.subscribe_client(PROTOCOL_N2N_PEER_SHARING));
    let plexer = plexer.spawn();
    let data = VersionData::new(MAGIC, false, Some(1), Some(false));
    let table = VersionTable { values: [(14, data)].into() };
    let confirmed = greeting.handshake(table).await.expect("an answer");
    assert!(matches!(confirmed, handshake::Confirmation::Accepted(14, _)), "{confirmed:?}");
    sharing.send_share_request(10).await.expect("sent");
    let told = sharing.recv_peer_addresses().await.expect("an answer");
    plexer.abort().await;
    let text = |address| match address {
        PeerAddress::V4(ip, port) => SocketAddr::from((ip, port as u16)).to_string(),
        PeerAddress::V6(ip, port) => SocketAddr::from((ip, port as u16)).to_string(),
    };
    told.into_iter().map(text).collect()
}

/// A connection of another network must be refused, and say so.
pub(crate) async fn stranger_is_refused(address: SocketAddr) {
    assert!(PeerClient::connect(address, MAGIC + 1).await.is_err(), "another network is let in");
}

/// Intersections from a list of which only some are known: the first that is on the chain counts.
pub(crate) async fn intersect(address: SocketAddr, chain: &[Block]) {
    let mut client = PeerClient::connect(address, MAGIC).await.expect("the handshake");
    let unknown = Point::Specific(chain[5].slot, vec![7; 32]);
    let places = [0, 1, 255, 256, 257, chain.len() / 2, chain.len() - 1];
    for at in places {
        let points = vec![unknown.clone(), point(&chain[at]), point(&chain[0])];
        let (found, _) = client.chainsync().find_intersect(points).await.expect("an answer");
        assert_eq!(found, Some(point(&chain[at])));
        let back = client.chainsync().request_next().await.expect("an answer");
        assert!(matches!(back, chainsync::NextResponse::RollBackward(to, _) if to == point(&chain[at])));
        if let Some(next) = chain.get(at + 1) {
            match client.chainsync().request_next().await.expect("an answer") {
                chainsync::NextResponse::RollForward(header, _) => assert_eq!(header.cbor, next.header()),
                other => panic!("{other:?} instead of {}", next.point()),
            }
        }
    }
    let (found, _) = client.chainsync().find_intersect(vec![unknown]).await.expect("an answer");
    assert_eq!(found, None);
    client.abort().await;
}

/// A server on pallas's `PeerServer`, with the chain in memory; it serves until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(chain: &'static [Block]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok(server) = PeerServer::accept(&listener, MAGIC).await {
                clients.spawn(serve(server, chain));
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn serve(server: PeerServer, chain: &'static [Block]) {
    let PeerServer { plexer, chainsync, blockfetch, keepalive, .. } = server;
    tokio::join!(headers(chainsync, chain), blocks(blockfetch, chain), alive(keepalive));
    plexer.abort().await;
}

fn position(chain: &[Block], at: &Point) -> Option<usize> {
    match at {
        Point::Origin => Some(0),
        Point::Specific(slot, hash) => {
            let found = chain.binary_search_by_key(slot, |block| block.slot).ok()?;
            (chain[found].hash[..] == hash[..]).then_some(found + 1)
        }
    }
}

async fn headers(mut server: chainsync::N2NServer, chain: &[Block]) {
    let last = chain.last().expect("a chain");
    let tip = || chainsync::Tip(point(last), last.height());
    let (mut next, mut back) = (0, Some(Point::Origin));
    while let Ok(Some(request)) = server.recv_while_idle().await {
        let sent = match request {
            chainsync::ClientRequest::Intersect(points) => {
                match points.into_iter().find_map(|at| Some((position(chain, &at)?, at))) {
                    Some((found, at)) => {
                        (next, back) = (found, Some(at.clone()));
                        server.send_intersect_found(at, tip()).await
                    }
                    None => server.send_intersect_not_found(tip()).await,
                }
            }
            chainsync::ClientRequest::RequestNext => match (back.take(), chain.get(next)) {
                (Some(at), _) => server.send_roll_backward(at, tip()).await,
                (None, Some(block)) => {
                    next += 1;
                    let variant = block.raw[1] - 1;
                    let content = chainsync::HeaderContent {
                        variant,
                        byron_prefix: None,
                        cbor: block.header().to_vec(),
                    };
                    server.send_roll_forward(content, tip()).await
                }
                (None, None) => {
                    let _ = server.send_await_reply().await;
                    // The chain is finished: nothing more comes. The turn is ours now, and pallas refuses to read
                    // another request, as in any server on it. So what the client has pipelined stays unread: behind
                    // 100 segments of it pallas's demultiplexer waits, and reads nothing for block-fetch and
                    // keep-alive either. That is not mended here: our program must do with fewer segments.
                    return std::future::pending().await;
                }
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn blocks(mut server: blockfetch::Server, chain: &[Block]) {
    while let Ok(Some(blockfetch::BlockRequest((from, to)))) = server.recv_while_idle().await {
        let range = match (position(chain, &from), position(chain, &to)) {
            (Some(from), Some(to)) if 0 < from && from <= to => &chain[from - 1..to],
            _ => &[],
        };
        let bodies = range.iter().map(|block| block.raw.clone()).collect();
        if server.send_block_range(bodies).await.is_err() {
            return;
        }
    }
}

async fn alive(mut server: keepalive::Server) {
    while server.keepalive_roundtrip().await.is_ok() {}
}
