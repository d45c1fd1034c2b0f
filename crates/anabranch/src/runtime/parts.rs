//! The pieces that a node is put together from.

use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chain::native::Key;
use chain::{Entry, Position, View};
use consensus::quorum::{Journal, Record};
use link::PeerId;
use rand::TryRng;
use rand::rngs::SysRng;
use store::files::disk;
use store::{Reader, Store};
use tokio::sync::watch;

use super::insight::About;
use super::{Error, Recovered, member, peering};
use crate::clock::Clock;
use crate::config::Config;
use crate::logic::{self, Failed, Logic};
use crate::network_id::NetworkId;
use crate::peers::book::{self, Book, Contents};
use crate::{connection, downstream, engine};

/// Connections that may wait to be accepted, per listener: what Linux allows without being told otherwise.
const BACKLOG: i32 = 4_096;

/// The newest blocks of the log that the first view holds, so that readers near the tip need no look into it.
const RECENT: u64 = chain::view::MAX_RECENT as u64;

/// By how much the clock may be behind what the chain says of time. A guess: clocks that are set at all differ by less.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// What a node is there for.
#[expect(clippy::large_enum_variant, reason = "there is one, made once")]
pub enum Role {
    /// It follows the configured upstreams.
    Follow,
    /// It takes part in a native chain that validators agree on.
    Member {
        /// The key that it votes with. Without one, or with one that is no validator's, it follows, serves and relays.
        key: Option<Key>,
        /// The application; a node that only relays needs none.
        logic: Option<Application>,
    },
}

/// The application of a member.
pub enum Application {
    /// It is open.
    Open(Arc<dyn Logic>),
    /// It is opened once the data directory is known to be this node's and of this chain: a refused start leaves nothing
    /// of it behind. May block.
    Later(Box<dyn FnOnce() -> Result<Arc<dyn Logic>, Failed> + Send>),
}

impl Application {
    /// One that is opened in its turn.
    pub fn later(open: impl FnOnce() -> Result<Arc<dyn Logic>, Failed> + Send + 'static) -> Self {
        Self::Later(Box::new(open))
    }

    fn open(self) -> Result<Arc<dyn Logic>, Failed> {
        match self {
            Self::Open(logic) => Ok(logic),
            Self::Later(open) => open(),
        }
    }
}

impl<L: Logic> From<Arc<L>> for Application {
    fn from(logic: Arc<L>) -> Self {
        Self::Open(logic)
    }
}

impl Role {
    /// The key that it votes with, where it has one.
    pub(super) fn validator(&self) -> Option<[u8; 32]> {
        match self {
            Self::Follow => None,
            Self::Member { key, .. } => key.as_ref().map(Key::public),
        }
    }
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Follow => f.write_str("Follow"),
            Self::Member { key, logic } => {
                f.debug_struct("Member").field("key", key).field("has_logic", &logic.is_some()).finish()
            }
        }
    }
}

/// A data directory in use.
pub(super) struct Opened {
    pub(super) node: node::Node,
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) recovered: Recovered,
    /// Who this node is to its peers.
    pub(super) identity: link::Identity,
    pub(super) logic: Option<Arc<dyn Logic>>,
    /// What operators said of peers.
    pub(super) book: (Book, Contents),
}

