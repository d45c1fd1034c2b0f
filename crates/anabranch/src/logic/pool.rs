//! The threads that ask the application: one takes deliveries and what must see them, one answers readers, the others
//! check transactions and give pieces of snapshots to peers.
//!
//! A panic of the application does not leave its thread. Where it was asked for a verdict or for a block to build, it
//! could not tell; where it was to take in a block, it has failed: no later block may be delivered over a hole.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chain::Block;
use node::Ticket;
use node::application::{Answer, Question, Snapshot, Verdict};

use super::queries::{Queries, Unanswered};
use super::queue::{Job, Next, Queues};
use super::{Failed, Logic, MAX_PIECE_BYTES};

/// How the application is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How many threads check transactions, beside the one that delivers. A guess: one may block and another goes on.
    pub check_threads: NonZeroUsize,
    /// How many transactions may wait to be checked. A guess: a second's worth at a thousand a second.
    pub max_checks: usize,
    /// How many bytes these may have. A guess: little memory, many transactions.
    pub max_check_bytes: usize,
    /// How many blocks to check and to build may wait. A guess: far above what one round of consensus asks.
    pub max_asked: usize,
    /// How many questions of readers may wait. A guess: they are few, and come again.
    pub max_queries: usize,
    /// How many blocks are handed to [`Logic::deliver_all`] at once. A guess: enough that a sync for all of them does
    /// not show, few enough that a failure costs little. How many may wait is the node's to bound.
    pub max_delivered: NonZeroUsize,
    /// How long a block to check or to build waits at most before it is answered without the application: above the
    /// deadlines of the node, so that after a pause nobody works through what nobody waits for. A transaction waits
    /// as long as it must: who gave it may have been told that it was taken.
    pub patience: Duration,
    /// How long the end waits for an application that is at work. A guess: longer than a sync of a slow disk.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            check_threads: NonZeroUsize::new(2).expect("it is not 0"),
            max_checks: 1_024,
            max_check_bytes: 8 << 20,
            max_asked: 64,
            max_queries: 64,
            max_delivered: NonZeroUsize::new(64).expect("it is not 0"),
            patience: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}

/// Threads that ask an application until the pool is dropped.
///
/// Dropping it lets go what waits, and waits for what the application is just doing, for [`Config::grace`] at most. A
/// thread that it holds longer is left behind: it answers nobody any more, and ends when the application lets go of
/// it or with the process. What such an application was about to take in it is given again at the next start, unless
/// it says then that it has it. Dropping therefore blocks: do it where that may be.
#[derive(Debug)]
pub struct Pool {
    config: Config,
    queues: Arc<Queues>,
    threads: Vec<JoinHandle<()>>,
}

/// What every thread holds.
struct Worker {
    config: Config,
    queues: Arc<Queues>,
    logic: Arc<dyn Logic>,
    answers: Arc<dyn Fn(Ticket, Answer) + Send + Sync>,
}

impl Pool {
    /// Starts the threads. `answers` is called from them with each answer; it may block until there is room for one,
    /// but not for ever once the pool is being dropped.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(
        logic: Arc<dyn Logic>,
        config: Config,
        answers: impl Fn(Ticket, Answer) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let queues = Arc::new(Queues::default());
        let mut pool = Self { config: config.clone(), queues: Arc::clone(&queues), threads: Vec::new() };
        let worker = Arc::new(Worker { config, queues, logic, answers: Arc::new(answers) });
        pool.spawn("logic".to_owned(), &worker, Worker::deliver_and_ask)?;
        pool.spawn("logic-query".to_owned(), &worker, Worker::query)?;
        for at in 0..pool.config.check_threads.get() {
            pool.spawn(format!("logic-check-{at}"), &worker, Worker::check)?;
        }
        Ok(pool)
    }

    /// Puts a question to the application; never waits. The answer is there at once where the queue is full: it
    /// cannot tell. Deliveries are always taken: how many there are, the node bounds.
    #[must_use = "the answer that there is at once is not given a second time"]
    pub fn ask(&self, ticket: Ticket, question: Question) -> Option<Answer> {
        self.queues.push(ticket, question, &self.config).map(|question| cannot_tell(&question))
    }

    /// The way for readers to ask the application.
    pub fn queries(&self) -> Queries {
        Queries::new(Arc::clone(&self.queues), self.config.max_queries)
    }

    /// Ends as dropping does, and says how many threads the application did not let go of.
    pub fn stop(mut self) -> usize {
        self.end()
    }

    #[cfg(test)]
    pub(super) fn queues(&self) -> Arc<Queues> {
        Arc::clone(&self.queues)
    }

    fn spawn(&mut self, name: String, worker: &Arc<Worker>, run: fn(&Worker)) -> std::io::Result<()> {
        let worker = Arc::clone(worker);
        self.queues.expect(1);
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let _running = worker.queues.enter();
            run(&worker);
        });
        match spawned {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                drop(self.queues.enter());
                return Err(error);
            }
        }
        Ok(())
    }

    fn end(&mut self) -> usize {
        self.queues.close();
        let threads = std::mem::take(&mut self.threads);
        if threads.is_empty() {
            return 0;
        }
        let left = self.queues.wait_for_end(self.config.grace);
        if left > 0 {
            tracing::warn!(threads = left, "the application is still busy: not waiting for it any longer");
            // Their handles are dropped: who would join them might wait for ever.
            return left;
        }
        for thread in threads {
            // Each is past its last line; a panic of it has said so already.
            let _ = thread.join();
        }
        0
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.end();
    }
}

