//! Judging a long run of headers that are at hand: links in order, expensive checks on all cores.
//!
//! Import and verification push batches in and take them out again, judged, in the same order. What comes out
//! is a prefix of what went in: nothing behind the first refusal.

use std::collections::VecDeque;

use chain::{Checks, Counts, Format, Header, Reason, State};

use crate::parallel::{Pending, Pool};

/// How much of each header is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Check {
    /// Hashes and links: what the format checks in order, and each body against its header.
    #[default]
    Links,
    /// Signatures, certificates and VRF proofs as well.
    Headers,
}

/// Items that wait for their checks, at most, beside the batch that is pushed last. They hold their blocks: on
/// mainnet some 100 MB. At 0.2 ms a check it is a second of work for one core.
const MAX_WAITING: usize = 4_096;
/// Headers in one job: enough to make handing over cheap, few enough to spread one batch over all cores.
const JOB_HEADERS: usize = 64;

/// Something with a header.
pub(crate) trait Item {
    /// The header.
    fn header(&self) -> &Header;
    /// Whether its header must be checked in full whatever the level.
    fn doubtful(&self) -> bool;
    /// Whether the state after it is wanted.
    fn wants_state(&self) -> bool {
        false
    }
}

/// A batch that was judged.
#[derive(Debug)]
pub(crate) struct Judged<T> {
    /// The items that hold, in order.
    pub(crate) items: Vec<T>,
    /// The states after those that wanted one, with their numbers among the items.
    pub(crate) states: Vec<(usize, State)>,
    /// The state after the last of them.
    pub(crate) state: State,
    /// Which checks ran.
    pub(crate) counts: Counts,
    /// The item after those, and why it was refused.
    pub(crate) refused: Option<(T, Reason)>,
}

/// The judge, standing at the last item pushed.
pub(crate) struct Judge<'env, 'pool, T> {
    format: &'env Format,
    pool: &'pool Pool<'env>,
    check: Check,
    state: State,
    waiting: VecDeque<Batch<T>>,
    /// Nothing may be pushed behind a refusal.
    ended: bool,
}

struct Batch<T> {
    /// The state before the first item, and after the last.
    before: State,
    after: State,
    items: Vec<T>,
    states: Vec<(usize, State)>,
    refused: Option<(T, Reason)>,
    jobs: Vec<Pending<Verdict>>,
}

/// What one job found.
struct Verdict {
    counts: Counts,
    /// The number of the item in its batch that does not hold.
    refused: Option<(usize, Reason)>,
}

impl<'env, 'pool, T: Item> Judge<'env, 'pool, T> {
    pub(crate) fn new(format: &'env Format, pool: &'pool Pool<'env>, check: Check, state: State) -> Self {
        Self { format, pool, check, state, waiting: VecDeque::new(), ended: false }
    }

    /// Whether a batch should be taken before the next is pushed.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.iter().map(|batch| batch.items.len()).sum::<usize>() >= MAX_WAITING
    }

    /// Whether an item was refused already: more need not be pushed.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes items that follow the last ones pushed.
    pub(crate) fn push(&mut self, items: Vec<T>) {
        assert!(!self.ended, "nothing follows a refused header");
        let before = self.state.clone();
        let mut kept = Vec::with_capacity(items.len());
        let mut states = Vec::new();
        let mut jobs = Vec::new();
        let mut checks = Vec::new();
        let mut refused = None;
        for item in items {
            let next = match self.format.next(&self.state, item.header()) {
                Ok(next) => next,
                Err(reason) => {
                    refused = Some((item, reason));
                    self.ended = true;
                    break;
                }
            };
            if self.check == Check::Headers || item.doubtful() {
                checks.push((kept.len(), self.format.checks(&self.state, item.header())));
            }
            self.state = next;
            if item.wants_state() {
                states.push((kept.len(), self.state.clone()));
            }
            kept.push(item);
            if checks.len() == JOB_HEADERS {
                let checks = std::mem::take(&mut checks);
                jobs.push(self.pool.submit(move || run(&checks)));
            }
        }
        if !checks.is_empty() {
            jobs.push(self.pool.submit(move || run(&checks)));
        }
        let after = self.state.clone();
        self.waiting.push_back(Batch { before, after, items: kept, states, refused, jobs });
    }

    /// The oldest batch, judged; `None` if there is none.
    pub(crate) fn take(&mut self) -> Option<Judged<T>> {
        let mut batch = self.waiting.pop_front()?;
        let mut counts = Counts::default();
        for job in std::mem::take(&mut batch.jobs) {
            let verdict = job.wait();
            counts += verdict.counts;
            if let Some((number, reason)) = verdict.refused {
                self.cut(&mut batch, number, reason);
                break;
            }
        }
        let Batch { items, states, after, refused, .. } = batch;
        Some(Judged { items, states, state: after, counts, refused })
    }

    /// Cuts a batch before the item that was refused; what was pushed after it is dropped.
    fn cut(&mut self, batch: &mut Batch<T>, number: usize, reason: Reason) {
        let mut behind = batch.items.drain(number..);
        batch.refused = behind.next().map(|item| (item, reason));
        drop(behind);
        batch.states.retain(|(of, _)| *of < number);
        let follow = |state: State, item: &T| {
            self.format.next(&state, item.header()).expect("these headers followed when they were pushed")
        };
        batch.after = batch.items.iter().fold(batch.before.clone(), follow);
        self.waiting.clear();
        self.ended = true;
    }
}

/// Runs the checks of some headers, up to the first that does not hold.
fn run(checks: &[(usize, Checks)]) -> Verdict {
    let mut counts = Counts::default();
    for (number, checks) in checks {
        match checks.run() {
            Ok(more) => counts += more,
            Err(reason) => return Verdict { counts, refused: Some((*number, reason)) },
        }
    }
    Verdict { counts, refused: None }
}
