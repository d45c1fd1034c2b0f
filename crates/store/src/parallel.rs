//! A few threads for work that may run in any order while its results are wanted in order.
//!
//! Import and verification keep a queue of [`Pending`] results and take them from its front.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

/// Jobs handed over and not begun, at most; whoever submits more waits.
const MAX_JOBS: usize = 64;

type Job<'env> = Box<dyn FnOnce() + Send + 'env>;

/// Threads that live as long as a scope. They end when the pool is dropped and its jobs are done.
pub(crate) struct Pool<'env> {
    jobs: SyncSender<Job<'env>>,
}

/// A result that will be there.
#[derive(Debug)]
pub(crate) struct Pending<R>(Receiver<R>);

impl<'env> Pool<'env> {
    /// Starts the threads.
    pub(crate) fn start<'scope>(scope: &'scope Scope<'scope, 'env>, threads: usize) -> Self {
        let (jobs, queue) = mpsc::sync_channel::<Job<'env>>(MAX_JOBS);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            scope.spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    job();
                }
            });
        }
        Self { jobs }
    }

    /// Hands a job over.
    pub(crate) fn submit<R: Send + 'env>(&self, job: impl FnOnce() -> R + Send + 'env) -> Pending<R> {
        let (result, pending) = mpsc::sync_channel(1);
        // Whoever stops early does not wait for the rest: a result that nobody takes is dropped.
        let job = Box::new(move || drop(result.send(job())));
        self.jobs.send(job).expect("the threads live as long as the pool");
        Pending(pending)
    }
}

impl<R> Pending<R> {
    /// Waits for the result.
    pub(crate) fn wait(self) -> R {
        self.0.recv().expect("a job that panicked ends its scope with its own message")
    }
}

/// How many threads this machine runs at once.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_asked_for() {
        std::thread::scope(|scope| {
            let pool = Pool::start(scope, 3);
            let pending: Vec<_> = (0..1_000_u32).map(|number| pool.submit(move || number)).collect();
            let results: Vec<u32> = pending.into_iter().map(Pending::wait).collect();
            assert!(results.into_iter().eq(0..1_000));
        });
    }
}
