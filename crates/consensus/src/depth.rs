//! Irreversible by depth: a block is decided when it lies k deep in the chains of m of n upstreams.
//!
//! The depth counts in each witness's own chain: a single liar that puts k forged headers on an honest tip
//! makes nothing irreversible, nor does it when it withholds them. Bodies do not count here; a decided block
//! may still have to be fetched.
//!
//! Each upstream's chain above the irreversible tip falls into a *deep* part, whose blocks it witnesses, and
//! the *shallow* part of the last k blocks. A step forward or a roll-back by r blocks costs O(1) or O(r).
//!
//! **Invariants** (see [`Depth::check_invariants`]): an upstream's shallow part ends where it stands and is k
//! long unless it reaches down to the irreversible tip; a block's witnesses are the upstreams in whose deep
//! part it is; the decided block has m of them, and none above it has.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU32, NonZeroU64};

use chain::tree::Tree;
use chain::{Hash, Point, Position};

/// The most upstreams that can be witnesses: one bit each.
pub const MAX_UPSTREAMS: u32 = 64;

/// What it takes to be irreversible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// k. Where a chain never rolls back, 1 will do.
    pub depth: NonZeroU64,
    /// m.
    pub agree: NonZeroU32,
    /// n.
    pub upstreams: u32,
}

/// A configuration that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// More must agree than there are: nothing would ever be irreversible.
    #[error("{agree} upstreams must agree, but there are {upstreams}: name more, or let fewer agree")]
    Agree {
        /// m.
        agree: u32,
        /// n.
        upstreams: u32,
    },
    /// More than can be counted.
    #[error("{upstreams} upstreams are more than {MAX_UPSTREAMS}: name fewer")]
    Many {
        /// n.
        upstreams: u32,
    },
}

/// What an upstream's chain did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The chain of an upstream now ends at this point of the tree.
    Serves {
        /// Which, from 0.
        upstream: u32,
        /// Its last verified header, or the irreversible tip.
        tip: Point,
    },
    /// An upstream's chain is not known any more.
    Left {
        /// Which, from 0.
        upstream: u32,
    },
}

/// A block that at least one upstream witnesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Witnessed {
    position: Position,
    /// One bit for each upstream.
    by: u64,
}

/// Watches the chains of the upstreams.
#[derive(Debug)]
pub struct Depth {
    config: Config,
    /// For each upstream that serves a chain, the last blocks of it, oldest first.
    shallow: Vec<Option<VecDeque<Hash>>>,
    witnessed: BTreeMap<Hash, Witnessed>,
    decided: Option<(Position, Hash)>,
}

impl Config {
    /// Says what is wrong, if anything.
    pub fn validate(&self) -> Result<(), Invalid> {
        let Self { agree, upstreams, .. } = *self;
        if upstreams > MAX_UPSTREAMS {
            return Err(Invalid::Many { upstreams });
        }
        if upstreams > 0 && agree.get() > upstreams {
            return Err(Invalid::Agree { agree: agree.get(), upstreams });
        }
        Ok(())
    }

    /// Whether a single upstream decides alone.
    pub fn trusts_one(&self) -> bool {
        self.agree.get() == 1
    }
}

impl Depth {
    /// Nothing is served yet. The configuration must be valid.
    pub fn new(config: Config) -> Self {
        assert!(config.validate().is_ok(), "a configuration is validated before it is used");
        let shallow = (0..config.upstreams).map(|_| None).collect();
        Self { config, shallow, witnessed: BTreeMap::new(), decided: None }
    }

    /// Takes in what an upstream's chain did. The point must be in the tree or its root.
    pub fn handle<S>(&mut self, input: Input, tree: &Tree<S>) {
        match input {
            Input::Serves { upstream, tip } => self.on_serves(upstream, tip, tree),
            Input::Left { upstream } => self.on_left(upstream),
        }
    }

