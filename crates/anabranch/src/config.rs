//! The configuration: one TOML file, unknown keys refused, every limit with its reason.
//!
//! This is data only. Who sets what (flags over environment over the file over these defaults) is the
//! program's business; what a network name stands for is [`crate::network`]'s.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The most upstreams that may be configured. A guess: each costs a connection and a window of headers.
pub const MAX_UPSTREAMS: usize = 64;

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
    /// Judging what upstreams say.
    pub chain: Chain,
    /// The admin API.
    pub admin: Admin,
    /// Logs.
    pub log: Log,
}

/// The servers that are followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Node-to-node servers, as `HOST:PORT`; names are looked up afresh at each dial.
    pub addresses: Vec<String>,
    /// How many of them must serve a block before it is irreversible; more than half where it is not set.
    pub agree: Option<NonZeroUsize>,
    /// How long a dial may take.
    pub dial_timeout_ms: NonZeroU64,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            agree: None,
            // The handshake's own limit; a server slower than that is refused there anyway.
            dial_timeout_ms: nonzero(10_000),
        }
    }
}

/// The clients that are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Downstream {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// The most clients at once; the one too many is refused before its handshake.
    pub max_clients: NonZeroU32,
    /// The most clients at once from one address.
    pub max_clients_per_address: NonZeroU32,
    /// Addresses of nodes that clients are told of when they ask for some; where there are none, peer-sharing is
    /// not offered.
    pub shared_peers: Vec<SocketAddr>,
    /// A connection that said nothing for so long may lose its place to a newer one of its address.
    pub silent_after_ms: NonZeroU64,
    /// A client that takes nothing for so long is disconnected.
    pub stalled_after_ms: NonZeroU64,
    /// What all clients together may have sent without its having been dealt with, or left untaken.
    pub max_held_bytes: NonZeroU64,
    /// How long clients may finish what they are doing when the node stops.
    pub drain_ms: u64,
}

impl Default for Downstream {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            // 16,384 followers at 2 KB each are 32 MB; file descriptors are the other bound.
            max_clients: nonzero32(16_384),
            // A guess at what one application host opens; fairness, not safety: `max_clients` bounds memory.
            max_clients_per_address: nonzero32(4_096),
            shared_peers: Vec::new(),
            // A guess: a few round trips.
            silent_after_ms: nonzero(2_000),
            // Four times what the reference gives a reader for one segment.
            stalled_after_ms: nonzero(120_000),
            // 16 KiB for each of `max_clients`; one that is idle holds nothing.
            max_held_bytes: nonzero(256 << 20),
            // A guess: long enough for a block, shorter than a service manager's patience (10 s and up).
            drain_ms: 5_000,
        }
    }
}

/// Judging what upstreams say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chain {
    /// How deep a block must be to be irreversible; the network's own k where it is not set.
    pub depth: Option<NonZeroU64>,
    /// Threads that check signatures; as many as the machine has cores where it is not set.
    pub check_threads: Option<NonZeroUsize>,
}

/// The admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// A loopback address, or the path of a Unix socket; `admin.sock` in the data directory where it is
    /// not set.
    pub listen: Option<String>,
}

/// Where the admin API is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A loopback address.
    Tcp(SocketAddr),
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

impl Admin {
    /// The socket's name inside a data directory.
    pub const SOCKET: &str = "admin.sock";

    /// Where a node with this data directory listens.
    pub fn address(&self, data_dir: &Path) -> AdminAddress {
        match &self.listen {
            None => AdminAddress::Unix(data_dir.join(Self::SOCKET)),
            Some(listen) => match listen.parse() {
                Ok(address) => AdminAddress::Tcp(address),
                Err(_) => AdminAddress::Unix(listen.into()),
            },
        }
    }
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level, or a filter such as `info,anabranch::upstream=debug`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::default() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One object a line.
    Json,
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
        let (per_address, all) =
            (self.downstream.max_clients_per_address.get(), self.downstream.max_clients.get());
        if per_address > all {
            return Err(Error::ClientsPerAddress { per_address, all });
        }
        let Some(listen) = &self.admin.listen else { return Ok(()) };
        match self.admin.address(Path::new("")) {
            AdminAddress::Tcp(address) if !address.ip().is_loopback() => Err(Error::AdminAddress { address }),
            // A mistyped address shall not become a file somewhere.
            AdminAddress::Unix(_) if !listen.contains('/') => {
                Err(Error::AdminListen { listen: listen.clone() })
            }
            AdminAddress::Tcp(_) | AdminAddress::Unix(_) => Ok(()),
        }
    }
}

