//! Chunks of headers that are being read: each once, however many clients wait for it.
//!
//! Followers move in herds: all that were at the tip when a server restarted are near one another. Without
//! this, each of them would have the same chunk read on a thread of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::{Chunk, Position};
use store::reader::CHUNK_HEADERS;
use store::{Files, Reader};
use tokio_util::task::TaskTracker;

use super::place::Place;

/// Who waits for which chunk.
#[derive(Debug, Default)]
pub(super) struct Loads {
    waiting: Mutex<BTreeMap<u64, Vec<Arc<Place>>>>,
    /// The reads; no client owns them, since others may wait for the same.
    jobs: TaskTracker,
}

impl Loads {
    /// Has the chunk around a position put into the client's place, which wakes its task.
    pub(super) fn load<F: Files>(self: &Arc<Self>, log: &Reader<F>, position: Position, place: &Arc<Place>) {
        let number = position.0 / CHUNK_HEADERS;
        let mut waiting = self.lock();
        let others = waiting.entry(number).or_default();
        others.push(place.clone());
        if others.len() == 1 {
            let (loads, log) = (self.clone(), log.clone());
            self.jobs.spawn_blocking(move || loads.read(&log, number, position));
        }
    }

    fn read<F: Files>(&self, log: &Reader<F>, number: u64, position: Position) {
        let chunk = match log.chunk(position) {
            Ok(Some(chunk)) => Some(chunk),
            Ok(None) => {
                tracing::error!(%position, "the log lacks a block that the view says it has");
                None
            }
            Err(error) => {
                tracing::error!(%error, "the log cannot be read");
                None
            }
        };
        self.hand_out(number, chunk.as_ref());
    }

    fn hand_out(&self, number: u64, chunk: Option<&Arc<Chunk>>) {
        let waiting = self.lock().remove(&number).unwrap_or_default();
        for place in waiting {
            place.lock().loaded = Some(chunk.cloned());
            place.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<Arc<Place>>>> {
        // Nothing that is done with the lock held can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
