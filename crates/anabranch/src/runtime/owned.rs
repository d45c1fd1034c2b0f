//! A task and its owner.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A task that ends when it is told to, at the latest when its owner is dropped.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    stop: DropGuard,
    task: JoinHandle<T>,
}

impl<T: Send + 'static> Owned<T> {
    /// Spawns what is made of the token that tells it to end.
    pub(crate) fn spawn<F>(make: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(make(stop.clone())), stop: stop.drop_guard() }
    }

    /// Waits until it ends by itself. May be cancelled.
    pub(crate) async fn ended(&mut self) -> Result<T, JoinError> {
        (&mut self.task).await
    }

    /// Tells it to end and waits until it has.
    pub(crate) async fn stop(self) -> Result<T, JoinError> {
        drop(self.stop);
        self.task.await
    }

    /// Tells it to end, and ends it after this time if it has not.
    pub(crate) async fn stop_within(mut self, time: Duration) {
        drop(self.stop);
        if tokio::time::timeout(time, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
