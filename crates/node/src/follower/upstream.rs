//! One upstream: where its connection stands and where on its chain it is.

use std::collections::VecDeque;
use std::time::Duration;

use chain::{Hash, Height, Point, Tip};

pub use ouroboros::upstream::{Command, Event};

use super::violation::Closing;
use crate::Ticket;

/// One configured upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Where its connection stands.
    pub phase: Phase,
    /// Since when.
    pub since: Duration,
    /// The tip it last stated.
    pub tip: Option<Tip>,
    /// Faults in a row: makes pauses longer, and falls back to 0 when it proves useful.
    pub faults: u32,
    /// It went while it owed blocks, or held them up, and has delivered none since: survives reconnects.
    pub suspect: bool,
    /// Why its last connection ended.
    pub last_closing: Option<Closing>,
    /// Its round-trip time.
    pub rtt: Option<Duration>,
    /// Headers accepted from it.
    pub headers: u64,
    /// Bodies accepted from it.
    pub bodies: u64,
}

/// Where a connection stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Not connected, left alone until then.
    Waiting {
        /// On the monotonic clock.
        until: Duration,
    },
    /// Being dialled or shaking hands.
    Connecting,
    /// Connected; the points of the log that we offer are being read.
    Locating {
        /// Of the read.
        ticket: Ticket,
    },
    /// Asked for an intersection with these.
    Intersecting {
        /// What was offered, newest first.
        offered: Vec<Point>,
        /// Our irreversible tip at that time.
        irreversible: Tip,
    },
    /// Its chain is behind our irreversible tip: its headers are counted, not judged, until they meet it.
    Trailing {
        /// The last point of its chain.
        last: Point,
        /// Headers asked for and not come.
        asked: u32,
        /// How often it rolled forward or back since.
        told: u64,
    },
    /// Its chain is above our irreversible tip.
    Following(Fragment),
}

impl Phase {
    /// One word for it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Connecting => "connecting",
            Self::Locating { .. } => "locating",
            Self::Intersecting { .. } => "intersecting",
            Self::Trailing { .. } => "trailing",
            Self::Following(_) => "following",
        }
    }
}

/// The chain of an upstream above our irreversible tip.
///
/// **Invariant**: `at` is in the fork tree or its root; the unverified are under way, each on the one before.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// The last of its headers that is verified.
    pub at: Point,
    /// Those after it, whose checks are under way.
    pub unverified: VecDeque<Point>,
    /// Headers asked for and not come.
    pub asked: u32,
    /// The greatest height that it announced.
    highest: Height,
    /// Roll-backs since it announced that.
    roll_backs: u32,
}

impl Fragment {
    /// A chain that stands at this point.
    pub(crate) fn new(at: Point) -> Self {
        Self { at, unverified: VecDeque::new(), asked: 0, highest: Height(0), roll_backs: 0 }
    }

    /// It announced a header of this height.
    pub(crate) fn announced(&mut self, height: Height) {
        if height > self.highest {
            (self.highest, self.roll_backs) = (height, 0);
        }
    }

    /// It rolled back; says how often since it last grew.
    pub(crate) fn rolled_back(&mut self) -> u32 {
        self.roll_backs += 1;
        self.roll_backs
    }

    /// The last point that the upstream announced.
    pub(crate) fn last(&self) -> Point {
        self.unverified.back().copied().unwrap_or(self.at)
    }

    /// Whether it stands on a header that is under way.
    pub(crate) fn is_waiting_for(&self, id: &Hash) -> bool {
        self.unverified.iter().any(|point| point.hash() == Some(*id))
    }

    /// A header entered the tree.
    pub(crate) fn verified(&mut self, point: Point) {
        if self.unverified.front() == Some(&point) {
            self.unverified.pop_front();
            self.at = point;
        }
    }

    /// Rolls back to a point among the unverified; says whether it was there.
    pub(crate) fn roll_back_unverified(&mut self, to: Point) -> bool {
        let Some(index) = self.unverified.iter().rposition(|point| *point == to) else { return false };
        self.unverified.truncate(index + 1);
        true
    }

    /// Rolls back to a point of the tree.
    pub(crate) fn roll_back(&mut self, to: Point) {
        self.unverified.clear();
        self.at = to;
    }
}

impl Upstream {
    /// One that is to be dialled at once.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Waiting { until: Duration::ZERO },
            since: Duration::ZERO,
            tip: None,
            faults: 0,
            suspect: false,
            last_closing: None,
            rtt: None,
            headers: 0,
            bodies: 0,
        }
    }

    /// Enters a phase.
    pub(crate) fn enter(&mut self, now: Duration, phase: Phase) {
        self.phase = phase;
        self.since = now;
    }

    /// Its chain above our irreversible tip, if that is where it is.
    pub(crate) fn fragment(&self) -> Option<&Fragment> {
        match &self.phase {
            Phase::Following(fragment) => Some(fragment),
            Phase::Waiting { .. }
            | Phase::Connecting
            | Phase::Locating { .. }
            | Phase::Intersecting { .. }
            | Phase::Trailing { .. } => None,
        }
    }

    /// The same, to change it.
    pub(crate) fn fragment_mut(&mut self) -> Option<&mut Fragment> {
        match &mut self.phase {
            Phase::Following(fragment) => Some(fragment),
            Phase::Waiting { .. }
            | Phase::Connecting
            | Phase::Locating { .. }
            | Phase::Intersecting { .. }
            | Phase::Trailing { .. } => None,
        }
    }

    /// Where its chain is, as far as we know it.
    pub(crate) fn at(&self) -> Option<Point> {
        match &self.phase {
            Phase::Following(fragment) => Some(fragment.at),
            Phase::Trailing { last, .. } => Some(*last),
            Phase::Waiting { .. }
            | Phase::Connecting
            | Phase::Locating { .. }
            | Phase::Intersecting { .. } => None,
        }
    }

    /// When it is to be dialled, if it waits for that.
    pub(crate) fn dial_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Connecting
            | Phase::Locating { .. }
            | Phase::Intersecting { .. }
            | Phase::Trailing { .. }
            | Phase::Following(_) => None,
        }
    }

    /// Whether a connection is up and has shaken hands.
    pub(crate) fn is_connected(&self) -> bool {
        !matches!(self.phase, Phase::Waiting { .. } | Phase::Connecting)
    }
}
