//! The blocks of all forks that came back from the disk: back into the fork tree, as many as one share holds.
//!
//! Nobody is charged with them, so they have a share of their own. Without it each restart would let every
//! upstream bring its share once more, until the tree had to drop branches that the node relies on.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use chain::{Block, Hash, Header};

use super::Follower;

impl Follower {
    /// Puts the blocks of all forks back into the tree, each after the one below it.
    pub(crate) fn replant(&mut self, forks: Vec<Block>) {
        let root = self.tree.root().tip.point.hash();
        let prefer = |a: &Header, b: &Header| self.format.prefer(a, b);
        for block in share(forks, root, self.bounds.headers_each(), prefer) {
            let Ok(parent) = self.tree.parent_state(&block.header) else { continue };
            let Ok(state) = self.format.next(parent, &block.header) else { continue };
            if let Ok(change) = self.tree.insert_header(block.header.clone(), state) {
                self.views.on_change(&change);
            }
            if let Ok(change) = self.tree.insert_body(block) {
                self.views.on_change(&change);
            }
        }
    }
}

/// At most `max` of these blocks, each after the one below it: the best chain on the root, and of the other
/// branches the highest that have room. What does not stand on the root is left out.
fn share(
    mut forks: Vec<Block>,
    root: Option<Hash>,
    max: usize,
    prefer: impl Fn(&Header, &Header) -> Ordering,
) -> Vec<Block> {
    // A boundary block has the height of its parent and an earlier slot than its child.
    forks.sort_by_key(|block| (block.header.height, block.header.slot));
    let mut rooted: BTreeMap<Hash, &Header> = BTreeMap::new();
    let mut ends: BTreeSet<Hash> = BTreeSet::new();
    for header in forks.iter().map(|block| &block.header) {
        if header.prev == root || header.prev.is_some_and(|prev| rooted.contains_key(&prev)) {
            header.prev.map(|prev| ends.remove(&prev));
            ends.insert(header.id);
            rooted.insert(header.id, header);
        }
    }
    let mut ends: Vec<&Header> = ends.iter().map(|id| rooted[id]).collect();
    ends.sort_by_key(|end| (end.height, end.id));
    let best = ends.iter().copied().reduce(|best, end| match prefer(end, best) {
        Ordering::Greater => end,
        Ordering::Less | Ordering::Equal => best,
    });
    let mut kept = BTreeSet::new();
    for end in best.into_iter().chain(ends.into_iter().rev()) {
        let below = |header: &&Header| header.prev.and_then(|prev| rooted.get(&prev).copied());
        let branch = std::iter::successors(Some(end), below).map(|header| header.id);
        let mut branch: Vec<Hash> = branch.take_while(|id| !kept.contains(id)).collect();
        // What has no room loses its end, not its beginning.
        branch.reverse();
        branch.truncate(max - kept.len());
        kept.extend(branch);
    }
    forks.retain(|block| kept.contains(&block.header.id));
    forks
}
