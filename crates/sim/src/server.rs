//! A server: its own fork tree and view of the world's blocks, and how it lies.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use chain::tree::{self, Root, Tree};
use chain::view::Writer;
use chain::{Block, Entry, Format, Hash, Header, Point, State, Tip, View};

use crate::config::Behaviour;

/// A server keeps all it has ever heard of: more than any run makes.
const MAX_HEADERS: usize = 1 << 16;

/// One server.
pub(crate) struct Server {
    pub(crate) behaviour: Behaviour,
    /// Whether it can be reached.
    pub(crate) is_up: bool,
    /// Whether it has stopped saying anything.
    pub(crate) is_silent: bool,
    pub(crate) view: Arc<View>,
    format: Format,
    tree: Tree<State>,
    writer: Writer,
    /// Blocks that came before their parents, by the parent's hash.
    early: BTreeMap<Hash, Vec<Block>>,
}

impl Server {
    pub(crate) fn new(behaviour: Behaviour, format: &Format) -> Self {
        let state = format.genesis();
        let root = Root { tip: Tip::default(), settled: 0, state };
        let many = NonZeroUsize::new(MAX_HEADERS).expect("not zero");
        let bytes = NonZeroUsize::new(usize::MAX / 2).expect("not zero");
        let config = tree::Config { max_headers: many, max_branches: many, max_bytes: bytes };
        let judge = format.clone();
        let prefer = move |a: &Header, b: &Header| -> Ordering { judge.prefer(a, b) };
        let mut server = Self {
            behaviour,
            is_up: true,
            is_silent: false,
            view: Arc::new(View::empty()),
            format: format.clone(),
            tree: Tree::new(config, Box::new(prefer), root),
            writer: Writer::default(),
            early: BTreeMap::new(),
        };
        server.publish();
        server
    }

    /// Where its chain ends.
    pub(crate) fn head(&self) -> Tip {
        self.tree.head()
    }

    /// The block so many blocks below its head, or origin.
    pub(crate) fn below_head(&self, depth: usize) -> Point {
        self.tree.chain().rev().nth(depth).map_or(Point::Origin, |entry| entry.header.point())
    }

    /// It hears of a block. Says whether its chain changed.
    pub(crate) fn add(&mut self, block: Block) -> bool {
        let mut moved = false;
        let mut heard = vec![block];
        while let Some(block) = heard.pop() {
            let (id, prev) = (block.header.id, block.header.prev);
            let Ok(parent) = self.tree.parent_state(&block.header) else {
                self.early.entry(prev.unwrap_or_default()).or_default().push(block);
                continue;
            };
            let Ok(state) = self.format.next(parent, &block.header) else { continue };
            let Ok(_) = self.tree.insert_header(block.header.clone(), state) else { continue };
            let change = self.tree.insert_body(block).expect("its header was just inserted");
            self.writer.on_change(&change);
            moved |= change.is_move();
            heard.extend(self.early.remove(&id).unwrap_or_default());
        }
        if moved {
            self.publish();
        }
        moved
    }

    fn publish(&mut self) {
        let view = self.writer.publish(&self.tree);
        self.view = match self.behaviour {
            Behaviour::BadBody => Arc::new(View { volatile: swapped(&view.volatile), ..View::clone(&view) }),
            Behaviour::Honest
            | Behaviour::Flaky
            | Behaviour::Restarting
            | Behaviour::Lagging
            | Behaviour::Slow
            | Behaviour::Silent
            | Behaviour::Forger
            | Behaviour::BadSignature => view,
        };
    }
}

/// The same headers, and in each body a bit of its last transaction turned around.
fn swapped(entries: &[Arc<Entry>]) -> Arc<[Arc<Entry>]> {
    let swap = |entry: &Arc<Entry>| {
        let mut raw = entry.block.to_vec();
        *raw.last_mut().expect("a block has bytes") ^= 1;
        Arc::new(Entry { block: Bytes::from(raw), ..Entry::clone(entry) })
    };
    entries.iter().map(swap).collect()
}
