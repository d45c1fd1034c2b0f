//! The follower against the real server for clients, over loopback.

use std::net::TcpListener;

use chain::native::{self, Builder, Key};
use chain::tree::{self, Root, Tree};
use chain::view::{self, Entry, Orphans};
use chain::{Position, Slot, State, View};
use store::Store;
use store::files::memory;
use tokio::sync::watch;

use super::*;
use crate::downstream::{self, Handle, Server};

const MAGIC: u32 = 77;

/// A server whose chain the test makes.
struct World {
    server: Handle,
    publish: watch::Sender<Arc<View>>,
    tree: Tree<State>,
    writer: view::Writer,
    format: Format,
    params: Arc<native::Params>,
    key: Key,
    _store: Store<memory::Files>,
}

impl World {
    fn start() -> Self {
        let key = Key::from_seed(&[9; 32]);
        let params = Arc::new(native::Params::solo("test", MAGIC, 0, key.public()));
        let format = Format::Native(params.clone());
        let files = memory::Files::new(1);
        let (store, _) = Store::open(files, &format, &store::Config::default()).expect("an empty store");
        let root = Root { tip: Tip::default(), settled: 0, state: format.genesis() };
        let judge = format.clone();
        let tree = Tree::new(tree::Config::default(), Box::new(move |a, b| judge.prefer(a, b)), root);
        let (publish, views) = watch::channel(Arc::new(View::empty()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let config = downstream::Config::new(MAGIC);
        let server = Server::start(vec![listener], config, views, store.reader(), Arc::default());
        let server = server.expect("it listens");
        let writer = view::Writer::default();
        Self { server, publish, tree, writer, format, params, key, _store: store }
    }

    /// Makes a block after this point, in this slot, and puts it into the tree.
    fn block(&mut self, parent: &Point, slot: u64) -> Point {
        let state = self.tree.state(parent).expect("the parent is in the tree").clone();
        let chain::format::Detail::Native(native) = &state.detail else { panic!("a native chain") };
        let mut builder = Builder::start(&self.params, &state.tip, native, Slot(slot));
        builder.add(Bytes::from(vec![slot as u8; 100])).expect("it fits");
        let block = builder.finish(&self.key);
        let after = self.format.next(&state, &block.header).expect("it follows");
        let point = block.header.point();
        for change in [self.tree.insert_header(block.header.clone(), after), self.tree.insert_body(block)] {
            self.writer.on_change(&change.expect("the tree takes it"));
        }
        point
    }

    /// Makes a chain after this point, a block in each of these slots.
    fn blocks(&mut self, parent: Point, slots: std::ops::Range<u64>) -> Vec<Point> {
        let mut last = parent;
        slots
            .map(|slot| {
                last = self.block(&last, slot);
                last
            })
            .collect()
    }

    fn publish(&mut self) {
        self.publish.send_replace(self.writer.publish(&self.tree));
    }

    fn config(&self, start: Start) -> Config {
        let server = self.server.local_addr().expect("it listens").to_string();
        Config { server, speech: Speech::of_magic(MAGIC), start, blocks: true }
    }

    async fn follow(&self, start: Start) -> Follower {
        Follower::connect(self.config(start)).await.expect("connected")
    }
}

async fn forward(follower: &mut Follower) -> Point {
    match follower.next().await.expect("an event") {
        Event::Forward { header, block, .. } => {
            assert_eq!(block.expect("with its block").header, header);
            header.point()
        }
        Event::Backward { point, .. } => panic!("rolled back to {point}"),
    }
}

async fn backward(follower: &mut Follower) -> Point {
    match follower.next().await.expect("an event") {
        Event::Backward { point, .. } => point,
        Event::Forward { header, .. } => panic!("rolled forward to {}", header.point()),
    }
}

#[tokio::test]
async fn tells_each_roll_forward_and_roll_back_with_blocks() {
    let mut world = World::start();
    let old = world.blocks(Point::Origin, 1..5);
    world.publish();
    let mut follower = world.follow(Start::Point(Point::Origin)).await;
    assert_eq!(backward(&mut follower).await, Point::Origin);
    for point in &old {
        assert_eq!(forward(&mut follower).await, *point);
    }
    let new = world.blocks(old[1], 10..14);
    world.publish();
    assert_eq!(backward(&mut follower).await, old[1]);
    for point in &new {
        assert_eq!(forward(&mut follower).await, *point);
    }
    follower.finish().await;
}

#[tokio::test]
async fn begins_at_the_tip_and_waits_there() {
    let mut world = World::start();
    let chain = world.blocks(Point::Origin, 1..8);
    world.publish();
    let mut follower = world.follow(Start::Tip).await;
    let tip = *chain.last().expect("seven");
    assert_eq!(backward(&mut follower).await, tip);
    let next = world.block(&tip, 9);
    world.publish();
    assert_eq!(forward(&mut follower).await, next);
}

#[tokio::test]
async fn says_that_the_server_does_not_have_a_point() {
    let mut world = World::start();
    world.blocks(Point::Origin, 1..3);
    world.publish();
    let absent = Point::Block(Slot(2), Hash([1; 32]));
    let refused = Follower::connect(world.config(Start::Point(absent))).await;
    assert!(matches!(refused, Err(Error::NoIntersection { point }) if point == absent));
}

#[tokio::test]
async fn says_that_the_server_is_of_another_network() {
    let world = World::start();
    let config = Config { speech: Speech::of_magic(1), ..world.config(Start::Tip) };
    let refused = Follower::connect(config).await.expect_err("another magic");
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
}

#[tokio::test]
async fn says_that_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = free.local_addr().expect("known").to_string();
    drop(free);
    let config = Config { server, speech: Speech::of_magic(MAGIC), start: Start::Tip, blocks: false };
    assert!(matches!(Follower::connect(config).await, Err(Error::Unreachable { .. })));
}

/// A view whose only block claims a header that is not its own.
fn with_block(header: &Header, block: Bytes) -> Arc<View> {
    let entry = Entry { position: Position(0), header: header.clone(), block };
    let volatile = Arc::new([Arc::new(entry)]);
    Arc::new(View::new(1, Tip::default(), 0, Arc::new([]), volatile, Arc::<Orphans>::default()))
}

#[tokio::test]
async fn takes_no_block_for_another() {
    let mut world = World::start();
    let points = world.blocks(Point::Origin, 1..3);
    let blocks: Vec<Arc<Entry>> = world.tree.chain().cloned().collect();
    assert_eq!(blocks.len(), points.len());
    world.publish.send_replace(with_block(&blocks[0].header, blocks[1].block.clone()));
    let mut follower = world.follow(Start::Point(Point::Origin)).await;
    backward(&mut follower).await;
    let lied = follower.next().await.expect_err("another block");
    assert!(matches!(lied, Error::OtherBlock { found, .. } if found == blocks[1].header.id), "{lied}");
}

#[tokio::test]
async fn takes_no_block_whose_body_was_changed() {
    let mut world = World::start();
    world.blocks(Point::Origin, 1..2);
    let entry = world.tree.chain().next().expect("one").clone();
    let mut changed = entry.block.to_vec();
    *changed.last_mut().expect("not empty") ^= 1;
    world.publish.send_replace(with_block(&entry.header, changed.into()));
    let mut follower = world.follow(Start::Point(Point::Origin)).await;
    backward(&mut follower).await;
    let lied = follower.next().await.expect_err("another body");
    assert!(matches!(lied, Error::BadBlock(_)), "{lied}");
}
