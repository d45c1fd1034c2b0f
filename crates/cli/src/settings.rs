//! The configuration in force: flags over environment over the file over the defaults.
//!
//! The parser has already put the environment under the flags; here both go over the file.

use std::path::{Path, PathBuf};

use anabranch::config::{AdminAddress, Config, LogFormat};
use anabranch::founding::NETWORK_FILE;
use anabranch::network_id::NetworkId;
use anabranch::peers::key_file;
use anabranch::store::{self, files::disk};

use crate::args::{
    self, Args, Block, Command, ConfigCommand, Consensus, Db, Identity, Key, Peer, Peers, Ping, Place, Who,
};
use crate::exit::{Failure, Kind};

/// Reads and merges, and refuses what makes no sense.
///
/// # Errors
/// When the file cannot be read or the values make no sense together.
pub(crate) fn load(args: &Args) -> Result<Config, Failure> {
    let place = place(&args.command);
    let mut config = match place.and_then(|place| place.config.as_deref()) {
        Some(path) => read(path)?,
        None => Config::default(),
    };
    if let Some(filter) = &args.log {
        config.log.filter.clone_from(filter);
    }
    match args.log_format {
        Some(args::LogFormat::Text) => config.log.format = LogFormat::Text,
        Some(args::LogFormat::Json) => config.log.format = LogFormat::Json,
        None => {}
    }
    if let Some(place) = place {
        over(&mut config.network, &place.network);
        over(&mut config.data_dir, &place.data_dir);
        over(&mut config.admin.listen, &place.admin);
    }
    if let Command::Run(run) = &args.command {
        if !run.downstream.is_empty() {
            config.downstream.listen.clone_from(&run.downstream);
        }
        if !run.upstream.is_empty() {
            config.upstream.addresses.clone_from(&run.upstream);
        }
        over(&mut config.upstream.agree, &run.agree);
        if !run.listen.is_empty() {
            config.peers.listen.clone_from(&run.listen);
        }
        if !run.peer.is_empty() {
            config.peers.dial.clone_from(&run.peer);
        }
    }
    if let Some(identity) = identity_flag(&args.command) {
        over(&mut config.peers.identity, &identity.identity);
    }
    config.validate().map_err(|error| Failure::new(Kind::Config, error))?;
    Ok(config)
}

/// Where the node of this configuration keeps its chain.
///
/// # Errors
/// When neither a directory nor a network to name one after is configured.
pub(crate) fn data_dir(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(dir) = &config.data_dir {
        return Ok(dir.clone());
    }
    let network = network(config)?;
    let name = Path::new(&network).file_stem().unwrap_or(network.as_ref());
    let home = |key: &str| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = home("XDG_DATA_HOME").or_else(|| home("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("anabranch").join(name)).ok_or_else(|| {
        Failure::new(Kind::Config, "no data directory is configured, and there is no home to keep one in")
            .hint("give --data-dir DIR")
    })
}

/// The network's name or file: the one configured, or else that of the chain in the data directory.
///
/// # Errors
/// When none is configured and the directory does not tell.
pub(crate) fn network(config: &Config) -> Result<String, Failure> {
    let held = || held_network(config.data_dir.as_deref()?);
    config.network.clone().or_else(held).ok_or_else(|| {
        Failure::new(Kind::Config, "no network is configured")
            .hint("give --network mainnet, preprod, preview or the path of a network file")
    })
}

/// Which chain a data directory holds, where it says enough to find the network again.
fn held_network(dir: &Path) -> Option<String> {
    let file = dir.join(NETWORK_FILE);
    if file.is_file() {
        return Some(file.display().to_string());
    }
    let held = store::identity(&disk::Files::new(dir)).ok()??;
    NetworkId::find(&held.network)
        .is_ok_and(|network| u64::from(network.magic) == held.magic)
        .then_some(held.network)
}

/// Where the admin API of this configuration's node is.
///
/// # Errors
/// As [`data_dir`].
pub(crate) fn admin(config: &Config) -> Result<AdminAddress, Failure> {
    match &config.admin.listen {
        Some(_) => Ok(config.admin.address(Path::new(""))),
        None => Ok(config.admin.address(&data_dir(config)?)),
    }
}

/// The file with the key of this configuration's node.
///
/// # Errors
/// As [`data_dir`].
pub(crate) fn identity(config: &Config) -> Result<PathBuf, Failure> {
    match &config.peers.identity {
        Some(path) => Ok(path.clone()),
        None => Ok(data_dir(config)?.join(key_file::NAME)),
    }
}

/// The file with the key that this configuration's node votes with.
///
/// # Errors
/// As [`data_dir`].
pub(crate) fn validator(config: &Config) -> Result<PathBuf, Failure> {
    match &config.consensus.key {
        Some(path) => Ok(path.clone()),
        None => Ok(data_dir(config)?.join(key_file::VALIDATOR_NAME)),
    }
}

fn read(path: &Path) -> Result<Config, Failure> {
    Config::read(path).map_err(|error| {
        Failure::new(Kind::Config, error).hint("`anabranch config show` prints every key with its default")
    })
}

fn over<T: Clone>(under: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        under.clone_from(flag);
    }
}

/// The flags that say which node a command is about, for the commands that have them.
fn place(command: &Command) -> Option<&Place> {
    match command {
        Command::Import(args::Import { place, .. })
        | Command::Run(args::Run { place, .. })
        | Command::Status(place)
        | Command::Clients(place)
        | Command::Key(Key::Generate { place, .. } | Key::Show { place, .. })
        | Command::Ping(Ping { place, .. })
        | Command::Peers(Peers { place, .. })
        | Command::Peer(
            Peer::Add { place, .. }
            | Peer::Pin(Who { place, .. })
            | Peer::Unpin(Who { place, .. })
            | Peer::Drop(Who { place, .. })
            | Peer::Ban(Who { place, .. })
            | Peer::Unban(Who { place, .. })
            | Peer::Mode { who: Who { place, .. }, .. },
        )
        | Command::Consensus(Consensus::Status(place))
        | Command::Block(Block::Blacklist { place, .. } | Block::Allow { place, .. })
        | Command::Db(
            Db::Verify { place, .. } | Db::ForgetJournal { place, .. } | Db::Export { place, .. },
        )
        | Command::Config(ConfigCommand::Show(place) | ConfigCommand::Check(place)) => Some(place),
        Command::Tx(tx) => Some(tx.place()),
        Command::Kv(kv) => Some(kv.place()),
        Command::Follow(_)
        | Command::Devnet(_)
        | Command::Init(_)
        | Command::Sim(_)
        | Command::Completions { .. } => None,
    }
}

/// The flag that says who somebody is, of the commands that have it.
fn identity_flag(command: &Command) -> Option<&Identity> {
    match command {
        Command::Run(args::Run { identity, .. })
        | Command::Ping(Ping { identity, .. })
        | Command::Key(Key::Generate { identity, .. } | Key::Show { identity, .. }) => Some(identity),
        Command::Import(_)
        | Command::Follow(_)
        | Command::Devnet(_)
        | Command::Init(_)
        | Command::Sim(_)
        | Command::Tx(_)
        | Command::Kv(_)
        | Command::Status(_)
        | Command::Clients(_)
        | Command::Peers(_)
        | Command::Peer(_)
        | Command::Consensus(_)
        | Command::Block(_)
        | Command::Db(_)
        | Command::Config(_)
        | Command::Completions { .. } => None,
    }
}
