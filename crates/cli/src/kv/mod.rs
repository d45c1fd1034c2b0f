//! The application `kv`: texts under keys, agreed on by a chain, and read with a proof.
//!
//! It takes `put` and `delete` from anybody, and changes of validators from a quorum of them
//! ([`Electorate`]). The state is a Merkle tree ([`Proof`]), whose root later headers name; so whoever trusts the
//! validators can check what a single node says of a key.
//!
//! It knows nothing of peers, consensus or files of blocks: it is a [`Logic`](anabranch::logic::Logic) like any other.
//!
//! **Invariant:** the state after a block follows from the blocks alone: no clock, no randomness, no history.
//!
//! **Invariant:** all of a block is in the file or nothing of it is; what was answered with *applied* is on the disk.

mod database;
mod electorate;
mod logic;
mod proof;
mod query;
mod snapshot;
mod tree;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anabranch::chain::native::{Fields, Params, StateRoot, blake2b, transactions};
use anabranch::chain::{Block, Hash, Height, Tip};
use redb::{Database, ReadableTable, WriteTransaction};

use crate::transaction::Transaction;
use database::{ABOUT, ENTRIES, Fault, Snapshot, TREE, guarded};
use proof::{EMPTY, bit, inner, leaf};
use snapshot::Restoring;
use tree::{Changed, Writer};

pub use database::Error;
pub use electorate::{Electorate, Refusal};
pub use proof::{Malformed, Proof};
pub use query::{Answer, Question};
pub use snapshot::{MAX_PIECE_BYTES, Part, Piece};

/// The folder inside a data directory that an application may make before the node's first start.
pub const FOLDER: &str = "application";

/// The file's name inside that folder.
pub const NAME: &str = "kv.redb";

/// How many states, the newest included, can be read. A guess: more than lie between a block and the header that names
/// its state.
pub const MAX_STATES: usize = 16;

/// The application.
pub struct Kv {
    path: PathBuf,
    params: Arc<Params>,
    database: Database,
    /// The newest states, newest last; never empty.
    states: Mutex<VecDeque<Arc<Snapshot>>>,
    /// The states that newcomers may take, newest last.
    snapshots: Mutex<VecDeque<Arc<Snapshot>>>,
    /// After every so many blocks there is one.
    snapshot_every: NonZeroU64,
    /// How many bytes a piece of them has at most.
    piece_bytes: usize,
    /// The state that is being put together.
    restoring: Mutex<Option<Restoring>>,
}

/// What a key has, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its value, if it has one.
    pub value: Option<String>,
    /// Shows just that, under `root`.
    pub proof: Proof,
    /// The root of the state that was read.
    pub root: Hash,
    /// The block that it is the state after; the origin before the first.
    pub tip: Tip,
}

impl Found {
    /// Whether a header shows that this is what the key has: it names the root of the state, and the proof leads there.
    /// Whether the header itself counts, its certificate says.
    pub fn is_shown_by(&self, header: &Fields, key: &str) -> bool {
        let state = StateRoot { height: self.tip.height, root: self.root };
        let value = self.value.as_deref().map(str::as_bytes);
        header.state == Some(state) && self.proof.is_valid(&self.root, key.as_bytes(), value)
    }
}

/// What a block leads to.
struct Next {
    electorate: Electorate,
    changes: Changes,
}

/// New entries by the hash of their key; without a value they go.
type Changes = BTreeMap<Hash, (Vec<u8>, Option<Vec<u8>>)>;

impl Kv {
    /// Opens the state in this file, or makes an empty one, for the chain with this genesis.
    ///
    /// # Errors
    /// When the file is damaged, in use, another chain's, or the disk refuses.
    pub fn open(path: &Path, params: Arc<Params>) -> Result<Self, Error> {
        let database = database::open(path, &params)?;
        Self::over(database, path, params)
    }

    fn over(database: Database, path: &Path, params: Arc<Params>) -> Result<Self, Error> {
        let now = Arc::new(guarded(path, || Snapshot::take(&database, &params))?);
        // What an earlier process kept is gone with it: until it is time for the next, newcomers may have this one.
        let kept = now.tip.point.hash().is_some().then(|| Arc::clone(&now));
        let states = Mutex::new(VecDeque::from([now]));
        Ok(Self {
            path: path.to_owned(),
            params,
            database,
            states,
            snapshots: Mutex::new(kept.into_iter().collect()),
            snapshot_every: snapshot::SNAPSHOT_EVERY,
            piece_bytes: MAX_PIECE_BYTES,
            restoring: Mutex::default(),
        })
    }

