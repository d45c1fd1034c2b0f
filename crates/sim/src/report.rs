//! Running a world, and what came of it.

use serde::Serialize;

use crate::check::Broken;
use crate::config::Config;
use crate::failure::{Failure, Origin, caught};
use crate::world::World;

/// What happened in a run without a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A digest of all that happened: equal for equal runs.
    pub digest: u64,
    /// Steps of the world.
    pub steps: u64,
    /// Outputs of the node performed.
    pub outputs: u64,
    /// Blocks made by honest servers.
    pub blocks: u64,
    /// Blocks that became irreversible.
    pub settled: u64,
    /// Power cuts.
    pub power_cuts: u64,
}

/// Runs a world to its end.
///
/// # Errors
/// When a rule was broken.
pub fn run(config: &Config) -> Result<Report, Box<Failure<Broken>>> {
    let mut world = World::new(config.clone());
    caught(|| world.run()).map_err(|what| {
        let last = world.trace.last().map(str::to_owned).collect();
        let origin = Origin {
            tests: "tests",
            seed: config.seed,
            is_drawn: *config == Config::from_seed(config.seed),
            cut: config.crash_at_output,
        };
        Box::new(Failure { seed: config.seed, what, last, replay: origin.replay() })
    })?;
    Ok(Report {
        seed: config.seed,
        digest: world.trace.digest(),
        steps: world.steps,
        outputs: world.outputs,
        blocks: world.blocks,
        settled: world.checker.settled(),
        power_cuts: world.power_cuts,
    })
}
