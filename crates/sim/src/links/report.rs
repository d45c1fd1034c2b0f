//! Running a world of links, and what came of it.

use super::check::Broken;
use super::config::Config;
use super::world::World;
use crate::failure::{Failure, Origin, caught};

/// What happened in a run without a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A digest of all that happened: equal for equal runs.
    pub digest: u64,
    /// Steps of the world.
    pub steps: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Those that were broken off or fell silent.
    pub breaks: u64,
    /// Those that a peer dropped.
    pub drops: u64,
    /// Messages that were heard.
    pub heard: u64,
    /// Those that found no memory.
    pub over_budget: u64,
    /// Faults of peers that break the rules.
    pub faults: u64,
}

/// Runs a world to its end.
///
/// # Errors
/// When a rule was broken.
pub fn run(config: &Config) -> Result<Report, Box<Failure<Broken>>> {
    let mut world = World::new(config.clone());
    caught(|| world.run()).map_err(|what| {
        let last = world.trace.last().map(str::to_owned).collect();
        let is_drawn = *config == Config::from_seed(config.seed);
        let origin = Origin { tests: "links::tests", seed: config.seed, is_drawn, cut: None };
        Box::new(Failure { seed: config.seed, what, last, replay: origin.replay() })
    })?;
    Ok(world.report())
}
