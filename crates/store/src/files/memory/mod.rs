//! A file system in memory that forgets: for tests and the simulator.
//!
//! It keeps, beside what a reader sees, what is durable, and the changes between the two. A [`Files::crash`]
//! hands out a new file system holding the durable part and of each later change all, nothing or pieces,
//! drawn from the seed. Reordering is allowed within a file and between files; the names of one directory
//! change in order, as on a journaling file system, but any number of the last changes may be missing.
//!
//! A [`Fault`] makes one operation fail, or it and all that follow (the power is gone).

mod state;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::{Change, Disk, Inode, NameChange, Random, parent};
use super::{Access, LockError};

/// When and how operations begin to fail. Only operations that change something are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The number of the first operation that fails; the first of all has number 0.
    pub at: u64,
    /// Whether all that follow fail too: what a process sees of a power cut.
    pub lasting: bool,
}

/// A file system in memory. Clones share it.
#[derive(Clone)]
pub struct Files {
    disk: Arc<Mutex<Disk>>,
}

impl fmt::Debug for Files {
    /// Not the bytes: whatever holds this is printed by failing tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.lock_disk();
        f.debug_struct("Files").field("files", &disk.now.files.len()).field("ops", &disk.ops).finish()
    }
}

impl Files {
    /// An empty file system; the seed decides what crashes leave.
    pub fn new(seed: u64) -> Self {
        let disk = Disk { random: Random(seed), ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// What is there after the power failed now. This file system lives on, for further draws.
    pub fn crash(&self) -> Self {
        let mut disk = self.lock_disk();
        let mut random = Random(disk.random.next());
        let mut names = disk.durable.clone();
        // Of each directory's changes a prefix survives.
        let dirs: BTreeSet<String> = disk.pending.iter().map(|(dir, _)| dir.clone()).collect();
        for dir in dirs {
            let changes = disk.pending.iter().filter(|(of, _)| *of == dir);
            let kept = random.below(changes.clone().count() as u64 + 1) as usize;
            changes.take(kept).for_each(|(_, change)| names.apply(change));
        }
        names.drop_homeless();
        let inodes = disk.inodes.iter().map(|inode| inode.after_crash(&mut random)).collect();
        let disk = Disk { inodes, now: names.clone(), durable: names, random, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// A deep copy in which everything written so far is durable.
    pub fn copy(&self) -> Self {
        let mut disk = self.lock_disk();
        let settle = |inode: &Inode| Inode {
            data: inode.data.clone(),
            durable: inode.data.clone(),
            pending: Vec::new(),
        };
        let inodes = disk.inodes.iter().map(settle).collect();
        let random = Random(disk.random.next());
        let (now, durable) = (disk.now.clone(), disk.now.clone());
        Self { disk: Arc::new(Mutex::new(Disk { inodes, now, durable, random, ..Disk::default() })) }
    }

    /// Makes operations fail from now on as the fault says; `None` ends it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock_disk().fault = fault;
    }

    /// Makes syncs do nothing but say that they are done: with it a test proves that its checks can fail.
    pub fn set_lying(&self, lying: bool) {
        self.lock_disk().lying = lying;
    }

    /// How many operations that change something were asked for so far.
    pub fn ops(&self) -> u64 {
        self.lock_disk().ops
    }

    /// How many of them made something durable.
    pub fn syncs(&self) -> u64 {
        self.lock_disk().syncs
    }

    /// The names of all files, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.lock_disk().now.files.keys().cloned().collect()
    }

    /// Damages a file behind the back of whoever has it open: the change is durable at once.
    /// Returns whether there is such a file.
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut disk = self.lock_disk();
        let Some(&id) = disk.now.files.get(path) else { return false };
        let inode = &mut disk.inodes[id];
        change(&mut inode.data);
        inode.durable = inode.data.clone();
        inode.pending.clear();
        true
    }

    fn lock_disk(&self) -> MutexGuard<'_, Disk> {
        // A test that panicked with the lock held changes nothing about the bytes.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open file; stays usable after its name is gone.
#[derive(Debug)]
pub struct File {
    files: Files,
    id: usize,
    access: Access,
}

/// Holds a path locked.
#[derive(Debug)]
pub struct Lock {
    files: Files,
    path: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.files.lock_disk().locked.remove(&self.path);
    }
}

impl super::Files for Files {
    type File = File;
    type Lock = Lock;

