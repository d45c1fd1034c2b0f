//! Running a world of links, and what came of it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::check::Broken;
use super::config::Config;
use super::world::World;

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

/// A run in which a rule was broken.
#[derive(Debug)]
pub struct Failure {
    /// The world.
    pub config: Config,
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
        let seed = self.config.seed;
        match &self.what {
            What::Broken(broken) => writeln!(f, "seed {seed}: {broken}")?,
            What::Panicked(message) => writeln!(f, "seed {seed}: panicked: {message}")?,
        }
        if self.config == Config::from_seed(seed) {
            let test = "links::tests::replays_a_seed";
            write!(f, "replay: ANABRANCH_SIM_SEED={seed} cargo test -p anabranch-sim {test}")
        } else {
            write!(f, "replay: the same test again, its world does not change")
        }
    }
}

impl std::error::Error for Failure {}

/// Runs a world to its end.
///
/// # Errors
/// When a rule was broken.
pub fn run(config: &Config) -> Result<Report, Box<Failure>> {
    let mut world = World::new(config.clone());
    let what = match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(Ok(())) => return Ok(world.report()),
        Ok(Err(broken)) => What::Broken(broken),
        Err(panic) => What::Panicked(crate::report::message(panic.as_ref())),
    };
    let last = world.trace.last().map(str::to_owned).collect();
    Err(Box::new(Failure { config: config.clone(), what, last }))
}