impl Upstream {
    /// How many upstreams must serve a block before it is irreversible.
    pub fn quorum(&self) -> usize {
        self.agree.map_or(self.addresses.len() / 2 + 1, NonZeroUsize::get)
    }

    fn validate(&self) -> Result<(), Error> {
        let count = self.addresses.len();
        if count > MAX_UPSTREAMS {
            return Err(Error::ManyUpstreams { count });
        }
        for (at, address) in self.addresses.iter().enumerate() {
            if !is_host_port(address) {
                return Err(Error::Upstream { address: address.clone() });
            }
            if self.addresses[..at].contains(address) {
                return Err(Error::TwiceUpstream { address: address.clone() });
            }
        }
        if let Some(agree) = self.agree
            && count > 0
            && agree.get() > count
        {
            return Err(Error::Agree { agree: agree.get(), count });
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with_upstreams(addresses: &[&str]) -> Config {
        let mut config = Config::default();
        config.upstream.addresses = addresses.iter().map(|address| (*address).into()).collect();
        config
    }

    #[test]
    fn the_defaults_are_sound_and_survive_a_round_trip() {
        let config = Config::default();
        config.validate().expect("sound");
        let text = toml::to_string(&config).expect("writes");
        assert_eq!(toml::from_str::<Config>(&text).expect("reads"), config);
    }

    #[test]
    fn refuses_unknown_keys_at_every_depth() {
        for text in ["netwrok = 'preview'", "[upstream]\naddress = []", "[downstream]\nmax = 3", "[chian]"] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_zero_where_it_makes_no_sense() {
        assert!(toml::from_str::<Config>("[downstream]\nmax_clients = 0").is_err());
        assert!(toml::from_str::<Config>("[chain]\ndepth = 0").is_err());
    }

    #[test]
    fn refuses_upstreams_that_cannot_be_dialled_or_counted() {
        assert!(matches!(with_upstreams(&["relay"]).validate(), Err(Error::Upstream { .. })));
        assert!(matches!(with_upstreams(&["relay:0"]).validate(), Err(Error::Upstream { .. })));
        assert!(matches!(with_upstreams(&["::1:3001"]).validate(), Err(Error::Upstream { .. })));
        assert!(matches!(with_upstreams(&["a:1", "a:1"]).validate(), Err(Error::TwiceUpstream { .. })));
        with_upstreams(&["a:1", "[::1]:3001", "10.0.0.1:3001"]).validate().expect("sound");
    }

    #[test]
    fn more_than_half_must_agree_unless_told_otherwise() {
        let quorum = |count: usize| with_upstreams(&["a:1", "b:1", "c:1", "d:1"][..count]).upstream.quorum();
        assert_eq!([1, 2, 3, 4].map(quorum), [1, 2, 2, 3]);
        let mut config = with_upstreams(&["a:1"]);
        config.upstream.agree = NonZeroUsize::new(2);
        assert!(matches!(config.validate(), Err(Error::Agree { agree: 2, count: 1 })));
    }

    #[test]
    fn refuses_an_admin_address_that_the_world_can_reach() {
        let mut config = Config::default();
        config.admin.listen = Some("0.0.0.0:9000".into());
        assert!(matches!(config.validate(), Err(Error::AdminAddress { .. })));
        for listen in ["127.0.0.1:90x", "localhost:9000", "admin"] {
            config.admin.listen = Some(listen.into());
            assert!(matches!(config.validate(), Err(Error::AdminListen { .. })), "{listen}");
        }
        for listen in ["127.0.0.1:9000", "[::1]:9000", "./admin", "/run/anabranch/admin"] {
            config.admin.listen = Some(listen.into());
            config.validate().expect(listen);
        }
        assert_eq!(
            Admin::default().address(Path::new("/var/lib/x")),
            AdminAddress::Unix("/var/lib/x/admin.sock".into())
        );
    }
}
