//! The server over loopback, with clients that speak bytes.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::view::{Entry, Orphans};
use chain::{Block, Format, Hash, Header, Height, Point, Position, Slot, View, cardano};
use link::mux::{Demux, Limit, Policy};
use link::{Mode, Protocol, segment};
use ouroboros::framing::Framer;
use ouroboros::handshake::{self, Version, VersionData, Versions};
use ouroboros::limits::{BLOCK_FETCH, CHAIN_SYNC, HANDSHAKE, KEEP_ALIVE};
use ouroboros::server::{Output, Reason};
use ouroboros::{block_fetch, chain_sync, keep_alive};
use store::Store;
use store::files::memory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;

const MAGIC: u32 = 2;
const REQUEST_NEXT: [u8; 2] = [0x81, 0x00];
/// Far above what anything here takes; only a fault waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

const ALL: &[Limit] = &[
    Limit { protocol: HANDSHAKE, ingress_bytes: u32::MAX },
    Limit { protocol: CHAIN_SYNC, ingress_bytes: u32::MAX },
    Limit { protocol: BLOCK_FETCH, ingress_bytes: u32::MAX },
    Limit { protocol: KEEP_ALIVE, ingress_bytes: u32::MAX },
];

/// A server with a chain: most of it in a store, its end in the view.
struct World {
    handle: Handle,
    publish: watch::Sender<Arc<View>>,
    blocks: Vec<Block>,
    settled: usize,
    epoch: u64,
    _store: Store<memory::Files>,
}

impl World {
    /// Shows `settled` blocks in the log and ten above it.
    fn start(settled: usize, block_bytes: usize, change: impl FnOnce(&mut Config)) -> Self {
        let blocks = blocks(settled + 40, block_bytes);
        let params = cardano::Params::built_in("preview").expect("preview is built in");
        let format = Format::Cardano(Arc::new(params));
        let files = memory::Files::new(1);
        let (mut store, _) = Store::open(files, &format, &store::Config::default()).expect("an empty store");
        store.settle(&blocks[..settled]).expect("memory takes it");
        store.sync().expect("memory takes it");
        let (publish, views) = watch::channel(view(&blocks, settled, 10, 1));
        let mut config = Config::new(MAGIC);
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let inbox = Arc::default();
        let handle = Server::start(vec![listener], config, views, store.reader(), inbox).expect("it listens");
        Self { handle, publish, blocks, settled, epoch: 1, _store: store }
    }

    /// Publishes a view with so many blocks above the log.
    fn publish(&mut self, above: usize) {
        self.epoch += 1;
        self.publish.send_replace(view(&self.blocks, self.settled, above, self.epoch));
    }

    fn tip(&self, above: usize) -> Point {
        self.blocks[self.settled + above - 1].header.point()
    }

    async fn connect(&self) -> Client {
        let mut client = self.dial().await;
        client.shake_hands().await;
        client
    }

    async fn dial(&self) -> Client {
        let stream = TcpStream::connect(self.handle.local_addr().unwrap()).await.expect("it listens");
        Client {
            stream,
            demux: Demux::new(Mode::Initiator, Policy::Close, ALL),
            framers: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    /// Waits until the server has so many clients.
    async fn has(&self, count: usize) {
        until(|| self.handle.count() == count).await;
    }
}

/// Waits until something that no event tells is so.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it never came to be");
}

fn blocks(count: usize, bytes: usize) -> Vec<Block> {
    let mut prev = None;
    let block = |position: usize| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&(position as u64).to_be_bytes());
        let mut wire = vec![0x82, 0x05, 0xd8, 24, 0x58, 32];
        wire.extend_from_slice(&id);
        let header = Header {
            id: Hash(id),
            prev: prev.replace(Hash(id)),
            slot: Slot(position as u64 * 20),
            height: Height(position as u64),
            boundary: false,
            wire: wire.into(),
        };
        Block { header, raw: Bytes::from(vec![position as u8; bytes + position % 7]) }
    };
    (0..count).map(block).collect()
}

