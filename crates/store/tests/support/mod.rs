//! A small native chain with forks, a script that stores it, and what must hold whatever happened meanwhile.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use chain::{Block, Format, Hash, Position, Slot, State, native};
use store::files::memory;
use store::verify::{self, Verify};
use store::{Config, Error, Held, Reader, Recovered, Scan, Store};

/// A trunk and, beside some of its blocks, a sibling that nobody follows.
pub(crate) struct World {
    pub(crate) format: Format,
    pub(crate) trunk: Vec<Block>,
    /// The state before the first block, and after each of the trunk's.
    pub(crate) states: Vec<State>,
    pub(crate) siblings: BTreeMap<usize, Block>,
}

/// Blocks stay in the fork tree until this many are on top.
pub(crate) const DEPTH: usize = 2;

impl World {
    pub(crate) fn new(blocks: usize) -> Self {
        let key = native::Key::from_seed(&[1; 32]);
        let params = native::Params::solo("test", 7, 1_000, key.public());
        let format = Format::Native(Arc::new(params.clone()));
        let build = |parent: &State, slot: usize, text: String| {
            let inner = parent.native().expect("a native chain");
            let mut builder = native::Builder::start(&params, &parent.tip, inner, Slot(slot as u64));
            builder.add(Bytes::from(text)).expect("it fits");
            builder.finish(&key)
        };
        let mut states = vec![format.genesis()];
        let (mut trunk, mut siblings) = (Vec::new(), BTreeMap::new());
        for number in 0..blocks {
            let parent = states.last().expect("genesis");
            let block = build(parent, 2 * number + 1, "x".repeat(7 + 13 * (number % 5)));
            if number % 3 == 1 {
                siblings.insert(number, build(parent, 2 * number + 2, "sibling".into()));
            }
            states.push(format.next(parent, &block.header).expect("our own"));
            trunk.push(block);
        }
        Self { format, trunk, states, siblings }
    }

    pub(crate) fn open(
        &self,
        files: &memory::Files,
        scan: Scan,
    ) -> Result<(Store<memory::Files>, Recovered), Error> {
        Store::open(files.clone(), &self.format, &Config { scan, ..small() })
    }

    /// Stores the trunk from where the store ends, block by block, each first in the fork tree. Notes in
    /// `kept` what was acknowledged; ends at the first error.
    pub(crate) fn store_all(&self, store: &mut Store<memory::Files>, kept: &mut Kept) -> Result<(), Error> {
        for number in store.settled() as usize..self.trunk.len() + DEPTH {
            if let Some(block) = self.trunk.get(number) {
                store.put_fork(block)?;
                kept.put.push(block.header.id);
            }
            if let Some(sibling) = self.siblings.get(&number) {
                store.put_fork(sibling)?;
                kept.put.push(sibling.header.id);
            }
            // Sometimes one block settles, sometimes several at once.
            let (from, to) = (store.settled() as usize, (number + 1).saturating_sub(DEPTH));
            if from < to && (number % 4 < 2 || to == self.trunk.len()) {
                store.settle(&self.trunk[from..to])?;
                store.note_state(&self.states[to]);
            }
            store.sync()?;
            kept.acknowledge(store.settled());
        }
        Ok(())
    }

    /// A store with the whole trunk settled and the fork tree around its end.
    pub(crate) fn stored(&self, seed: u64) -> memory::Files {
        let files = memory::Files::new(seed);
        let (mut store, _) = self.open(&files, Scan::Tail).expect("opens");
        self.store_all(&mut store, &mut Kept::default()).expect("stores");
        files
    }

