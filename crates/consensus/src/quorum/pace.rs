//! How long the steps of a round may take: learned from those before, and bounded on both sides.
//!
//! What is measured is how long a block of a proposal took to be here and judged since its round began, and how
//! long the votes of a round took from our first vote to the decision; both also when they came too late. Four
//! times the median of the last measures is allowed: fewer than half of the proposers cannot move it by being slow
//! on purpose, and one slow measure after a start is none. Within a height each further round is allowed more, so that whatever was learned, messages that
//! arrive in bounded time arrive in time at last, up to the bound that is set.

use std::collections::VecDeque;
use std::time::Duration;

use super::engine::{Step, Timer};

/// How much longer than the median a step may take: room for the slowest of many. A guess.
const ROOM: u32 = 4;

/// How many measures count: four turns of four validators. A guess.
const MEASURES: usize = 16;

/// So many measures there are at least: those that are missing were quick. One that was slow, while power or links were
/// lost, would be the median of itself otherwise, after each start. A guess.
const FEW: usize = 4;

/// The least and the most of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Never less.
    pub least: Duration,
    /// Never more.
    pub most: Duration,
}

/// The times of a validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How long a proposal may take, with its body and what it takes to judge it.
    pub propose: Bounds,
    /// How long votes may take once a quorum has voted and does not agree.
    pub vote: Bounds,
    /// How much longer each further round of a height may take, in percent of the one before.
    pub growth_percent: u32,
    /// After how long without progress the last votes are sent once more.
    pub repeat: Duration,
    /// How long to wait with an empty block when there is nothing to say; zero: not at all.
    pub rest: Duration,
}

/// Times that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A least time of zero, or above the most.
    #[error("`{what}`: the least time must be above zero and at most the most")]
    Bounds {
        /// Which times.
        what: &'static str,
    },
    /// Rounds that get shorter, or longer beyond sense.
    #[error("`growth_percent` is {found}: give 101 to 400")]
    Growth {
        /// What was given.
        found: u32,
    },
    /// Votes repeated without a pause.
    #[error("`repeat` must be above zero")]
    Repeat,
}

impl Default for Config {
    /// Guesses for links of up to a few hundred milliseconds, which learning then corrects.
    fn default() -> Self {
        Self {
            propose: Bounds { least: Duration::from_millis(1_000), most: Duration::from_secs(60) },
            vote: Bounds { least: Duration::from_millis(500), most: Duration::from_secs(30) },
            growth_percent: 150,
            repeat: Duration::from_secs(2),
            rest: Duration::ZERO,
        }
    }
}

impl Config {
    /// Says what is wrong, if anything.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (what, bounds) in [("propose", self.propose), ("vote", self.vote)] {
            if bounds.least.is_zero() || bounds.least > bounds.most {
                return Err(Invalid::Bounds { what });
            }
        }
        if !(101..=400).contains(&self.growth_percent) {
            return Err(Invalid::Growth { found: self.growth_percent });
        }
        if self.repeat.is_zero() {
            return Err(Invalid::Repeat);
        }
        Ok(())
    }
}

/// What was learned of the times.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    config: Config,
    propose: Measures,
    vote: Measures,
}

/// The last measures of one step.
#[derive(Debug, Clone, Default)]
struct Measures(VecDeque<Duration>);

impl Measures {
    fn add(&mut self, took: Duration) {
        if self.0.len() == MEASURES {
            self.0.pop_front();
        }
        self.0.push_back(took);
    }

    /// The median, of an even number the greater one.
    fn median(&self) -> Duration {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.resize(sorted.len().max(FEW), Duration::ZERO);
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }
}

impl Pace {
    pub(super) fn new(config: Config) -> Self {
        Self { config, propose: Measures::default(), vote: Measures::default() }
    }

    /// How long a timer runs.
    pub(super) fn length(&self, timer: Timer) -> Duration {
        match timer.step {
            Step::Propose => self.grown(self.propose.median(), self.config.propose, timer.round),
            Step::Prevote | Step::Precommit => self.grown(self.vote.median(), self.config.vote, timer.round),
            Step::Repeat => self.config.repeat,
        }
    }

    /// A proposed block was here and judged so long after its round began.
    pub(super) fn proposed(&mut self, took: Duration) {
        self.propose.add(took);
    }

    /// A round was decided so long after our first vote in it.
    pub(super) fn voted(&mut self, took: Duration) {
        self.vote.add(took);
    }

    fn grown(&self, measured: Duration, bounds: Bounds, round: u32) -> Duration {
        let mut length = measured.saturating_mul(ROOM).clamp(bounds.least, bounds.most);
        for _ in 0..round {
            if length >= bounds.most {
                break;
            }
            length = length.saturating_mul(self.config.growth_percent) / 100;
        }
        length.min(bounds.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn propose(round: u32) -> Timer {
        Timer { step: Step::Propose, round }
    }

    #[test]
    fn times_follow_what_was_measured_within_their_bounds() {
        let mut pace = Pace::new(Config::default());
        assert_eq!(pace.length(propose(0)), ms(1_000), "nothing is known: the least");
        pace.proposed(ms(2_000));
        assert_eq!(pace.length(propose(0)), ms(1_000), "one is no measure");
        pace.proposed(ms(2_000));
        assert_eq!(pace.length(propose(0)), ms(8_000));
        (0..3).for_each(|_| pace.proposed(ms(90_000)));
        assert_eq!(pace.length(propose(0)), ms(60_000), "never more");
        for _ in 0..200 {
            pace.proposed(ms(1));
        }
        assert_eq!(pace.length(propose(0)), ms(1_000), "never less");
    }

    #[test]
    fn a_few_who_are_slow_on_purpose_change_nothing() {
        let mut pace = Pace::new(Config::default());
        for n in 0..40 {
            pace.proposed(if n % 3 == 0 { ms(50_000) } else { ms(500) });
        }
        assert_eq!(pace.length(propose(0)), ms(2_000));
    }

    #[test]
    fn later_rounds_take_longer_up_to_the_bound() {
        let pace = Pace::new(Config::default());
        assert_eq!(pace.length(propose(1)), ms(1_500));
        assert_eq!(pace.length(propose(2)), ms(2_250));
        assert_eq!(pace.length(propose(u32::MAX)), ms(60_000));
        assert_eq!(pace.length(Timer { step: Step::Precommit, round: 1 }), ms(750));
    }

    #[test]
    fn times_that_cannot_work_are_refused() {
        let broken = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate()
        };
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(broken(|c| c.propose.least = ms(0)), Err(Invalid::Bounds { what: "propose" }));
        assert_eq!(broken(|c| c.vote.least = ms(40_000)), Err(Invalid::Bounds { what: "vote" }));
        assert_eq!(broken(|c| c.growth_percent = 100), Err(Invalid::Growth { found: 100 }));
        assert_eq!(broken(|c| c.repeat = ms(0)), Err(Invalid::Repeat));
    }
}