fn view(blocks: &[Block], settled: usize, above: usize, epoch: u64) -> Arc<View> {
    let entry = |(position, block): (usize, &Block)| {
        Arc::new(Entry {
            position: Position(position as u64),
            header: block.header.clone(),
            block: block.raw.clone(),
        })
    };
    let volatile = blocks.iter().enumerate().skip(settled).take(above).map(entry).collect();
    let last = blocks[settled - 1].header.tip();
    Arc::new(View::new(epoch, last, settled as u64, Arc::new([]), volatile, Arc::<Orphans>::default()))
}

/// A client's end of a connection.
struct Client {
    stream: TcpStream,
    demux: Demux,
    framers: BTreeMap<Protocol, Framer>,
    said: Vec<(Protocol, Vec<u8>)>,
}

impl Client {
    async fn say(&mut self, protocol: Protocol, message: &[u8]) {
        self.try_say(protocol, message).await.expect("the server takes it");
    }

    async fn try_say(&mut self, protocol: Protocol, message: &[u8]) -> std::io::Result<()> {
        let length = message.len() as u16;
        let header = segment::Header { sent_us: 0, mode: Mode::Initiator, protocol, length };
        let bytes = [&header.encode()[..], message].concat();
        self.stream.write_all(&bytes).await
    }

    /// The server's next message; `None` at the end of the connection.
    async fn hear(&mut self) -> Option<(Protocol, Vec<u8>)> {
        let mut buffer = vec![0; 65_536];
        while self.said.is_empty() {
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            let got = read.expect("the server says nothing").unwrap_or(0);
            if got == 0 {
                return None;
            }
            let mut rest = &buffer[..got];
            while let Some(part) = self.demux.next(&mut rest).expect("the server keeps to the mux") {
                let framer = self.framers.entry(part.protocol).or_default();
                let mut bytes = part.bytes;
                while let Some(item) = framer.next(&mut bytes, 2_500_000).expect("the server says CBOR") {
                    self.said.push((part.protocol, item.bytes().to_vec()));
                }
                self.demux.release(part.protocol, part.bytes.len());
            }
        }
        Some(self.said.remove(0))
    }

    async fn ask(&mut self, protocol: Protocol, message: &[u8]) -> Vec<u8> {
        self.say(protocol, message).await;
        let (of, answer) = self.hear().await.expect("an answer");
        assert_eq!(of, protocol);
        answer
    }

    async fn shake_hands(&mut self) {
        let data = VersionData {
            magic: MAGIC,
            initiator_only: true,
            peer_sharing: false,
            query: false,
            peras: false,
        };
        let table = [(Version::V14, data)];
        let propose = handshake::Message::ProposeVersions { versions: Versions::new(&table) };
        let answer = self.ask(HANDSHAKE, &encoded(|out| propose.encode(out))).await;
        let accept = handshake::Message::AcceptVersion { version: Version::V14, data };
        assert_eq!(answer, encoded(|out| accept.encode(out)));
    }

    async fn ping(&mut self, cookie: u16) {
        let ask = encoded(|out| keep_alive::Message::KeepAlive { cookie }.encode(out));
        let answer = self.ask(KEEP_ALIVE, &ask).await;
        assert_eq!(answer, encoded(|out| keep_alive::Message::Response { cookie }.encode(out)));
    }

    /// Goes to a point and to where the next answer is a header, or AwaitReply.
    async fn go_to(&mut self, point: Point) {
        let points = [point];
        let find = chain_sync::Message::FindIntersect { points: ouroboros::codec::List::new(&points) };
        let found = self.ask(CHAIN_SYNC, &encoded(|out| find.encode(out))).await;
        assert!(matches!(
            chain_sync::Message::decode(&found),
            Ok(chain_sync::Message::IntersectFound { .. })
        ));
        let back = self.ask(CHAIN_SYNC, &REQUEST_NEXT).await;
        assert!(matches!(chain_sync::Message::decode(&back), Ok(chain_sync::Message::RollBackward { .. })));
    }

