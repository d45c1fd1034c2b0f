//! Where a node goes on.

use std::sync::Arc;

use bytes::Bytes;
use chain::{Block, Entry, Format, Hash, State, Tip};
use consensus::quorum::{Evidence, Journal};
use diffusion::sync::bodies::Mode;
use link::PeerId;

use crate::application::Applied;

/// What the store recovered: where a node goes on.
#[derive(Debug, Clone)]
pub struct Start {
    /// How many blocks the log holds.
    pub settled: u64,
    /// The last of them.
    pub irreversible: Tip,
    /// The state after it.
    pub state: State,
    /// The newest blocks of the log, oldest first; may be empty.
    pub recent: Vec<Arc<Entry>>,
    /// The blocks above the irreversible tip, of all forks, in any order.
    pub forks: Vec<Block>,
    /// What shows that the irreversible tip is irreversible: an encoded certificate, where blocks need one.
    pub certificate: Option<Bytes>,
    /// What the consensus journal holds.
    pub journal: Journal,
    /// Where the application stands; `None` where there is none.
    pub applied: Option<Applied>,
    /// What earlier lives were told and saw.
    pub kept: Kept,
}

/// What a member keeps over its lives beside the chain: orders, and lies that it saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Validators that signed two things of which an honest one signs one, oldest first.
    pub evidence: Vec<Evidence>,
    /// Blocks that an operator gave up.
    pub blacklist: Vec<Hash>,
    /// How bodies go between this node and peers, where an operator set that.
    pub modes: Vec<(PeerId, Mode)>,
}

impl Start {
    /// A node that knows nothing yet.
    pub fn genesis(format: &Format) -> Self {
        let state = format.genesis();
        Self {
            settled: 0,
            irreversible: state.tip,
            state,
            recent: Vec::new(),
            forks: Vec::new(),
            certificate: None,
            journal: Journal::Read(Vec::new()),
            applied: None,
            kept: Kept::default(),
        }
    }
}
