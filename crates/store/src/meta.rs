//! `meta.toml` and the lock: whose data directory this is, and who uses it.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error};
use crate::files::{self, Files, LockError};

/// The version of the files, drawn in `docs/store-format.md`.
pub const VERSION: u32 = 1;
/// The version of a directory whose first blocks are bare: a program that knows nothing of these must leave it alone.
pub const BARE_VERSION: u32 = 2;

const LOCK: &str = "lock";
pub(crate) const META: &str = "meta.toml";
/// What a directory may hold before a store is made in it: what a first start that was cut short may have left, what a
/// new file system holds, and what is laid out before a node's first start (keys, a genesis, a configuration, an application's folder).
const OURS: [&str; 8] = [
    LOCK,
    "meta.toml.new",
    "lost+found",
    "peer.key",
    "validator.key",
    "network.toml",
    "anabranch.toml",
    "application",
];
/// A `meta.toml` is a few lines.
const MAX_META_BYTES: u64 = 4_096;

/// Which chain a data directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The format of its blocks: `cardano` or `native`.
    pub format: String,
    /// The name of the network, for people; not compared.
    pub network: String,
    /// The network magic.
    pub magic: u64,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the chain `{}` (format {}, magic {})", self.network, self.format, self.magic)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    version: u32,
    format: String,
    network: String,
    magic: u64,
    /// A consensus journal was begun here: from then on its files must be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    journal: bool,
    /// The first blocks are bare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bare: Option<Bare>,
}

/// How many blocks, from the first on, are bare: their headers are held, their bodies are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bare {
    /// So many.
    pub(crate) blocks: u64,
    /// The hash of the last of them, in hexadecimal digits.
    pub(crate) tip: String,
}

/// Makes the directory if there is none, and locks it.
pub(crate) fn lock<F: Files>(files: &F) -> Result<F::Lock, Error> {
    refuse_foreign(files)?;
    files.create_dir("").context("create", || files.show(""))?;
    files.lock(LOCK).map_err(|error| match error {
        LockError::Busy { pid } => Error::InUse { dir: files.show(""), pid },
        LockError::Io(source) => Error::Io { action: "lock", path: files.show(LOCK), source },
    })
}

/// Compares `meta.toml` with what is wanted, or writes it into a new directory.
pub(crate) fn check<F: Files>(files: &F, wanted: &Identity) -> Result<(), Error> {
    let Some(meta) = load(files)? else {
        let meta = Meta {
            version: VERSION,
            format: wanted.format.clone(),
            network: wanted.network.clone(),
            magic: wanted.magic,
            journal: false,
            bare: None,
        };
        return write(files, &meta);
    };
    if ![VERSION, BARE_VERSION].contains(&meta.version) {
        return Err(Error::Version { path: files.show(META), found: meta.version, known: BARE_VERSION });
    }
    if (meta.version == BARE_VERSION) != meta.bare.is_some() {
        let reason = format!("version {} goes with bare blocks alone", BARE_VERSION);
        return Err(Error::Meta { path: files.show(META), reason });
    }
    if meta.format != wanted.format || meta.magic != wanted.magic {
        let found = Identity { format: meta.format, network: meta.network, magic: meta.magic };
        let (found, wanted) = (Box::new(found), Box::new(wanted.clone()));
        return Err(Error::OtherNetwork { dir: files.show(""), found, wanted });
    }
    Ok(())
}

/// Which chain the directory holds; `None` where no store was made yet. Takes no lock.
pub fn identity<F: Files>(files: &F) -> Result<Option<Identity>, Error> {
    Ok(load(files)?.map(|meta| Identity { format: meta.format, network: meta.network, magic: meta.magic }))
}

/// Whether a consensus journal was begun here.
pub(crate) fn has_journal<F: Files>(files: &F) -> Result<bool, Error> {
    Ok(load(files)?.is_some_and(|meta| meta.journal))
}

/// Notes durably that a consensus journal was begun here, or that it is given up.
pub(crate) fn note_journal<F: Files>(files: &F, journal: bool) -> Result<(), Error> {
    match load(files)? {
        Some(meta) if meta.journal != journal => write(files, &Meta { journal, ..meta }),
        Some(_) | None => Ok(()),
    }
}

/// How many of the first blocks are bare, if any are.
pub(crate) fn bare<F: Files>(files: &F) -> Result<Option<Bare>, Error> {
    Ok(load(files)?.and_then(|meta| meta.bare))
}

/// Notes durably that the first blocks are bare: from then on headers file and index are the truth about them.
pub(crate) fn note_bare<F: Files>(files: &F, bare: Bare) -> Result<(), Error> {
    let meta = load(files)?.ok_or_else(|| {
        let reason = "it was there when the directory was opened, and is gone".to_owned();
        Error::Meta { path: files.show(META), reason }
    })?;
    write(files, &Meta { version: BARE_VERSION, bare: Some(bare), ..meta })
}

fn write<F: Files>(files: &F, meta: &Meta) -> Result<(), Error> {
    let text = toml::to_string(meta).expect("a few plain fields are always TOML");
    files::replace(files, "", META, text.as_bytes()).context("write", || files.show(META))
}

fn load<F: Files>(files: &F) -> Result<Option<Meta>, Error> {
    let path = || files.show(META);
    let bytes = match files::read_all(files, META, MAX_META_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.context("read", path)?,
    };
    let damaged = |reason: String| Error::Meta { path: path(), reason };
    let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
    toml::from_str(&text).map(Some).map_err(|error| damaged(error.message().to_owned()))
}

/// Nothing is written into a directory that holds something and is not ours.
fn refuse_foreign<F: Files>(files: &F) -> Result<(), Error> {
    let names = files.list("").context("list", || files.show(""))?;
    let ours = |name: &String| OURS.contains(&name.as_str());
    let known = names.iter().any(|name| name == META);
    if known || names.iter().all(ours) { Ok(()) } else { Err(Error::NotADataDir { dir: files.show("") }) }
}
