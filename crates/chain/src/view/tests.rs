use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::tree::{self, Root, Tree};
use crate::{Block, Height};

fn id(n: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Hash(bytes)
}

fn by_height(a: &Header, b: &Header) -> Ordering {
    (a.height, a.id).cmp(&(b.height, b.id))
}

/// A tree, its writer, and the log as the store would have it.
struct World {
    tree: Tree<()>,
    writer: Writer,
    log: Vec<Point>,
    view: Arc<View>,
    made: u64,
}

impl World {
    fn new() -> Self {
        let root = Root { tip: Tip::default(), settled: 0, state: () };
        let tree = Tree::new(tree::Config::default(), Box::new(by_height), root);
        let mut writer = Writer::default();
        let view = writer.publish(&tree);
        Self { tree, writer, log: Vec::new(), view, made: 0 }
    }

    /// Hangs a block above this one and tells the writer.
    fn grow(&mut self, above: Tip) -> Tip {
        self.made += 1;
        let header = Header {
            id: id(self.made),
            prev: above.point.hash(),
            slot: Slot(above.height.0 * 3 + 1),
            height: Height(above.height.0 + 1),
            boundary: false,
            wire: Bytes::from_static(b"\x82\x18\x64\x00"),
        };
        let change = self.tree.insert_header(header.clone(), ()).expect("there is room");
        self.writer.on_change(&change);
        let raw = Bytes::from_static(b"raw");
        let change = self.tree.insert_body(Block { header: header.clone(), raw }).expect("there is room");
        self.writer.on_change(&change);
        header.tip()
    }

    fn settle(&mut self, id: Hash) {
        let settled = self.tree.irreversible(id).expect("complete");
        self.log.extend(settled.blocks.iter().map(|entry| entry.header.point()));
        self.writer.on_settled(&settled);
    }

    fn publish(&mut self) {
        self.writer.check_invariants();
        self.view = self.writer.publish(&self.tree);
    }

    /// The whole chain, from the log's first block to the head.
    fn chain(&self) -> Vec<Point> {
        let above = self.view.volatile.iter().map(|entry| entry.header.point());
        self.log.iter().copied().take(self.view.settled as usize).chain(above).collect()
    }
}

/// A follower as a server keeps it, and the chain that it was told of.
struct Reader {
    cursor: Cursor,
    told: Vec<Point>,
}

impl Reader {
    fn new() -> Self {
        Self { cursor: Cursor::ORIGIN, told: Vec::new() }
    }

    /// Takes one step; `false` when there was none to take.
    fn step(&mut self, world: &World) -> bool {
        match world.view.next(&self.cursor) {
            Step::Forward(entry) => {
                self.cursor = world.view.after(entry);
                self.told.push(entry.header.point());
            }
            Step::Settled(at) => {
                let point = world.log[at.0 as usize];
                self.cursor = Cursor::settled(at.next(), point);
                self.told.push(point);
            }
            Step::Backward(to) => {
                assert!(to.next < self.cursor.next || to.next.0 < self.told.len() as u64 + 1);
                self.told.truncate(to.next.0 as usize);
                assert_eq!(self.told.last().copied().unwrap_or_default(), to.point, "it was there before");
                self.cursor = to;
            }
            Step::CheckLog(at) => {
                assert_eq!(world.log[at.0 as usize], self.cursor.point, "it is on the chain");
                self.cursor = Cursor::settled(self.cursor.next, self.cursor.point);
            }
            Step::AtTip => return false,
            Step::Lost => panic!("so few orphans are all known"),
        }
        true
    }
}

#[test]
fn a_cursor_is_small() {
    assert!(size_of::<Cursor>() <= 64, "thousands of readers keep one each: {}", size_of::<Cursor>());
}

#[test]
fn an_empty_view_has_everyone_wait() {
    let view = View::empty();
    assert_eq!(view.next(&Cursor::ORIGIN), Step::AtTip);
    assert_eq!(view.find(&Point::Origin), Find::At(Cursor::ORIGIN));
    assert_eq!(&view.tip_suffix[..], [0x82, 0x80, 0x00]);
    assert!(view.tip_frame.is_empty());
}

#[test]
fn the_tip_frame_is_a_roll_forward_of_the_head() {
    let mut world = World::new();
    let tip = world.grow(Tip::default());
    world.publish();
    let mut expected = vec![0x83, 0x02, 0x82, 0x18, 0x64, 0x00, 0x82, 0x82, 0x01, 0x58, 0x20];
    expected.extend(tip.point.hash().expect("a block").0);
    expected.push(0x01);
    assert_eq!(&world.view.tip_frame[..], expected);
    assert!(world.view.tip_frame.ends_with(&world.view.tip_suffix));
}

