//! What waits for the application: queues with their bounds, one in order, one of transactions to check and of pieces to give,
//! one of what readers ask.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chain::Block;
use node::Ticket;
use node::application::{Question, Snapshot};

use super::pool::Config;
use super::queries::Query;

/// A question that waits.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) question: Question,
    since: Instant,
}

impl Job {
    /// Whether it waited so long that nobody wants the answer any more.
    pub(super) fn is_stale(&self, patience: Duration) -> bool {
        self.is_passing() && self.since.elapsed() >= patience
    }

    /// Whether what it is about passes: then few may wait, and none for long.
    fn is_passing(&self) -> bool {
        matches!(self.question, Question::CheckBlock { .. } | Question::Build { .. })
    }
}

/// What the ordered thread does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask this, which is no delivery.
    Ask(Job),
    /// Deliver these, oldest first; at least one.
    Deliver(Vec<(Ticket, Block)>),
}

/// The queues, shared by whoever asks and all threads.
#[derive(Debug, Default)]
pub(super) struct Queues {
    state: Mutex<State>,
    ordered: Condvar,
    checks: Condvar,
    queries: Condvar,
    /// Told when a thread ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ordered: VecDeque<Job>,
    /// How many of `ordered` are about what passes.
    asked: usize,
    checks: VecDeque<Job>,
    /// What the transactions of `checks` hold.
    check_bytes: usize,
    queries: VecDeque<Query>,
    closed: bool,
    /// How many threads run.
    running: usize,
}

impl Queues {
    /// Puts a question into its queue, or gives it back where that is full.
    pub(super) fn push(&self, ticket: Ticket, question: Question, config: &Config) -> Option<Question> {
        let job = |question| Job { ticket, question, since: Instant::now() };
        let mut state = self.lock();
        match question {
            Question::CheckTx { ref tx } => {
                let bytes = state.check_bytes + tx.len();
                if state.checks.len() >= config.max_checks || bytes > config.max_check_bytes {
                    return Some(question);
                }
                state.check_bytes = bytes;
                state.checks.push_back(job(question));
                self.checks.notify_one();
            }
            // What others want of it comes beside what it does for itself.
            Question::Snapshot(Snapshot::Offered | Snapshot::Piece { .. }) => {
                if state.checks.len() >= config.max_checks {
                    return Some(question);
                }
                state.checks.push_back(job(question));
                self.checks.notify_one();
            }
            Question::CheckBlock { .. } | Question::Build { .. } => {
                if state.asked >= config.max_asked {
                    return Some(question);
                }
                state.asked += 1;
                state.ordered.push_back(job(question));
                self.ordered.notify_one();
            }
            // How many of these there are, the node bounds, and it waits for each.
            Question::Deliver { .. } | Question::Snapshot(_) => {
                state.ordered.push_back(job(question));
                self.ordered.notify_one();
            }
        }
        None
    }

    /// The next in order: a question, or the deliveries up to the next question, at most `max`. Waits for one; `None`
    /// once closed.
    pub(super) fn next_ordered(&self, max: usize) -> Option<Next> {
        let mut state = self.wait(&self.ordered, |state| !state.ordered.is_empty())?;
        let mut blocks = Vec::new();
        while blocks.len() < max {
            match state.ordered.pop_front() {
                Some(Job { ticket, question: Question::Deliver { block }, .. }) => {
                    blocks.push((ticket, block))
                }
                Some(job) if blocks.is_empty() => {
                    state.asked -= usize::from(job.is_passing());
                    return Some(Next::Ask(job));
                }
                Some(job) => {
                    state.ordered.push_front(job);
                    break;
                }
                None => break,
            }
        }
        Some(Next::Deliver(blocks))
    }

    /// The next transaction to check, or piece to give. Waits for one; `None` once closed.
    pub(super) fn next_check(&self) -> Option<Job> {
        let mut state = self.wait(&self.checks, |state| !state.checks.is_empty())?;
        let job = state.checks.pop_front()?;
        if let Question::CheckTx { tx } = &job.question {
            state.check_bytes -= tx.len();
        }
        Some(job)
    }

    /// Puts a reader's question into its queue; gives it back where `max` wait already, or nobody answers any more.
    pub(super) fn push_query(&self, query: Query, max: usize) -> Option<Query> {
        let mut state = self.lock();
        // Those who lost patience make room.
        state.queries.retain(|query| !query.answer.is_closed());
        if state.closed || state.queries.len() >= max {
            return Some(query);
        }
        state.queries.push_back(query);
        self.queries.notify_one();
        None
    }

    /// What a reader asks next. Waits for it; `None` once closed.
    pub(super) fn next_query(&self) -> Option<Query> {
        loop {
            let mut state = self.wait(&self.queries, |state| !state.queries.is_empty())?;
            let query = state.queries.pop_front()?;
            if !query.answer.is_closed() {
                return Some(query);
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Lets everything that waits go, and every thread end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        *state = State { closed: true, running: state.running, ..State::default() };
        self.ordered.notify_all();
        self.checks.notify_all();
        self.queries.notify_all();
    }

    /// A thread begins; it ends when what is returned is dropped.
    pub(super) fn enter(&self) -> Running<'_> {
        Running(self)
    }

    /// Says that so many threads will [`enter`](Self::enter).
    pub(super) fn expect(&self, threads: usize) {
        self.lock().running += threads;
    }

    /// Waits until all threads ended, or this long; how many have not.
    pub(super) fn wait_for_end(&self, grace: Duration) -> usize {
        let state = self.lock();
        let waited = self.ended.wait_timeout_while(state, grace, |state| state.running > 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.running
    }

    fn wait(&self, more: &Condvar, ready: impl Fn(&State) -> bool) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        let waited = more.wait_while(state, |state| !state.closed && !ready(state));
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        (!state.closed).then_some(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that runs.
pub(super) struct Running<'a>(&'a Queues);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.ended.notify_all();
    }
}
