//! What an operator wants to know of a member beside what every node says.

use consensus::quorum;

/// A member at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where the validators stand, and why they get no further.
    pub consensus: quorum::Status,
    /// Lies of validators that were seen since the start, oldest first; bounded.
    pub evidence: Vec<quorum::Evidence>,
}
