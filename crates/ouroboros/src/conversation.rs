//! One mini-protocol of one connection, seen from the side that asks: what all initiators have in common.

use std::time::Duration;

use link::mux::Outbox;
use link::{Mode, Protocol};

use crate::framing::{Framer, Item};
use crate::{Violation, codec};

/// The initiator of one mini-protocol.
pub(crate) trait Speaker {
    /// Which protocol.
    const PROTOCOL: Protocol;

    /// What a message tells the machine around it.
    type Output;

    /// How long the message to come may be.
    fn limit(&self) -> usize;

    /// A message from the responder. `now` is monotonic, here and below.
    fn on_message(&mut self, now: Duration, message: &Item<'_>) -> Result<Option<Self::Output>, Violation>;

    /// Time has passed.
    fn on_tick(&mut self, now: Duration) -> Result<(), Violation>;

    /// When it wants to be ticked.
    fn next_deadline(&self) -> Option<Duration>;

    /// What it has to say.
    fn outbox(&mut self) -> &mut Outbox;
}

/// An initiator and what has arrived for it of an incomplete message.
#[derive(Debug, Clone)]
pub(crate) struct Conversation<S> {
    framer: Framer,
    pub(crate) speaker: S,
}

impl<S: Speaker> Conversation<S> {
    pub(crate) fn new(speaker: S) -> Self {
        Self { framer: Framer::default(), speaker }
    }

    /// How many bytes of an incomplete message are kept.
    pub(crate) fn kept(&self) -> usize {
        self.framer.held()
    }

    /// Takes what arrived; returns how much of it is kept because its message is incomplete.
    pub(crate) fn receive(
        &mut self,
        now: Duration,
        mut bytes: &[u8],
        mut each: impl FnMut(S::Output),
    ) -> Result<usize, Violation> {
        let framing = |error| Violation::Framing { protocol: S::PROTOCOL, error };
        while let Some(item) = self.framer.next(&mut bytes, self.speaker.limit()).map_err(framing)? {
            if let Some(output) = self.speaker.on_message(now, &item)? {
                each(output);
            }
        }
        Ok(self.framer.held())
    }
}

/// The violation that an undecodable message is.
pub(crate) fn undecodable(protocol: Protocol) -> impl Fn(codec::Error) -> Violation {
    move |error| Violation::Message { protocol, error }
}

/// What a state says to a message from the responder: the state after it, or the violation that it is.
pub(crate) fn admit<T>(
    protocol: Protocol,
    (agency, state): (Option<Mode>, &'static str),
    (after, message): (Option<T>, &'static str),
) -> Result<T, Violation> {
    after.filter(|_| agency == Some(Mode::Responder)).ok_or(Violation::Agency { protocol, state, message })
}

/// Whether the responder may still take its time.
pub(crate) fn in_time(
    protocol: Protocol,
    state: &'static str,
    deadline: Option<Duration>,
    now: Duration,
) -> Result<(), Violation> {
    match deadline {
        Some(deadline) if now >= deadline => Err(Violation::Timeout { protocol, state }),
        _ => Ok(()),
    }
}
