//! Founding a network of one's own: a genesis, and a directory with its keys for each machine.
//!
//! ```text
//! DIR/network.toml                  the genesis, for whoever follows
//! DIR/node-1/network.toml           the same, where the node looks for it
//! DIR/node-1/validator.key          the key that it votes with
//! DIR/node-1/peer.key               the key that its peers know it by
//! DIR/follower-1/…                  without a validator.key
//! ```
//!
//! **Invariant:** the genesis is written last: a directory without it was not finished, and is not used.

use std::io::{self, Write};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain::native::{Faults, Invalid, Key, Params, Validator};
use link::Identity;

use crate::network_id::{self, NetworkId};
use crate::peers::key_file;

/// The file with a chain's genesis.
pub const NETWORK_FILE: &str = "network.toml";

/// What is founded.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What people call the chain.
    pub name: String,
    /// The network magic that clients greet it with.
    pub magic: u32,
    /// How long a slot lasts: no two blocks of a chain are in the same.
    pub slot_length: Duration,
    /// When slot 0 begins, since the Unix epoch.
    pub start: Duration,
    /// What its validators may do wrong without harm.
    pub faults: Faults,
    /// How many validators it has, of one weight each.
    pub validators: u32,
    /// How many more nodes there are, which follow, serve and relay.
    pub followers: u32,
}

/// A network that was founded.
#[derive(Debug, Clone)]
pub struct Founded {
    /// Its genesis.
    pub network: NetworkId,
    /// Its nodes, the validators first.
    pub places: Vec<Place>,
}

/// What one node has.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its directory's name, which is also what people call it.
    pub name: String,
    /// Its data directory.
    pub dir: PathBuf,
    /// The key that it votes with; a follower has none.
    pub key: Option<Key>,
    /// The key that its peers know it by.
    pub peer: link::PeerId,
}

