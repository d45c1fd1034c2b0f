//! What a node is told at its start and keeps to.

use chain::Format;
use consensus::{depth, quorum};

use crate::member;

/// A node's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chain's format with its network's parameters.
    pub format: Format,
    /// What the node is there for.
    pub role: Role,
}

/// What a node is there for.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one, made once")]
pub enum Role {
    /// It follows upstreams, whose ids are 0 to n - 1. There may be none: it then serves what it has.
    Follow(depth::Config),
    /// It takes part in a native chain that validators agree on.
    Member(member::Config),
}

/// A configuration that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Nothing could be decided so.
    #[error(transparent)]
    Depth(#[from] depth::Invalid),
    /// Times of consensus that cannot work.
    #[error(transparent)]
    Quorum(#[from] quorum::Invalid),
    /// Validators agree on native chains alone.
    #[error("only a native chain's blocks can be made here")]
    NotNative,
}

impl Config {
    /// Says what is wrong, if anything.
    pub fn validate(&self) -> Result<(), Invalid> {
        match (&self.role, &self.format) {
            (Role::Follow(follow), _) => Ok(follow.validate()?),
            (Role::Member(member), Format::Native(_)) => Ok(member.quorum.validate()?),
            (Role::Member(_), Format::Cardano(_)) => Err(Invalid::NotNative),
        }
    }
}
