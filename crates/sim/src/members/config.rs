//! What a world of members is made of.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use chain::native;

use super::faults::Faults;
use super::liar::Lie;
use super::topology::Topology;

/// One run: everything that happens follows from this.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Decides all that is random.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u32,
    /// How many of them vote: the first. The others follow, serve and relay.
    pub validators: u32,
    /// What validators may do wrong without harm.
    pub model: native::Faults,
    /// Who is linked with whom.
    pub topology: Topology,
    /// How the links behave.
    pub links: Links,
    /// What is put in.
    pub load: Load,
    /// How long validators wait with an empty block when there is nothing to say.
    pub rest: Duration,
    /// What goes wrong.
    pub faults: Faults,
    /// Nodes that do not keep to the rules.
    pub liars: BTreeMap<u32, Lie>,
    /// For how long things go wrong.
    pub chaos: Duration,
    /// For how long afterwards transactions still come: what was behind catches up.
    pub calm: Duration,
    /// For how long at the end nothing new comes: at last all is at rest.
    pub quiet: Duration,
    /// How often the checkers look that cost time in the size of a node: after each so many of its steps.
    pub check_every: u32,
    /// Whether each signature of a header, a certificate or a claim is verified once for all nodes, or by each.
    pub verify: Verify,
    /// A node loses power right after so many of its outputs were performed, once.
    pub crash_at: Option<(u32, u64)>,
    /// At this height the validators ask for others: the last of them is left out.
    pub change_at: Option<u64>,
    /// Applications keep their state for newcomers after every so many blocks, and who is [late](Self::late) begins with one
    /// if it is so far behind; never, where there is no number.
    pub snapshot_every: Option<NonZeroU64>,
    /// This node starts for the first time after so long.
    pub late: Option<(u32, Duration)>,
    /// A rule that is broken on purpose, to see the checker that watches it fire.
    pub sabotage: Option<Sabotage>,
}

/// How links behave; each draws its own from this.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    /// One way, without what waits in front.
    pub latency: Range<Duration>,
    /// Added at random to each message, up to this.
    pub jitter: Duration,
    /// How fast bytes go through, each way.
    pub bytes_per_s: u64,
    /// Of each channel's window, so much: little windows are where credit matters.
    pub windows: Windows,
}

/// How large the windows of channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// As production has them.
    Default,
    /// As small as the longest messages of a small world allow.
    Small,
}

/// What is put in.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Between two transactions, on average. Never, where there is no number.
    pub every: Option<Duration>,
    /// How long one is.
    pub bytes: Range<usize>,
    /// Whether the time between two is always the same.
    pub is_even: bool,
    /// Who is given them: a node drawn each time, or one that votes.
    pub to_validators: bool,
}

/// How signatures are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Once for all nodes: what was verified is remembered with its verdict.
    Once,
    /// By each node that asks for it.
    Each,
}

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Appends are acknowledged before they are synced.
    AcknowledgesEarly,
    /// The journal of consensus is lost with the power.
    ForgetsTheJournal,
    /// What was settled last is lost with the power.
    ForgetsTheLog,
    /// A node that starts is not told of the newest blocks; and each transaction is put in again and again.
    ForgetsTransactions,
    /// Every signature is right.
    SkipsVerifying,
    /// A byte of a message is changed on its way between two that keep to the rules.
    ChangesMessages,
    /// Finality is not told.
    LosesFinality,
    /// Bodies do not arrive.
    LosesBodies,
    /// A header is left out now and then.
    LosesHeaders,
    /// Transactions are not told.
    LosesTransactions,
    /// The application takes every block for right.
    AcceptsAnything,
    /// A delivery to the application is made twice.
    DeliversTwice,
    /// A delivery to the application is left out.
    SkipsADelivery,
    /// The node is told of more room than there is.
    ClaimsRoom,
    /// What the node has done with is not granted back.
    LosesGrants,
    /// The node keeps far more transactions than it was told to.
    KeepsTooMuch,
    /// A partition never ends.
    StaysParted,
    /// Something that is not from the seed decides.
    Unseeded,
}

impl Config {
    /// How long the world lasts.
    pub fn duration(&self) -> Duration {
        self.chaos + self.calm + self.quiet
    }

    /// When nothing new comes any more.
    pub fn quiet_from(&self) -> Duration {
        self.chaos + self.calm
    }

    /// Whether this node keeps to the rules.
    pub fn is_honest(&self, node: u32) -> bool {
        !self.liars.contains_key(&node)
    }
}

impl Default for Load {
    fn default() -> Self {
        Self { every: Some(Duration::from_secs(1)), bytes: 100..1_000, is_even: false, to_validators: false }
    }
}

impl Default for Links {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { latency: ms(10)..ms(50), jitter: ms(2), bytes_per_s: 12_500_000, windows: Windows::Default }
    }
}
