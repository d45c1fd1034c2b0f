//! Peer-sharing, the side that answers. Which addresses it may tell is the driver's business.

use std::net::SocketAddr;

use super::{Message, Peer, State};
use crate::Violation;
use crate::codec::List;
use crate::limits::PEER_SHARING;

/// Addresses in one answer: an IPv6 address takes 25 B at most, and an answer 5,760 B (limits of the spec).
pub(crate) const MAX_PEERS: u8 = 200;

/// The machine.
#[derive(Debug, Default)]
pub struct Responder {
    state: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    /// So many addresses were asked for.
    Asked(u8),
    /// The question was passed on.
    Busy(u8),
    /// This is the answer.
    Answer(Vec<Peer>),
}

impl Responder {
    /// Whether it takes another message now.
    pub fn has_room(&self) -> bool {
        matches!(self.state, Phase::Idle)
    }

    /// The protocol's state.
    pub fn state(&self) -> State {
        if self.has_room() { State::Idle } else { State::Busy }
    }

    /// A message of the client.
    pub fn on_message(&mut self, message: &Message<'_>) -> Result<(), Violation> {
        match message {
            Message::ShareRequest { amount } => self.state = Phase::Asked((*amount).min(MAX_PEERS)),
            Message::Done => {}
            Message::SharePeers { .. } => {
                return Err(Violation::Agency {
                    protocol: PEER_SHARING,
                    state: self.state().name(),
                    message: message.name(),
                });
            }
        }
        Ok(())
    }

    /// How many addresses must be found out; each question is asked once.
    pub fn take_ask(&mut self) -> Option<u8> {
        let Phase::Asked(amount) = self.state else { return None };
        self.state = Phase::Busy(amount);
        Some(amount)
    }

    /// The addresses; those above the number that was asked for are left out.
    pub fn on_peers(&mut self, peers: impl Iterator<Item = SocketAddr>) {
        let Phase::Busy(amount) = self.state else { panic!("no addresses were asked for") };
        self.state = Phase::Answer(peers.take(usize::from(amount)).map(Peer).collect());
    }

    /// Appends the answer, if one is due; it takes 5,760 B at most, for which there must be room.
    pub fn fill(&mut self, out: &mut Vec<u8>) {
        if let Phase::Answer(peers) = &self.state {
            Message::SharePeers { peers: List::new(peers) }.encode(out);
            self.state = Phase::Idle;
        }
    }
}
