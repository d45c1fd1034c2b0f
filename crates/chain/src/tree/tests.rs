use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::Slot;

/// (height, id): a total order, so that the best chain does not depend on who came first.
fn by_height(a: &Header, b: &Header) -> Ordering {
    (a.height, a.id).cmp(&(b.height, b.id))
}

fn id(n: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    Hash(bytes)
}

fn header(n: u64, prev: Option<Hash>, height: u64) -> Header {
    let wire = Bytes::from_static(&[0; 10]);
    Header { id: id(n), prev, slot: Slot(height * 10), height: Height(height), boundary: false, wire }
}

fn block(header: &Header, bytes: usize) -> Block {
    Block { header: header.clone(), raw: vec![0; bytes].into() }
}

fn tree(config: Config) -> Tree<u64> {
    Tree::new(config, Box::new(by_height), Root { tip: Tip::default(), settled: 0, state: 0 })
}

fn bounds(headers: usize, branches: usize, bytes: usize) -> Config {
    let some = |n| NonZeroUsize::new(n).expect("not zero");
    Config { max_headers: some(headers), max_branches: some(branches), max_bytes: some(bytes) }
}

/// A tree with a straight chain of blocks 1, 2, …, n from origin, all with bodies.
fn straight(n: u64) -> Tree<u64> {
    let mut tree = tree(Config::default());
    grow(&mut tree, None, 1..=n);
    tree
}

/// Hangs a chain of headers with bodies above `prev`; the ids are the numbers.
fn grow(
    tree: &mut Tree<u64>,
    mut prev: Option<Hash>,
    numbers: impl IntoIterator<Item = u64>,
) -> Option<Hash> {
    for n in numbers {
        let height = prev.map_or(1, |prev| tree.header(&prev).expect("it is there").height.0 + 1);
        let header = header(n, prev, height);
        tree.insert_header(header.clone(), n).expect("there is room");
        tree.insert_body(block(&header, 20)).expect("there is room");
        tree.check_invariants();
        prev = Some(header.id);
    }
    prev
}

#[test]
fn follows_a_straight_chain() {
    let tree = straight(5);
    assert_eq!(tree.head().point.hash(), Some(id(5)));
    assert_eq!(tree.head().height, Height(5));
    let positions: Vec<u64> = tree.chain().map(|entry| entry.position.0).collect();
    assert_eq!(positions, [0, 1, 2, 3, 4]);
    assert_eq!(tree.state(&tree.head().point), Some(&5));
}

#[test]
fn a_header_without_its_body_is_not_the_head() {
    let mut tree = straight(2);
    let three = header(3, Some(id(2)), 3);
    let change = tree.insert_header(three.clone(), 3).expect("taken");
    assert!(!change.is_move());
    assert_eq!((change.head.height, change.best.height), (Height(2), Height(3)));
    let change = tree.insert_body(block(&three, 1)).expect("taken");
    assert_eq!(change.rolled_forward, [id(3)]);
    assert_eq!(change.head.height, Height(3));
}

#[test]
fn bodies_may_come_in_any_order() {
    let mut tree = tree(Config::default());
    let headers: Vec<_> = (1..=3).map(|n| header(n, (n > 1).then(|| id(n - 1)), n)).collect();
    headers.iter().for_each(|header| drop(tree.insert_header(header.clone(), 0).expect("taken")));
    assert!(!tree.insert_body(block(&headers[2], 1)).expect("taken").is_move());
    assert!(!tree.insert_body(block(&headers[1], 1)).expect("taken").is_move());
    let change = tree.insert_body(block(&headers[0], 1)).expect("taken");
    assert_eq!(change.rolled_forward, [id(1), id(2), id(3)]);
    tree.check_invariants();
}

#[test]
fn rolls_back_and_forward_to_a_longer_fork() {
    let mut tree = straight(4);
    grow(&mut tree, Some(id(2)), [10, 11]);
    let before = tree.head();
    let twelve = header(12, Some(id(11)), 5);
    tree.insert_header(twelve.clone(), 0).expect("taken");
    let head_was_four = before.point.hash() == Some(id(4));
    let change = tree.insert_body(block(&twelve, 1)).expect("taken");
    assert_eq!(change.head.point.hash(), Some(id(12)));
    if head_was_four {
        assert_eq!(change.rolled_back, [id(4), id(3)]);
        assert_eq!(change.rolled_forward, [id(10), id(11), id(12)]);
        assert_eq!(change.ancestor, Cursor::new(Position(2), header(2, None, 2).point()));
    }
    tree.check_invariants();
}

