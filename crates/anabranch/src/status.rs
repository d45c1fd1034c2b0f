//! What a node says about itself: the answers of the admin API, for operators and programs.

mod certified;
mod consensus;
mod member;
mod orders;
mod progress;

use serde::{Deserialize, Serialize};

use crate::{downstream, engine};

pub use certified::{Certified, CertifiedChange, CertifiedChanges};
pub use consensus::{Consensus, Evidence};
pub use member::{Application, Member, PeerChain, Snapshot};
pub use orders::{BlockOrder, Done, Mode, ModeOrder, PeerOrder};
pub use progress::{Progress, Stage};

/// The whole of `/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The network's name.
    pub network: String,
    /// The network's magic.
    pub magic: u64,
    /// How long the node has been running.
    pub uptime_s: u64,
    /// What the node is doing.
    #[serde(flatten)]
    pub state: State,
    /// Why it says so.
    pub reason: String,
    /// What an operator may do about it; empty where there is nothing to do.
    pub hint: String,
    /// Where the chain ends.
    pub head: Tip,
    /// Up to where the chain cannot be rolled back.
    pub irreversible: Tip,
    /// How many blocks the log holds.
    pub settled: u64,
    /// How many blocks stand above the log.
    pub volatile: u64,
    /// Upstreams connected, of those known.
    pub upstreams: Count,
    /// Peers connected, of those known.
    pub peers: Peers,
    /// Clients connected, of those allowed.
    pub clients: Count,
    /// Where clients are served.
    pub downstream: Vec<std::net::SocketAddr>,
    /// Transactions that wait for a block.
    pub pool: u64,
    /// Blocks made since the start.
    pub produced: u64,
    /// Checks passed since the start.
    pub checks: Checks,
    /// What a member of a chain with validators says beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Member>,
}

/// How many checks passed since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// Headers checked.
    pub headers: u64,
    /// Bodies checked.
    pub bodies: u64,
    /// Block signatures.
    pub signatures: u64,
    /// Operational certificates.
    pub certificates: u64,
    /// VRF proofs.
    pub vrf: u64,
    /// Headers whose VRF could not be checked, since the nonce of their epoch was unknown.
    pub nonces_unknown: u64,
}

impl From<node::status::Checks> for Checks {
    fn from(checks: node::status::Checks) -> Self {
        let node::status::Checks { headers, bodies, counts } = checks;
        Self {
            headers,
            bodies,
            signatures: counts.kes + counts.signatures,
            certificates: counts.certificates,
            vrf: counts.vrf,
            nonces_unknown: counts.nonces_unknown,
        }
    }
}

/// What the node is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Not ready yet.
    Starting,
    /// No upstream is connected.
    NoUpstreams,
    /// Behind its upstreams and getting nearer.
    Syncing {
        /// How much of the upstreams' chain is here.
        percent: f64,
        /// How long the rest will take at the present pace, where that is known.
        left_s: Option<u64>,
    },
    /// Everything that the upstreams have is here.
    CaughtUp,
    /// Behind its upstreams, and nothing has come for a while.
    Stalled,
    /// Takes part in a chain with others, and no peer is connected.
    NoPeers,
    /// Has what its peers have, and votes.
    Validating,
    /// Validators have not decided anything for a while.
    Undecided,
    /// Cannot go on.
    Failed,
}

impl State {
    /// Whether the node's clients get what it promises them: of a node that was given no upstream, what it
    /// holds.
    pub fn is_ready(&self, upstreams: u64) -> bool {
        match self {
            Self::CaughtUp | Self::Validating => true,
            Self::NoUpstreams => upstreams == 0,
            Self::Starting
            | Self::Syncing { .. }
            | Self::Stalled
            | Self::NoPeers
            | Self::Undecided
            | Self::Failed => false,
        }
    }

    /// The state in a few words.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NoUpstreams => "no upstreams",
            Self::Syncing { .. } => "syncing",
            Self::CaughtUp => "caught up",
            Self::Stalled => "stalled",
            Self::NoPeers => "no peers",
            Self::Validating => "validating",
            Self::Undecided => "undecided",
            Self::Failed => "failed",
        }
    }
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many are there.
    pub connected: u64,
    /// How many there could be.
    pub of: u64,
}

/// The other nodes that this one is linked with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// Peers that this node was told of and that are connected,
    pub connected: u64,
    /// of so many that it was told of.
    pub known: u64,
    /// Connected peers that it was not told of.
    pub others: u64,
    /// Of all connected ones, those that this node dialled.
    pub dialled: u64,
    /// Of all connected ones, those that dialled this node.
    pub accepted: u64,
}