    /// Opens the state of the node with this data directory, or makes an empty one.
    ///
    /// # Errors
    /// As [`Kv::open`].
    pub fn open_in(data_dir: &Path, params: Arc<Params>) -> Result<Self, Error> {
        let folder = data_dir.join(FOLDER);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::Disk { path: folder.clone(), reason: error.to_string() })?;
        Self::open(&folder.join(NAME), params)
    }

    /// Keeps the states after every so many blocks for newcomers, in the place of 1,000.
    #[must_use]
    pub fn with_snapshots(mut self, every: NonZeroU64) -> Self {
        self.snapshot_every = every;
        self
    }

    /// What a key has in the newest state, or in that after the block at `height` while it is kept: `None` where it
    /// is not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&self, key: &str, height: Option<Height>) -> Result<Option<Found>, Error> {
        let Some(state) = self.state(height) else { return Ok(None) };
        let (value, proof) = guarded(&self.path, || state.tree()?.find(key.as_bytes()))?;
        let broken = |_| self.damaged("a value that is no text");
        let value = value.map(String::from_utf8).transpose().map_err(broken)?;
        Ok(Some(Found { value, proof, root: state.root, tip: state.tip }))
    }

    /// The validators that it asks for now.
    pub fn electorate(&self) -> Electorate {
        self.newest().electorate.clone()
    }

    /// The newest block that it took in, and the root of the state after it.
    pub fn stand(&self) -> (Tip, Hash) {
        let newest = self.newest();
        (newest.tip, newest.root)
    }

    /// Reads the newest state in full and compares it with its root: for tests, and for an operator who wants to know.
    /// How many entries it has.
    ///
    /// # Errors
    /// When the file cannot be read, or its tables do not go together.
    pub fn check(&self) -> Result<u64, Error> {
        let newest = self.newest();
        let leaves = guarded(&self.path, || {
            let mut leaves = Vec::new();
            for entry in newest.entries()?.iter()? {
                let (hash, entry) = entry?;
                let (key, value) = entry.value();
                if blake2b(key).0 != *hash.value() {
                    return Err(Fault::Damaged("an entry's key"));
                }
                leaves.push((Hash(*hash.value()), leaf(&blake2b(key), &blake2b(value))));
            }
            Ok(leaves)
        })?;
        let root = root(&leaves, 0);
        if root == newest.root {
            Ok(leaves.len() as u64)
        } else {
            Err(self.damaged("its tree and its entries differ"))
        }
    }

    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Error> {
        guarded(&self.path, work)
    }

    fn restoring(&self) -> MutexGuard<'_, Option<Restoring>> {
        self.restoring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states that newcomers may take, newest last.
    fn kept_snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Keeps the newest state readable, in the place of the oldest where there are too many.
    fn keep(&self, newest: Snapshot) {
        let newest = Arc::new(newest);
        if self.is_for_newcomers(&newest.tip) {
            push(&self.snapshots, Arc::clone(&newest), snapshot::MAX_SNAPSHOTS);
        }
        push(&self.states, newest, MAX_STATES);
    }

    /// Keeps a state that has taken the place of all before.
    fn keep_alone(&self, newest: Snapshot) {
        let newest = Arc::new(newest);
        let kept = self.is_for_newcomers(&newest.tip).then(|| Arc::clone(&newest));
        *self.snapshots.lock().unwrap_or_else(PoisonError::into_inner) = kept.into_iter().collect();
        // Never empty: others ask for the newest meanwhile.
        *self.states.lock().unwrap_or_else(PoisonError::into_inner) = VecDeque::from([newest]);
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::Damaged { path: self.path.clone(), reason: reason.to_owned() }
    }

    fn newest(&self) -> Arc<Snapshot> {
        self.state(None).expect("the newest state is always kept")
    }

    fn state(&self, height: Option<Height>) -> Option<Arc<Snapshot>> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match height {
            None => states.back().cloned(),
            Some(height) => states
                .iter()
                .find(|state| state.tip.height == height && state.tip.point.hash().is_some())
                .cloned(),
        }
    }

    /// Whether the state after this block is kept for newcomers.
    fn is_for_newcomers(&self, tip: &Tip) -> bool {
        tip.point.hash().is_some() && (tip.height.0 + 1).is_multiple_of(self.snapshot_every.get())
    }

    /// Takes in some blocks, oldest first, all or none; tip, root and validators after each.
    fn take_in(&self, blocks: &[Block]) -> Result<Vec<(Tip, Hash, Electorate)>, Error> {
        let before = self.newest();
        let after = guarded(&self.path, || {
            let writing = self.database.begin_write()?;
            let mut after: Vec<(Tip, Hash, Electorate)> = Vec::with_capacity(blocks.len());
            for block in blocks {
                let electorate = after.last().map_or(&before.electorate, |(_, _, electorate)| electorate);
                let next = self.next(electorate, block);
                let root = write(&writing, &next.changes)?;
                after.push((block.header.tip(), root, next.electorate));
            }
            if let Some((tip, _, _)) = after.last() {
                writing.open_table(ABOUT)?.insert("tip", database::stored(tip).as_slice())?;
            }
            writing.commit()?;
            self.keep(Snapshot::take(&self.database, &self.params)?);
            Ok(after)
        })?;
        Ok(after)
    }

    /// What a block leads to: the last of several transactions about one key wins, and what is none does nothing.
    fn next(&self, electorate: &Electorate, block: &Block) -> Next {
        let mut next = Next { electorate: electorate.clone(), changes: Changes::new() };
        for transaction in transactions(block).unwrap_or_default() {
            let Some(transaction) = sound(&transaction) else { continue };
            let (key, value) = match transaction {
                Transaction::Put { key, value, .. } => (key.into_bytes(), Some(value.into_bytes())),
                Transaction::Delete { key, .. } => (key.into_bytes(), None),
                Transaction::Validator(change) => {
                    let Ok(electorate) = next.electorate.after(&change, &self.params) else { continue };
                    next.electorate = electorate;
                    (electorate::KEY.to_vec(), Some(next.electorate.encode()))
                }
            };
            next.changes.insert(blake2b(&key), (key, value));
        }
        next
    }
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tip, root) = self.stand();
        f.debug_struct("Kv").field("path", &self.path).field("tip", &tip).field("root", &root).finish()
    }
}

