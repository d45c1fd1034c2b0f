//! What operators see.

use serde::Serialize;

/// Who made a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// This node.
    Dialled,
    /// The other one.
    Accepted,
}