impl Worker {
    /// The one thread that keeps the order.
    fn deliver_and_ask(&self) {
        let mut failed = None;
        while let Some(next) = self.queues.next_ordered(self.config.max_delivered.get()) {
            match next {
                Next::Ask(job) if failed.is_some() || job.is_stale(self.config.patience) => {
                    self.answer(job.ticket, cannot_tell(&job.question));
                }
                Next::Ask(job) => self.ask(job),
                Next::Deliver(blocks) => self.deliver(blocks, &mut failed),
            }
        }
    }

    /// A thread that checks transactions.
    fn check(&self) {
        while let Some(job) = self.queues.next_check() {
            self.ask(job);
        }
    }

    /// The thread that answers readers.
    fn query(&self) {
        while let Some(query) = self.queues.next_query() {
            let answer = guarded(|| self.logic.query(&query.question));
            let answer = answer.unwrap_or_else(|panic| Err(Failed::new(panic)));
            // Who asked may have lost patience.
            let _ = query.answer.send(answer.map_err(|failed| Unanswered::Refused { reason: failed.reason }));
        }
    }

    /// Asks what is no delivery.
    fn ask(&self, job: Job) {
        let answer = guarded(|| asked(&*self.logic, &job.question)).unwrap_or_else(|panic| {
            tracing::error!(panic, "the application panicked over a question, which counts as no answer");
            cannot_tell(&job.question)
        });
        self.answer(job.ticket, answer);
    }

    /// Delivers some blocks, unless an earlier one could not be.
    fn deliver(&self, blocks: Vec<(Ticket, Block)>, failed: &mut Option<Failed>) {
        let (tickets, blocks): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let result = match failed {
            Some(failed) => Err(failed.clone()),
            None => self.delivered(&blocks),
        };
        match result {
            Ok(applied) => {
                for (ticket, applied) in tickets.into_iter().zip(applied) {
                    self.answer(ticket, Answer::Applied(applied));
                }
            }
            Err(why) => {
                for ticket in tickets {
                    self.answer(ticket, Answer::Failed { reason: why.reason.clone() });
                }
                *failed = Some(why);
            }
        }
    }

    fn delivered(&self, blocks: &[Block]) -> Result<Vec<node::application::Applied>, Failed> {
        let run = || match blocks {
            [block] => self.logic.deliver(block).map(|applied| vec![applied]),
            blocks => self.logic.deliver_all(blocks),
        };
        let applied = guarded(run).unwrap_or_else(|panic| Err(Failed::new(panic)))?;
        if applied.len() != blocks.len() {
            let (said, given) = (applied.len(), blocks.len());
            return Err(Failed::new(format!("the application answered {said} deliveries of {given}")));
        }
        Ok(applied)
    }

    /// Nobody is there for an answer once the pool is closed.
    fn answer(&self, ticket: Ticket, answer: Answer) {
        if !self.queues.is_closed() {
            (self.answers)(ticket, answer);
        }
    }
}

/// Runs what the application does; a panic of it comes back as its message.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // What a panic leaves half done is the application's: it is not asked to deliver again.
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        format!("the application panicked: {}", text.unwrap_or("without a word"))
    })
}

/// The answer to what is no delivery.
fn asked(logic: &dyn Logic, question: &Question) -> Answer {
    match question {
        Question::CheckTx { tx } => Answer::Verdict(logic.check_tx(tx)),
        Question::CheckBlock { block } => Answer::Verdict(logic.check_block(block)),
        Question::Build { parent, max_bytes, candidates } => {
            Answer::Built(logic.build(*parent, *max_bytes, candidates))
        }
        Question::Snapshot(about) => snapshot(logic, about).unwrap_or_else(failed),
        Question::Deliver { .. } => unreachable!("deliveries have a way of their own"),
    }
}

fn snapshot(logic: &dyn Logic, about: &Snapshot) -> Result<Answer, Failed> {
    Ok(match about {
        Snapshot::Offered => Answer::Snapshots(logic.snapshots()),
        Snapshot::Piece { of, name } => {
            let piece = logic.piece(of, name)?;
            // One that no peer would take is none.
            Answer::Piece(piece.filter(|piece| piece.len() <= MAX_PIECE_BYTES))
        }
        Snapshot::Restore { to } => Answer::Restoring(logic.restore(to)?),
        Snapshot::Take { name, piece } => Answer::Taken(logic.restore_piece(name, piece)?),
        Snapshot::Restored { tip } => Answer::Applied(logic.restored(*tip)?),
        Snapshot::Forget => {
            logic.forget_restore()?;
            Answer::Restoring(None)
        }
    })
}

fn failed(why: Failed) -> Answer {
    Answer::Failed { reason: why.reason }
}

/// The answer in the application's place.
fn cannot_tell(question: &Question) -> Answer {
    match question {
        Question::CheckTx { .. } | Question::CheckBlock { .. } => Answer::Verdict(Verdict::Ignore),
        Question::Build { .. } => Answer::Built(Vec::new()),
        Question::Snapshot(_) => failed(Failed::new("the application did not answer in time")),
        Question::Deliver { .. } => unreachable!("deliveries are never refused"),
    }
}