/// Adds a state to those that are kept, of which there are so many at most.
fn push(states: &Mutex<VecDeque<Arc<Snapshot>>>, newest: Arc<Snapshot>, max: usize) {
    let mut states = states.lock().unwrap_or_else(PoisonError::into_inner);
    states.push_back(newest);
    if states.len() > max {
        states.pop_front();
    }
}

/// A transaction that can be read and whose texts fit.
fn sound(bytes: &[u8]) -> Option<Transaction> {
    let transaction = Transaction::decode(bytes).ok()?;
    transaction.check_size().ok()?;
    Some(transaction)
}

/// Writes entries, into the tree first; the new root.
fn write(writing: &WriteTransaction, changes: &Changes) -> Result<Hash, Fault> {
    let mut tree = writing.open_table(TREE)?;
    let mut entries = writing.open_table(ENTRIES)?;
    let hashes = changes.iter().map(|(key, (_, value))| (*key, value.as_deref().map(blake2b)));
    let hashes: Vec<Changed> = hashes.collect();
    let root = Writer::new(&mut tree, &entries).change(&hashes)?;
    for (hash, (key, value)) in changes {
        match value {
            Some(value) => drop(entries.insert(&hash.0, (key.as_slice(), value.as_slice()))?),
            None => drop(entries.remove(&hash.0)?),
        }
    }
    Ok(root)
}

/// The root over leaves that are ordered by key, at this depth.
fn root(leaves: &[(Hash, Hash)], depth: usize) -> Hash {
    match leaves {
        [] => EMPTY,
        [(_, hash)] => *hash,
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(key, _)| !bit(key, depth)));
            inner(&root(left, depth + 1), &root(right, depth + 1))
        }
    }
}

#[cfg(test)]
mod tests;
