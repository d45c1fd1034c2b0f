//! The files with the secrets that a node proves who it is with, and that a validator votes with: 64 hexadecimal digits,
//! for their owner alone.
//!
//! A file that others may read is refused, and so is one that is already there when a new key is to be
//! written: a lost key is a lost name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chain::native::Key;
use link::Identity;
use rand::TryRng;
use rand::rngs::SysRng;

/// The name of the file inside a data directory by which peers know the node.
pub const NAME: &str = "peer.key";

/// The name of the file inside a data directory that the node votes with, where it does.
pub const VALIDATOR_NAME: &str = "validator.key";

/// The permissions of others, of which the file may have none.
const OTHERS: u32 = 0o077;

/// The longest file that is read: far above 64 digits and what an editor adds, far below what hurts.
const MAX_BYTES: u64 = 4_096;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the key file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner may read or change it.
    #[error("the key file {0} is open to others (mode {mode:04o}): run `chmod 600 {0}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no plain file.
    #[error("{} is no plain file: name the file that holds the key", path.display())]
    NoFile {
        /// What is there.
        path: PathBuf,
    },
    /// It holds something else.
    #[error(
        "the key file {} does not hold 64 hexadecimal digits: restore it from a copy, or remove it and make a \
         new key, under which the node's peers do not know it yet", path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// There is one already.
    #[error(
        "there is a file {} already: give another --identity, or remove it first if nobody needs that key",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("the key file {} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {source}")]
    Random {
        /// What it said.
        source: io::Error,
    },
}

/// Reads the identity of a file.
///
/// # Errors
/// When it cannot be read, is open to others, or holds no key.
pub fn read(path: &Path) -> Result<Identity, Error> {
    Ok(Identity::from_seed(&seed(path)?))
}

/// Reads the key that a validator votes with.
///
/// # Errors
/// As [`read`].
pub fn read_validator(path: &Path) -> Result<Key, Error> {
    Ok(Key::from_seed(&seed(path)?))
}

/// The key that a node with this data directory votes with, where it has one: of the file that is configured, or else of
/// the one in the directory. None is made: it would be in nobody's genesis.
///
/// # Errors
/// When the configured file cannot be read, or either is open to others or holds no key.
pub fn validator(configured: Option<&Path>, data_dir: &Path) -> Result<Option<Key>, Error> {
    match configured {
        Some(path) => read_validator(path).map(Some),
        None => match read_validator(&data_dir.join(VALIDATOR_NAME)) {
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        },
    }
}

fn seed(path: &Path) -> Result<[u8; 32], Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    // Before opening: a pipe would be waited for.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::NoFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(Error::Open { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim_ascii(), &mut seed).map_err(|_| Error::NoKey { path: path.to_owned() })?;
    Ok(seed)
}

/// Makes a new identity and writes it to a file that is not there yet.
///
/// # Errors
/// When the file is there, or cannot be written.
pub fn generate(path: &Path) -> Result<Identity, Error> {
    Ok(Identity::from_seed(&fresh(path)?))
}

/// Makes a new key to vote with and writes it to a file that is not there yet.
///
/// # Errors
/// As [`generate`].
pub fn generate_validator(path: &Path) -> Result<Key, Error> {
    Ok(Key::from_seed(&fresh(path)?))
}

fn fresh(path: &Path) -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| Error::Random { source: io::Error::other(error) })?;
    create(path, &seed).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::Write { path: path.to_owned(), source },
    })?;
    Ok(seed)
}

/// The identity of a file, or a new one where there is no such file.
///
/// # Errors
/// As [`read`] and [`generate`].
pub fn read_or_generate(path: &Path) -> Result<Identity, Error> {
    match read(path) {
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => generate(path),
        found => found,
    }
}

fn create(path: &Path, seed: &[u8; 32]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written =
        file.write_all(format!("{}\n", hex::encode(seed)).as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Nobody knows this key yet, and half of one would be in the way of the next.
        let _ = std::fs::remove_file(path);
        return written;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }

    #[test]
    fn a_new_key_is_its_owners_alone_and_is_found_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        let made = read_or_generate(&path).expect("made");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
        assert_eq!(read_or_generate(&path).expect("found").peer_id(), made.peer_id());
        let other = generate(&dir.path().join("other")).expect("made");
        assert_ne!(other.peer_id(), made.peer_id());
    }

    #[test]
    fn never_writes_over_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        std::fs::write(&path, "a letter").expect("written");
        assert!(matches!(generate(&path), Err(Error::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "a letter");
    }

    #[test]
    fn refuses_a_key_that_others_may_read_and_says_the_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        generate(&path).expect("made");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777] {
            set_mode(&path, mode);
            let error = read(&path).expect_err("open");
            assert!(matches!(error, Error::Open { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        set_mode(&path, 0o400);
        read(&path).expect("less than 0600 is no harm");
    }

    #[test]
    fn a_validators_key_is_found_where_there_is_one_and_never_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(VALIDATOR_NAME);
        assert!(validator(None, dir.path()).expect("none").is_none());
        assert!(!path.exists());
        assert!(matches!(validator(Some(&path), dir.path()), Err(Error::Read { .. })), "it was named");
        let made = generate(&path).expect("made");
        let found = validator(None, dir.path()).expect("read").expect("there");
        assert_eq!(found.public(), made.peer_id().0, "the same secret, the same public key");
        set_mode(&path, 0o644);
        assert!(matches!(validator(None, dir.path()), Err(Error::Open { .. })));
    }

    #[test]
    fn refuses_what_is_no_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        for text in [String::new(), "ab".repeat(31), "ab".repeat(33), "zz".repeat(32), "0".repeat(9_000)] {
            std::fs::write(&path, text).expect("written");
            set_mode(&path, 0o600);
            assert!(matches!(read(&path), Err(Error::NoKey { .. })));
        }
        assert!(matches!(read(dir.path()), Err(Error::NoFile { .. })));
        assert!(matches!(read(&dir.path().join("absent")), Err(Error::Read { .. })));
    }
}
