//! What an operator wants to know of a member beside what every node says.

use chain::{Height, Tip};
use consensus::quorum;
use diffusion::sync::bodies::{self, Mode};
use diffusion::{pieces, relay, routing};
use link::{PeerId, Time};

use super::Member;

/// A member at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where the validators stand, and why they get no further.
    pub consensus: quorum::Status,
    /// Lies of validators that were seen, in earlier lives as well, oldest first; bounded.
    pub evidence: Vec<quorum::Evidence>,
    /// Whether another node was seen to have our validator key.
    pub is_key_elsewhere: bool,
    /// Blocks that an operator gave up.
    pub blacklist: Vec<chain::Hash>,
    /// The last block that is known to be irreversible, its body perhaps on its way.
    pub certified: Tip,
    /// The application, where there is one.
    pub application: Option<Application>,
    /// Transactions on their way.
    pub relay: relay::Status,
    /// Bodies near the head.
    pub bodies: bodies::Status,
    /// The height of the state that a node goes for which has nothing yet, and how many headers it has of those below.
    pub goal: Option<(Height, u64)>,
    /// The pieces of it that are taken.
    pub snapshot: Option<pieces::Status>,
    /// Bodies that are wanted in ranges, since this node is far behind.
    pub ranged: usize,
    /// Ways to other validators.
    pub routing: routing::Status,
    /// Headers that had no place in the fork tree, being beyond the share of their peer or their producer.
    pub refused: u64,
    /// Each peer.
    pub peers: Vec<Peer>,
}

/// The application at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The last block that it took in.
    pub applied: Tip,
    /// Blocks on their way to it.
    pub outstanding: usize,
    /// Why it gets no more.
    pub stopped: Option<String>,
}

/// One peer at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub id: PeerId,
    /// Whether both sides have said hello to each other's chain.
    pub is_ready: bool,
    /// Its best block, as far as we know.
    pub best: Tip,
    /// Its last irreversible block, as far as we know.
    pub irreversible: Tip,
    /// By how many blocks its irreversible block is behind ours.
    pub lag: u64,
    /// How bodies go between the two, set by hand.
    pub mode: Mode,
    /// The validator at its end, as it has proven.
    pub validator: Option<quorum::Key>,
    /// Messages of headers that wait for a check.
    pub waiting: usize,
}

impl Member {
    /// What an operator wants to know now.
    pub fn status(&self, now: Time) -> crate::Status {
        let root = self.tree.root();
        crate::Status {
            state: self.state(now.mono),
            irreversible: root.tip,
            settled: root.settled,
            head: self.tree.head(),
            best_claimed: self.best_claimed(),
            agree: 0,
            witnesses: 0,
            headers: self.tree.len(),
            bytes: self.tree.bytes(),
            wanted: self.bodies.status().wanted + self.ranges.len(),
            verifying: self.checking.len(),
            checks: self.checks,
            pool: self.relay.status().pooled,
            produced: self.produced,
            upstreams: Vec::new(),
            member: Some(self.member_status()),
        }
    }

    fn member_status(&self) -> Status {
        let root = self.tree.root();
        let certified = self.finality.last().and_then(|(_, id)| self.tree.header(&id));
        let application = self.applying.as_ref().map(|applying| Application {
            applied: applying.last().map_or(Tip::default(), |applied| applied.tip),
            outstanding: applying.outstanding(),
            stopped: applying.stopped().map(str::to_owned),
        });
        Status {
            consensus: self.quorum.status(),
            evidence: self.quorum.evidence().cloned().collect(),
            is_key_elsewhere: self.speaking.is_key_elsewhere,
            blacklist: self.blacklist.iter().copied().collect(),
            certified: certified.map_or(root.tip, chain::Header::tip),
            application,
            relay: self.relay.status(),
            bodies: self.bodies.status(),
            goal: self.goal(),
            snapshot: self.pieces.status(),
            ranged: self.ranges.len(),
            routing: self.routing.status(),
            refused: self.shares.refused,
            peers: self.peers.iter().map(|(id, peer)| self.peer_status(*id, peer)).collect(),
        }
    }

    fn peer_status(&self, id: PeerId, peer: &super::peer::Peer) -> Peer {
        let status = peer.sync.status();
        let count = status.lib.point.hash().map_or(0, |_| status.lib.height.0 + 1);
        Peer {
            id,
            is_ready: peer.is_joined,
            best: status.best,
            irreversible: status.lib,
            lag: self.tree.root().settled.saturating_sub(count),
            mode: self.modes.get(&id).copied().unwrap_or_default(),
            validator: peer.validator,
            waiting: peer.inbox.len(),
        }
    }
}
