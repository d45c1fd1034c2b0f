//! What the memory's disk holds: what a reader sees, what is durable, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::Fault;

/// Torn writes survive in pieces of this size; smaller than any real sector, hence worse.
const PIECE_BYTES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) inodes: Vec<Inode>,
    pub(super) now: Names,
    pub(super) durable: Names,
    /// Changes of names that no `sync_dir` has covered yet, oldest first, each with its directory.
    pub(super) pending: Vec<(String, NameChange)>,
    pub(super) locked: BTreeSet<String>,
    pub(super) ops: u64,
    pub(super) syncs: u64,
    pub(super) fault: Option<Fault>,
    /// Syncs say that they are done, and do nothing.
    pub(super) lying: bool,
    pub(super) random: Random,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    pub(super) files: BTreeMap<String, usize>,
    pub(super) dirs: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
    Dir(String),
}

#[derive(Debug, Default, Clone)]
pub(super) struct Inode {
    pub(super) data: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize(usize),
}

impl Disk {
    pub(super) fn count_op(&mut self) -> io::Result<()> {
        let op = self.ops;
        self.ops += 1;
        match self.fault {
            Some(fault) if op == fault.at || (fault.lasting && op > fault.at) => {
                Err(io::Error::other(format!("injected fault at operation {op}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn change_name(&mut self, dir: &str, change: NameChange) {
        self.now.apply(&change);
        self.pending.push((dir.to_owned(), change));
    }
}

impl Names {
    pub(super) fn find(&self, path: &str) -> io::Result<usize> {
        self.files.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn check_dir(&self, dir: &str) -> io::Result<()> {
        let there = dir.is_empty() || self.dirs.contains(dir);
        if there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(super) fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(path, id) => {
                self.files.insert(path.clone(), *id);
            }
            NameChange::Unlink(path) => {
                self.files.remove(path);
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = self.files.remove(from) {
                    self.files.insert(to.clone(), id);
                }
            }
            NameChange::Dir(path) => {
                self.dirs.insert(path.clone());
            }
        }
    }

    /// Files whose directory did not survive are gone with it.
    pub(super) fn drop_homeless(&mut self) {
        let dirs = &self.dirs;
        let has_home = |path: &str| {
            let mut dir = parent(path);
            while !dir.is_empty() {
                if !dirs.contains(dir) {
                    return false;
                }
                dir = parent(dir);
            }
            true
        };
        self.files.retain(|path, _| has_home(path));
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.data);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn after_crash(&self, random: &mut Random) -> Self {
        let mut durable = self.durable.clone();
        for change in &self.pending {
            match random.below(3) {
                0 => {}
                1 => change.apply(&mut durable),
                _ => change.apply_torn(&mut durable, random),
            }
        }
        Self { data: durable.clone(), durable, pending: Vec::new() }
    }
}

impl Change {
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => put(to, *offset, data),
            Self::Resize(len) => to.resize(*len, 0),
        }
    }

    fn apply_torn(&self, to: &mut Vec<u8>, random: &mut Random) {
        let Self::Write { offset, data } = self else { return };
        if random.below(2) == 0 {
            let len = random.below(data.len() as u64 + 1) as usize;
            return put(to, *offset, &data[..len]);
        }
        for (index, piece) in data.chunks(PIECE_BYTES).enumerate() {
            if random.below(2) == 0 {
                put(to, offset + index * PIECE_BYTES, piece);
            }
        }
    }
}

fn put(to: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(data);
}

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// SplitMix64: enough to draw what a crash leaves, and one line.
#[derive(Debug, Default, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
