//! What becomes of a peer's faults on an open link: counted, a strike, or the end.

use std::time::Duration;

use super::state::Output;
use crate::reason::Reason;
use crate::strikes::{self, Strikes};
use crate::violation::{Consequence, Counts, Violation};

/// The one place where faults have consequences.
#[derive(Debug)]
pub(super) struct Judge {
    config: strikes::Config,
    strikes: Strikes,
    counts: Counts,
    is_closed: bool,
}

impl Judge {
    pub(super) fn new(config: strikes::Config) -> Self {
        Self { config, strikes: Strikes::default(), counts: Counts::default(), is_closed: false }
    }

    /// Counts a fault and does what it calls for.
    pub(super) fn on_fault(&mut self, now: Duration, fault: Violation, out: &mut Vec<Output>) {
        self.counts.add(&fault);
        match fault.consequence() {
            Consequence::Count => out.push(Output::Rejected(fault)),
            Consequence::Strike => {
                out.push(Output::Rejected(fault));
                if let Some(count) = self.strikes.add(&self.config, now) {
                    self.close(Reason::Violation(Violation::Strikes { count }), out);
                }
            }
            Consequence::Close => self.close(Reason::Violation(fault), out),
        }
    }

    /// The link has ended without its doing.
    pub(super) fn end(&mut self) {
        self.is_closed = true;
    }

    /// Ends the link; nothing is to be done any more.
    pub(super) fn close(&mut self, reason: Reason, out: &mut Vec<Output>) {
        if !self.is_closed {
            self.is_closed = true;
            out.push(Output::Closed(reason));
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn strikes(&self, now: Duration) -> u32 {
        self.strikes.count(&self.config, now)
    }
}
