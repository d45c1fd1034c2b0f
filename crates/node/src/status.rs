//! What an operator wants to know: one state with its reason and a hint, and each upstream's own.

use std::time::Duration;

use chain::{Point, Tip};
use link::Time;

use crate::violation::Closing;
use crate::{Node, UpstreamId};
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
    /// It makes blocks.
    Producing,
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
            Self::Producing => "producing",
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
            Self::Starting | Self::Syncing { .. } | Self::CaughtUp | Self::Producing => None,
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

impl Node {
    /// What an operator wants to know now.
    pub fn status(&self, now: Time) -> Status {
        let (head, root) = (self.tree.head(), self.tree.root());
        let best_claimed = self.best_claimed();
        Status {
            state: self.state(now, head, best_claimed),
            irreversible: root.tip,
            settled: root.settled,
            head,
            best_claimed,
            agree: self.agree(),
            witnesses: self.upstreams.iter().filter(|upstream| upstream.fragment().is_some()).count() as u32,
            headers: self.tree.len(),
            bytes: self.tree.bytes(),
            wanted: self.bodies.len(),
            verifying: self.verifying.len(),
            checks: self.checks,
            pool: self.producer.as_ref().map_or(0, |producer| producer.pool.len()),
            produced: self.producer.as_ref().map_or(0, |producer| producer.made),
            upstreams: (0..self.upstreams.len()).map(|index| self.upstream_status(now, index)).collect(),
        }
    }

    fn state(&self, now: Time, head: Tip, best_claimed: Option<Tip>) -> State {
        if let Some(error) = &self.failed {
            return State::Failed { error: error.clone() };
        }
        if self.producer.is_some() {
            return State::Producing;
        }
        if !self.is_started {
            return State::Starting;
        }
        if !self.upstreams.iter().any(|upstream| upstream.is_connected()) {
            return State::NoUpstreams;
        }
        self.progress.state(now.mono, head, best_claimed)
    }

    /// The highest tip that as many connected upstreams as must agree state or exceed.
    pub(crate) fn best_claimed(&self) -> Option<Tip> {
        let connected = self.upstreams.iter().filter(|upstream| upstream.is_connected());
        let mut tips: Vec<Tip> = connected.filter_map(|upstream| upstream.tip).collect();
        tips.sort_by_key(|tip| std::cmp::Reverse(tip.height));
        let last = tips.len().checked_sub(1)?;
        tips.get(last.min((self.agree() as usize).saturating_sub(1))).copied()
    }

    fn upstream_status(&self, now: Time, index: usize) -> Upstream {
        let upstream = &self.upstreams[index];
        Upstream {
            id: UpstreamId(index as u32),
            phase: upstream.phase.name(),
            phase_age: now.mono.saturating_sub(upstream.since),
            tip: upstream.tip,
            at: upstream.at(),
            headers: upstream.headers,
            bodies: upstream.bodies,
            rtt: upstream.rtt,
            faults: upstream.faults,
            last_closing: upstream.last_closing.clone(),
        }
    }
}

impl Checks {
    /// The checks of one header passed.
    pub(crate) fn add(&mut self, counts: &Counts) {
        self.headers += 1;
        self.counts += *counts;
    }
}