/// The end of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// `origin` or `SLOT.HASH`.
    pub point: String,
    /// The block number.
    pub height: u64,
}

impl From<chain::Tip> for Tip {
    fn from(tip: chain::Tip) -> Self {
        Self { point: tip.point.to_string(), height: tip.height.0 }
    }
}

/// One upstream, in `/upstreams`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// `HOST:PORT` as configured.
    pub address: String,
    /// What its connection is about: waiting (for a redial), connecting, intersecting, following, and so on.
    pub state: String,
    /// For how long it has been in that state.
    pub for_s: u64,
    /// The version agreed on, once connected.
    pub version: Option<u64>,
    /// The round trip, once measured.
    pub rtt_ms: Option<f64>,
    /// Where its chain ends, as it says.
    pub tip: Option<Tip>,
    /// How often it was dialled.
    pub dials: u64,
    /// How many headers it sent that were accepted.
    pub headers: u64,
    /// How many blocks it sent that were accepted.
    pub bodies: u64,
    /// Why the last connection ended.
    pub last_reason: Option<String>,
}

impl Upstream {
    pub(crate) fn new(upstream: &node::status::Upstream, address: &str, dial: &engine::Dial) -> Self {
        Self {
            address: address.to_owned(),
            state: upstream.phase.to_owned(),
            for_s: upstream.phase_age.as_secs(),
            version: dial.version,
            rtt_ms: upstream.rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0),
            tip: upstream.tip.map(Tip::from),
            dials: dial.count,
            headers: upstream.headers,
            bodies: upstream.bodies,
            last_reason: upstream.last_closing.as_ref().map(|closing| closing.cause.to_string()),
        }
    }
}

/// One client, in `/clients`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its number, never used again.
    pub id: u64,
    /// Its address.
    pub address: std::net::SocketAddr,
    /// For how long it has been connected.
    pub connected_s: u64,
    /// For how long it has said nothing.
    pub silent_s: u64,
    /// Bytes that came from it.
    pub received_bytes: u64,
    /// Bytes that it was sent.
    pub sent_bytes: u64,
    /// Whether its socket takes nothing at the moment.
    pub blocked: bool,
    /// The version that both sides speak; none before the handshake.
    pub version: Option<u64>,
    /// Where it stands on the chain.
    pub cursor: String,
    /// How many blocks lie behind it.
    pub position: u64,
    /// Chain-sync's state.
    pub chain_sync: String,
    /// Block-fetch's state.
    pub block_fetch: String,
    /// Keep-alive's state.
    pub keep_alive: String,
    /// Tx-submission's state.
    pub tx_submission: String,
    /// Peer-sharing's state.
    pub peer_sharing: String,
}

impl From<&downstream::Listed> for Client {
    fn from(listed: &downstream::Listed) -> Self {
        let status = &listed.status;
        Self {
            id: listed.id,
            address: listed.address,
            connected_s: listed.connected_s,
            silent_s: listed.silent_s,
            received_bytes: listed.received_bytes,
            sent_bytes: listed.sent_bytes,
            blocked: listed.blocked,
            version: status.version,
            cursor: status.cursor.to_string(),
            position: status.position,
            chain_sync: status.chain_sync.to_owned(),
            block_fetch: status.block_fetch.to_owned(),
            keep_alive: status.keep_alive.to_owned(),
            tx_submission: status.tx_submission.to_owned(),
            peer_sharing: status.peer_sharing.to_owned(),
        }
    }
}

/// A client that is gone, and why, in `/departed`.
pub use crate::downstream::Departed;

/// One transaction that a client offered, in `/inbox`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Its id as the client named it, in hexadecimal; unknown where the client left some out.
    pub id: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Who sent it.
    pub from: std::net::SocketAddr,
    /// How long ago it came.
    pub ago_s: u64,
}

impl From<&downstream::Tx> for Offered {
    fn from(tx: &downstream::Tx) -> Self {
        Self {
            id: tx.id.as_ref().map(hex::encode),
            bytes: tx.raw.len() as u64,
            from: tx.from,
            ago_s: tx.at.elapsed().unwrap_or_default().as_secs(),
        }
    }
}

/// The answer to `POST /tx`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The transaction's id.
    pub id: String,
}

/// The answer to `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether clients get what the node promises them.
    pub ready: bool,
    /// Why, or why not.
    pub reason: String,
}