/// Opens the data directory and makes the node that goes on from there.
pub(super) async fn open(
    config: &Config,
    network: &NetworkId,
    data_dir: PathBuf,
    role: Role,
    wall: Duration,
) -> Result<Opened, Error> {
    let (config, network) = (config.clone(), network.clone());
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| Error::System(std::io::Error::other(error)))?;
    let opening = move || -> Result<Opened, Error> {
        let format = network.format.clone();
        let files = disk::Files::new(&data_dir);
        let (store, found) = Store::open(files, &format, &store::Config::default())?;
        let reader = store.reader();
        if let Some(reason) = refused_first(&reader, &format)? {
            let network = format.network().to_owned();
            return Err(Error::OtherChain { data_dir, network, reason: Box::new(reason) });
        }
        if let store::Journal::Damaged { path, offset, damage } = &found.journal {
            // Whether it matters, and for how long, consensus says in its status.
            tracing::warn!("the consensus journal is damaged, {path} at byte {offset}: {damage}");
        }
        let recovered = Recovered {
            settled: found.settled,
            irreversible: found.irreversible,
            forks: found.forks.len(),
            cuts: found.cut.iter().map(ToString::to_string).collect(),
        };
        let start = node::Start { recent: recent(&reader, &format)?, ..engine::start_from(found) };
        if is_of_another_chain(&start.journal, &format) {
            return Err(Error::OtherJournal { data_dir });
        }
        check_clock(&format, &start.irreversible, wall)?;
        let identity = peering::identity(&config, &data_dir)?;
        let (role, application) = node_role(&config, &network, role, identity.peer_id());
        let config = node::Config { format, role };
        config.validate()?;
        let (book, contents) = Book::open(&data_dir.join(book::NAME))?;
        let logic = application.map(Application::open).transpose();
        let logic = logic.map_err(|failed| Error::ApplicationData { reason: failed.reason })?;
        let applied = logic.as_ref().map(|logic| logic::applied(&**logic)).transpose();
        let applied = applied.map_err(|failed| Error::Application { reason: failed.reason })?;
        let start = node::Start { applied, kept: contents.kept.clone(), ..start };
        let node = node::Node::new(config, start, seed);
        Ok(Opened { node, store, reader, recovered, identity, logic, book: (book, contents) })
    };
    tokio::task::spawn_blocking(opening).await.expect("opening a data directory does not panic")
}

/// Why the log's first block cannot be this network's, if it cannot: networks of our own may share a magic.
fn refused_first(reader: &Reader, format: &chain::Format) -> Result<Option<chain::Reason>, store::Error> {
    // Its body may not be held.
    let first = reader.headers(format, Position(0), 1)?.pop();
    Ok(first.and_then(|(header, _)| format.next(&format.genesis(), &header).err()))
}

/// Whether a journal was begun on another chain than this.
fn is_of_another_chain(journal: &Journal, format: &chain::Format) -> bool {
    let Journal::Read(records) = journal else { return false };
    matches!(records.first(), Some(Record::Height { chain, .. }) if *chain != format.chain_id())
}

/// The newest blocks of the log, oldest first.
fn recent(reader: &Reader, format: &chain::Format) -> Result<Vec<Arc<Entry>>, store::Error> {
    let settled = reader.settled();
    let mut entries = Vec::new();
    for at in settled.saturating_sub(RECENT).max(reader.bare())..settled {
        let position = Position(at);
        let store::Held::Here(raw) = reader.block(position)? else { break };
        let Ok(block) = format.block(&raw) else { break };
        entries.push(Arc::new(Entry { position, header: block.header, block: block.raw }));
    }
    Ok(entries)
}

/// Whether the clock stands so far back that it cannot be right. A chain has no blocks before it begins, and ours are of
/// the past.
fn check_clock(format: &chain::Format, tip: &chain::Tip, wall: Duration) -> Result<(), Error> {
    let slot = tip.point.slot();
    let begins = format.slot_start(slot.unwrap_or_default());
    let behind = begins.saturating_sub(wall);
    if behind <= CLOCK_TOLERANCE {
        return Ok(());
    }
    let than = match slot {
        None => "the beginning of this chain",
        Some(_) => "its newest block",
    };
    Err(Error::Clock { behind, than })
}

/// What the node is there for, in its own words, and its application.
fn node_role(
    config: &Config,
    network: &NetworkId,
    role: Role,
    peer_id: PeerId,
) -> (node::Role, Option<Application>) {
    match role {
        Role::Follow => {
            let upstreams = u32::try_from(config.upstream.addresses.len()).unwrap_or(u32::MAX);
            let agree = u32::try_from(config.upstream.quorum()).ok().and_then(NonZeroU32::new);
            let depth = config.chain.depth.or(NonZeroU64::new(network.format.security()));
            let depth = consensus::depth::Config {
                upstreams,
                agree: agree.unwrap_or(NonZeroU32::MIN),
                depth: depth.unwrap_or(NonZeroU64::MIN),
            };
            (node::Role::Follow(depth), None)
        }
        Role::Member { key, logic } => (node::Role::Member(member::settings(config, key, peer_id)), logic),
    }
}

