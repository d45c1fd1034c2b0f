//! The member itself: what it holds, and the flat dispatch of its inputs.

use std::time::Duration;

use link::Time;

use crate::{Config, Input, Output, Start, Status};

/// One sans-IO core of a chain that validators agree on.
#[derive(Debug)]
pub struct Member {
    start: Start,
}

impl Member {
    /// A member that goes on from what the store recovered.
    pub fn new(_config: Config, start: Start, _seed: [u8; 32]) -> Self {
        Self { start }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, _now: Time, _input: Input, _out: &mut Vec<Output>) {}

    /// When to come back with an [`Input::Tick`] at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// What an operator wants to know now.
    pub fn status(&self, _now: Time) -> Status {
        Status::starting(self.start.irreversible, self.start.settled)
    }

    /// Panics where an invariant does not hold.
    pub fn check_invariants(&self) {}
}