    /// Blocks left the tree: they became irreversible (oldest first), or cannot any more.
    ///
    /// Upstreams that stand on one of these must have been let go with [`Input::Left`] before.
    pub fn on_gone<'a>(&mut self, gone: impl Iterator<Item = &'a Hash>) {
        for id in gone {
            self.witnessed.remove(id);
            for shallow in self.shallow.iter_mut().flatten() {
                // What is settled leaves a chain from its old end.
                if shallow.front() == Some(id) {
                    shallow.pop_front();
                }
            }
            if self.decided.is_some_and(|(_, decided)| decided == *id) {
                self.decided = None;
            }
        }
        if self.decided.is_none() {
            self.decide_again();
        }
    }

    /// The highest block that is decided, if there is one above the irreversible tip.
    pub fn decided(&self) -> Option<Hash> {
        self.decided.map(|(_, id)| id)
    }

    /// Whether the block is decided.
    pub fn is_decided(&self, id: &Hash) -> bool {
        self.witnessed.get(id).is_some_and(|witnessed| self.is_enough(witnessed.by))
    }

    /// m: how many must agree.
    pub fn agree(&self) -> u32 {
        self.config.agree.get()
    }

    /// Whether a single upstream decides alone.
    pub fn trusts_one(&self) -> bool {
        self.config.upstreams > 0 && self.config.trusts_one()
    }

    /// Whether an upstream's chain goes through the decided block, as far as one is decided.
    pub fn serves_decided(&self, upstream: u32) -> bool {
        let Some((_, id)) = self.decided else { return true };
        self.witnessed.get(&id).is_some_and(|witnessed| witnessed.by & bit(upstream) != 0)
            || self.shallow[upstream as usize].as_ref().is_some_and(|shallow| shallow.contains(&id))
    }

    fn on_serves<S>(&mut self, upstream: u32, tip: Point, tree: &Tree<S>) {
        let Some(tip) = tip.hash().filter(|id| tree.contains(id)) else {
            self.on_left(upstream);
            self.shallow[upstream as usize] = Some(VecDeque::new());
            return;
        };
        let prev = tree.header(&tip).and_then(|header| header.prev);
        let shallow = self.shallow[upstream as usize].as_ref();
        match shallow {
            Some(shallow) if prev.is_some() && shallow.back() == prev.as_ref() => {
                self.extend(upstream, tip, tree)
            }
            Some(shallow) if shallow.contains(&tip) => self.roll_back(upstream, tip, tree),
            _ => self.rebuild(upstream, tip, tree),
        }
    }

    fn on_left(&mut self, upstream: u32) {
        if self.shallow[upstream as usize].take().is_none() {
            return;
        }
        self.witnessed.values_mut().for_each(|witnessed| witnessed.by &= !bit(upstream));
        self.witnessed.retain(|_, witnessed| witnessed.by != 0);
        self.decide_again();
    }

    fn extend<S>(&mut self, upstream: u32, tip: Hash, tree: &Tree<S>) {
        let depth = self.config.depth.get();
        let shallow = self.shallow[upstream as usize].as_mut().expect("it serves a chain");
        shallow.push_back(tip);
        if shallow.len() as u64 > depth {
            let deep = shallow.pop_front().expect("it is longer than k");
            self.witness(upstream, deep, tree);
        }
    }

    /// Back to a block of the shallow part: as many deep blocks become shallow again.
    fn roll_back<S>(&mut self, upstream: u32, tip: Hash, tree: &Tree<S>) {
        let depth = self.config.depth.get();
        let shallow = self.shallow[upstream as usize].as_mut().expect("it serves a chain");
        while shallow.back() != Some(&tip) {
            shallow.pop_back();
        }
        let mut unseen = false;
        while (shallow.len() as u64) < depth {
            let front = shallow.front().expect("the tip is in it");
            let Some(prev) = tree.header(front).and_then(|header| header.prev) else { break };
            let Some(witnessed) = self.witnessed.get_mut(&prev) else { break };
            witnessed.by &= !bit(upstream);
            unseen = true;
            if witnessed.by == 0 {
                self.witnessed.remove(&prev);
            }
            shallow.push_front(prev);
        }
        if unseen {
            self.decide_again();
        }
    }

    fn rebuild<S>(&mut self, upstream: u32, tip: Hash, tree: &Tree<S>) {
        self.on_left(upstream);
        let mut shallow = VecDeque::new();
        let mut deep = Vec::new();
        let mut at = Some(tip).filter(|id| tree.contains(id));
        while let Some(id) = at {
            match (shallow.len() as u64) < self.config.depth.get() {
                true => shallow.push_front(id),
                false => deep.push(id),
            }
            at = tree.header(&id).and_then(|header| header.prev).filter(|prev| tree.contains(prev));
        }
        self.shallow[upstream as usize] = Some(shallow);
        for id in deep.into_iter().rev() {
            self.witness(upstream, id, tree);
        }
    }

    fn witness<S>(&mut self, upstream: u32, id: Hash, tree: &Tree<S>) {
        let position = tree.position(&id).expect("a witnessed block is in the tree");
        let witnessed = self.witnessed.entry(id).or_insert(Witnessed { position, by: 0 });
        witnessed.by |= bit(upstream);
        let by = witnessed.by;
        if self.is_enough(by) && self.decided.is_none_or(|(decided, _)| position > decided) {
            self.decided = Some((position, id));
        }
    }

    /// Finds the decided block afresh, after witnesses were lost.
    fn decide_again(&mut self) {
        let decided = self.witnessed.iter().filter(|(_, witnessed)| self.is_enough(witnessed.by));
        self.decided = decided.map(|(id, witnessed)| (witnessed.position, *id)).max();
    }

    fn is_enough(&self, by: u64) -> bool {
        by.count_ones() >= self.config.agree.get()
    }

    /// Panics where an invariant of the module's doc does not hold. Costs time in the size of the tree.
    pub fn check_invariants<S>(&self, tree: &Tree<S>) {
        let mut witnessed: BTreeMap<Hash, u64> = BTreeMap::new();
        for (upstream, shallow) in self.shallow.iter().enumerate() {
            let Some(shallow) = shallow else { continue };
            let mut at = shallow.back().copied();
            for id in shallow.iter().rev() {
                assert_eq!(at, Some(*id), "the shallow part has no gaps");
                at = tree.header(id).expect("the shallow part is in the tree").prev;
            }
            if shallow.is_empty() {
                continue;
            }
            while let Some(id) = at.filter(|id| tree.contains(id)) {
                assert_eq!(shallow.len() as u64, self.config.depth.get(), "what is deep has k blocks on top");
                *witnessed.entry(id).or_default() |= bit(upstream as u32);
                at = tree.header(&id).and_then(|header| header.prev);
            }
        }
        let kept: BTreeMap<Hash, u64> = self.witnessed.iter().map(|(id, seen)| (*id, seen.by)).collect();
        assert_eq!(kept, witnessed, "witnesses are those in whose deep part a block is");
        let decided = witnessed
            .iter()
            .filter(|(_, by)| self.is_enough(**by))
            .filter_map(|(id, _)| tree.position(id))
            .max();
        assert_eq!(self.decided.map(|(position, _)| position), decided, "the highest is decided");
    }
}

fn bit(upstream: u32) -> u64 {
    1 << upstream
}
