//! What an operator wants to know: one state with its reason and a hint, and each upstream's own.

use std::time::Duration;

use chain::{Point, Tip};

use crate::follower::violation::Closing;
use crate::{UpstreamId, member};
use chain::format::Counts;

/// The node at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// What it is about.
    pub state: State,
    /// The irreversible tip, durable in the log.
    pub irreversible: Tip,
    /// How many blocks the log holds.
    pub settled: u64,
    /// The head.
    pub head: Tip,
    /// The best tip that as many upstreams as must agree state or exceed, of those that are connected; a
    /// claim, not a fact, but not one that a single liar can make.
    pub best_claimed: Option<Tip>,
    /// How many upstreams must agree before a block is irreversible.
    pub agree: u32,
    /// How many upstreams are being followed. While there are fewer than must agree, nothing becomes
    /// irreversible.
    pub witnesses: u32,
    /// Headers above the irreversible tip, on all forks.
    pub headers: usize,
    /// Bytes of headers and bodies above the irreversible tip, on all forks.
    pub bytes: usize,
    /// Bodies that are wanted and have not come.
    pub wanted: usize,
    /// Headers whose checks are under way.
    pub verifying: usize,
    /// Checks that ran and passed, by kind.
    pub checks: Checks,
    /// Transactions that wait for a block of ours.
    pub pool: usize,
    /// Blocks made by this node since its start.
    pub produced: u64,
    /// Each configured upstream.
    pub upstreams: Vec<Upstream>,
    /// What a member of a chain with validators says beside that.
    pub member: Option<member::Status>,
}

/// How many checks passed since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checks {
    /// Headers.
    pub headers: u64,
    /// Bodies.
    pub bodies: u64,
    /// What was checked of the headers.
    pub counts: Counts,
}

/// What the node is about.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It has just been made.
    Starting,
    /// It follows and none of its upstreams is connected.
    NoUpstreams,
    /// It takes part in a chain with others, and no peer is connected.
    NoPeers,
    /// It is behind the best claimed tip.
    Syncing {
        /// Of the way from the chain's start to the best claimed tip, by height.
        percent: f64,
        /// How long it will take at the pace since the start of this sync, once a pace is known.
        left: Option<Duration>,
    },
    /// It has all that its upstreams state.
    CaughtUp,
    /// Upstreams are there and state more than we have, and yet nothing has come for a while.
    Stalled {
        /// Since then nothing has moved.
        idle: Duration,
    },
    /// It has what its peers have, and votes.
    Validating,
    /// Validators have not decided anything for a while.
    Undecided {
        /// Since then no block became irreversible.
        idle: Duration,
        /// What is waited for, as this node sees it.
        waiting: consensus::quorum::Waiting,
    },
    /// A write failed, or the log cannot be read: it accepts nothing more.
    Failed {
        /// The system's word for it.
        error: String,
    },
}

impl State {
    /// One word for it, as in logs, metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NoUpstreams => "no upstreams",
            Self::Syncing { .. } => "syncing",
            Self::CaughtUp => "caught up",
            Self::Stalled { .. } => "stalled",
            Self::NoPeers => "no peers",
            Self::Validating => "validating",
            Self::Undecided { .. } => "undecided",
            Self::Failed { .. } => "failed",
        }
    }

    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoUpstreams => {
                Some("no configured upstream answers: see each one's reason, its address and your firewall")
            }
            Self::Stalled { .. } => {
                Some("upstreams state more blocks than they deliver: see each one's reason, or add another")
            }
            Self::Failed { .. } => {
                Some("free or replace the disk, then start again; nothing acknowledged is lost")
            }
            Self::NoPeers => {
                Some("no peer is connected: see each one's reason, its address and your firewall")
            }
            Self::Undecided { .. } => Some(
                "too few validators are there, or they do not agree: see `consensus status` on each of them",
            ),
            Self::Starting | Self::Syncing { .. } | Self::CaughtUp | Self::Validating => None,
        }
    }
}

/// One upstream at one moment.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Which.
    pub id: UpstreamId,
    /// What its connection is about: `waiting`, `connecting`, `locating`, `intersecting`, `trailing`, `following`.
    pub phase: &'static str,
    /// For how long it has been so.
    pub phase_age: Duration,
    /// The tip that it last stated.
    pub tip: Option<Tip>,
    /// The last header of it that we accepted.
    pub at: Option<Point>,
    /// How many headers it has sent that we accepted.
    pub headers: u64,
    /// How many bodies it has sent that we accepted.
    pub bodies: u64,
    /// Its round-trip time, once measured.
    pub rtt: Option<Duration>,
    /// Faults in a row.
    pub faults: u32,
    /// Why its last connection ended.
    pub last_closing: Option<Closing>,
}

impl Checks {
    /// The checks of one header passed.
    pub(crate) fn add(&mut self, counts: &Counts) {
        self.headers += 1;
        self.counts += *counts;
    }
}