#[test]
fn a_boundary_block_beats_its_parent_of_the_same_height() {
    let mut tree = straight(2);
    // The order by id alone could prefer the parent: try both ways.
    for n in [3, 4, 5, 6] {
        let mut boundary = header(n, tree.head().point.hash(), 2);
        boundary.boundary = true;
        tree.insert_header(boundary.clone(), 0).expect("taken");
        tree.insert_body(block(&boundary, 1)).expect("taken");
        assert_eq!(tree.head().point.hash(), Some(id(n)));
        assert_eq!(tree.best_header(), tree.head());
    }
    tree.check_invariants();
}

#[test]
fn settles_blocks_in_order_and_drops_the_forks_beside_them() {
    let mut tree = straight(5);
    grow(&mut tree, Some(id(1)), [10]);
    grow(&mut tree, Some(id(4)), [20]);
    grow(&mut tree, None, [30]);
    let settled = tree.irreversible(id(3)).expect("complete");
    let blocks: Vec<Hash> = settled.blocks.iter().map(|entry| entry.header.id).collect();
    assert_eq!(blocks, [id(1), id(2), id(3)]);
    assert_eq!(BTreeSet::from_iter(settled.change.dropped.clone()), BTreeSet::from([id(10), id(30)]));
    assert_eq!((tree.root().settled, tree.root().tip.height, tree.root().state), (3, Height(3), 3));
    assert!(!settled.change.is_move(), "the head stays");
    assert!(tree.contains(&id(20)), "a fork above stays");
    tree.check_invariants();
}

#[test]
fn what_is_irreversible_beats_what_is_preferred() {
    let mut tree = straight(5);
    grow(&mut tree, Some(id(1)), [10, 11]);
    let more = header(12, Some(id(11)), 4);
    tree.insert_header(more.clone(), 0).expect("taken");
    tree.insert_body(block(&more, 1)).expect("taken");
    let settled = tree.irreversible(id(10)).expect("complete");
    assert_eq!(settled.change.rolled_back, [id(5), id(4), id(3), id(2)]);
    assert_eq!(settled.change.rolled_forward, [id(10), id(11), id(12)]);
    assert_eq!(settled.change.head.point.hash(), Some(id(12)));
    assert_eq!(settled.change.best, settled.change.head);
    tree.check_invariants();
}

#[test]
fn refusals_say_why_and_change_nothing() {
    let mut tree = straight(2);
    let known = header(2, Some(id(1)), 2);
    assert_eq!(tree.insert_header(known.clone(), 0), Err(Refusal::Known { id: id(2) }));
    assert_eq!(tree.insert_body(block(&known, 1)), Err(Refusal::HasBody { id: id(2) }));
    let lost = header(9, Some(id(8)), 9);
    let refusal = Refusal::UnknownParent { id: id(9), parent: Some(id(8)) };
    assert_eq!(tree.insert_header(lost.clone(), 0), Err(refusal));
    assert_eq!(tree.insert_body(block(&lost, 1)), Err(Refusal::Unknown { id: id(9) }));
    assert_eq!(tree.irreversible(id(9)), Err(Refusal::Unknown { id: id(9) }));
    tree.insert_header(header(3, Some(id(2)), 3), 0).expect("taken");
    assert_eq!(tree.irreversible(id(3)), Err(Refusal::Incomplete { id: id(3) }));
    tree.irreversible(id(2)).expect("complete");
    assert_eq!(tree.insert_header(known, 0), Err(Refusal::Known { id: id(2) }), "the root is known");
    let old = header(7, Some(id(1)), 2);
    assert!(matches!(tree.insert_header(old, 0), Err(Refusal::UnknownParent { .. })), "below the root");
    tree.check_invariants();
}

#[test]
fn a_full_tree_drops_its_lowest_branch_for_a_higher_one() {
    let mut tree = tree(bounds(4, 8, 1_000));
    grow(&mut tree, None, [1, 2, 3]);
    grow(&mut tree, Some(id(1)), [10]);
    let change = tree.insert_header(header(4, Some(id(3)), 4), 0).expect("the fork makes room");
    assert_eq!(change.dropped, [id(10)]);
    let low = header(11, Some(id(1)), 2);
    assert_eq!(tree.insert_header(low, 0), Err(Refusal::TooManyHeaders { max: 4 }));
    tree.insert_header(header(5, Some(id(4)), 5), 0).expect_err("nothing is left to drop");
    tree.check_invariants();
}

