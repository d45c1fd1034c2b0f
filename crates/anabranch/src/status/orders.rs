//! What operators order over the admin API.

use diffusion::sync::bodies;
use serde::{Deserialize, Serialize};

use crate::peers::Named;

/// What is asked of `POST /peers/add` and its like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerOrder {
    /// `KEY`, or `KEY@HOST:PORT`.
    pub peer: Named,
}

/// What is asked of `POST /peers/mode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeOrder {
    /// `KEY`.
    pub peer: Named,
    /// How bodies go between that peer and this node.
    pub mode: Mode,
}

/// What is asked of `POST /blocks/blacklist` and `/blocks/allow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockOrder {
    /// The block's hash.
    pub block: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// In words.
    pub done: String,
}

/// How bodies go between a peer and this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As it comes: active where it is a producer's parent, else backup.
    #[default]
    Auto,
    /// It is asked before all others.
    Active,
    /// It is asked when nobody else is left.
    Backup,
    /// No bodies either way; headers and finality still flow.
    Off,
}

impl From<Mode> for bodies::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::Active => Self::Active,
            Mode::Backup => Self::Backup,
            Mode::Off => Self::Off,
        }
    }
}

impl From<bodies::Mode> for Mode {
    fn from(mode: bodies::Mode) -> Self {
        match mode {
            bodies::Mode::Auto => Self::Auto,
            bodies::Mode::Active => Self::Active,
            bodies::Mode::Backup => Self::Backup,
            bodies::Mode::Off => Self::Off,
        }
    }
}
