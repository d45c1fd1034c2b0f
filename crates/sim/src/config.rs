//! What a world is made of.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use crate::pipe::Link;

/// One run: everything that happens follows from this.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Decides all that is random.
    pub seed: u64,
    /// The servers that the node follows.
    pub servers: Vec<Behaviour>,
    /// m: how many of them must agree.
    pub agree: u32,
    /// k: how deep is irreversible.
    pub depth: u64,
    /// How the connections behave.
    pub link: Link,
    /// The chance that some honest server makes a block in a slot of one second.
    pub blocks_per_slot: f64,
    /// For how long things go wrong.
    pub chaos: Duration,
    /// For how long afterwards the chain grows in peace: longer than any pause after a fault.
    pub calm: Duration,
    /// For how long at the end nothing new is made, so that all can be compared.
    pub quiet: Duration,
    /// How often the node loses power during the chaos, on average.
    pub crash_every: Option<Duration>,
    /// The node loses power right after so many of its outputs were performed, once.
    pub crash_at_output: Option<u64>,
    /// The chance that a power cut is preceded by failing writes.
    pub failing_writes: f64,
    /// A rule that is broken on purpose, to see the checker that watches it fire.
    pub sabotage: Option<Sabotage>,
}

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// By the rules.
    Honest,
    /// By the rules, but its connections break.
    Flaky,
    /// By the rules, but it is away now and then.
    Restarting,
    /// By the rules, but it hears of blocks late: it is behind what is irreversible for the others.
    Lagging,
    /// By the rules, over a line that is hardly wide enough for the chain.
    Slow,
    /// By the rules, until it says nothing more though its connections stay.
    Silent,
    /// It forges a longer chain of well-formed headers from some block on.
    Forger,
    /// It serves blocks with signatures that nobody made.
    BadSignature,
    /// It serves other bodies than its headers name.
    BadBody,
}

impl Behaviour {
    /// Whether it serves the honest chain in the end.
    pub fn is_honest(self) -> bool {
        match self {
            Self::Honest | Self::Flaky | Self::Restarting | Self::Lagging | Self::Slow => true,
            Self::Silent | Self::Forger | Self::BadSignature | Self::BadBody => false,
        }
    }
}

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Appends are acknowledged before they are synced.
    AcknowledgesEarly,
    /// Every header check passes.
    SkipsChecks,
    /// A single upstream and a single block on top make a block irreversible.
    TrustsAnyone,
    /// The answers to some checks are lost.
    LosesAnswers,
    /// The node keeps far more than it was told to.
    KeepsTooMuch,
    /// The node waits for twice the blocks on top before a block is irreversible.
    SettlesLate,
    /// The node shows readers less of the log than before.
    ShowsLess,
    /// The log is emptied by the power cut.
    ForgetsTheLog,
    /// The node shows readers a view with a block left out.
    LeavesOutABlock,
    /// The node takes every header's checks for failed now and then.
    DistrustsAtRandom,
    /// Something that is not from the seed decides.
    Unseeded,
}

impl Config {
    /// A world drawn from a seed: some servers, most of them honest, and all that can go wrong.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let liars = rng.random_range(0..=2_u32);
        let honest = liars + 1 + rng.random_range(0..=2_u32);
        let all = [Behaviour::Silent, Behaviour::Forger, Behaviour::BadSignature, Behaviour::BadBody];
        let sound =
            [Behaviour::Honest, Behaviour::Flaky, Behaviour::Restarting, Behaviour::Lagging, Behaviour::Slow];
        let mut servers: Vec<Behaviour> = (0..liars).map(|_| all[rng.random_range(0..all.len())]).collect();
        // One at least that is there when the others are not.
        servers.push(Behaviour::Honest);
        servers.extend((1..honest).map(|_| sound[rng.random_range(0..sound.len())]));
        let link = Link {
            latency: Duration::from_millis(rng.random_range(1..200)),
            jitter: Duration::from_millis(rng.random_range(0..100)),
            bytes_per_s: rng.random_range(20_000..10_000_000),
        };
        Self {
            seed,
            servers,
            agree: liars + 1,
            depth: rng.random_range(6..=12),
            link,
            blocks_per_slot: rng.random_range(0.2..0.6),
            crash_every: rng.random_bool(0.7).then(|| Duration::from_secs(rng.random_range(10..60))),
            failing_writes: if rng.random_bool(0.3) { 0.5 } else { 0.0 },
            ..Self::peaceful(seed)
        }
    }

    /// Three honest servers, two of which must agree, and nothing that goes wrong.
    pub fn peaceful(seed: u64) -> Self {
        Self {
            seed,
            servers: vec![Behaviour::Honest; 3],
            agree: 2,
            depth: 8,
            link: Link::default(),
            blocks_per_slot: 0.4,
            chaos: Duration::from_secs(120),
            calm: Duration::from_secs(500),
            quiet: Duration::from_secs(60),
            crash_every: None,
            crash_at_output: None,
            failing_writes: 0.0,
            sabotage: None,
        }
    }

    /// How long the world lasts.
    pub fn duration(&self) -> Duration {
        self.chaos + self.calm + self.quiet
    }

    /// When nothing new is made any more.
    pub fn quiet_from(&self) -> Duration {
        self.chaos + self.calm
    }
}
