//! What can go wrong between the store and its files.

use std::io;

use chain::Position;

use crate::meta::Identity;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused an operation on a file.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses the data directory.
    #[error(
        "the data directory {dir} is in use{}: stop that process, or give another directory",
        .pid.map_or(String::new(), |pid| format!(" by process {pid}"))
    )]
    InUse {
        /// The directory.
        dir: String,
        /// The process that holds it, where known.
        pid: Option<u32>,
    },
    /// The directory holds files, but no `meta.toml`.
    #[error("{dir} is not a data directory of anabranch, and not empty: give an empty or a new directory")]
    NotADataDir {
        /// The directory.
        dir: String,
    },
    /// The directory belongs to another chain.
    #[error("{dir} holds {found}, not {wanted}: give another data directory, or the network of this one")]
    OtherNetwork {
        /// The directory.
        dir: String,
        /// What it holds.
        found: Box<Identity>,
        /// What was asked for.
        wanted: Box<Identity>,
    },
    /// The directory was written by a version that this one cannot read.
    #[error("{path} says version {found}, this program reads version {known}: use the program that wrote it")]
    Version {
        /// The file that says so.
        path: String,
        /// The version found.
        found: u32,
        /// The version this program knows.
        known: u32,
    },
    /// `meta.toml` cannot be read.
    #[error("{path} is damaged ({reason}): restore it, or import into a new directory")]
    Meta {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file does not hold what it must.
    #[error(
        "{path} is damaged at byte {offset}: {damage}; `anabranch db verify --repair` cuts the log back to there"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// Headers file or index do not hold what they must of a block that is bare.
    #[error(
        "{path} is damaged at byte {offset}: {damage}; the bodies of these blocks are not held here, so that it cannot \
         be made again: restore the file, or begin anew in an empty data directory"
    )]
    Bare {
        /// The file.
        path: String,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The format refuses a header that is in the log.
    #[error("the block at position {position} of the log does not follow from the ones before: {reason}")]
    Refused {
        /// Its position.
        position: Position,
        /// The format's reason.
        reason: String,
    },
    /// A certificate that is kept does not show what it should.
    #[error("the certificate of the block at position {position} shows nothing: {reason}")]
    Certificate {
        /// The block's position.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
    /// One height's journal has grown beyond all measure.
    #[error(
        "{path} holds {max_mib} MiB of one height, and nothing was decided: see what `consensus status` waits for"
    )]
    JournalFull {
        /// The file.
        path: String,
        /// Its bound.
        max_mib: u64,
    },
    /// An earlier write or sync failed, and since then it is not known what the files hold.
    #[error("an earlier write failed, nothing more is stored: free the disk or repair it, then start again")]
    Failed,
}

/// What is wrong with a piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A file of a series is not there.
    #[error("the file is missing")]
    Missing,
    /// The head of a segment is not one, or another's.
    #[error("no valid segment header")]
    SegmentHeader,
    /// The file ends inside a record.
    #[error("the record is not whole")]
    Torn,
    /// The bytes are not the ones that were written.
    #[error("the checksum does not match")]
    Checksum,
    /// A length that no record has.
    #[error("a length of {len} bytes is not possible")]
    Length {
        /// The length stated.
        len: u64,
    },
    /// The format cannot decode the block.
    #[error("the block does not decode: {reason}")]
    Block {
        /// The format's reason.
        reason: String,
    },
    /// The block does not name the one before it as its parent.
    #[error("the block does not follow the one before")]
    Link,
    /// Index or headers file say something else than the log.
    #[error("it differs from what the log says")]
    Differs,
    /// What had been acknowledged is gone, and nothing stands in its place.
    #[error("what was written there is gone")]
    Lost,
    /// The file goes on after its last record.
    #[error("there are bytes after the last record")]
    Trailing,
}

/// Names the operation and the file of an [`io::Error`].
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { action, path: path(), source })
    }
}