    /// Says FindIntersect for points that are in no chain, and these behind them.
    async fn search(&mut self, unknown: u64, points: &[Point]) {
        let unknown = (0..unknown).map(|slot| Point::Block(Slot(slot % 500), Hash([0xee; 32])));
        let points: Vec<_> = unknown.chain(points.iter().copied()).collect();
        let find = chain_sync::Message::FindIntersect { points: ouroboros::codec::List::new(&points) };
        let find = encoded(|out| find.encode(out));
        for part in find.chunks(12_288) {
            self.say(CHAIN_SYNC, part).await;
        }
    }

    /// Asks for the next header; its position.
    async fn next(&mut self) -> u64 {
        let answer = self.ask(CHAIN_SYNC, &REQUEST_NEXT).await;
        position(&answer)
    }
}

fn position(answer: &[u8]) -> u64 {
    match chain_sync::Message::decode(answer) {
        Ok(chain_sync::Message::RollForward { header, .. }) => {
            u64::from_be_bytes(header[6..14].try_into().unwrap())
        }
        other => panic!("{other:?} is no header"),
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

fn range(from: &Block, to: &Block) -> Vec<u8> {
    let (from, to) = (from.header.point(), to.header.point());
    encoded(|out| block_fetch::Message::RequestRange { from, to }.encode(out))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follows_from_origin_through_the_log_to_the_tip_and_waits_there() {
    let mut world = World::start(600, 100, |_| ());
    let mut client = world.connect().await;
    client.go_to(Point::Origin).await;
    for expected in 0..610 {
        assert_eq!(client.next().await, expected);
    }
    assert_eq!(client.ask(CHAIN_SYNC, &REQUEST_NEXT).await, [0x81, 0x01]);
    for above in 11..20 {
        world.publish(above);
        let (_, header) = client.hear().await.unwrap();
        assert_eq!(position(&header), 600 + above as u64 - 1);
        assert_eq!(client.ask(CHAIN_SYNC, &REQUEST_NEXT).await, [0x81, 0x01]);
    }
    let listed = world.handle.clients();
    assert_eq!((listed[0].status.chain_sync, listed[0].status.position), ("MustReply", 619));
    assert_eq!(listed[0].status.cursor, world.tip(19));
    assert!(listed[0].sent_bytes > 600 * 40 && !listed[0].blocked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_ahead_takes_its_part_of_the_memory_and_no_more() {
    for (max_held_bytes, may_keep) in [(1 << 20, true), (10_000, false)] {
        let world = World::start(1_200, 100, |config| config.max_held_bytes = max_held_bytes);
        let mut clients = Vec::new();
        for place in 0..4_usize {
            let mut client = world.connect().await;
            client.go_to(world.blocks[place * 256 + 10].header.point()).await;
            clients.push(client);
        }
        for step in 11..40 {
            for (place, client) in clients.iter_mut().enumerate() {
                assert_eq!(client.next().await, place as u64 * 256 + step);
            }
            let held = world.handle.held_bytes();
            assert!(held <= max_held_bytes / 2, "{held} B");
        }
        // Four chunks of 256 headers, or not even one.
        until(|| (world.handle.held_bytes() > 4 * 256 * 38) == may_keep).await;
        drop(clients);
        until(|| world.handle.held_bytes() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_asks_no_more_gives_back_what_was_read_ahead() {
    let world = World::start(600, 100, |_| ());
    let mut client = world.connect().await;
    client.go_to(Point::Origin).await;
    assert_eq!(client.next().await, 0);
    until(|| world.handle.held_bytes() == 0).await;
    assert_eq!(client.next().await, 1);
}

/// All clients of this runtime are on this thread.
#[tokio::test]
async fn what_one_client_wanted_and_did_not_get_is_not_done_for_the_next_on_its_thread() {
    let world = World::start(20, 100, |_| ());
    let mut client = world.connect().await;
    let left = [Output::Closed(Reason::Lost), Output::Blocks(Position(0), Position(9))];
    scratch::with(|scratch| scratch.outputs.extend(left));
    client.ping(1).await;
    assert_eq!((world.handle.count(), world.handle.departed().len()), (1, 0));
    scratch::with(|scratch| assert!(scratch.outputs.is_empty(), "{:?}", scratch.outputs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_points_are_searched_in_turn_and_given_up_with_their_client() {
    let world = World::start(600, 100, |_| ());
    let wanted = world.blocks[500].header.point();
    let mut client = world.connect().await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let mut other = world.connect().await;
        other.search(1_500, &[]).await;
        crowd.push(other);
    }
    client.go_to(wanted).await;
    drop(crowd);
    client.search(1_500, &[wanted, world.blocks[400].header.point()]).await;
    let (_, answer) = client.hear().await.expect("an answer");
    let Ok(chain_sync::Message::IntersectFound { point, .. }) = chain_sync::Message::decode(&answer) else {
        panic!("the first that is there was not found");
    };
    assert_eq!(point, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_come_as_stored_out_of_log_and_view() {
    let world = World::start(300, 20_000, |_| ());
    let mut client = world.connect().await;
    client.say(BLOCK_FETCH, &range(&world.blocks[2], &world.blocks[305])).await;
    assert_eq!(client.hear().await.unwrap().1, [0x81, 0x02]);
    for block in &world.blocks[2..=305] {
        let (_, message) = client.hear().await.unwrap();
        assert_eq!(
            block_fetch::Message::decode(&message),
            Ok(block_fetch::Message::Block { raw: &block.raw })
        );
    }
    assert_eq!(client.hear().await.unwrap().1, [0x81, 0x05]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_delays_nobody_and_holds_little() {
    let mut world = World::start(400, 60_000, |_| ());
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = world.connect().await;
        // 24 MB, and nothing of it is read.
        client.say(BLOCK_FETCH, &range(&world.blocks[0], &world.blocks[399])).await;
        slow.push(client);
    }
    until(|| world.handle.clients().iter().all(|client| client.blocked)).await;
    let mut honest = world.connect().await;
    honest.go_to(world.tip(10)).await;
    assert_eq!(honest.ask(CHAIN_SYNC, &REQUEST_NEXT).await, [0x81, 0x01]);
    world.publish(11);
    assert_eq!(position(&honest.hear().await.unwrap().1), 410);
    // The slow ones' other protocols go on being read: the server answers once they take what waits for them.
    slow[3].say(KEEP_ALIVE, &encoded(|out| keep_alive::Message::KeepAlive { cookie: 5 }.encode(out))).await;
    loop {
        if slow[3].hear().await.expect("it is served").0 == KEEP_ALIVE {
            break;
        }
    }
    assert_eq!(world.handle.count(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_do_not_stop_the_handshakes_of_others() {
    let world = World::start(20, 100, |_| ());
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(world.dial().await);
    }
    world.connect().await.ping(9).await;
    assert!(world.handle.count() >= 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_ends_its_own_connection_alone_and_is_remembered() {
    let world = World::start(20, 100, |_| ());
    let mut good = world.connect().await;
    let mut bad = world.connect().await;
    bad.say(CHAIN_SYNC, &[0x82, 0x04, 0x1c]).await;
    assert_eq!(bad.hear().await, None);
    world.has(1).await;
    good.ping(1).await;
    let departed = world.handle.departed();
    assert!(departed[0].reason.contains("malformed CBOR"), "{}", departed[0].reason);
    assert_eq!(world.handle.totals().violations, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_gets_the_place_of_its_dead_connection() {
    let world = World::start(20, 100, |config| {
        config.max_clients_per_address = 2;
        config.silent_after = Duration::from_millis(200);
    });
    let (_dead, mut live) = (world.connect().await, world.connect().await);
    // The newcomer waits until one of them has been silent for long enough; the live one goes on talking.
    let mut back = world.dial().await;
    let talk = async {
        loop {
            live.ping(1).await;
        }
    };
    tokio::select! {
        () = talk => {}
        () = back.shake_hands() => {}
    }
    // The same cookie: the last answer may still be on its way.
    live.ping(1).await;
    assert_eq!((world.handle.count(), world.handle.totals().evicted), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_too_many_is_refused_while_all_others_are_alive() {
    let world = World::start(20, 100, |config| {
        config.max_clients = 1;
        config.silent_after = Duration::from_secs(1);
    });
    let mut live = world.connect().await;
    let mut other = world.dial().await;
    let talk = async {
        loop {
            live.ping(1).await;
        }
    };
    tokio::select! {
        () = talk => {}
        end = other.hear() => assert_eq!(end, None),
    }
    // The same cookie: the last answer may still be on its way.
    live.ping(1).await;
    assert_eq!((world.handle.count(), world.handle.totals().refused), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closes_makes_room_at_once() {
    let world = World::start(20, 100, |config| config.max_clients_per_address = 1);
    for _ in 0..20 {
        world.connect().await.ping(1).await;
    }
    world.has(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_was_asked_for() {
    let world = World::start(300, 10_000, |_| ());
    let mut idle = world.connect().await;
    let mut busy = world.connect().await;
    busy.say(BLOCK_FETCH, &range(&world.blocks[0], &world.blocks[299])).await;
    assert_eq!(busy.hear().await.unwrap().1, [0x81, 0x02]);
    let handle = world.handle.clone();
    let drain = tokio::spawn(async move { handle.drain().await });
    assert_eq!(idle.hear().await, None);
    let mut blocks = 0;
    while let Some((_, message)) = busy.hear().await {
        blocks += usize::from(matches!(
            block_fetch::Message::decode(&message),
            Ok(block_fetch::Message::Block { .. })
        ));
    }
    assert_eq!(blocks, 300);
    tokio::time::timeout(PATIENCE, drain).await.expect("the drain ends").expect("it does not fail");
    assert_eq!(world.handle.count(), 0);
    assert!(TcpStream::connect(world.handle.local_addr().unwrap()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_does_not_wait_for_ever_for_a_client_that_does_not_read() {
    let world = World::start(400, 60_000, |config| config.drain = Duration::from_millis(50));
    let mut slow = world.connect().await;
    slow.say(BLOCK_FETCH, &range(&world.blocks[0], &world.blocks[399])).await;
    until(|| world.handle.clients().iter().all(|client| client.blocked)).await;
    tokio::time::timeout(PATIENCE, world.handle.drain()).await.expect("the drain ends");
    assert_eq!(world.handle.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_send_without_end_share_a_bound() {
    let world = World::start(20, 100, |config| config.max_held_bytes = 256 * 1024);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = world.connect().await;
        client.go_to(world.tip(10)).await;
        // A request at the tip, and behind it a FindIntersect that must wait, and more behind that.
        client.say(CHAIN_SYNC, &REQUEST_NEXT).await;
        for _ in 0..10 {
            let mut find = vec![0x82, 0x04, 0x99, 0x03, 0x00];
            find.extend_from_slice(&[0x80; 0x300]);
            if client.try_say(CHAIN_SYNC, &find.repeat(50)).await.is_err() {
                // It was over the bound already, and was shown out.
                break;
            }
        }
        clients.push(client);
    }
    until(|| world.handle.departed().iter().any(|gone| gone.reason.contains("too many bytes"))).await;
    world.connect().await.ping(1).await;
}
