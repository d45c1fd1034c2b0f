//! How others wake one of a socket's routines.
//!
//! A routine's task polls its future itself, so that its waker stays the same for its whole life: it is noted once.
//! What it is woken for stands elsewhere, under a lock or in an atomic, before the signal is given; a signal before
//! the first poll is seen by the first poll.

use std::sync::OnceLock;
use std::task::Waker;

/// Wakes one task.
#[derive(Debug, Default)]
pub(super) struct Signal {
    waker: OnceLock<Waker>,
}

impl Signal {
    /// Notes whom to wake: first in each poll, before the routine looks at what it may have been woken for.
    pub(super) fn listen(&self, waker: &Waker) {
        let noted = self.waker.get_or_init(|| waker.clone());
        debug_assert!(noted.will_wake(waker), "a routine moved to another task");
    }

    /// Has the routine look around.
    pub(super) fn give(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}
