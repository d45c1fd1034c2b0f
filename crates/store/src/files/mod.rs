//! What the store needs of a file system, and nothing else of it.
//!
//! Two implementations: [`disk`], and [`memory`], which loses or tears what was not synced. The store's
//! code cannot tell them apart, so what the crash tests prove holds for the disk as far as the disk keeps
//! its word. Paths are relative to the root of the data directory, with `/` between their parts.
//!
//! **Invariant:** a write is durable after `sync_data` of its file, a name (created, renamed, removed) after
//! `sync_dir` of its directory; nothing earlier is relied upon.

pub mod disk;
pub mod memory;

use std::fmt::Debug;
use std::io;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only: also works in a directory that belongs to someone else.
    Read,
    /// Reading and writing.
    Write,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("in use by {}", .pid.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Busy {
        /// Its process id, where it could be read.
        pid: Option<u32>,
    },
    /// The lock file could not be opened or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A directory tree.
pub trait Files: Clone + Debug + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// Held as long as the directory is in use; dropping it lets go.
    type Lock: Debug + Send + Sync;

    /// Opens an existing file.
    fn open(&self, path: &str, access: Access) -> io::Result<Self::File>;
    /// Creates a file, or empties the one that is there. Its directory must exist.
    fn create(&self, path: &str) -> io::Result<Self::File>;
    /// Creates a directory and those above it; nothing happens if it exists.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// The names in a directory, sorted; none if there is no such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Gives a file a new name in the same directory, in place of what had that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Takes the exclusive lock on a file, creating it if needed, and writes this process's id into it.
    fn lock(&self, path: &str) -> Result<Self::Lock, LockError>;
    /// The path as a person would type it, for messages.
    fn show(&self, path: &str) -> String;
}

/// An open file; reads and writes name their offset, so that readers share it.
pub trait File: Debug + Send + Sync + 'static {
    /// Fills `buf` from `offset` on; `UnexpectedEof` if the file ends before.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// The length of the file in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file, or extends it with zeros, to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes what was written so far durable, the length included.
    fn sync_data(&self) -> io::Result<()>;
    /// Reserves space up to `len` bytes and makes the file at least that long; the new part reads as zeros.
    fn allocate(&self, len: u64) -> io::Result<()>;
}

/// Reads a whole file, refusing one longer than `max` bytes.
pub(crate) fn read_all<F: Files>(files: &F, path: &str, max: u64) -> io::Result<Vec<u8>> {
    let file = files.open(path, Access::Read)?;
    let len = file.len()?;
    if len > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{len} bytes, at most {max} expected"),
        ));
    }
    let mut data = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_at(0, &mut data)?;
    Ok(data)
}

/// Puts a small file in place so that a crash leaves either what was there or all of the new.
pub(crate) fn replace<F: Files>(files: &F, dir: &str, name: &str, data: &[u8]) -> io::Result<()> {
    let at = |name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let new = at(&format!("{name}.new"));
    let file = files.create(&new)?;
    file.write_at(0, data)?;
    file.sync_data()?;
    files.rename(&new, &at(name))?;
    files.sync_dir(dir)
}
