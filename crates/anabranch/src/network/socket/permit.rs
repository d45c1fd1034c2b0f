//! What a message that came in holds as long as the application has it.

use std::fmt;
use std::sync::Arc;

use link::Protocol;
use link::budget::Charge;

use super::handle::Socket;

/// A message's place in its channel's window, and in what all links together may hold. Dropping it gives both back.
pub struct Permit {
    socket: Arc<Socket>,
    channel: Protocol,
    bytes: u32,
    charge: Option<Charge>,
}

impl Permit {
    pub(super) fn new(socket: Arc<Socket>, channel: Protocol, body_bytes: usize, charge: Charge) -> Self {
        let cost = link::channel::cost(u32::try_from(body_bytes).expect("a message came in"));
        let bytes = u32::try_from(cost).expect("a message fits its window");
        Self { socket, channel, bytes, charge: Some(charge) }
    }

    /// What the message takes of its channel's window.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Gives the place in the window back, but not yet that in the budget.
    pub(in crate::network) fn into_charge(mut self) -> Option<Charge> {
        self.charge.take()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.socket.on_taken(self.channel, self.bytes);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} bytes of channel {})", self.bytes, self.channel)
    }
}
