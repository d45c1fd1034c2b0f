//! Where a node goes on.

use std::sync::Arc;

use bytes::Bytes;
use chain::{Block, Entry, Format, State, Tip};
use consensus::quorum::Journal;

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
        }
    }
}
