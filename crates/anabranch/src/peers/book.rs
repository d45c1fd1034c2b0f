//! The peers that an operator added, pinned or banned while the node ran, and what a member keeps beside its chain
//! ([`node::Kept`]), so that they outlast a restart.
//!
//! One `redb` file in the data directory with a few small tables; every change is on disk before it is answered.
//! What the configuration says is not in it, and wins at each start. Nothing that a peer says gets in here, but for
//! what a validator signed twice.
//!
//! **Invariant:** a file that cannot be read in full is refused, never replaced: a forgotten ban would be an
//! open door.

mod kept;

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use link::PeerId;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::network::{Address, PeerAddress};

/// The file's name inside a data directory.
pub const NAME: &str = "peers.redb";

/// The most peers, and the most bans, that are kept. A guess: an operator types them one by one.
pub const MAX_ENTRIES: u64 = 4_096;

/// The version of the tables below.
const VERSION: u64 = 1;

/// What `redb` may keep in memory: the whole of it is far smaller.
const CACHE_BYTES: usize = 1 << 20;

/// `version` and its number.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// A peer's key: its place as text (empty where none is known), and whether it is pinned.
const PEERS: TableDefinition<'_, &[u8; 32], (&str, bool)> = TableDefinition::new("peers");

/// A banned peer's key: since when, in seconds since the Unix epoch.
const BANS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("bans");

/// The file, open.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    database: Database,
}

/// A peer in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who.
    pub key: PeerId,
    /// Where it listens; none where it is only waited for.
    pub address: Option<Address>,
    /// Whether a place is reserved for it and it is never given up.
    pub pinned: bool,
}

/// A ban in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub key: PeerId,
    /// Since when, in seconds since the Unix epoch.
    pub since_s: u64,
}

/// Everything in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The peers, in the order of their keys.
    pub known: Vec<Known>,
    /// The bans, in the order of their keys.
    pub bans: Vec<Ban>,
    /// What a member keeps beside its chain.
    pub kept: node::Kept,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what was written.
    #[error(
        "{} is damaged ({reason}): restore it from a copy, or remove it; then the peers that were added, pinned \
         or banned while the node ran must be named again", path.display()
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
    /// There is room for no more.
    #[error("{MAX_ENTRIES} are kept already, which is the most: drop or unban some, or configure them")]
    Full,
}

impl Book {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// When it is damaged, in use, or the disk refuses.
    pub fn open(path: &Path) -> Result<(Self, Contents), Error> {
        let opened = guarded(path, || {
            let mut database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
            // It is small: all of it is compared with its sums at each start.
            database.check_integrity()?;
            Ok(database)
        })?;
        let book = Self { path: path.to_owned(), database: opened };
        book.check_version()?;
        let contents = book.contents()?;
        Ok((book, contents))
    }

