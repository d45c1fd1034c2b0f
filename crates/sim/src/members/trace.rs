//! What happened, in a form that two runs can be compared by, and that a person can read.

use std::time::Duration;

/// Where the lines go, where somebody reads them.
pub type Sink = Box<dyn FnMut(&str)>;

/// A run's trace. Lines are only made where somebody reads them.
pub(super) struct Trace {
    digest: u64,
    sink: Option<Sink>,
}

impl Trace {
    pub(super) fn new(sink: Option<Sink>) -> Self {
        Self { digest: 0, sink }
    }

    /// Takes down what happened at a node.
    pub(super) fn note(
        &mut self,
        now: Duration,
        node: u32,
        what: &'static str,
        detail: impl FnOnce() -> String,
    ) {
        self.mix(now.as_nanos() as u64 ^ u64::from(node) << 40 ^ what.len() as u64);
        if let Some(sink) = &mut self.sink {
            sink(&format!("{:>12.6} node {node:<3} {what} {}", now.as_secs_f64(), detail()));
        }
    }

    /// Something that two equal runs have in common.
    pub(super) fn mix(&mut self, with: u64) {
        // No defence against anybody; enough to tell two runs apart.
        self.digest = (self.digest.rotate_left(5) ^ with).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// A digest over all that happened: equal for equal runs.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }
}
