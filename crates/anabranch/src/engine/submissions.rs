//! Transactions that were given to this node: who waits for an answer, and who watches how far they come.
//!
//! What watchers see is looked up some times a second while anything happens, not at each input; the block that a
//! transaction is in is found when it is published. Nobody watches a transaction of which nothing more becomes.

use std::collections::BTreeMap;
use std::time::Duration;

use chain::native::{transaction_id, transactions};
use chain::{Block, Hash, Position, View};
use node::{Node, Ticket, pool};
use tokio::sync::{oneshot, watch};

use crate::status::{Progress, Stage};

/// Transactions that are watched at a time. A guess: more than anybody looks at; each costs a look-up now and then.
const MAX_WATCHED: usize = 1_024;

/// How long what has changed may be unseen. A guess: what a person takes for at once.
const DELAY: Duration = Duration::from_millis(100);

/// A transaction that was taken, and how far it comes.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its id.
    pub id: Hash,
    /// How far it came. It closes with the last that becomes of it, or with the node.
    pub progress: watch::Receiver<Progress>,
}

/// Who waits for the answer to a transaction.
#[derive(Debug)]
pub(super) enum Asker {
    /// It wants its id.
    Once(oneshot::Sender<Result<Hash, pool::Refusal>>),
    /// It watches on.
    Watches(oneshot::Sender<Result<Submission, pool::Refusal>>),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Submissions {
    asked: BTreeMap<Ticket, Asker>,
    watched: BTreeMap<Hash, watch::Sender<Progress>>,
    /// When what is watched is looked up.
    due: Option<Duration>,
    /// How many irreversible blocks were seen.
    seen: u64,
}

impl Submissions {
    /// A transaction was given to the node.
    pub(super) fn ask(&mut self, ticket: Ticket, asker: Asker) {
        self.asked.insert(ticket, asker);
    }

    /// The node took it, or says why not.
    pub(super) fn answer(&mut self, ticket: Ticket, result: Result<Hash, pool::Refusal>) {
        // Whoever asked may have gone.
        match self.asked.remove(&ticket) {
            Some(Asker::Once(answer)) => drop(answer.send(result)),
            Some(Asker::Watches(answer)) => {
                let watched = result.and_then(|id| self.watch(id).ok_or(pool::Refusal::Full));
                let _ = answer.send(watched);
            }
            None => {}
        }
    }

    fn watch(&mut self, id: Hash) -> Option<Submission> {
        self.watched.retain(|_, progress| !progress.is_closed());
        if self.watched.len() >= MAX_WATCHED {
            return None;
        }
        let progress = self.watched.entry(id).or_default().subscribe();
        self.due = Some(Duration::ZERO);
        Some(Submission { id, progress })
    }

    /// Something happened: what is watched may have come further.
    pub(super) fn look_soon(&mut self, now: Duration) {
        if !self.watched.is_empty() {
            self.due.get_or_insert(now + DELAY);
        }
    }

    /// When to come back with [`look`](Self::look).
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.due
    }

    /// Looks up what is watched, if it is time.
    pub(super) fn look(&mut self, now: Duration, node: &Node) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        self.watched.retain(|id, watcher| {
            if let Some(seen) = node.transaction(id) {
                let seen = Progress::from(seen);
                watcher.send_if_modified(|last| std::mem::replace(last, seen) != seen);
            }
            !watcher.is_closed() && !watcher.borrow().stage.is_last()
        });
    }

    /// A new view is published: what is in its new irreversible blocks has come to its end.
    pub(super) fn on_view(&mut self, view: &View) {
        let from = std::mem::replace(&mut self.seen, view.settled);
        if self.watched.is_empty() {
            return;
        }
        // What is not in the view any more, its own watcher finds out at the next look.
        for entry in (from..view.settled).filter_map(|at| view.entry(Position(at))) {
            let block = Block { header: entry.header.clone(), raw: entry.block.clone() };
            for tx in transactions(&block).unwrap_or_default() {
                if let Some(watcher) = self.watched.remove(&transaction_id(&tx)) {
                    let block = Some(entry.header.height.0);
                    watcher.send_modify(|last| *last = Progress { stage: Stage::Final, block, ..*last });
                }
            }
        }
    }
}
