//! What a devnet measures: how many blocks and transactions there were, and how long a transaction took to be final.

use std::collections::BTreeMap;

use anabranch::chain::native::{transaction_id, transactions};
use anabranch::chain::{Block, Entry, Hash, Position};
use serde::Serialize;
use tokio::time::Instant;

use super::nodes::Standing;

/// How many of the made-up transactions are timed at once, and of how many the times are kept: days of one a second.
const MAX_TIMED: usize = 1 << 18;

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Where the next block stands that nobody has shown yet.
    next: Position,
    transactions: u64,
    submitted: BTreeMap<Hash, Instant>,
    /// How long each took, in milliseconds.
    took_ms: Vec<f64>,
}

/// What a devnet did.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    event: &'static str,
    nodes: Vec<Standing>,
    transactions: u64,
    finality_ms: Percentiles,
}

/// Of the transactions that were made up; nothing where there were none.
#[derive(Debug, Serialize)]
struct Percentiles {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Figures {
    /// A node took a transaction.
    pub(super) fn on_submitted(&mut self, id: Hash, now: Instant) {
        if self.submitted.len() < MAX_TIMED {
            self.submitted.insert(id, now);
        }
    }

    /// A node has a block; whether it is the first that does.
    pub(super) fn on_block(&mut self, entry: &Entry, now: Instant) -> bool {
        if entry.position < self.next {
            return false;
        }
        self.next = entry.position.next();
        let block = Block { header: entry.header.clone(), raw: entry.block.clone() };
        for tx in transactions(&block).unwrap_or_default() {
            self.transactions += 1;
            if let Some(since) = self.submitted.remove(&transaction_id(&tx))
                && self.took_ms.len() < MAX_TIMED
            {
                self.took_ms.push(now.duration_since(since).as_secs_f64() * 1e3);
            }
        }
        true
    }

    /// The end.
    pub(super) fn summary(mut self, nodes: Vec<Standing>) -> Summary {
        self.took_ms.sort_by(f64::total_cmp);
        let finality_ms = Percentiles { p50: self.percentile(50), p99: self.percentile(99) };
        Summary { event: "stopped", nodes, transactions: self.transactions, finality_ms }
    }

    fn percentile(&self, percent: usize) -> Option<f64> {
        let last = self.took_ms.len().checked_sub(1)?;
        let ms = self.took_ms[last * percent / 100];
        Some((ms * 10.0).round() / 10.0)
    }
}

impl Summary {
    /// The same for a person.
    pub(super) fn text(&self) -> String {
        let mut lines: Vec<_> = self.nodes.iter().map(Standing::text).collect();
        let ms = |ms: Option<f64>| ms.map_or("–".into(), |ms| format!("{ms} ms"));
        let (p50, p99) = (ms(self.finality_ms.p50), ms(self.finality_ms.p99));
        lines.push(format!("{} transactions; final after {p50} (median), {p99} (p99)", self.transactions));
        lines.push("stopped".into());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_are_of_what_was_timed() {
        let mut figures = Figures::default();
        let text = |figures: Figures| {
            let summary = figures.summary(Vec::new());
            (summary.finality_ms.p50, summary.finality_ms.p99)
        };
        assert_eq!(text(Figures::default()), (None, None));
        figures.took_ms = (1..=101).rev().map(f64::from).collect();
        assert_eq!(text(figures), (Some(51.0), Some(100.0)));
    }

    #[test]
    fn what_is_timed_is_bounded() {
        let mut figures = Figures::default();
        let now = Instant::now() + Duration::from_secs(1);
        (0..MAX_TIMED as u64 + 5).for_each(|n| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            figures.on_submitted(Hash(id), now);
        });
        assert_eq!(figures.submitted.len(), MAX_TIMED);
    }
}
