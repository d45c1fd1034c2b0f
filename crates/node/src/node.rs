//! The Node: a follower or a member, behind one entry.

use std::time::Duration;

use chain::Hash;
use diffusion::relay;
use link::Time;

use crate::config::Role;
use crate::follower::Follower;
use crate::member::Member;
use crate::{Config, Input, Output, Start, Status};

/// One sans-IO core.
#[derive(Debug)]
pub enum Node {
    /// It follows upstreams.
    Follower(Box<Follower>),
    /// It takes part in a chain that validators agree on.
    Member(Box<Member>),
}

impl Node {
    /// A node that goes on from what the store recovered. The seed is from the system, or a test's own.
    ///
    /// Give it a first [`Input::Tick`] at once: it publishes what it has, and dials its upstreams.
    pub fn new(config: Config, start: Start, seed: [u8; 32]) -> Self {
        match config.role {
            Role::Follow(_) => Self::Follower(Box::new(Follower::new(config, start, seed))),
            Role::Member(_) => Self::Member(Box::new(Member::new(config, start, seed))),
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match self {
            Self::Follower(follower) => follower.handle(now, input, out),
            Self::Member(member) => member.handle(now, input, out),
        }
    }

    /// When to come back with an [`Input::Tick`] at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        match self {
            Self::Follower(follower) => follower.next_deadline(),
            Self::Member(member) => member.next_deadline(),
        }
    }

    /// How far a transaction came, as long as it is remembered; a follower remembers none.
    pub fn transaction(&self, id: &Hash) -> Option<relay::Progress> {
        match self {
            Self::Follower(_) => None,
            Self::Member(member) => member.transaction(id),
        }
    }

    /// What an operator wants to know now.
    pub fn status(&self, now: Time) -> Status {
        match self {
            Self::Follower(follower) => follower.status(now),
            Self::Member(member) => member.status(now),
        }
    }

    /// Panics where an invariant does not hold. Costs time in the size of the fork tree: for tests and the simulator.
    pub fn check_invariants(&self) {
        match self {
            Self::Follower(follower) => follower.check_invariants(),
            Self::Member(member) => member.check_invariants(),
        }
    }
}
