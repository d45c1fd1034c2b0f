//! All nodes of a devnet, and how they find each other.

use std::net::{Ipv4Addr, SocketAddr};

use anabranch::config::Config;
use anabranch::founding::Founded;
use anabranch::network::PeerAddress;
use anabranch::network_id::NetworkId;
use anabranch::status::Tip;
use serde::Serialize;
use tokio::sync::mpsc;

use super::node::{News, Node};
use crate::exit::Failure;
use crate::output::Output;

/// The nodes.
pub(super) struct Nodes {
    network: NetworkId,
    nodes: Vec<Node>,
    news: mpsc::Sender<News>,
    output: Output,
}

/// Where a node stands.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    id: String,
    /// Of the last block that it knows; nothing before the first, and nothing while it is down.
    height: Option<u64>,
    /// Of the last irreversible one.
    final_height: Option<u64>,
    /// Of the last irreversible one.
    hash: Option<String>,
    /// How many it is linked with.
    peers: u64,
}

impl Nodes {
    /// None of them runs yet. The first serves clients at this address, the others where the system chooses.
    pub(super) fn new(
        founded: Founded,
        config: &Config,
        downstream: SocketAddr,
        news: mpsc::Sender<News>,
        output: Output,
    ) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let served = std::iter::once(downstream).chain(std::iter::repeat(anywhere));
        let nodes = founded.places.into_iter().zip(served);
        let nodes = nodes.map(|(place, at)| Node::new(place, config.clone(), at)).collect();
        Self { network: founded.network, nodes, news, output }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Starts all, one after the other: each links with those before it.
    pub(super) async fn start_all(&mut self) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            self.start_at(index).await?;
        }
        Ok(())
    }

    /// Starts one that is down; what was done, or why not.
    pub(super) async fn start(&mut self, name: &str) -> Result<String, String> {
        let index = self.find(name)?;
        let name = self.nodes[index].place.name.clone();
        if self.nodes[index].is_running() {
            return Err(format!("{name} is running"));
        }
        self.start_at(index).await.map_err(|failure| failure.message().to_owned())?;
        Ok(format!("{name} is started"))
    }

    /// Ends one as a crash does; what was done, or why not.
    pub(super) async fn kill(&mut self, name: &str) -> Result<String, String> {
        let index = self.find(name)?;
        let name = self.nodes[index].place.name.clone();
        match self.nodes[index].kill().await {
            true => Ok(format!("{name} is killed")),
            false => Err(format!("{name} is down")),
        }
    }

    /// Stops one gracefully.
    pub(super) async fn stop_one(&mut self, name: &str) -> Result<(), Failure> {
        match self.nodes.iter_mut().find(|node| node.place.name == name) {
            Some(node) => node.stop().await,
            None => Ok(()),
        }
    }

    /// Stops all gracefully; the first of their faults.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let mut ended = Ok(());
        for node in &mut self.nodes {
            ended = ended.and(node.stop().await);
        }
        ended
    }

    /// The running node whose turn it is.
    pub(super) fn turn(&self, count: u64) -> Option<&Node> {
        let running: Vec<_> = self.nodes.iter().filter(|node| node.is_running()).collect();
        let turn = count.checked_rem(running.len() as u64)?;
        running.get(usize::try_from(turn).ok()?).copied()
    }

    /// Where each stands.
    pub(super) async fn standings(&self) -> Vec<Standing> {
        let mut standings = Vec::new();
        for node in &self.nodes {
            let status = match node.running() {
                Some(running) => running.insight().status().await,
                None => None,
            };
            standings.push(Standing {
                id: node.place.name.clone(),
                height: status.as_ref().and_then(|status| height(&status.head)),
                final_height: status.as_ref().and_then(|status| height(&status.irreversible)),
                hash: status.as_ref().and_then(|status| hash(&status.irreversible)),
                peers: status.as_ref().map_or(0, |status| status.peers.connected + status.peers.others),
            });
        }
        standings
    }

    async fn start_at(&mut self, index: usize) -> Result<(), Failure> {
        let others =
            self.nodes.iter().enumerate().filter(|(other, node)| *other != index && node.is_running());
        let peers = others.filter_map(|(_, node)| {
            Some(PeerAddress { key: node.place.peer, address: node.address.clone()? })
        });
        let peers = peers.collect();
        let (network, news) = (self.network.clone(), self.news.clone());
        self.nodes[index].start(network, peers, news, self.output).await
    }

    /// Which node is meant: by its name, or by its number where it is a validator.
    fn find(&self, name: &str) -> Result<usize, String> {
        let numbered = format!("node-{name}");
        let found = self.nodes.iter().position(|node| node.place.name == name || node.place.name == numbered);
        found.ok_or_else(|| {
            let names: Vec<_> = self.nodes.iter().map(|node| node.place.name.as_str()).collect();
            format!("there is no node `{name}`: give one of {}", names.join(", "))
        })
    }
}

/// The hash of a tip that is not the origin: its point is `SLOT.HASH`.
fn hash(tip: &Tip) -> Option<String> {
    tip.point.split_once('.').map(|(_, hash)| hash.to_owned())
}

fn height(tip: &Tip) -> Option<u64> {
    hash(tip).map(|_| tip.height)
}

impl Standing {
    /// A line for a person.
    pub(super) fn text(&self) -> String {
        let number = |height: Option<u64>| height.map_or("–".into(), |height| height.to_string());
        let hash = self.hash.as_deref().map_or("–", |hash| &hash[..hash.len().min(16)]);
        let (height, final_height) = (number(self.height), number(self.final_height));
        format!("{:<12} height {height}  final {final_height}  {hash}  peers {}", self.id, self.peers)
    }
}
