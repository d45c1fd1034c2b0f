//! Our own claim that we can be reached, where we are a producer.
//!
//! Sequence numbers follow the wall clock in milliseconds, so that a restart goes on above where it was with nothing
//! kept on disk. Where the clock went back meanwhile, whoever still knows our last claim tells us with its question for
//! a newer one: nobody else can have signed it, and we go on above it.
//!
//! **Invariant**: our sequence numbers go up only.

use std::time::Duration;

use super::claim::Signature;
use super::{Config, Time};
use crate::sync::bodies::Producer;

/// Our claim.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) producer: Producer,
    /// The last that was signed.
    claim: Option<(u64, Signature)>,
    /// The highest that we know to be ours, signed or about to be.
    highest: u64,
    /// When the last was made.
    made: Option<Duration>,
    /// When the next is made.
    due: Duration,
}

impl Origin {
    /// The first claim is made at once.
    pub(super) fn new(now: Time, producer: Producer) -> Self {
        Self { producer, claim: None, highest: 0, made: None, due: now.mono }
    }

    pub(super) fn claim(&self) -> Option<(u64, Signature)> {
        self.claim
    }

    pub(super) fn next_deadline(&self) -> Duration {
        self.due
    }

    /// The next sequence number, where it is time: to be signed.
    pub(super) fn mint(&mut self, now: Time, config: &Config) -> Option<u64> {
        if now.mono < self.due {
            return None;
        }
        self.due = now.mono + config.refresh;
        let wall = u64::try_from(now.wall.as_millis()).unwrap_or(u64::MAX);
        // At the end of all numbers the last claim stands: centuries of clocks gone mad.
        let seq = self.highest.checked_add(1)?.max(wall);
        (self.highest, self.made) = (seq, Some(now.mono));
        Some(seq)
    }

    /// The claim is signed. False where it is not the one that was made last.
    pub(super) fn signed(&mut self, seq: u64, signature: Signature) -> bool {
        let last = seq == self.highest;
        if last {
            self.claim = Some((seq, signature));
        }
        last
    }

    /// Whether a claim that somebody tells of us is one that we did not make, and is newer than ours.
    pub(super) fn is_elsewhere(&self, seq: u64) -> bool {
        seq > self.highest
    }

    /// A genuine claim of ours that we did not make: go on above it.
    pub(super) fn learn(&mut self, now: Time, seq: u64, config: &Config) {
        self.highest = self.highest.max(seq);
        self.hurry(now, config);
    }

    /// Somebody needs a newer claim than this one of ours. False where ours is newer already, and only has to be told.
    pub(super) fn asked(&mut self, now: Time, known: u64, config: &Config) -> bool {
        let needed = self.claim.is_none_or(|(seq, _)| seq <= known);
        if needed {
            self.hurry(now, config);
        }
        needed
    }

    fn hurry(&mut self, now: Time, config: &Config) {
        let soonest = self.made.map_or(now.mono, |made| made + config.mint_every);
        self.due = self.due.min(soonest.max(now.mono));
    }
}
