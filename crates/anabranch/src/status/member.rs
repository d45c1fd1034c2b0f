//! What a member of a chain with validators says of itself and its peers, in `/status` and `/peers`.

use chain::Hash;
use diffusion::pieces;
use node::member;
use serde::{Deserialize, Serialize};

use super::{Mode, Tip};

/// A member of a chain that validators agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The key that it votes with, where it has one.
    pub validator: Option<String>,
    /// The last block that is known to be irreversible, its body perhaps on its way.
    pub certified: Tip,
    /// The application, where there is one.
    pub application: Option<Application>,
    /// Transactions that the application has not judged.
    pub unjudged: u64,
    /// Bodies that are wanted near the head,
    pub wanted: u64,
    /// and in ranges, while it is far behind.
    pub ranged: u64,
    /// The snapshot that it takes, while it has nothing yet.
    pub snapshot: Option<Snapshot>,
    /// Other validators,
    pub validators: u64,
    /// of these, those to whom there is a way.
    pub reachable: u64,
    /// Whether this node's key was seen to vote or to speak elsewhere.
    pub key_elsewhere: bool,
}

/// The application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The last block that it took in.
    pub applied: Tip,
    /// Blocks on their way to it.
    pub outstanding: u64,
    /// Why it gets no more, where it does not.
    pub stopped: Option<String>,
}

/// A snapshot of the application's state that is being taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// After the block at this height.
    pub height: u64,
    /// How many headers there are of the blocks up to it,
    pub headers: u64,
    /// how many of its pieces were taken,
    pub taken: u64,
    /// how many bytes they had,
    pub bytes: u64,
    /// how many are known to be wanted; more may show.
    pub wanted: u64,
    /// How many peers give it.
    pub peers: u64,
}

/// What a peer has of the chain, in `/peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerChain {
    /// Who.
    pub peer: String,
    /// Whether both sides have said hello to each other's chain.
    pub ready: bool,
    /// Its best block, as far as is known.
    pub best: Tip,
    /// Its last irreversible block, as far as is known.
    pub irreversible: Tip,
    /// By how many blocks that is behind ours.
    pub behind: u64,
    /// How bodies go between the two.
    pub mode: Mode,
    /// The validator at its end, as it has proven.
    pub validator: Option<String>,
    /// Its messages that wait for a check.
    pub waiting: u64,
}

impl Member {
    pub(crate) fn new(status: &member::Status, key: Option<[u8; 32]>) -> Self {
        Self {
            validator: key.map(|key| Hash(key).to_string()),
            certified: status.certified.into(),
            application: status.application.as_ref().map(Application::from),
            unjudged: status.relay.judging as u64,
            wanted: status.bodies.wanted as u64,
            ranged: status.ranged as u64,
            snapshot: status.goal.map(|goal| Snapshot::new(goal, status.snapshot.as_ref())),
            validators: status.routing.producers as u64,
            reachable: status.routing.reachable as u64,
            key_elsewhere: status.is_key_elsewhere,
        }
    }
}

impl From<&member::Application> for Application {
    fn from(application: &member::Application) -> Self {
        Self {
            applied: application.applied.into(),
            outstanding: application.outstanding as u64,
            stopped: application.stopped.clone(),
        }
    }
}

impl Snapshot {
    fn new((height, headers): (chain::Height, u64), pieces: Option<&pieces::Status>) -> Self {
        Self {
            height: height.0,
            headers,
            taken: pieces.map_or(0, |pieces| pieces.taken),
            bytes: pieces.map_or(0, |pieces| pieces.bytes),
            wanted: pieces.map_or(0, |pieces| pieces.wanted as u64),
            peers: pieces.map_or(0, |pieces| pieces.peers as u64),
        }
    }
}

impl From<&member::Peer> for PeerChain {
    fn from(peer: &member::Peer) -> Self {
        Self {
            peer: peer.id.to_string(),
            ready: peer.is_ready,
            best: peer.best.into(),
            irreversible: peer.irreversible.into(),
            behind: peer.lag,
            mode: peer.mode.into(),
            validator: peer.validator.map(|key| Hash(key).to_string()),
            waiting: peer.waiting as u64,
        }
    }
}
