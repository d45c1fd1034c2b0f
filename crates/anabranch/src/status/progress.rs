//! How far a transaction came.

use diffusion::relay;
use serde::{Deserialize, Serialize};

/// How far a transaction came that was given to this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it is.
    pub stage: Stage,
    /// To how many peers it was offered. One that comes back counts again.
    pub offered: u32,
    /// How many peers asked for it, likewise.
    pub requested: u32,
    /// Whether another node has offered it to us: it is on its way without us.
    pub seen_back: bool,
    /// The height of the irreversible block that it is in.
    pub block: Option<u64>,
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It was taken.
    #[default]
    Taken,
    /// The application looks at it.
    Judging,
    /// The application takes long; it waits, and is not offered.
    Late,
    /// It is accepted, waits for a block, and is offered to peers.
    Pooled,
    /// It is in an irreversible block.
    Final,
    /// It is wrong.
    Rejected,
    /// The application could not tell, or did not answer.
    Ignored,
    /// It waited for as long as it may.
    Expired,
}

impl Stage {
    /// Whether nothing more becomes of it here.
    pub fn is_last(self) -> bool {
        match self {
            Self::Taken | Self::Judging | Self::Late | Self::Pooled => false,
            Self::Final | Self::Rejected | Self::Ignored | Self::Expired => true,
        }
    }
}

impl From<relay::Stage> for Stage {
    fn from(stage: relay::Stage) -> Self {
        match stage {
            relay::Stage::Judging => Self::Judging,
            relay::Stage::Late => Self::Late,
            relay::Stage::Pooled => Self::Pooled,
            relay::Stage::Included => Self::Final,
            relay::Stage::Rejected => Self::Rejected,
            relay::Stage::Ignored => Self::Ignored,
            relay::Stage::Expired => Self::Expired,
        }
    }
}

impl From<relay::Progress> for Progress {
    fn from(progress: relay::Progress) -> Self {
        let relay::Progress { stage, offered, requested, seen_back } = progress;
        Self { stage: stage.into(), offered, requested, seen_back, block: None }
    }
}
