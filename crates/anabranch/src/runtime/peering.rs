//! What a running node does about its peers: what operators say goes into the book, then to the network.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use link::PeerId;
use link::state::State;
use node::Command;
use tokio::task::spawn_blocking;

use super::{Error, settings};
use crate::config::Config;
use crate::network::{self, Direction, Listener, Lists, Network, PeerAddress, PeerError, Sink};
use crate::network_id::NetworkId;
use crate::peers::book::{self, Ban, Book, Contents};
use crate::peers::{Named, key_file};
use crate::status;

/// The way to say something about peers, and to ask about them.
#[derive(Debug, Clone)]
pub(crate) struct Peering {
    pub(crate) network: Network,
    pub(super) book: Arc<Book>,
    /// Held while an order is carried out: what is on disk and what the network knows change in the same order.
    turn: Arc<Mutex<()>>,
}

/// What an operator may say about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Add,
    Pin,
    Unpin,
    Drop,
    Ban,
    Unban,
}

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is about this node itself.
    #[error("{key} is this node's own key")]
    OurselvesMeant {
        /// That key.
        key: PeerId,
    },
    /// A peer without an address cannot be dialled.
    #[error("where is {key}? give KEY@HOST:PORT")]
    NoAddress {
        /// Whose is missing.
        key: PeerId,
    },
    /// Nobody who is banned is dialled or let in.
    #[error("{key} is banned: lift that first (`anabranch peer unban {key}`)")]
    Banned {
        /// Who.
        key: PeerId,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Book(#[from] book::Error),
    /// The network has no room for more.
    #[error(transparent)]
    Network(#[from] network::PeerError),
}

/// Listens for peers, and dials those that it knows.
pub(super) async fn start(
    config: &Config,
    network: &NetworkId,
    (book, kept): (Book, Contents),
    identity: link::Identity,
) -> Result<(Peering, Sink), Error> {
    let listeners = config.peers.listen.iter().map(Listener::bind).collect::<Result<_, _>>()?;
    let gate = Lists {
        allow: config.peers.allow.iter().copied().collect(),
        deny: config.peers.deny.iter().copied().collect(),
    };
    let settings = settings::network(config, network).map_err(network::Error::from)?;
    let rng = settings::generator()?;
    let (network, sink) = Network::start(settings, identity, Arc::new(gate), listeners, rng)?;
    let peering = Peering { network, book: Arc::new(book), turn: Arc::default() };
    peering.introduce(config, kept)?;
    Ok((peering, sink))
}

impl Peering {
    /// How many peers are connected.
    pub(crate) fn count(&self) -> status::Peers {
        let (known, sockets) = (self.network.known(), self.network.peers());
        let open: Vec<_> = sockets.iter().filter(|socket| socket.state == State::Open).collect();
        let connected = known.iter().filter(|known| known.connected).count();
        let dialled = open.iter().filter(|socket| socket.direction == Direction::Dialled).count();
        status::Peers {
            connected: connected as u64,
            known: known.len() as u64,
            others: open.len().saturating_sub(connected) as u64,
            dialled: dialled as u64,
            accepted: (open.len() - dialled) as u64,
        }
    }

    /// Carries an order out: on disk first, so that what was answered outlasts a crash. Once begun it is carried out,
    /// be it that nobody waits for the answer any more.
    pub(crate) async fn obey(&self, order: Order, named: Named) -> Result<(), Refusal> {
        let Named { key, address } = named;
        if key == self.network.peer_id() {
            return Err(Refusal::OurselvesMeant { key });
        }
        let address = address.map(|address| PeerAddress { key, address });
        if order == Order::Add && address.is_none() {
            return Err(Refusal::NoAddress { key });
        }
        let this = self.clone();
        let carried_out = spawn_blocking(move || this.carry_out(order, key, address));
        carried_out.await.expect("a change of the book does not panic")
    }

    /// Keeps what the node is about to be ordered, so that it outlasts a crash.
    pub(crate) async fn keep(&self, command: Command) -> Result<(), Refusal> {
        let this = self.clone();
        let kept = spawn_blocking(move || {
            let _turn = this.turn.lock().unwrap_or_else(PoisonError::into_inner);
            match command {
                Command::Blacklist(id) => this.book.blacklist(&id),
                Command::Allow(id) => this.book.allow(&id),
                Command::Mode(peer, mode) => this.book.set_mode(&peer, mode),
            }
        });
        Ok(kept.await.expect("a change of the book does not panic")?)
    }

    fn carry_out(&self, order: Order, key: PeerId, address: Option<PeerAddress>) -> Result<(), Refusal> {
        // It guards no data of its own.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(order, Order::Add | Order::Pin) && self.network.banned().contains(&key) {
            return Err(Refusal::Banned { key });
        }
        write(&self.book, order, key, address.as_ref())?;
        self.tell(order, key, address)
    }

    fn tell(&self, order: Order, key: PeerId, address: Option<PeerAddress>) -> Result<(), Refusal> {
        let network = &self.network;
        match (order, address) {
            (Order::Add, Some(address)) => network.add(address)?,
            (Order::Add, None) => {}
            (Order::Pin, address) => network.pin(key, address.map(|address| address.address))?,
            (Order::Ban, _) => _ = network.ban(key)?,
            (Order::Unpin, _) => _ = network.unpin(key),
            (Order::Drop, _) => _ = network.drop_peer(key),
            (Order::Unban, _) => _ = network.unban(key),
        }
        Ok(())
    }

    /// Tells the network whom the configuration and the book name. This node itself is passed over: a book or a list
    /// of a whole fleet may have come from another node.
    pub(super) fn introduce(&self, config: &Config, kept: Contents) -> Result<(), PeerError> {
        let us = self.network.peer_id();
        // What the configuration says comes last, and so wins.
        for Ban { key, .. } in kept.bans.into_iter().filter(|ban| ban.key != us) {
            self.network.ban(key)?;
        }
        for known in kept.known.into_iter().filter(|known| known.key != us) {
            match (known.pinned, known.address) {
                (true, address) => self.network.pin(known.key, address)?,
                (false, Some(address)) => self.network.add(PeerAddress { key: known.key, address })?,
                (false, None) => {}
            }
        }
        for key in config.peers.pinned.iter().filter(|key| **key != us) {
            self.network.pin(*key, None)?;
        }
        for address in &config.peers.dial {
            self.network.add(address.clone())?;
        }
        Ok(())
    }
}

fn write(book: &Book, order: Order, key: PeerId, address: Option<&PeerAddress>) -> Result<(), book::Error> {
    if let (Order::Add | Order::Pin, Some(address)) = (order, address) {
        book.add(address)?;
    }
    match order {
        Order::Add => Ok(()),
        Order::Pin => book.pin(&key),
        Order::Unpin => book.unpin(&key),
        Order::Drop => book.drop_peer(&key),
        Order::Ban => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            book.ban(Ban { key, since_s: since.as_secs() })
        }
        Order::Unban => book.unban(&key),
    }
}

