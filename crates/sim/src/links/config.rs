//! What a world of links is made of.

use std::time::Duration;

use link::session::{Cipher, Security};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::pipe;

/// One run: everything that happens follows from this.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Decides all that is random.
    pub seed: u64,
    /// The peers; each is linked with each other.
    pub peers: Vec<Behaviour>,
    /// How the links are guarded.
    pub security: Security,
    /// How the connections behave.
    pub line: pipe::Link,
    /// What may be written at once, and how much of it may wait in the bearer before more is written.
    pub write_bytes: usize,
    /// What all links of one peer may hold together.
    pub budget_bytes: u64,
    /// How many bytes a peer says to each other in a second, on average, besides what is urgent.
    pub bulk_bytes_per_s: u64,
    /// How often connections break during the chaos, on average and each.
    pub breaks_every: Option<Duration>,
    /// How often a peer drops the link to another during the chaos, on average and each.
    pub drops_every: Option<Duration>,
    /// Which part of what breaks only falls silent: no end is told of it.
    pub silences: f64,
    /// For how long things go wrong.
    pub chaos: Duration,
    /// For how long everything is well again and peers go on talking: longer than any deadline.
    pub calm: Duration,
    /// For how long at the end nothing new is said, so that all can arrive.
    pub quiet: Duration,
    /// A rule that is broken on purpose, to see the checker that watches it fire.
    pub sabotage: Option<Sabotage>,
}

/// How a peer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// By the rules.
    Honest,
    /// By the rules, but it takes what is not urgent late.
    Slow,
    /// By the rules, but what it sends is changed, doubled or left out on its way: by it or by others.
    Tampered,
    /// It seals segments that break the rules.
    Forger,
    /// It sends without credit.
    Greedy,
}

impl Behaviour {
    /// Whether it keeps to the rules, and its lines deliver what it sends.
    pub fn is_sound(self) -> bool {
        match self {
            Self::Honest | Self::Slow => true,
            Self::Tampered | Self::Forger | Self::Greedy => false,
        }
    }
}

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A message is not delivered now and then.
    LosesMessages,
    /// One is delivered twice.
    Doubles,
    /// Of one, the end is missing.
    CutsMessages,
    /// What a message holds is given back to the budget before the message is taken.
    LeaksMemory,
    /// What is urgent is sent on a channel for bulk.
    OneLane,
    /// Pongs do not reach the half that measures.
    LosesPongs,
    /// Credit that was granted back does not reach the half that sends.
    LosesGrants,
    /// A sender grants itself credit.
    GrantsItself,
    /// Nobody looks at the clock.
    IgnoresDeadlines,
    /// An end is gone and nobody says why.
    ClosesSilently,
    /// Messages are reported as taken when they come.
    TakesEarly,
    /// Something that is not from the seed decides.
    Unseeded,
}

impl Config {
    /// A world drawn from a seed: some peers, most of them honest, and all that can go wrong.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let bad = [Behaviour::Tampered, Behaviour::Forger, Behaviour::Greedy];
        let mut peers = vec![Behaviour::Honest; 2];
        for _ in 0..rng.random_range(0..=2) {
            peers.push(if rng.random_bool(0.5) { Behaviour::Slow } else { Behaviour::Honest });
        }
        for _ in 0..rng.random_range(0..=2) {
            peers.push(bad[rng.random_range(0..bad.len())]);
        }
        let guards = [
            Security::Plain,
            Security::Noise(Cipher::Aes256Gcm),
            Security::Noise(Cipher::Aes256Gcm),
            Security::Noise(Cipher::ChaChaPoly),
        ];
        let line = pipe::Link {
            latency: Duration::from_millis(rng.random_range(1..200)),
            jitter: Duration::from_millis(rng.random_range(0..100)),
            bytes_per_s: rng.random_range(50_000..5_000_000),
        };
        let security = guards[rng.random_range(0..guards.len())];
        if security == Security::Plain {
            // It takes all that has a right checksum, twice if it comes twice.
            peers.iter_mut().filter(|it| **it == Behaviour::Tampered).for_each(|it| *it = Behaviour::Forger);
        }
        let floors = 64 * 1024 * peers.len() as u64;
        Self {
            security,
            line,
            write_bytes: rng.random_range(16..=128) * 1_024,
            // Sometimes so little that not every message finds room.
            budget_bytes: floors + if rng.random_bool(0.3) { 100_000 } else { 8_000_000 },
            bulk_bytes_per_s: (line.bytes_per_s / 3).min(rng.random_range(5_000..100_000)),
            drops_every: rng.random_bool(0.3).then(|| Duration::from_secs(rng.random_range(5..60))),
            breaks_every: rng.random_bool(0.8).then(|| Duration::from_secs(rng.random_range(5..60))),
            silences: rng.random_range(0.0..0.4),
            peers,
            ..Self::peaceful(seed)
        }
    }

    /// Three honest peers, and nothing that goes wrong.
    pub fn peaceful(seed: u64) -> Self {
        Self {
            seed,
            peers: vec![Behaviour::Honest; 3],
            security: Security::default(),
            line: pipe::Link::default(),
            write_bytes: 16 * 1_024,
            budget_bytes: 64 << 20,
            bulk_bytes_per_s: 30_000,
            breaks_every: None,
            drops_every: None,
            silences: 0.0,
            chaos: Duration::from_secs(60),
            calm: Duration::from_secs(120),
            quiet: Duration::from_secs(120),
            sabotage: None,
        }
    }

    /// How long the world lasts.
    pub fn duration(&self) -> Duration {
        self.chaos + self.calm + self.quiet
    }

    /// When nothing new is said any more.
    pub fn quiet_from(&self) -> Duration {
        self.chaos + self.calm
    }
}
