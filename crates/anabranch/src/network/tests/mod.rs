//! The network as a whole: several of them in one process, over pipes with time standing still, and over loopback.

mod events;
mod flow;
mod loopback;
mod pairs;
mod peers;
mod raw;
mod tasks;
mod went_wrong;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use link::{Identity, PeerId};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::*;

/// Nothing here takes that long unless it never comes. (Where time stands still it costs nothing.)
const PATIENCE: Duration = Duration::from_secs(120);

const NETWORK_ID: [u8; 32] = [9; 32];

/// A network and what it delivers.
struct Node {
    network: Network,
    sink: Sink,
    address: Address,
}

/// The identity of a number. Their keys are not in the numbers' order.
fn identity(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

/// A node that listens at a pipe.
fn node(number: u8) -> Node {
    node_with(number, |_| ())
}

fn node_with(number: u8, change: impl FnOnce(&mut Config)) -> Node {
    let (listener, _) = Listener::pipe();
    start(number, listener, change, Arc::new(Open))
}

fn start(number: u8, listener: Listener, change: impl FnOnce(&mut Config), gate: Arc<dyn Gate>) -> Node {
    let mut config = Config::new(NETWORK_ID);
    change(&mut config);
    let rng = ChaCha20Rng::seed_from_u64(number.into());
    let address = listener.address().clone();
    let (network, sink) =
        Network::start(config, identity(number), gate, vec![listener], rng).expect("it starts");
    Node { network, sink, address }
}

impl Node {
    fn id(&self) -> PeerId {
        self.network.peer_id()
    }

    fn peer_address(&self) -> PeerAddress {
        PeerAddress { key: self.id(), address: self.address.clone() }
    }

    /// Waits until something is so.
    async fn until(&self, is_so: impl Fn(&Network) -> bool) {
        let mut changes = self.network.changes();
        let wait = async {
            while !is_so(&self.network) {
                changes.changed().await.expect("the network is there");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "it never came: {:#?} {:#?}", self.network.peers(), self.network.departed());
    }

    async fn connects_with(&self, other: &Self) {
        self.network.add(other.peer_address()).expect("it can be added");
        self.until(|network| network.is_connected(other.id())).await;
        other.until(|network| network.is_connected(self.id())).await;
    }

    async fn next(&mut self) -> Delivery {
        let next = tokio::time::timeout(PATIENCE, self.sink.next()).await;
        next.expect("something is delivered").expect("the network runs")
    }

    /// The reasons of those who are gone, the last one first.
    fn reasons(&self) -> Vec<&'static str> {
        self.network.departed().recent.iter().map(|gone| gone.reason).collect()
    }
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
