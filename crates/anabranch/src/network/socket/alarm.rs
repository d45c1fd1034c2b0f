//! A routine's one timer, armed for the earliest of its deadlines.
//!
//! Deadlines move with each message, mostly later. The timer is armed anew only where a deadline came nearer; one that
//! goes off early costs a look around.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::network::clock::Clock;

/// One timer.
#[derive(Debug)]
pub(super) struct Alarm {
    clock: Clock,
    sleep: Option<Pin<Box<Sleep>>>,
    /// For when it is armed.
    at: Duration,
}

impl Alarm {
    /// A timer that is not armed.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, sleep: None, at: Duration::MAX }
    }

    /// Has the task woken at the deadline, if there is one; ready when it has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Duration>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if deadline < self.at || self.sleep.is_none() {
            self.arm(deadline);
        }
        loop {
            let sleep = self.sleep.as_mut().expect("it is armed");
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.at = Duration::MAX;
            if self.clock.now().mono >= deadline {
                return Poll::Ready(());
            }
            self.arm(deadline);
        }
    }

    fn arm(&mut self, at: Duration) {
        let instant = self.clock.instant(at);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(instant),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(instant))),
        }
        self.at = at;
    }
}
