use std::collections::BTreeSet;

use chain::tree::{self, Root};
use chain::{Block, Header, Height, Slot, Tip};
use proptest::prelude::*;

use super::*;

fn id(n: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Hash(bytes)
}

fn config(depth: u64, agree: u32, upstreams: u32) -> Config {
    let depth = NonZeroU64::new(depth).expect("not zero");
    Config { depth, agree: NonZeroU32::new(agree).expect("not zero"), upstreams }
}

/// A tree of numbered blocks, and what the upstreams serve of it.
struct World {
    depth: Depth,
    tree: Tree<()>,
    serves: Vec<Option<Point>>,
    made: u64,
}

impl World {
    fn new(config: Config) -> Self {
        let root = Root { tip: Tip::default(), settled: 0, state: () };
        let by_height = |a: &Header, b: &Header| a.height.cmp(&b.height);
        let tree = Tree::new(tree::Config::default(), Box::new(by_height), root);
        Self { depth: Depth::new(config), tree, serves: vec![None; config.upstreams as usize], made: 0 }
    }

    /// Hangs a block above this one.
    fn grow(&mut self, above: Point) -> Point {
        self.made += 1;
        let below =
            above.hash().and_then(|id| self.tree.header(&id)).map_or(self.tree.root().tip, Header::tip);
        let header = Header {
            id: id(self.made),
            prev: above.hash(),
            slot: Slot(self.made),
            height: Height(below.height.0 + 1),
            boundary: false,
            wire: Default::default(),
        };
        self.tree.insert_header(header.clone(), ()).expect("there is room");
        self.tree
            .insert_body(Block { header: header.clone(), raw: Default::default() })
            .expect("there is room");
        header.point()
    }

    /// So many blocks in a row; gives the points, `above` first.
    fn row(&mut self, above: Point, count: usize) -> Vec<Point> {
        let mut points = vec![above];
        for n in 0..count {
            points.push(self.grow(points[n]));
        }
        points
    }

    fn serve(&mut self, upstream: u32, tip: Point) {
        self.serves[upstream as usize] = Some(tip);
        self.depth.handle(Input::Serves { upstream, tip }, &self.tree);
        self.check();
    }

    fn leave(&mut self, upstream: u32) {
        self.serves[upstream as usize] = None;
        self.depth.handle(Input::Left { upstream }, &self.tree);
        self.check();
    }

    /// Settles what is decided, as a node does; gives how many blocks that were.
    fn settle(&mut self) -> usize {
        let Some(id) = self.depth.decided() else { return 0 };
        let settled = self.tree.irreversible(id).expect("it has its bodies");
        let blocks: Vec<Hash> = settled.blocks.iter().map(|entry| entry.header.id).collect();
        let gone: Vec<Hash> = blocks.iter().chain(&settled.change.dropped).copied().collect();
        let is_gone = |tip: &Point| tip.hash().is_some_and(|id| gone.contains(&id));
        for upstream in 0..self.serves.len() {
            let stands = |tip: &Point| self.tree.common_ancestor(tip, tip).is_some_and(|_| !is_gone(tip));
            if self.serves[upstream].is_some_and(|tip| !stands(&tip)) {
                self.serves[upstream] = None;
                self.depth.handle(Input::Left { upstream: upstream as u32 }, &self.tree);
            }
        }
        self.depth.on_gone(gone.iter());
        self.check();
        blocks.len()
    }

    /// The chain of an upstream above the irreversible tip, by looking.
    fn chain(&self, upstream: usize) -> Vec<Hash> {
        let Some(tip) = self.serves[upstream] else { return Vec::new() };
        let path = self.tree.path(&self.tree.root().tip.point, &tip).expect("it stands in the tree");
        path.iter().map(|header| header.id).collect()
    }

    /// Compares what is decided with what the definition says.
    fn check(&self) {
        self.depth.check_invariants(&self.tree);
        let Config { depth, agree, .. } = self.depth.config;
        let mut counts: BTreeMap<Hash, u32> = BTreeMap::new();
        for upstream in 0..self.serves.len() {
            let chain = self.chain(upstream);
            let deep = chain.len().saturating_sub(depth.get() as usize);
            chain[..deep].iter().for_each(|id| *counts.entry(*id).or_default() += 1);
        }
        let enough: BTreeSet<Hash> =
            counts.iter().filter(|(_, count)| **count >= agree.get()).map(|(id, _)| *id).collect();
        let highest = enough.iter().map(|id| self.tree.position(id)).max();
        let decided = self.depth.decided();
        assert_eq!(decided.map(|id| self.tree.position(&id)), highest, "the highest block is decided");
        assert!(decided.is_none_or(|id| enough.contains(&id)), "m of n have it deep");
        for upstream in 0..self.serves.len() {
            let serves = decided.is_none_or(|id| self.chain(upstream).contains(&id));
            assert_eq!(self.depth.serves_decided(upstream as u32), serves);
        }
    }
}