    /// Everything in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn contents(&self) -> Result<Contents, Error> {
        let (peers, bans) = guarded(&self.path, || {
            let reading = self.database.begin_read()?;
            let (mut peers, mut bans) = (Vec::new(), Vec::new());
            for row in reading.open_table(PEERS)?.iter()? {
                let (key, value) = row?;
                let (place, pinned) = value.value();
                peers.push((*key.value(), place.to_owned(), pinned));
            }
            for row in reading.open_table(BANS)?.iter()? {
                let (key, since) = row?;
                bans.push(Ban { key: PeerId(*key.value()), since_s: since.value() });
            }
            Ok((peers, bans))
        })?;
        let known = peers.into_iter().map(|(key, place, pinned)| self.known(PeerId(key), &place, pinned));
        Ok(Contents { known: known.collect::<Result<_, _>>()?, bans, kept: self.kept()? })
    }

    /// Keeps a peer and its place; one that is there gets the new place and stays pinned if it was.
    ///
    /// # Errors
    /// When it is full or cannot be written.
    pub fn add(&self, address: &PeerAddress) -> Result<(), Error> {
        self.change(|peers, _| {
            let pinned = peers.get(&address.key.0)?.is_some_and(|kept| kept.value().1);
            peers.insert(&address.key.0, (address.address.to_string().as_str(), pinned))?;
            Ok(())
        })
    }

    /// Pins a peer; where it was not known it is kept without a place.
    ///
    /// # Errors
    /// When it is full or cannot be written.
    pub fn pin(&self, peer: &PeerId) -> Result<(), Error> {
        self.change(|peers, _| {
            let place = peers.get(&peer.0)?.map_or(String::new(), |kept| kept.value().0.to_owned());
            peers.insert(&peer.0, (place.as_str(), true))?;
            Ok(())
        })
    }

    /// Unpins a peer; one without a place is forgotten.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn unpin(&self, peer: &PeerId) -> Result<(), Error> {
        self.change(|peers, _| {
            let place = peers.get(&peer.0)?.map(|kept| kept.value().0.to_owned());
            match place.as_deref() {
                None => {}
                Some("") => drop(peers.remove(&peer.0)?),
                Some(place) => drop(peers.insert(&peer.0, (place, false))?),
            }
            Ok(())
        })
    }

    /// Forgets a peer. A ban stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn drop_peer(&self, peer: &PeerId) -> Result<(), Error> {
        self.change(|peers, _| {
            peers.remove(&peer.0)?;
            Ok(())
        })
    }

    /// Bans a peer. What is known of it is kept for the day the ban is lifted.
    ///
    /// # Errors
    /// When it is full or cannot be written.
    pub fn ban(&self, ban: Ban) -> Result<(), Error> {
        self.change(|_, bans| {
            bans.insert(&ban.key.0, ban.since_s)?;
            Ok(())
        })
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn unban(&self, peer: &PeerId) -> Result<(), Error> {
        self.change(|_, bans| {
            bans.remove(&peer.0)?;
            Ok(())
        })
    }

    /// One change of the tables, on disk when this returns.
    fn change(
        &self,
        change: impl FnOnce(&mut Peers<'_>, &mut Bans<'_>) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        use redb::ReadableTableMetadata;
        self.write(|writing| {
            let (mut peers, mut bans) = (writing.open_table(PEERS)?, writing.open_table(BANS)?);
            change(&mut peers, &mut bans)?;
            Ok(peers.len()? <= MAX_ENTRIES && bans.len()? <= MAX_ENTRIES)
        })
    }

    /// One change, on disk when this returns; taken back where it says that there is no room.
    fn write(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<bool, redb::Error>,
    ) -> Result<(), Error> {
        let fits = guarded(&self.path, || {
            let writing = self.database.begin_write()?;
            let fits = change(&writing)?;
            if fits {
                writing.commit()?
            } else {
                writing.abort()?
            }
            Ok(fits)
        })?;
        if fits { Ok(()) } else { Err(Error::Full) }
    }

    /// Makes the tables of a new file, and refuses those of another version.
    fn check_version(&self) -> Result<(), Error> {
        let found = guarded(&self.path, || {
            let writing = self.database.begin_write()?;
            let found = {
                let mut about = writing.open_table(ABOUT)?;
                let found = about.get("version")?.map(|found| found.value());
                if found.is_none() {
                    about.insert("version", VERSION)?;
                    writing.open_table(PEERS)?;
                    writing.open_table(BANS)?;
                }
                if found.is_none_or(|found| found == VERSION) {
                    // Files of earlier programs lack these.
                    kept::make_tables(&writing)?;
                }
                found
            };
            if found.is_none_or(|found| found == VERSION) {
                writing.commit()?
            } else {
                writing.abort()?
            }
            Ok(found)
        })?;
        match found {
            None | Some(VERSION) => Ok(()),
            Some(found) => Err(Error::Version { path: self.path.clone(), found }),
        }
    }

    fn known(&self, key: PeerId, place: &str, pinned: bool) -> Result<Known, Error> {
        let damaged = |reason| Error::Damaged { path: self.path.clone(), reason };
        let address = match place {
            "" => None,
            place => {
                Some(place.parse().map_err(|error: super::address::ParseError| damaged(error.to_string()))?)
            }
        };
        Ok(Known { key, address, pinned })
    }
}

type Peers<'a> = redb::Table<'a, &'static [u8; 32], (&'static str, bool)>;
type Bans<'a> = redb::Table<'a, &'static [u8; 32], u64>;

/// Runs what touches the file. `redb` returns much of what it finds wrong with a damaged file, but panics over the
/// rest (a panic says so on standard error; the node goes on to say what to do).
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Error> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| refused(path, error)),
        Err(_) => {
            Err(Error::Damaged { path: path.to_owned(), reason: "its tables contradict themselves".into() })
        }
    }
}

fn refused(path: &Path, error: redb::Error) -> Error {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    let (path, reason) = (path.to_owned(), error.to_string());
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

#[cfg(test)]
mod tests;
