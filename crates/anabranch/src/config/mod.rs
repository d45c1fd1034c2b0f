//! The configuration: one TOML file, unknown keys refused, every limit with its reason.
//!
//! This is data only. Who sets what (flags over environment over the file over these defaults) is the
//! program's business; what a network name stands for is [`crate::network_id`]'s.

mod admin;
mod application;
mod chain;
mod consensus;
mod downstream;
mod keys;
mod link;
mod log;
mod peers;
mod relay;
mod sync;
#[cfg(test)]
mod tests;
mod upstream;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use ::link::PeerId;
use serde::{Deserialize, Serialize};

pub use admin::{Admin, AdminAddress};
pub use application::{Application, Pool};
pub use chain::Chain;
pub use consensus::Consensus;
pub use downstream::Downstream;
pub use link::{Channel, Cipher, Link};
pub use log::{Log, LogFormat};
pub use peers::{MAX_PEERS, Peers};
pub use relay::Relay;
pub use sync::Sync;
pub use upstream::{MAX_UPSTREAMS, Upstream};

/// Everything that an operator may set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The chain: mainnet, preprod, preview, devnet, or the path of a network file.
    pub network: Option<String>,
    /// Where the chain is kept.
    pub data_dir: Option<PathBuf>,
    /// The servers that are followed.
    pub upstream: Upstream,
    /// The clients that are served.
    pub downstream: Downstream,
    /// The other nodes that this one is linked with.
    pub peers: Peers,
    /// One link with one of them.
    pub link: Link,
    /// Judging what upstreams say.
    pub chain: Chain,
    /// Voting on blocks with others.
    pub consensus: Consensus,
    /// Headers and bodies between peers.
    pub sync: Sync,
    /// Transactions that wait for a block.
    pub pool: Pool,
    /// How transactions travel between peers.
    pub relay: Relay,
    /// What the application is asked.
    pub application: Application,
    /// The admin API.
    pub admin: Admin,
    /// Logs.
    pub log: Log,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("the configuration file {} is not sound: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// An upstream that is not `HOST:PORT`.
    #[error("`upstream.addresses`: `{address}` is not HOST:PORT")]
    Upstream {
        /// What was given.
        address: String,
    },
    /// The same upstream twice: it would count twice where m of n must agree.
    #[error("`upstream.addresses`: `{address}` is named twice; each must be a server of its own")]
    TwiceUpstream {
        /// What was given.
        address: String,
    },
    /// More upstreams than are supported.
    #[error("`upstream.addresses`: {count} servers, at most {MAX_UPSTREAMS} are supported")]
    ManyUpstreams {
        /// How many were given.
        count: usize,
    },
    /// More must agree than there are.
    #[error("`upstream.agree` is {agree}, but only {count} upstreams are configured; lower it or name more")]
    Agree {
        /// How many must agree.
        agree: usize,
        /// How many there are.
        count: usize,
    },
    /// An admin address that the world could reach.
    #[error("`admin.listen`: {address} is not a loopback address; give 127.0.0.1:PORT or a socket's path")]
    AdminAddress {
        /// What was given.
        address: SocketAddr,
    },
    /// Neither an address nor clearly a path.
    #[error(
        "`admin.listen`: `{listen}` is neither an address such as 127.0.0.1:9090 nor a path; a path has a `/` in it"
    )]
    AdminListen {
        /// What was given.
        listen: String,
    },
    /// A list of peers that is too long.
    #[error("`{list}` has {count} entries, at most {max} are supported", max = MAX_PEERS)]
    ManyPeers {
        /// The key.
        list: &'static str,
        /// How many were given.
        count: usize,
    },
    /// The same peer at two places.
    #[error("`peers.dial`: the key {key} is named twice; give one place for each peer")]
    TwicePeer {
        /// Whose.
        key: PeerId,
    },
    /// One list wants whom another refuses.
    #[error("`{list}` names {key}, which `peers.deny` refuses: take it out of one of them")]
    Denied {
        /// Whose.
        key: PeerId,
        /// Where it is wanted.
        list: &'static str,
    },
    /// One list wants whom another leaves out.
    #[error(
        "`{list}` names {key}, which `peers.allow` leaves out: add it there, or leave `peers.allow` empty"
    )]
    NotAllowed {
        /// Whose.
        key: PeerId,
        /// Where it is wanted.
        list: &'static str,
    },
    /// More places are reserved than there are.
    #[error("`peers.reserved` ({reserved}) is above `peers.max_connections` ({all})")]
    Reserved {
        /// The reserved ones.
        reserved: u32,
        /// All of them.
        all: u32,
    },
    /// Two numbers the wrong way round.
    #[error("`{less}` must be less than `{more}`")]
    Order {
        /// The key of the smaller.
        less: &'static str,
        /// The key of the greater.
        more: &'static str,
    },
    /// Rounds that get shorter, or longer beyond sense.
    #[error("`consensus.growth_percent` is {found}: give 101 to 400")]
    Growth {
        /// What was given.
        found: u32,
    },
    /// A buffer that holds no whole frame.
    #[error("`link.read_bytes` is {found}: give at least 12312, which is the longest frame")]
    ReadBytes {
        /// What was given.
        found: u32,
    },
    /// A number with which a peer could make this node keep too much, or it would keep that by itself.
    #[error("`{key}` is {found}: give at most {most}")]
    TooMuch {
        /// Of what.
        key: &'static str,
        /// What was given.
        found: u32,
        /// The most.
        most: u32,
    },
    /// A link that may hold less than one frame could say nothing.
    #[error("`link.floor_bytes` is {found}: give at least {least}")]
    Floor {
        /// What was given.
        found: u32,
        /// The least.
        least: u32,
    },
    /// More is promised to links than there is.
    #[error(
        "`link.floor_bytes` ({floor}) for each of `peers.max_connections` ({links}) is more than \
         `link.max_held_bytes` ({held})"
    )]
    Floors {
        /// For each.
        floor: u32,
        /// How many.
        links: u32,
        /// What there is.
        held: u64,
    },
    /// A channel that there is none of.
    #[error("`link.channels`: there is no channel `{name}`; there are {known}")]
    Channel {
        /// What was given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The channels make no sense.
    #[error("`link.channels`: {0}")]
    Channels(#[from] ::link::channel::Error),
    /// A single address may have more clients than there may be at all.
    #[error("`downstream.max_clients_per_address` ({per_address}) is above `downstream.max_clients` ({all})")]
    ClientsPerAddress {
        /// The limit per address.
        per_address: u32,
        /// The limit for all.
        all: u32,
    },
}

impl Config {
    /// Reads a file; what it does not name keeps its default. Does not [`validate`](Self::validate).
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })
    }

    /// Whether the values make sense together.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        self.upstream.validate()?;
        self.downstream.validate()?;
        self.peers.validate()?;
        self.link.validate()?;
        self.validate_floors()?;
        self.consensus.validate()?;
        self.sync.validate()?;
        self.relay.validate()?;
        self.admin.validate()
    }

    /// What each link may always hold must be there for as many links as there may be.
    fn validate_floors(&self) -> Result<(), Error> {
        let (floor, links) = (self.link.floor_bytes.get(), self.peers.max_connections.get());
        let (held, least) = (self.link.max_held_bytes.get(), ::link::budget::MIN_FLOOR_BYTES);
        if floor < least {
            return Err(Error::Floor { found: floor, least });
        }
        match u64::from(floor).checked_mul(links.into()) {
            Some(floors) if floors <= held => Ok(()),
            _ => Err(Error::Floors { floor, links, held }),
        }
    }
}

/// Whether `text` looks like `HOST:PORT`, `[::1]:PORT` included.
pub fn is_host_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
            let plain = !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']);
            (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port != 0)
        }
        None => false,
    }
}

/// A number that is not zero, for defaults.
fn nonzero(value: u64) -> NonZeroU64 {
    NonZeroU64::new(value).expect("the defaults above are not zero")
}

/// The same for small numbers.
fn nonzero32(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("the defaults above are not zero")
}
