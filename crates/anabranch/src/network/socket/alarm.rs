//! A routine's one timer, armed for the earliest of its deadlines.
//!
//! Deadlines move with each message, mostly later. The timer is armed anew only where a deadline came nearer; one that
//! goes off early costs a look around.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::network::clock::Clock;

/// One timer; at first it is not armed.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Has the task woken at the deadline, if there is one; ready when it has passed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        clock: &Clock,
        deadline: Option<Duration>,
    ) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let instant = clock.instant(deadline);
        let is_armed = |sleep: &Pin<Box<Sleep>>| !sleep.is_elapsed() && sleep.deadline() <= instant;
        if !self.sleep.as_ref().is_some_and(is_armed) {
            self.arm(instant);
        }
        loop {
            let sleep = self.sleep.as_mut().expect("it is armed");
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if clock.now().mono >= deadline {
                return Poll::Ready(());
            }
            self.arm(instant);
        }
    }

    fn arm(&mut self, at: Instant) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }
}