/// The key that this node proves who it is with: the configured one, or the data directory's, which is made at the
/// first start.
pub(super) fn identity(config: &Config, data_dir: &Path) -> Result<link::Identity, Error> {
    let identity = match &config.peers.identity {
        Some(path) => key_file::read(path)?,
        None => key_file::read_or_generate(&data_dir.join(key_file::NAME))?,
    };
    let us = identity.peer_id();
    match config.peers.dial.iter().find(|peer| peer.key == us) {
        Some(peer) => Err(Error::OwnKey { peer: peer.clone() }),
        None => Ok(identity),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;

    use super::*;

    #[tokio::test]
    async fn an_order_is_carried_out_though_nobody_waits_for_the_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let (book, _) = Book::open(&folder.path().join(book::NAME)).expect("it opens");
        let config = network::Config::new([0; 32]);
        let (identity, rng) =
            (link::Identity::from_seed(&[1; 32]), rand_chacha::ChaCha20Rng::seed_from_u64(1));
        let (network, _sink) =
            Network::start(config, identity, Arc::new(Lists::default()), Vec::new(), rng).expect("it starts");
        let peering = Peering { network, book: Arc::new(book), turn: Arc::default() };
        let key = link::Identity::from_seed(&[2; 32]).peer_id();
        let order = |order| peering.obey(order, Named { key, address: None });
        tokio::select! {
            biased;
            _ = order(Order::Ban) => panic!("it is done on another thread"),
            () = std::future::ready(()) => {}
        }
        let carried_out = async {
            while peering.network.banned() != [key] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), carried_out).await.expect("it is banned");
        assert!(matches!(order(Order::Pin).await, Err(Refusal::Banned { .. })));
        assert_eq!(peering.book.contents().expect("it can be read").bans.len(), 1);
    }
}