    /// What a start brought back is a part of this world, and no less than was acknowledged.
    pub(crate) fn check_recovered(&self, recovered: &Recovered, kept: &Kept) {
        let settled = recovered.settled as usize;
        assert!(recovered.settled >= kept.settled, "settled {settled}, acknowledged {}", kept.settled);
        assert_eq!(recovered.state, self.states[settled]);
        assert_eq!(recovered.irreversible, self.states[settled].tip);
        let mut known = vec![recovered.irreversible.point.hash()];
        for block in &recovered.forks {
            assert!(known.contains(&block.header.prev), "a fork's parent comes first");
            let number = block.header.height.0 as usize;
            let sibling = self.siblings.get(&number);
            assert!(*block == self.trunk[number] || Some(block) == sibling, "a block of this world");
            known.push(Some(block.header.id));
        }
        for (number, block) in self.trunk.iter().enumerate().skip(settled) {
            let wanted = [Some(block), self.siblings.get(&number).filter(|_| self.connected(number, kept))];
            for id in wanted.into_iter().flatten().map(|block| block.header.id) {
                assert!(!kept.forks.contains(&id) || known.contains(&Some(id)), "fork {number} was lost");
            }
        }
    }

    /// Whether the parent of a sibling was acknowledged: else nothing connects it.
    fn connected(&self, number: usize, kept: &Kept) -> bool {
        number.checked_sub(1).is_none_or(|parent| {
            kept.settled > parent as u64 || kept.forks.contains(&self.trunk[parent].header.id)
        })
    }

    /// Everything that a reader says is true; errors are allowed where the files were damaged.
    pub(crate) fn check_reads(&self, reader: &Reader<memory::Files>, damaged: bool) {
        let settled = reader.settled();
        let allowed = |error: Error| assert!(damaged, "{error}");
        for (number, block) in self.trunk.iter().enumerate() {
            let position = Position(number as u64);
            let is_settled = position.0 < settled;
            match reader.block(position) {
                Ok(held) => {
                    let is_bare = matches!(held, Held::NotHeld);
                    assert_eq!(is_bare, position.0 < reader.bare().min(settled), "{position}");
                    let raw = held.here();
                    assert_eq!(raw, (is_settled && !is_bare).then(|| block.raw.clone()));
                }
                Err(error) => allowed(error),
            }
            match reader.locate(&block.header.point()) {
                // A damaged index may hide a block, but not move it.
                Ok(found) => assert!(
                    found == is_settled.then_some(position) || (damaged && found.is_none()),
                    "{found:?} for {position}"
                ),
                Err(error) => allowed(error),
            }
            match reader.chunk(position) {
                Ok(None) => assert!(!is_settled),
                Ok(Some(chunk)) => {
                    let start = number.checked_sub(1).map_or(0, |before| chunk.entries[before].end);
                    let end = chunk.entries[number].end;
                    assert_eq!(chunk.bytes[start as usize..end as usize], block.header.wire[..]);
                    assert_eq!(chunk.entries[number].point, block.header.point());
                }
                Err(error) => allowed(error),
            }
        }
    }

    /// A store that opened goes on to the end of the trunk, and then holds everything.
    pub(crate) fn check_goes_on(&self, files: &memory::Files, mut store: Store<memory::Files>) {
        self.store_all(&mut store, &mut Kept::default()).expect("goes on");
        drop(store);
        let (store, recovered) = self.open(files, Scan::Tail).expect("opens again");
        assert_eq!(recovered.settled, self.trunk.len() as u64);
        assert!(recovered.cut.is_empty(), "{:?}", recovered.cut);
        self.check_reads(&store.reader(), false);
        let verified = verify::verify(&store.reader(), &self.format, &ONE_THREAD, &mut go_on);
        assert!(verified.problem.is_none(), "{:?}", verified.problem);
        assert_eq!(verified.blocks, recovered.settled);
    }
}

pub(crate) const ONE_THREAD: Verify = Verify { check: store::Check::Links, threads: 1 };

pub(crate) fn go_on<T>(_: T) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Segments of a few blocks, so that a small chain has several.
pub(crate) fn small() -> Config {
    Config {
        log_segment_bytes: 1_500,
        fork_segment_bytes: 600,
        snapshot_every_blocks: 3,
        ..Config::default()
    }
}

/// What was acknowledged.
#[derive(Debug, Default, Clone)]
pub(crate) struct Kept {
    pub(crate) settled: u64,
    pub(crate) forks: Vec<Hash>,
    /// Put, and not acknowledged yet.
    pub(crate) put: Vec<Hash>,
}

impl Kept {
    pub(crate) fn acknowledge(&mut self, settled: u64) {
        self.settled = settled;
        self.forks.append(&mut self.put);
    }
}