#[test]
fn branches_are_bounded() {
    let mut tree = tree(bounds(100, 2, 10_000));
    grow(&mut tree, None, [1, 2, 3]);
    grow(&mut tree, Some(id(1)), [10]);
    let same = header(11, Some(id(1)), 2);
    assert_eq!(tree.insert_header(same, 0), Err(Refusal::TooManyBranches { max: 2 }));
    let higher = header(12, Some(id(2)), 3);
    assert_eq!(tree.insert_header(higher, 0).expect("taken").dropped, [id(10)]);
    tree.check_invariants();
}

#[test]
fn bytes_are_bounded_and_the_best_chain_gets_them() {
    let mut tree = tree(bounds(100, 10, 300));
    grow(&mut tree, None, [1]);
    let fork: Vec<_> =
        [(10, 1, 2), (11, 10, 3)].map(|(n, prev, height)| header(n, Some(id(prev)), height)).into();
    for header in &fork {
        tree.insert_header(header.clone(), 0).expect("taken");
    }
    tree.insert_body(block(&fork[1], 150)).expect("taken: the fork is not complete");
    let best: Vec<_> =
        [(2, 1, 2), (3, 2, 3), (4, 3, 4)].map(|(n, prev, height)| header(n, Some(id(prev)), height)).into();
    for header in &best {
        tree.insert_header(header.clone(), 0).expect("taken");
    }
    // Lower than the fork, but on the way to the best header: the fork goes.
    let change = tree.insert_body(block(&best[0], 100)).expect("the fork makes room");
    assert_eq!(BTreeSet::from_iter(change.dropped), BTreeSet::from([id(10), id(11)]));
    let refusal = tree.insert_body(block(&best[1], 200)).expect_err("nothing is left to drop");
    assert_eq!(refusal, Refusal::TooManyBytes { bytes: 200, max: 300 });
    tree.check_invariants();
}

#[test]
fn finds_ancestors_and_paths() {
    let mut tree = straight(4);
    grow(&mut tree, Some(id(2)), [10, 11]);
    let at = |tree: &Tree<u64>, n| tree.header(&id(n)).expect("it is there").point();
    let (four, eleven, two) = (at(&tree, 4), at(&tree, 11), at(&tree, 2));
    assert_eq!(tree.common_ancestor(&four, &eleven), Some(Cursor::new(Position(2), two)));
    assert_eq!(tree.common_ancestor(&Point::Origin, &eleven), Some(Cursor::ORIGIN));
    assert_eq!(tree.common_ancestor(&four, &Point::Block(Slot(1), id(99))), None);
    let ids = |path: Vec<&Header>| path.iter().map(|header| header.id).collect::<Vec<_>>();
    assert_eq!(tree.path(&two, &eleven).map(ids), Some(vec![id(10), id(11)]));
    assert_eq!(tree.path(&eleven, &four), None, "not below");
    let lied = Point::Block(Slot(7), id(4));
    assert_eq!(tree.path(&two, &lied), None, "a point with another slot is another point");
}

/// The tree as a list of facts, with every question answered by looking at all of them.
#[derive(Default)]
struct Model {
    /// id → (parent, height, body)
    nodes: BTreeMap<Hash, (Option<Hash>, u64, bool)>,
    root: Option<Hash>,
    log: Vec<Hash>,
    chain: Vec<Hash>,
}

impl Model {
    fn path(&self, end: Option<Hash>) -> Vec<Hash> {
        let mut path = Vec::new();
        let mut at = end;
        while at != self.root {
            let here = at.expect("every path ends at the root");
            path.insert(0, here);
            at = self.nodes[&here].0;
        }
        path
    }

    fn best(&self, complete: bool) -> Option<Hash> {
        let whole = |end: &Hash| !complete || self.path(Some(*end)).iter().all(|id| self.nodes[id].2);
        self.nodes.iter().filter(|(id, _)| whole(id)).map(|(id, node)| (node.1, *id)).max().map(|(_, id)| id)
    }

    fn above(&self, id: Hash) -> BTreeSet<Hash> {
        self.nodes.keys().copied().filter(|end| self.path(Some(*end)).contains(&id)).collect()
    }

