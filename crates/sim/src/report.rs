//! Running a world, and what came of it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use crate::check::Broken;
use crate::config::Config;
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

/// A run in which a rule was broken.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Whether the world is the one that [`Config::from_seed`] draws from the seed.
    pub is_drawn: bool,
    /// Which rule: a checker's, or an assertion of the code.
    pub what: What,
    /// The last lines of the trace.
    pub last: Vec<String>,
}

/// How a rule was found broken.
#[derive(Debug)]
pub enum What {
    /// By a checker.
    Broken(Broken),
    /// By an assertion in the code under test.
    Panicked(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        match &self.what {
            What::Broken(broken) => writeln!(f, "seed {}: {broken}", self.seed)?,
            What::Panicked(message) => writeln!(f, "seed {}: panicked: {message}", self.seed)?,
        }
        match self.is_drawn {
            true => write!(
                f,
                "replay: ANABRANCH_SIM_SEED={} cargo test -p anabranch-sim replays_a_seed",
                self.seed
            ),
            false => write!(f, "replay: the same test again, its world does not change"),
        }
    }
}

impl std::error::Error for Failure {}

/// Runs a world to its end.
pub fn run(config: &Config) -> Result<Report, Box<Failure>> {
    let mut world = World::new(config.clone());
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let what = match result {
        Ok(Ok(())) => {
            return Ok(Report {
                seed: config.seed,
                digest: world.trace.digest(),
                steps: world.steps,
                outputs: world.outputs,
                blocks: world.blocks,
                settled: world.checker.settled(),
                power_cuts: world.power_cuts,
            });
        }
        Ok(Err(broken)) => What::Broken(broken),
        Err(panic) => What::Panicked(message(panic.as_ref())),
    };
    let last = world.trace.last().map(str::to_owned).collect();
    let is_drawn = *config == Config::from_seed(config.seed);
    Err(Box::new(Failure { seed: config.seed, is_drawn, what, last }))
}

pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