#[test]
fn a_reader_at_the_tip_of_a_chain_that_settles_at_once_needs_no_log() {
    let mut world = World::new();
    let mut tip = Tip::default();
    let mut cursor = Cursor::ORIGIN;
    for _ in 0..3 * MAX_RECENT {
        tip = world.grow(tip);
        world.settle(tip.point.hash().expect("a block"));
        world.publish();
        let Step::Forward(entry) = world.view.next(&cursor) else { panic!("no step forward") };
        cursor = world.view.after(entry);
        assert_eq!(cursor, world.view.tip_cursor());
        assert_eq!(world.view.next(&cursor), Step::AtTip);
    }
    assert_eq!(world.view.next(&Cursor::ORIGIN), Step::Settled(Position(0)), "the rest is in the log");
}

#[test]
fn recent_blocks_are_bounded_in_bytes_as_well() {
    let entry = |n: u64, bytes: usize| {
        let (id, slot, height) = (id(n), Slot(n), Height(n));
        let header = Header { id, prev: None, slot, height, boundary: false, wire: Bytes::new() };
        Arc::new(Entry { position: Position(n), header, block: vec![0; bytes].into() })
    };
    let mut world = World::new();
    for (bytes, kept) in [(MAX_RECENT_BYTES / 4, 4), (MAX_RECENT_BYTES + 1, 1)] {
        world.writer = Writer::new((0..10).map(|n| entry(n, bytes)));
        world.publish();
        assert_eq!(world.view.recent.len(), kept);
        assert_eq!(world.view.recent.last().expect("one is kept").position, Position(9));
    }
}

#[test]
fn an_orphan_rolls_back_to_where_its_branch_began() {
    let mut world = World::new();
    let one = world.grow(Tip::default());
    let two = world.grow(one);
    let three = world.grow(two);
    world.publish();
    let cursor = world.view.tip_cursor();
    assert_eq!(cursor.point, three.point);
    let mut fork = world.grow(one);
    for _ in 0..2 {
        fork = world.grow(fork);
    }
    world.publish();
    assert_eq!(world.view.next(&cursor), Step::Backward(Cursor::new(Position(1), one.point)));
    // The orphan's ancestor leaves the chain as well: the reader goes back further.
    let mut other = world.grow(Tip::default());
    for _ in 0..4 {
        other = world.grow(other);
    }
    world.publish();
    assert_eq!(world.view.next(&cursor), Step::Backward(Cursor::ORIGIN));
    assert_eq!(world.view.orphans.len(), 6);
}

#[test]
fn blocks_that_were_shown_are_kept_for_a_while_when_they_leave_the_chain() {
    let mut world = World::new();
    let root = world.grow(Tip::default());
    let mut old = vec![root];
    for _ in 0..2 * MAX_ORPHAN_BLOCKS {
        old.push(world.grow(old[old.len() - 1]));
    }
    world.publish();
    let mut fork = root;
    for _ in 0..old.len() {
        fork = world.grow(fork);
    }
    world.publish();
    let end = old[old.len() - 1].point.hash().expect("a block");
    let branch = |world: &World, at: usize| {
        world.view.orphans.on_branch(&end, Position(at as u64)).map(|entry| entry.header.point())
    };
    assert_eq!(branch(&world, old.len() - 1), Some(old[old.len() - 1].point));
    assert_eq!(branch(&world, MAX_ORPHAN_BLOCKS + 1), Some(old[MAX_ORPHAN_BLOCKS + 1].point));
    assert_eq!(branch(&world, MAX_ORPHAN_BLOCKS), None, "only the newest are kept");
    assert_eq!(branch(&world, old.len()), None, "it ends before that");
    // Back on the chain, they are no orphans any more.
    let mut back = old[old.len() - 1];
    for _ in 0..3 {
        back = world.grow(back);
    }
    world.publish();
    assert_eq!(branch(&world, old.len() - 1), None);
    world.writer.check_invariants();
}