/// Why there is no network of one's own here.
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
    /// A key cannot be read or written.
    #[error(transparent)]
    Key(#[from] key_file::Error),
    /// The genesis is not sound.
    #[error(transparent)]
    Network(#[from] network_id::Error),
    /// The genesis is another format's.
    #[error("{} is no genesis of a chain of one's own", path.display())]
    NotNative {
        /// The file.
        path: PathBuf,
    },
    /// No chain can be founded so.
    #[error(transparent)]
    Plan(#[from] Invalid),
    /// Something that belongs to the network is not there.
    #[error("{} is not there: restore it, or give a new directory", path.display())]
    Missing {
        /// What.
        path: PathBuf,
    },
    /// The keys of the validators are not those of the genesis.
    #[error("{} is not the key of a validator of {}", key.display(), network.display())]
    OtherKey {
        /// The key's file.
        key: PathBuf,
        /// The genesis.
        network: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} holds something already, and no genesis: give a new directory", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
}

/// Makes keys and a genesis in a directory that is empty or not there yet.
///
/// # Errors
/// When the plan makes no chain, the directory holds something, or the disk refuses.
pub fn found(dir: &Path, plan: &Plan) -> Result<Founded, Error> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let mut entries = std::fs::read_dir(dir).map_err(failed("read", dir))?;
    if entries.next().is_some() {
        return Err(Error::Taken { path: dir.to_owned() });
    }
    let names = names(plan.validators as usize, plan.followers as usize);
    let places = names.map(|(name, is_validator)| place(dir, name, is_validator));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let network = NetworkId::native(params(plan, &places)?);
    let text = network.to_toml();
    for place in &places {
        let path = place.dir.join(NETWORK_FILE);
        write(&path, &text).map_err(failed("write", &path))?;
    }
    let path = dir.join(NETWORK_FILE);
    write(&path, &text).map_err(failed("write", &path))?;
    Ok(Founded { network, places })
}

/// The network that was founded in a directory; `None` where there is none, be it that the directory is not there.
///
/// # Errors
/// When a part of it is missing, or is not sound.
pub fn open(dir: &Path) -> Result<Option<Founded>, Error> {
    let path = dir.join(NETWORK_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let network = NetworkId::find(&path.to_string_lossy())?;
    let chain::Format::Native(params) = &network.format else { return Err(Error::NotNative { path }) };
    let is_follower = |number: &usize| dir.join(follower(*number)).is_dir();
    let followers = (1..).take_while(is_follower).count();
    let mut places = Vec::new();
    for (name, is_validator) in names(params.validators.len(), followers) {
        let place = read(dir, name, is_validator)?;
        let is_ours = |key: &Key| params.validators.iter().any(|validator| validator.key == key.public());
        if place.key.as_ref().is_some_and(|key| !is_ours(key)) {
            let key = place.dir.join(key_file::VALIDATOR_NAME);
            return Err(Error::OtherKey { key, network: path });
        }
        places.push(place);
    }
    Ok(Some(Founded { network, places }))
}

/// The names of the nodes, and whether they vote.
fn names(validators: usize, followers: usize) -> impl Iterator<Item = (String, bool)> {
    let voting = (1..=validators).map(|number| (format!("node-{number}"), true));
    voting.chain((1..=followers).map(|number| (follower(number), false)))
}

fn follower(number: usize) -> String {
    format!("follower-{number}")
}

fn place(dir: &Path, name: String, is_validator: bool) -> Result<Place, Error> {
    let dir = dir.join(&name);
    std::fs::create_dir(&dir).map_err(|source| Error::Io { action: "create", path: dir.clone(), source })?;
    let peer = key_file::generate(&dir.join(key_file::NAME))?.peer_id();
    let key = is_validator
        .then(|| key_file::generate_validator(&dir.join(key_file::VALIDATOR_NAME)))
        .transpose()?;
    Ok(Place { name, dir, key, peer })
}

fn read(dir: &Path, name: String, is_validator: bool) -> Result<Place, Error> {
    let dir = dir.join(&name);
    if !dir.is_dir() {
        return Err(Error::Missing { path: dir });
    }
    let peer = key_file::read(&dir.join(key_file::NAME)).map(|identity: Identity| identity.peer_id())?;
    let key =
        is_validator.then(|| key_file::read_validator(&dir.join(key_file::VALIDATOR_NAME))).transpose()?;
    Ok(Place { name, dir, key, peer })
}

fn params(plan: &Plan, places: &[Place]) -> Result<Params, Invalid> {
    let keys = places.iter().filter_map(|place| place.key.as_ref()).map(Key::public);
    let validators: Vec<_> = keys.map(|key| Validator { key, weight: NonZeroU64::MIN }).collect();
    let start_ms = u64::try_from(plan.start.as_millis()).unwrap_or(u64::MAX);
    let slot_ms = u32::try_from(plan.slot_length.as_millis()).ok().and_then(NonZeroU32::new);
    let usual = Params::solo(&plan.name, plan.magic, start_ms, [0; 32]);
    let params = Params {
        slot_length_ms: slot_ms.unwrap_or(usual.slot_length_ms),
        faults: plan.faults,
        validators,
        ..usual
    };
    params.validate()?;
    Ok(params)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(validators: u32, followers: u32) -> Plan {
        Plan {
            name: "mine".into(),
            magic: 77,
            slot_length: Duration::from_millis(20),
            start: Duration::from_secs(5),
            faults: Faults::Crash,
            validators,
            followers,
        }
    }

    #[test]
    fn what_was_founded_is_found_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = found(dir.path(), &plan(3, 2)).expect("founded");
        let again = open(dir.path()).expect("sound").expect("there");
        let chain::Format::Native(params) = &again.network.format else { panic!("native") };
        assert_eq!((params.faults, params.validators.len()), (Faults::Crash, 3));
        assert_eq!(again.network.format.chain_id(), made.network.format.chain_id());
        let names: Vec<_> = again.places.iter().map(|place| place.name.as_str()).collect();
        assert_eq!(names, ["node-1", "node-2", "node-3", "follower-1", "follower-2"]);
        for (one, other) in made.places.iter().zip(&again.places) {
            assert_eq!(one.peer, other.peer);
            assert_eq!(one.key.as_ref().map(Key::public), other.key.as_ref().map(Key::public));
            let network = NetworkId::find(&one.dir.join(NETWORK_FILE).to_string_lossy()).expect("its own");
            assert_eq!(network.format.chain_id(), made.network.format.chain_id());
        }
    }

    #[test]
    fn nothing_is_founded_where_something_is() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("letter"), "dear").expect("written");
        assert!(matches!(found(dir.path(), &plan(1, 0)), Err(Error::Taken { .. })));
        assert!(open(dir.path()).expect("nothing wrong").is_none());
    }

    #[test]
    fn a_missing_node_and_a_strange_key_are_told() {
        let dir = tempfile::tempdir().expect("a directory");
        found(dir.path(), &plan(2, 0)).expect("founded");
        let key = dir.path().join("node-2").join(key_file::VALIDATOR_NAME);
        std::fs::remove_file(&key).expect("removed");
        key_file::generate_validator(&key).expect("made");
        assert!(matches!(open(dir.path()), Err(Error::OtherKey { .. })));
        std::fs::remove_dir_all(dir.path().join("node-2")).expect("removed");
        assert!(matches!(open(dir.path()), Err(Error::Missing { .. })));
    }

    #[test]
    fn a_chain_without_validators_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(found(dir.path(), &plan(0, 1)), Err(Error::Plan(_))));
    }
}
