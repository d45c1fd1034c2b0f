//! What a node is told at its start and keeps to.

use chain::Format;
use consensus::{Consensus, Depth, Solo, depth, quorum};

use crate::follower::produce;
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
    /// It makes the blocks of a native chain.
    Produce(produce::Config),
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
    /// Only native blocks can be made here.
    #[error("only a native chain's blocks can be made here")]
    NotNative,
    /// The chain names another producer.
    #[error("the key is not the chain's producer")]
    NotTheProducer,
}

impl Config {
    /// Says what is wrong, if anything.
    pub fn validate(&self) -> Result<(), Invalid> {
        match (&self.role, &self.format) {
            (Role::Follow(follow), _) => Ok(follow.validate()?),
            (Role::Member(member), Format::Native(_)) => Ok(member.quorum.validate()?),
            (Role::Produce(_) | Role::Member(_), Format::Cardano(_)) => Err(Invalid::NotNative),
            (Role::Produce(config), Format::Native(params)) => {
                let named = params.validators.iter().any(|validator| validator.key == config.key.public());
                if named { Ok(()) } else { Err(Invalid::NotTheProducer) }
            }
        }
    }

    /// k; 0 where a block is irreversible at once.
    pub(crate) fn depth(&self) -> u64 {
        match &self.role {
            Role::Follow(depth) => depth.depth.get(),
            Role::Produce(_) | Role::Member(_) => 0,
        }
    }

    /// n.
    pub(crate) fn upstreams(&self) -> u32 {
        match &self.role {
            Role::Follow(depth) => depth.upstreams,
            Role::Produce(_) | Role::Member(_) => 0,
        }
    }

    /// How it decides.
    pub(crate) fn consensus(&self) -> Consensus {
        match &self.role {
            Role::Follow(config) => Consensus::Depth(Depth::new(*config)),
            Role::Produce(_) => Consensus::Solo(Solo),
            Role::Member(_) => unreachable!("a member decides by itself"),
        }
    }
}
