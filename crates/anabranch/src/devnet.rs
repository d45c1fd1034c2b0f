//! What a development network keeps beside its chain: the key of its one producer, and its network file.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain::native::{Key, Params};
use rand::TryRng;
use rand::rngs::SysRng;
use store::Store;
use store::files::disk;

use crate::clock::Clock;
use crate::network_id::{self, DEVNET, DEVNET_MAGIC, NetworkId};

/// The file with the producer's key, as 64 hexadecimal digits; readable by its owner alone.
pub const KEY_FILE: &str = "producer.key";

/// The file that others need to follow the chain.
pub const NETWORK_FILE: &str = "network.toml";

/// A development network.
#[derive(Debug, Clone)]
pub struct Devnet {
    /// Its network.
    pub network: NetworkId,
    /// The key that signs its blocks.
    pub key: Key,
}

/// Why there is no development network here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key's file does not hold a key.
    #[error("{} does not hold a key: restore it, or give a new data directory", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The network file is not sound.
    #[error(transparent)]
    Network(#[from] network_id::Error),
    /// One of the two files is there without the other.
    #[error("{} is there, but {} is not: restore it, or give a new data directory", found.display(), missing.display())]
    Half {
        /// The file that is there.
        found: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// The directory cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The directory holds blocks, but no key to make more with.
    #[error("{} holds a chain, but not its producer's key: give a new data directory", path.display())]
    NoKey {
        /// The directory.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {source}")]
    Random {
        /// What it said.
        source: io::Error,
    },
}

impl Devnet {
    /// The one of a data directory, or a new one there with a slot this long.
    ///
    /// # Errors
    /// When the directory cannot be used, or holds a chain without its key.
    pub fn prepare(data_dir: &Path, slot_length: Duration) -> Result<Self, Error> {
        if let Some(found) = Self::read(data_dir)? {
            return Ok(found);
        }
        let (made, seed) = Self::new(slot_length, Clock::start().now().wall)?;
        // The store makes the directory and says whose it is; nobody else touches it before the files are in.
        let files = disk::Files::new(data_dir);
        let (store, found) = Store::open(files, &made.network.format, &store::Config::default())?;
        if found.settled > 0 {
            return Err(Error::NoKey { path: data_dir.to_owned() });
        }
        made.write(&seed, data_dir)?;
        drop(store);
        Ok(made)
    }

    /// A new one, with a fresh key and a slot this long, whose slot 0 is now.
    fn new(slot_length: Duration, now: Duration) -> Result<(Self, [u8; 32]), Error> {
        let mut seed = [0; 32];
        SysRng
            .try_fill_bytes(&mut seed)
            .map_err(|error| Error::Random { source: io::Error::other(error) })?;
        let key = Key::from_seed(&seed);
        let start_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut params = Params::solo(DEVNET, DEVNET_MAGIC, start_ms, key.public());
        let slot_ms = u32::try_from(slot_length.as_millis()).unwrap_or(u32::MAX);
        params.slot_length_ms = slot_ms.try_into().unwrap_or(params.slot_length_ms);
        Ok((Self { network: NetworkId::native(params), key }, seed))
    }

    /// Reads the one of a data directory; `None` where there is none yet.
    fn read(data_dir: &Path) -> Result<Option<Self>, Error> {
        let (network, key) = (data_dir.join(NETWORK_FILE), data_dir.join(KEY_FILE));
        match (network.is_file(), key.is_file()) {
            (false, false) => return Ok(None),
            (true, false) => return Err(Error::Half { found: network, missing: key }),
            (false, true) => return Err(Error::Half { found: key, missing: network }),
            (true, true) => {}
        }
        let text = std::fs::read_to_string(&key).map_err(|source| failed("read", &key, source))?;
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| Error::Key { path: key })?;
        let network = NetworkId::find(&network.to_string_lossy())?;
        Ok(Some(Self { network, key: Key::from_seed(&seed) }))
    }

    /// Writes its files.
    fn write(&self, seed: &[u8; 32], data_dir: &Path) -> Result<(), Error> {
        let key = data_dir.join(KEY_FILE);
        create(&key, 0o600, &hex::encode(seed)).map_err(|source| failed("write", &key, source))?;
        let network = data_dir.join(NETWORK_FILE);
        create(&network, 0o644, &self.network.to_toml()).map_err(|source| failed("write", &network, source))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

fn create(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
