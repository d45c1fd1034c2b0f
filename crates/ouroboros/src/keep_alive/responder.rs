//! Keep-alive, the side that answers: one answer at a time; questions behind it stay in the ingress queue.

use std::time::Duration;

use super::{Message, State};
use crate::Violation;
use crate::limits::KEEP_ALIVE;

/// The machine.
#[derive(Debug, Default)]
pub struct Responder {
    /// The cookie of the question to be answered.
    asked: Option<u16>,
    /// Since when it is the client's turn: from its first question on, as the reference starts the protocol on
    /// demand.
    since: Option<Duration>,
}

impl Responder {
    /// Whether it takes another message now.
    pub fn has_room(&self) -> bool {
        self.asked.is_none()
    }

    /// The protocol's state.
    pub fn state(&self) -> State {
        if self.asked.is_some() { State::Server } else { State::Client }
    }

    /// Since when it is the client's turn, if it runs.
    pub fn client_since(&self) -> Option<Duration> {
        self.since
    }

    /// A message of the client.
    pub fn on_message(&mut self, message: &Message) -> Result<(), Violation> {
        match message {
            Message::KeepAlive { cookie } => {
                self.asked = Some(*cookie);
                self.since = None;
            }
            Message::Done => *self = Self::default(),
            Message::Response { .. } => {
                return Err(Violation::Agency {
                    protocol: KEEP_ALIVE,
                    state: self.state().name(),
                    message: message.name(),
                });
            }
        }
        Ok(())
    }

    /// Appends the answer, if one is due; it takes 6 B, for which there must be room.
    pub fn fill(&mut self, now: Duration, out: &mut Vec<u8>) {
        if let Some(cookie) = self.asked.take() {
            Message::Response { cookie }.encode(out);
            self.since = Some(now);
        }
    }
}