#[test]
fn a_block_is_decided_when_it_is_deep_in_the_chains_of_enough() {
    let mut world = World::new(config(2, 2, 3));
    let points = world.row(Point::Origin, 5);
    world.serve(0, points[5]);
    assert_eq!(world.depth.decided(), None, "one is not enough");
    world.serve(1, points[2]);
    assert_eq!(world.depth.decided(), None, "not deep in the second");
    world.serve(1, points[3]);
    assert_eq!(world.depth.decided(), points[1].hash());
    world.serve(2, points[4]);
    assert_eq!(world.depth.decided(), points[2].hash(), "the two that have most");
}

#[test]
fn a_liar_alone_decides_nothing() {
    let mut world = World::new(config(3, 2, 3));
    let honest = world.row(Point::Origin, 10);
    let forged = world.row(honest[2], 100);
    world.serve(0, forged[100]);
    assert_eq!(world.depth.decided(), None);
    world.serve(1, honest[10]);
    assert_eq!(world.depth.decided(), honest[2].hash(), "what they share");
    world.serve(2, honest[10]);
    assert_eq!(world.depth.decided(), honest[7].hash());
    assert!(!world.depth.serves_decided(0));
    assert_eq!(world.settle(), 7);
    assert_eq!(world.depth.decided(), None);
}

#[test]
fn who_leaves_is_no_witness_any_more() {
    let mut world = World::new(config(1, 2, 2));
    let points = world.row(Point::Origin, 3);
    world.serve(0, points[3]);
    world.serve(1, points[3]);
    assert_eq!(world.depth.decided(), points[2].hash());
    world.leave(1);
    assert_eq!(world.depth.decided(), None);
    world.serve(1, points[2]);
    assert_eq!(world.depth.decided(), points[1].hash());
}

#[test]
fn a_roll_back_takes_witness_back() {
    let mut world = World::new(config(2, 1, 1));
    let points = world.row(Point::Origin, 8);
    world.serve(0, points[8]);
    assert_eq!(world.depth.decided(), points[6].hash());
    world.serve(0, points[7]);
    assert_eq!(world.depth.decided(), points[5].hash(), "within the shallow part");
    world.serve(0, points[3]);
    assert_eq!(world.depth.decided(), points[1].hash(), "below it");
    world.serve(0, Point::Origin);
    assert_eq!(world.depth.decided(), None);
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    assert_eq!(config(1, 3, 2).validate(), Err(Invalid::Agree { agree: 3, upstreams: 2 }));
    assert_eq!(config(1, 1, 65).validate(), Err(Invalid::Many { upstreams: 65 }));
    assert_eq!(config(1, 64, 64).validate(), Ok(()));
    assert_eq!(config(1, 1, 0).validate(), Ok(()), "one that only serves");
    assert!(config(1, 1, 3).trusts_one() && !config(1, 2, 3).trusts_one());
}

#[test]
fn the_last_upstream_counts_too() {
    let mut world = World::new(config(1, 64, 64));
    let points = world.row(Point::Origin, 2);
    (0..63).for_each(|upstream| world.serve(upstream, points[2]));
    assert_eq!(world.depth.decided(), None);
    world.serve(63, points[2]);
    assert_eq!(world.depth.decided(), points[1].hash());
}

#[derive(Debug, Clone)]
enum Op {
    Grow(prop::sample::Index),
    /// An upstream goes one block on, if there is one.
    Step(u32),
    /// An upstream goes back so many blocks.
    Back(u32, usize),
    /// An upstream is somewhere else.
    Jump(u32, prop::sample::Index),
    Leave(u32),
    Settle,
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => index().prop_map(Op::Grow),
        12 => (0..3u32).prop_map(Op::Step),
        2 => (0..3u32, 1..6usize).prop_map(|(who, by)| Op::Back(who, by)),
        2 => (0..3u32, index()).prop_map(|(who, to)| Op::Jump(who, to)),
        1 => (0..3u32).prop_map(Op::Leave),
        2 => Just(Op::Settle),
    ]
}

impl World {
    fn points(&self) -> Vec<Point> {
        let root = self.tree.root().tip.point;
        std::iter::once(root).chain(self.tree.headers().map(Header::point)).collect()
    }

    fn apply(&mut self, op: &Op) {
        let points = self.points();
        match op {
            Op::Grow(at) => {
                // Mostly on the longest, so that there is depth.
                let fork = at.index(4) == 0;
                let above = if fork { points[at.index(points.len())] } else { self.tree.head().point };
                self.grow(above);
            }
            Op::Step(who) => {
                let at = self.serves[*who as usize].unwrap_or(self.tree.root().tip.point);
                let next = self.tree.headers().find(|header| header.prev == at.hash()).map(Header::point);
                self.serve(*who, next.unwrap_or(at));
            }
            Op::Back(who, by) => {
                let chain = self.chain(*who as usize);
                let at = chain.len().checked_sub(by + 1).map(|at| chain[at]);
                let to =
                    at.map_or(self.tree.root().tip.point, |id| self.tree.header(&id).expect("there").point());
                self.serve(*who, to);
            }
            Op::Jump(who, to) => self.serve(*who, points[to.index(points.len())]),
            Op::Leave(who) => self.leave(*who),
            Op::Settle => drop(self.settle()),
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_the_definition(
        ops in prop::collection::vec(op(), 1..150), depth in 1..5u64, agree in 1..4u32,
    ) {
        let mut world = World::new(config(depth, agree, 3));
        ops.iter().for_each(|op| world.apply(op));
        world.check();
    }
}
