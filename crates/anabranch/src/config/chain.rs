//! `[chain]`: judging what upstreams say.

use std::num::{NonZeroU64, NonZeroUsize};

use serde::{Deserialize, Serialize};

/// Judging what upstreams say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chain {
    /// How deep a block must be to be irreversible; the network's own k where it is not set.
    pub depth: Option<NonZeroU64>,
    /// Threads that check signatures; as many as the machine has cores where it is not set.
    pub check_threads: Option<NonZeroUsize>,
}
