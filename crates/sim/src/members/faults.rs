//! What goes wrong, how often, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::world::{Event, World};
use crate::schedule::gap;

/// What goes wrong while there is chaos.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// How often some node loses power, on average. It comes back within seconds.
    pub crash_every: Option<Duration>,
    /// The chance that a crash is preceded by writes that fail.
    pub failing_writes: f64,
    /// How often the network parts, on average. It heals within seconds, or some tens.
    pub part_every: Option<Duration>,
    /// How often some link breaks, on average.
    pub break_every: Option<Duration>,
    /// The chance that what breaks only falls silent: nobody is told.
    pub silences: f64,
    /// The part of nodes whose disk is slow.
    pub slow_disks: f64,
    /// The part of nodes that are slow in everything.
    pub slow_nodes: f64,
    /// How far a node's wall clock may be off at the start, either way.
    pub clock_off: Duration,
    /// How fast clocks may drift, either way.
    pub drift_ppm: u32,
    /// How often some node's application falls asleep for a while, on average.
    pub sleep_every: Option<Duration>,
}

/// A kind of fault, as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nodes lose power.
    Crash,
    /// Writes fail before some crashes.
    Disk,
    /// The network parts.
    Part,
    /// Links break.
    Break,
    /// Some nodes and disks are slow.
    Slow,
    /// Clocks are off.
    Clock,
    /// Applications fall asleep.
    Sleep,
}

/// All kinds.
pub const KINDS: [Kind; 7] =
    [Kind::Crash, Kind::Disk, Kind::Part, Kind::Break, Kind::Slow, Kind::Clock, Kind::Sleep];

/// A text that names no kind of fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give some of `crash`, `disk`, `part`, `break`, `slow`, `clock`, `sleep`; or `all`, or `none`")]
pub struct ParseError;

impl FromStr for Kind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        KINDS.into_iter().find(|kind| kind.to_string() == text).ok_or(ParseError)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Disk => "disk",
            Self::Part => "part",
            Self::Break => "break",
            Self::Slow => "slow",
            Self::Clock => "clock",
            Self::Sleep => "sleep",
        })
    }
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            crash_every: None,
            failing_writes: 0.0,
            part_every: None,
            break_every: None,
            silences: 0.0,
            slow_disks: 0.0,
            slow_nodes: 0.0,
            clock_off: Duration::ZERO,
            drift_ppm: 0,
            sleep_every: None,
        }
    }

    /// These kinds of faults, as often as it takes for many of them to meet.
    pub fn of(kinds: &[Kind]) -> Self {
        let mut faults = Self::none();
        for kind in kinds {
            match kind {
                Kind::Crash => faults.crash_every = Some(Duration::from_secs(8)),
                Kind::Disk => faults.failing_writes = 0.3,
                Kind::Part => faults.part_every = Some(Duration::from_secs(25)),
                Kind::Break => {
                    (faults.break_every, faults.silences) = (Some(Duration::from_secs(3)), 0.3);
                }
                Kind::Slow => (faults.slow_disks, faults.slow_nodes) = (0.2, 0.2),
                Kind::Clock => (faults.clock_off, faults.drift_ppm) = (Duration::from_secs(2), 200),
                Kind::Sleep => faults.sleep_every = Some(Duration::from_secs(20)),
            }
        }
        faults
    }

    /// Some kinds of faults, drawn.
    pub(super) fn drawn(rng: &mut ChaCha12Rng) -> Self {
        let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| rng.random_bool(0.5)).collect();
        Self::of(&kinds)
    }

    /// Whether anything goes wrong.
    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }
}

/// How long a partition lasts, at most.
const PARTED: Duration = Duration::from_secs(40);

/// How long an application sleeps, at most.
const ASLEEP: Duration = Duration::from_secs(30);

impl World {
    /// Schedules what goes wrong.
    pub(super) fn plan(&mut self) {
        let faults = self.config.faults.clone();
        let nodes = self.config.nodes;
        self.plan_often(faults.crash_every, |rng| {
            let node = rng.random_range(0..nodes);
            if rng.random_bool(faults.failing_writes) {
                Event::WritesFail { node }
            } else {
                Event::Crash { node }
            }
        });
        let links = self.net.len();
        self.plan_often(faults.break_every.filter(|_| links > 0), |rng| Event::Break {
            link: rng.random_range(0..links),
            is_silent: rng.random_bool(faults.silences),
        });
        self.plan_often(faults.sleep_every, |rng| Event::Sleep {
            node: rng.random_range(0..nodes),
            until: ASLEEP.mul_f64(rng.random()),
        });
        self.plan_partitions(faults.part_every);
    }

    /// Schedules something again and again during the chaos.
    fn plan_often(&mut self, mean: Option<Duration>, event: impl Fn(&mut ChaCha12Rng) -> Event) {
        if let Some(mean) = mean {
            self.schedule.often(&mut self.rng, mean, self.config.chaos, event);
        }
    }

    /// Partitions come one after another, and the last one heals when the chaos ends.
    fn plan_partitions(&mut self, mean: Option<Duration>) {
        let Some(mean) = mean else { return };
        let mut at = Duration::ZERO;
        loop {
            at += gap(&mut self.rng, mean);
            if at >= self.config.chaos {
                return;
            }
            let apart = (0..self.config.nodes).filter(|_| self.rng.random_bool(0.4)).collect();
            self.schedule.at(at, Event::Part(apart));
            at = (at + PARTED.mul_f64(self.rng.random())).min(self.config.chaos);
            self.schedule.at(at, Event::Heal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_shown() {
        for kind in KINDS {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_ne!(Faults::of(&[kind]), Faults::none());
        }
        assert_eq!("fire".parse::<Kind>(), Err(ParseError));
    }
}