    fn open(&self, path: &str, access: Access) -> io::Result<File> {
        let id = self.lock_disk().now.find(path)?;
        Ok(File { files: self.clone(), id, access })
    }

    fn create(&self, path: &str) -> io::Result<File> {
        let mut disk = self.lock_disk();
        disk.count_op()?;
        disk.now.check_dir(parent(path))?;
        let id = match disk.now.files.get(path) {
            Some(&id) => {
                disk.inodes[id].change(Change::Resize(0));
                id
            }
            None => {
                disk.inodes.push(Inode::default());
                let id = disk.inodes.len() - 1;
                disk.change_name(parent(path), NameChange::Link(path.to_owned(), id));
                id
            }
        };
        Ok(File { files: self.clone(), id, access: Access::Write })
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut disk = self.lock_disk();
        disk.count_op()?;
        let mut end = 0;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            end += part.len() + usize::from(end > 0);
            let dir = &path[..end];
            if !disk.now.dirs.contains(dir) {
                disk.change_name(parent(dir), NameChange::Dir(dir.to_owned()));
            }
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let disk = self.lock_disk();
        let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
        let files = disk.now.files.keys().filter(|path| parent(path) == dir).map(name);
        let dirs = disk.now.dirs.iter().filter(|path| parent(path) == dir).map(name);
        let mut names: Vec<String> = files.chain(dirs).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.lock_disk();
        disk.count_op()?;
        assert_eq!(parent(from), parent(to), "a rename stays in its directory");
        disk.now.find(from)?;
        disk.change_name(parent(from), NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.lock_disk();
        disk.count_op()?;
        disk.now.find(path)?;
        disk.change_name(parent(path), NameChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.lock_disk();
        disk.count_op()?;
        disk.syncs += 1;
        let pending = std::mem::take(&mut disk.pending);
        for (of, change) in pending {
            if of == dir {
                disk.durable.apply(&change);
            } else {
                disk.pending.push((of, change));
            }
        }
        Ok(())
    }

    fn lock(&self, path: &str) -> Result<Lock, LockError> {
        match self.lock_disk().locked.insert(path.to_owned()) {
            true => Ok(Lock { files: self.clone(), path: path.to_owned() }),
            false => Err(LockError::Busy { pid: None }),
        }
    }

    fn show(&self, path: &str) -> String {
        format!("memory:{path}")
    }
}

impl File {
    fn with<T>(&self, change: impl FnOnce(&mut Disk, usize) -> io::Result<T>) -> io::Result<T> {
        change(&mut self.files.lock_disk(), self.id)
    }

    fn change(&self, change: impl FnOnce(&mut Disk, usize) -> io::Result<()>) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading"));
        }
        self.with(change)
    }
}

impl super::File for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.with(|disk, id| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let end = start.checked_add(buf.len());
            let found = end.and_then(|end| disk.inodes[id].data.get(start..end));
            buf.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|disk, id| {
            let offset = usize::try_from(offset).map_err(io::Error::other)?;
            let counted = disk.count_op();
            // A write that fails may have written a part.
            let len = match counted {
                Ok(()) => data.len(),
                Err(_) => disk.random.below(data.len() as u64 + 1) as usize,
            };
            disk.inodes[id].change(Change::Write { offset, data: data[..len].to_vec() });
            counted
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|disk, id| Ok(disk.inodes[id].data.len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change(|disk, id| {
            disk.count_op()?;
            disk.inodes[id].change(Change::Resize(usize::try_from(len).map_err(io::Error::other)?));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|disk, id| {
            if let Err(error) = disk.count_op() {
                // What a failed sync could not write is dropped: a later one would not write it either.
                let mut random = Random(disk.random.next());
                let inode = &mut disk.inodes[id];
                inode.durable = inode.after_crash(&mut random).durable;
                inode.pending.clear();
                return Err(error);
            }
            disk.syncs += 1;
            if !disk.lying {
                disk.inodes[id].sync();
            }
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len <= self.len()? { Ok(()) } else { self.truncate(len) }
    }
}
