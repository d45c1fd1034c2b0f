//! What is counted: how one block spread, and many of them together.

use std::ops::AddAssign;
use std::time::Duration;

/// The bytes of a message, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Bytes {
    /// Bodies.
    pub(crate) payload: u64,
    /// Headers, whether they travel alone or with a body.
    pub(crate) header: u64,
    /// All else.
    pub(crate) control: u64,
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        self.payload += other.payload;
        self.header += other.header;
        self.control += other.control;
    }
}

/// How one block spread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread {
    made: Duration,
    height: u64,
    /// When it reached each node, and over how many hops.
    reached: Vec<Option<(Duration, u64)>>,
    alive: usize,
    /// Payloads that came to living nodes.
    pub(crate) payloads: u64,
    /// What was sent meanwhile.
    pub(crate) bytes: Bytes,
}

impl Spread {
    /// A block that is made now.
    pub(crate) fn new(made: Duration, height: u64, nodes: usize, alive: usize) -> Self {
        Self { made, height, reached: vec![None; nodes], alive, payloads: 0, bytes: Bytes::default() }
    }

    /// Whether a node has it.
    pub(crate) fn has(&self, who: usize) -> bool {
        self.height == 0 || self.reached[who].is_some()
    }

    /// A node has a block, from another or, being its maker, from itself. What is late for another block is not counted.
    pub(crate) fn deliver(&mut self, now: Duration, height: u64, who: usize, from: usize) {
        if height == self.height {
            let hops = self.reached[from].map_or(0, |(_, hops)| hops + 1);
            self.reached[who].get_or_insert((now - self.made, hops));
        }
    }
}

/// How some blocks spread: sums over them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    blocks: u64,
    nodes: u64,
    deliveries: u64,
    payloads: u64,
    hops: u64,
    last_ms: f64,
    slowest_ms: f64,
    missed: u64,
    bytes: Bytes,
}

impl Tally {
    pub(crate) fn add(&mut self, spread: &Spread) {
        let reached = spread.reached.iter().flatten();
        let last = reached.clone().map(|(when, _)| *when).max().unwrap_or_default().as_secs_f64() * 1e3;
        let count = reached.clone().count();
        self.blocks += 1;
        self.nodes += spread.alive as u64;
        // Its maker had it.
        self.deliveries += count as u64 - 1;
        self.payloads += spread.payloads;
        self.hops += reached.map(|(_, hops)| *hops).max().unwrap_or(0);
        self.last_ms += last;
        self.slowest_ms = self.slowest_ms.max(last);
        self.missed += (spread.alive - count) as u64;
        self.bytes += spread.bytes;
    }

    /// The figures by name and unit.
    pub(crate) fn figures(&self) -> [(&'static str, &'static str, f64); 7] {
        let blocks = self.blocks as f64;
        let per_node = |bytes: u64| bytes as f64 / self.nodes as f64;
        let too_many = self.payloads as f64 - self.deliveries as f64;
        [
            ("redundancy", "", too_many / self.deliveries as f64),
            ("hops", "", self.hops as f64 / blocks),
            ("ms", "ms", self.last_ms / blocks),
            ("slowest_ms", "ms", self.slowest_ms),
            ("missed", "", self.missed as f64 / blocks),
            ("header_bytes", "B", per_node(self.bytes.header)),
            ("control_bytes", "B", per_node(self.bytes.control)),
        ]
    }
}