/// Binds every address that clients are served at.
pub(super) fn listen(config: &Config) -> Result<Vec<(SocketAddr, TcpListener)>, Error> {
    let bind = |address: &SocketAddr| {
        bind(*address).map_err(|source| Error::Downstream { address: *address, source })
    };
    config.downstream.listen.iter().map(bind).collect()
}

fn bind(address: SocketAddr) -> std::io::Result<(SocketAddr, TcpListener)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted node may listen again at once, while connections of the old one linger.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener: TcpListener = socket.into();
    Ok((listener.local_addr()?, listener))
}

/// How to speak with upstreams.
pub(super) fn speech(config: &Config, network: &NetworkId) -> connection::Config {
    connection::Config {
        machine: ouroboros::upstream::Config::new(network.magic),
        dial_timeout: Duration::from_millis(config.upstream.dial_timeout_ms.get()),
    }
}

/// Starts the server for clients, if there is where to serve them.
pub(super) fn serve(
    listeners: Vec<(SocketAddr, TcpListener)>,
    config: &Config,
    network: &NetworkId,
    views: watch::Receiver<Arc<View>>,
    log: Reader,
) -> std::io::Result<Option<downstream::Handle>> {
    if listeners.is_empty() {
        return Ok(None);
    }
    let limits = &config.downstream;
    let settings = downstream::Config {
        magic: network.magic,
        max_clients: limits.max_clients.get() as usize,
        max_clients_per_address: limits.max_clients_per_address.get() as usize,
        shared_peers: limits.shared_peers.clone(),
        silent_after: Duration::from_millis(limits.silent_after_ms.get()),
        stalled_after: Duration::from_millis(limits.stalled_after_ms.get()),
        max_held_bytes: usize::try_from(limits.max_held_bytes.get()).unwrap_or(usize::MAX),
        drain: Duration::from_millis(limits.drain_ms),
    };
    let listeners = listeners.into_iter().map(|(_, listener)| listener).collect();
    let inbox = Arc::new(downstream::Inbox::default());
    downstream::Server::start(listeners, settings, views, log, inbox).map(Some)
}

/// What does not change while the node runs.
pub(super) fn about(
    config: &Config,
    network: &NetworkId,
    downstream: Vec<SocketAddr>,
    clock: Clock,
    validator: Option<[u8; 32]>,
) -> About {
    About {
        network: network.name.clone(),
        magic: network.magic,
        upstreams: config.upstream.addresses.clone(),
        max_clients: config.downstream.max_clients.get().into(),
        downstream,
        clock,
        validator,
    }
}

/// File descriptors beyond those of clients and peers: the store's segments, upstreams, listeners, the admin API.
const OTHER_FILES: u64 = 256;

/// Asks the system for as many file descriptors as clients and peers may need, and says so where it gives fewer.
pub(super) fn raise_open_files(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let clients = match config.downstream.listen.is_empty() {
        true => 0,
        false => u64::from(config.downstream.max_clients.get()),
    };
    let wanted = clients + u64::from(config.peers.max_connections.get()) + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let given = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    // Where it is refused, the limit stays, and the line below says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(given), maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if current < wanted {
        let connections = current.saturating_sub(OTHER_FILES);
        tracing::warn!(
            "the system allows {current} open files, enough for some {connections} clients and peers: raise the \
             limit (`ulimit -n`, LimitNOFILE=), or lower downstream.max_clients and peers.max_connections"
        );
    }
}

/// How many threads check signatures.
pub(super) fn check_threads(config: &Config) -> NonZeroUsize {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    config.chain.check_threads.unwrap_or_else(cores)
}
