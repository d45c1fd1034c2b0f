//! The file that the application keeps its state in: one `redb` database with three tables, and two more while a state
//! is put together from pieces ([`snapshot`](super::snapshot)).
//!
//! | table | from | to |
//! |---|---|---|
//! | `about` | `version`, `chain`, `tip` | the number of this layout; the chain's id; the last block that was taken in |
//! | `entries` | the hash of a key | the key and its value |
//! | `tree` | a place in the Merkle tree | the nodes below it ([`tree`](super::tree)) |

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use anabranch::chain::codec::{decode_tip, encode_tip};
use anabranch::chain::native::Params;
use anabranch::chain::{Hash, Tip};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use super::electorate::{self, Electorate};
use super::tree::Reader;

/// The version of the tables.
const VERSION: u64 = 1;

/// What `redb` may keep in memory. A guess: the tree's upper levels and what was used last.
const CACHE_BYTES: usize = 64 << 20;

pub(super) const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
pub(super) const ENTRIES: TableDefinition<'_, &[u8; 32], (&[u8], &[u8])> = TableDefinition::new("entries");
pub(super) const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");

/// The tables of a state that is being put together, in the shape of those that they will replace.
pub(super) const NEW_ENTRIES: TableDefinition<'_, &[u8; 32], (&[u8], &[u8])> =
    TableDefinition::new("new-entries");
pub(super) const NEW_TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("new-tree");

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what was written.
    #[error(
        "{} is damaged ({reason}): remove it and start the node again, which then hands all blocks of its log over \
         once more", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Another program wrote it.
    #[error("{} has version {found}, this program reads {VERSION}: use the program that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u64,
    },
    /// It is the state of another chain.
    #[error("{} is the state of another chain ({found:.16}): give the data directory that goes with this genesis", path.display())]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// Which chain's.
        found: Hash,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("{} cannot be read or written: {reason}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// What went wrong inside, before it is known in which file.
#[derive(Debug)]
pub(super) enum Fault {
    Database(redb::Error),
    Damaged(&'static str),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// The state after some block, as it stays readable while later ones are taken in.
pub(super) struct Snapshot {
    pub(super) tip: Tip,
    pub(super) root: Hash,
    pub(super) electorate: Electorate,
    reading: ReadTransaction,
}

impl Snapshot {
    /// The state as it is now.
    pub(super) fn take(database: &Database, params: &Params) -> Result<Self, Fault> {
        let reading = database.begin_read()?;
        let tip = reading.open_table(ABOUT)?.get("tip")?;
        let tip = tip.map(|tip| decode_tip(tip.value()).map_err(|_| Fault::Damaged("where it stands")));
        let tree = Reader::new(reading.open_table(TREE)?, reading.open_table(ENTRIES)?);
        let electorate = match tree.find(electorate::KEY)?.0 {
            Some(bytes) => Electorate::decode(&bytes).ok_or(Fault::Damaged("its validators"))?,
            None => Electorate::genesis(params),
        };
        Ok(Self { tip: tip.transpose()?.unwrap_or_default(), root: tree.root()?, electorate, reading })
    }

    pub(super) fn tree(&self) -> Result<Reader<TreeTable, EntriesTable>, Fault> {
        Ok(Reader::new(self.reading.open_table(TREE)?, self.entries()?))
    }

    pub(super) fn entries(&self) -> Result<EntriesTable, Fault> {
        Ok(self.reading.open_table(ENTRIES)?)
    }
}

pub(super) type TreeTable = ReadOnlyTable<&'static [u8], &'static [u8]>;
pub(super) type EntriesTable = ReadOnlyTable<&'static [u8; 32], (&'static [u8], &'static [u8])>;

/// Opens a file, or makes an empty one.
pub(super) fn open(path: &Path, params: &Params) -> Result<Database, Error> {
    let database = guarded(path, || Ok(Database::builder().set_cache_size(CACHE_BYTES).create(path)?))?;
    set_up(&database, path, params)?;
    Ok(database)
}

/// Makes the tables of a new database, and compares what an older one says of itself.
pub(super) fn set_up(database: &Database, path: &Path, params: &Params) -> Result<(), Error> {
    let (version, chain) = guarded(path, || {
        let writing = database.begin_write()?;
        let found = {
            let mut about = writing.open_table(ABOUT)?;
            if about.get("version")?.is_none() {
                about.insert("version", VERSION.to_be_bytes().as_slice())?;
                about.insert("chain", params.chain().0.as_slice())?;
            }
            let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
            let version = about.get("version")?.and_then(|version| number(version.value()));
            let chain = about.get("chain")?.and_then(|chain| Hash::from_slice(chain.value()));
            version.zip(chain).ok_or(Fault::Damaged("what it says of itself"))?
        };
        writing.open_table(ENTRIES)?;
        writing.open_table(TREE)?;
        // A process that ended while it put a state together begins anew.
        writing.delete_table(NEW_ENTRIES)?;
        writing.delete_table(NEW_TREE)?;
        writing.commit()?;
        Ok(found)
    })?;
    let path = path.to_owned();
    match (version, chain) {
        (VERSION, chain) if chain == params.chain() => Ok(()),
        (VERSION, found) => Err(Error::OtherChain { path, found }),
        (found, _) => Err(Error::Version { path, found }),
    }
}

/// Drops the tables of a state that was being put together.
pub(super) fn forget_new(database: &Database) -> Result<(), Fault> {
    let writing = database.begin_write()?;
    writing.delete_table(NEW_ENTRIES)?;
    writing.delete_table(NEW_TREE)?;
    Ok(writing.commit()?)
}

/// A tip as it is stored.
pub(super) fn stored(tip: &Tip) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_tip(tip, &mut bytes);
    bytes
}

/// Runs what touches the file. `redb` returns much of what it finds wrong with a damaged file, but panics over the
/// rest (a panic says so on standard error; what to do is said here).
pub(super) fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Error> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|fault| refused(path, fault)),
        Err(_) => {
            Err(Error::Damaged { path: path.to_owned(), reason: "its tables contradict themselves".into() })
        }
    }
}

fn refused(path: &Path, fault: Fault) -> Error {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    let path = path.to_owned();
    let error = match fault {
        Fault::Damaged(what) => {
            return Error::Damaged { path, reason: format!("{what} is missing or broken") };
        }
        Fault::Database(error) => error,
    };
    let reason = error.to_string();
    match error {
        redb::Error::DatabaseAlreadyOpen => Error::InUse { path },
        // Which other errors there are depends on where the damage sits.
        redb::Error::Io(error) if ![InvalidData, UnexpectedEof].contains(&error.kind()) => {
            Error::Disk { path, reason }
        }
        redb::Error::PreviousIo => Error::Disk { path, reason },
        _ => Error::Damaged { path, reason },
    }
}
