//! The pool that runs checks: signatures, certificates and proofs, off the core.
//!
//! Jobs wait in one queue; the node bounds it by its own header budgets, so it has no bound of its own.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use node::work::Work;
use node::{Input, Ticket};

use tokio::sync::mpsc;

use super::Event;

/// Threads that run checks until the pool is dropped.
#[derive(Debug)]
pub(super) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<(Ticket, Work)>,
    closed: bool,
}

impl Pool {
    /// Starts the threads; each answer goes into `events`.
    pub(super) fn start(threads: NonZeroUsize, events: &mpsc::Sender<Event>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let threads = (0..threads.get())
            .map(|at| {
                let (queue, events) = (Arc::clone(&queue), events.clone());
                thread::Builder::new().name(format!("checks-{at}")).spawn(move || queue.work(&events))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { queue, threads })
    }

    /// Puts a job into the queue.
    pub(super) fn run(&self, ticket: Ticket, work: Work) {
        self.queue.lock().waiting.push_back((ticket, work));
        self.queue.more.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let mut jobs = self.queue.lock();
            jobs.closed = true;
            jobs.waiting.clear();
        }
        self.queue.more.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, events: &mpsc::Sender<Event>) {
        while let Some((ticket, work)) = self.next() {
            let result = work.run();
            // Fails when the engine is gone; then the pool is about to be dropped.
            if events.blocking_send(Event::Answer(Input::Verified { ticket, result })).is_err() {
                return;
            }
        }
    }

    fn next(&self) -> Option<(Ticket, Work)> {
        let mut jobs = self.lock();
        loop {
            if jobs.closed {
                return None;
            }
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            jobs = self.more.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