    /// Follows a change as a reader would, and compares with what the facts say.
    fn follow(&mut self, change: &Change, tree: &Tree<u64>) {
        for id in &change.rolled_back {
            assert_eq!(self.chain.pop(), Some(*id), "rolled back from the head, newest first");
        }
        let below = self.chain.last().or(self.log.last()).copied();
        assert_eq!(change.ancestor.point.hash(), below, "the ancestor is where the roll-back ends");
        let settled = self.log.len();
        assert_eq!(change.ancestor.next.0 as usize, settled + self.chain.len());
        self.chain.extend(&change.rolled_forward);
        assert_eq!(change.head, tree.head());
        assert_eq!(change.best, tree.best_header());
    }

    fn compare(&self, tree: &Tree<u64>) {
        tree.check_invariants();
        assert_eq!(tree.len(), self.nodes.len());
        assert_eq!(tree.head().point.hash(), self.best(true).or(self.root));
        assert_eq!(tree.best_header().point.hash(), self.best(false).or(self.root));
        let chain: Vec<Hash> = tree.chain().map(|entry| entry.header.id).collect();
        assert_eq!(chain, self.chain);
        assert_eq!(chain, self.path(self.best(true).or(self.root)));
        assert_eq!(tree.root().settled as usize, self.log.len());
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// Hang a header above the node with this index, with its body or without.
    Grow(prop::sample::Index, bool),
    Body(prop::sample::Index),
    Settle(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        12 => (index(), any::<bool>()).prop_map(|(at, body)| Op::Grow(at, body)),
        8 => index().prop_map(Op::Body),
        2 => index().prop_map(Op::Settle),
    ]
}

fn apply(tree: &mut Tree<u64>, model: &mut Model, n: u64, op: &Op) {
    let ids: Vec<Hash> = model.nodes.keys().copied().collect();
    let pick = |at: &prop::sample::Index| (!ids.is_empty()).then(|| ids[at.index(ids.len())]);
    match op {
        Op::Grow(at, body) => {
            let place = at.index(ids.len() + 1);
            let parent = ids.get(place).copied().or(model.root);
            let height = parent.map_or(0, |parent| match model.nodes.get(&parent) {
                Some(node) => node.1,
                None => tree.root().tip.height.0,
            });
            let header = header(n, parent, height + 1);
            let change = tree.insert_header(header.clone(), n).expect("there is room");
            model.nodes.insert(header.id, (parent, height + 1, false));
            model.follow(&change, tree);
            if *body {
                let change = tree.insert_body(block(&header, 3)).expect("there is room");
                model.nodes.get_mut(&header.id).expect("just put").2 = true;
                model.follow(&change, tree);
            }
        }
        Op::Body(at) => {
            let Some(id) = pick(at) else { return };
            let header = tree.header(&id).expect("the model has it").clone();
            let fresh = !model.nodes[&id].2;
            let result = tree.insert_body(block(&header, 3));
            assert_eq!(result.is_ok(), fresh);
            model.nodes.get_mut(&id).expect("it is there").2 = true;
            if let Ok(change) = result {
                model.follow(&change, tree);
            }
        }
        Op::Settle(at) => {
            let Some(id) = pick(at) else { return };
            let path = model.path(Some(id));
            let whole = path.iter().all(|id| model.nodes[id].2);
            let result = tree.irreversible(id);
            assert_eq!(result.is_ok(), whole);
            let Ok(settled) = result else { return };
            let blocks: Vec<Hash> = settled.blocks.iter().map(|entry| entry.header.id).collect();
            assert_eq!(blocks, path);
            model.follow(&settled.change, tree);
            let kept = model.above(id);
            let dropped: BTreeSet<Hash> =
                model.nodes.keys().copied().filter(|id| !kept.contains(id) && !path.contains(id)).collect();
            assert_eq!(BTreeSet::from_iter(settled.change.dropped), dropped);
            model.nodes.retain(|node, _| kept.contains(node) && *node != id);
            model.root = Some(id);
            model.chain.drain(..path.len());
            model.log.extend(path);
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(ops in prop::collection::vec(op(), 1..60)) {
        let mut tree = tree(Config::default());
        let mut model = Model::default();
        for (n, op) in ops.iter().enumerate() {
            apply(&mut tree, &mut model, n as u64 + 1, op);
            model.compare(&tree);
        }
    }

    #[test]
    fn a_tight_tree_keeps_its_bounds_and_never_loses_its_best(
        grown in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 1..60usize), 1..80),
        headers in 1..12usize, branches in 1..5usize, bytes in 20..400usize,
    ) {
        let mut tree = tree(bounds(headers, branches, bytes));
        let mut present = BTreeSet::new();
        for (n, (at, body, size)) in grown.iter().enumerate() {
            let ids: Vec<Hash> = present.iter().copied().collect();
            let parent = ids.get(at.index(ids.len() + 1)).copied();
            let height = parent.map_or(0, |parent| tree.header(&parent).expect("present").height.0);
            let header = header(n as u64 + 1, parent, height + 1);
            let (head, best) = (tree.head(), tree.best_header());
            let mut dropped = Vec::new();
            if let Ok(change) = tree.insert_header(header.clone(), 0) {
                present.insert(header.id);
                dropped.extend(change.dropped);
                if *body && let Ok(change) = tree.insert_body(block(&header, *size)) {
                    dropped.extend(change.dropped);
                }
            }
            for id in dropped {
                prop_assert!(present.remove(&id), "only what was there is dropped");
            }
            tree.check_invariants();
            prop_assert!(tree.head().height >= head.height && tree.best_header().height >= best.height);
            prop_assert_eq!(tree.len(), present.len());
            prop_assert!(present.iter().all(|id| tree.contains(id)));
        }
    }
}

#[test]
fn what_is_irreversible_without_bodies_moves_the_root_and_cuts_off_forks() {
    let mut tree = tree(Config::default());
    let headers: Vec<_> = (1..=6).map(|n| header(n, (n > 1).then(|| id(n - 1)), n)).collect();
    headers.iter().for_each(|it| drop(tree.insert_header(it.clone(), it.height.0).expect("taken")));
    let beside = header(20, Some(id(2)), 3);
    tree.insert_header(beside.clone(), 20).expect("taken");
    // Some bodies are there: of a block on the way, of a fork, and of two above.
    for block in [block(&headers[0], 5), block(&beside, 5), block(&headers[4], 5), block(&headers[5], 5)] {
        tree.insert_body(block).expect("taken");
    }
    assert_eq!(tree.irreversible(id(4)), Err(Refusal::Incomplete { id: id(4) }));
    assert_eq!(tree.irreversible_bare(id(99)), Err(Refusal::Unknown { id: id(99) }));
    let bare = tree.irreversible_bare(id(4)).expect("it is there");
    tree.check_invariants();
    assert_eq!(bare.headers, headers[..4]);
    assert_eq!(bare.change.dropped, [beside.id]);
    assert_eq!((bare.change.rolled_back, bare.change.rolled_forward), (vec![id(1)], vec![id(5), id(6)]));
    let root = tree.root();
    assert_eq!((root.tip, root.settled, root.state), (headers[3].tip(), 4, 4));
    assert_eq!((tree.head(), tree.best_header()), (headers[5].tip(), headers[5].tip()));
    // From here on it is a tree like any other.
    let settled = tree.irreversible(id(5)).expect("it is complete");
    assert_eq!(settled.blocks.len(), 1);
    tree.check_invariants();
    assert_eq!(tree.irreversible_bare(id(5)).expect("it is the root").headers, []);
    assert_eq!(tree.irreversible_bare(id(6)).expect("it is there").headers, headers[5..]);
    assert!(tree.is_empty() && tree.bytes() == 0);
    tree.check_invariants();
}

proptest! {
    #[test]
    fn the_root_moves_to_any_node_whatever_bodies_are_there(
        parents in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
        bodies in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        steps in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let mut tree = tree(Config::default());
        let mut headers: Vec<Header> = Vec::new();
        for (n, parent) in (1..).zip(&parents) {
            let parent = parent.index(headers.len() + 1).checked_sub(1).map(|at| headers[at].clone());
            let height = parent.as_ref().map_or(1, |parent| parent.height.0 + 1);
            let header = header(n, parent.map(|parent| parent.id), height);
            tree.insert_header(header.clone(), n).expect("there is room");
            headers.push(header);
        }
        for at in bodies {
            let _ = tree.insert_body(block(&headers[at.index(headers.len())], 5));
        }
        for step in steps {
            let settled = tree.root().settled;
            let left: Vec<Header> = tree.headers().cloned().collect();
            let Some(to) = (!left.is_empty()).then(|| left[step.index(left.len())].clone()) else { break };
            let bare = tree.irreversible_bare(to.id).expect("it is there");
            tree.check_invariants();
            prop_assert_eq!(bare.headers.last(), Some(&to));
            prop_assert_eq!(tree.root().tip, to.tip());
            prop_assert_eq!(tree.root().settled, settled + bare.headers.len() as u64);
            prop_assert_eq!(bare.headers.len() + bare.change.dropped.len() + tree.len(), left.len());
        }
    }
}