#[test]
fn a_reader_at_an_unknown_orphan_is_lost() {
    let mut world = World::new();
    let mut tip = Tip::default();
    for _ in 0..5 {
        tip = world.grow(tip);
    }
    world.publish();
    let nobody = Cursor::new(Position(3), Point::Block(Slot(7), id(999)));
    assert_eq!(world.view.next(&nobody), Step::Lost);
    let beyond = Cursor::new(Position(30), tip.point);
    assert_eq!(world.view.next(&beyond), Step::Lost);
    // Far below the recent blocks only the log can tell.
    for _ in 0..2 * MAX_RECENT {
        tip = world.grow(tip);
    }
    world.settle(tip.point.hash().expect("a block"));
    world.publish();
    assert_eq!(world.view.next(&nobody), Step::CheckLog(Position(2)));
}

#[test]
fn only_the_last_orphans_are_remembered() {
    let mut world = World::new();
    let mut tip = Tip::default();
    for _ in 0..MAX_ORPHANS + 10 {
        tip = world.grow(tip);
    }
    let other = world.grow(Tip::default());
    world.settle(other.point.hash().expect("a block"));
    world.publish();
    assert_eq!(world.view.orphans.len(), MAX_ORPHANS);
    assert!(world.view.orphans.ancestor(&tip.point.hash().expect("a block")).is_some(), "the newest stay");
    assert!(world.view.orphans.ancestor(&id(1)).is_none());
}

#[test]
fn finds_points_near_the_tip_and_asks_the_log_for_old_ones() {
    let mut world = World::new();
    let mut tips = vec![Tip::default()];
    for n in 0..MAX_RECENT + 10 {
        tips.push(world.grow(tips[n]));
    }
    world.settle(tips[MAX_RECENT + 5].point.hash().expect("a block"));
    world.publish();
    let find = |n: usize| world.view.find(&tips[n].point);
    let at = |n: usize| Position(n as u64);
    assert_eq!(find(1), Find::AskLog);
    assert_eq!(find(6), Find::At(Cursor::settled(at(6), tips[6].point)), "recent");
    assert_eq!(
        find(MAX_RECENT + 5),
        Find::At(Cursor::settled(at(MAX_RECENT + 5), tips[MAX_RECENT + 5].point))
    );
    assert_eq!(find(MAX_RECENT + 6), Find::At(Cursor::new(at(MAX_RECENT + 6), tips[MAX_RECENT + 6].point)));
    let wrong_hash = Point::Block(tips[MAX_RECENT + 8].point.slot().expect("a block"), id(0));
    assert_eq!(world.view.find(&wrong_hash), Find::Absent);
    let wrong_slot = Point::Block(Slot(u64::MAX), tips[MAX_RECENT + 8].point.hash().expect("a block"));
    assert_eq!(world.view.find(&wrong_slot), Find::Absent);
}

#[derive(Debug, Clone)]
enum Op {
    Grow(prop::sample::Index),
    Settle(prop::sample::Index),
    Publish,
    Read(prop::sample::Index, u8),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        10 => index().prop_map(Op::Grow),
        1 => index().prop_map(Op::Settle),
        5 => Just(Op::Publish),
        8 => (index(), 0..6u8).prop_map(|(who, steps)| Op::Read(who, steps)),
    ]
}

proptest! {
    /// Whatever the chain does, every reader is told of a chain without gaps, and ends where all end.
    #[test]
    fn readers_always_arrive(ops in prop::collection::vec(op(), 1..200)) {
        let mut world = World::new();
        let mut readers: Vec<Reader> = (0..4).map(|_| Reader::new()).collect();
        for op in &ops {
            let tips: Vec<Tip> = std::iter::once(world.tree.root().tip)
                .chain(world.tree.headers().map(Header::tip))
                .collect();
            match op {
                // Mostly near the best, so that chains grow long enough to settle and to part.
                Op::Grow(at) => {
                    let above = if at.index(3) == 0 { tips[at.index(tips.len())] } else { world.tree.head() };
                    world.grow(above);
                }
                Op::Settle(at) => {
                    if let Some(id) = tips[at.index(tips.len())].point.hash() {
                        world.settle(id);
                        // As the driver does: no view without what the log has gained.
                        world.publish();
                    }
                }
                Op::Publish => world.publish(),
                Op::Read(who, steps) => {
                    let who = who.index(readers.len());
                    for _ in 0..*steps {
                        readers[who].step(&world);
                    }
                }
            }
        }
        world.publish();
        for reader in &mut readers {
            while reader.step(&world) {}
            prop_assert_eq!(&reader.told, &world.chain());
            let end = world.view.tip_cursor();
            prop_assert_eq!((reader.cursor.next, reader.cursor.point), (end.next, end.point));
        }
    }
}
