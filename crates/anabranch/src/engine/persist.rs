//! The store's thread: appends what the node asks for, one sync for all that has come meanwhile.
//!
//! Jobs wait in one queue; the node bounds it by the bytes that it lets wait for the disk, so it has no bound
//! of its own. A failed write is told once; after it the thread takes jobs and does nothing.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use node::{Input, Record, Ticket};
use store::{Error, Store};
use tokio::sync::mpsc::Sender as Events;

use super::{Event, storage};

/// Records that share one sync at most: a node that asks for more has them acknowledged in parts.
const MAX_BATCH: usize = 1_024;

/// The way to the thread; dropping it lets the thread finish what it was given, and waits for that.
#[derive(Debug)]
pub(super) struct Handle {
    jobs: Option<Sender<(Ticket, Record)>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread.
pub(super) fn start(store: Store, events: Events<Event>) -> std::io::Result<Handle> {
    let (jobs, received) = mpsc::channel();
    let thread =
        thread::Builder::new().name("store".into()).spawn(move || work(store, &received, &events))?;
    Ok(Handle { jobs: Some(jobs), thread: Some(thread) })
}

impl Handle {
    /// Appends in order of calls; answered by `Persisted` or `PersistFailed`.
    pub(super) fn append(&self, ticket: Ticket, record: Record) {
        let jobs = self.jobs.as_ref().expect("open until it is dropped");
        jobs.send((ticket, record)).expect("the store's thread runs until it is let go");
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn work(mut store: Store, jobs: &Receiver<(Ticket, Record)>, events: &Events<Event>) {
    let mut failed = false;
    while let Ok(first) = jobs.recv() {
        let rest = jobs.try_iter().take(MAX_BATCH - 1);
        let batch: Vec<_> = std::iter::once(first).chain(rest).collect();
        if failed {
            continue;
        }
        let answer = match append(&mut store, &batch) {
            Ok(ticket) => Input::Persisted { ticket },
            Err((ticket, error)) => {
                failed = true;
                Input::PersistFailed { ticket, error: error.to_string() }
            }
        };
        // Fails when the engine is stopping: what is durable is durable without its hearing of it.
        let _ = events.blocking_send(Event::Answer(answer));
    }
    if !failed && let Err(error) = store.checkpoint() {
        tracing::error!("the last snapshot could not be written: {error}");
    }
}

/// Appends all and syncs once; gives the last ticket, which covers the others.
fn append(store: &mut Store, batch: &[(Ticket, Record)]) -> Result<Ticket, (Ticket, Error)> {
    for (ticket, record) in batch {
        storage::append(store, record).map_err(|error| (*ticket, error))?;
    }
    let (last, _) = batch.last().expect("a batch has at least the record that began it");
    store.sync().map_err(|error| (batch[0].0, error))?;
    Ok(*last)
}
