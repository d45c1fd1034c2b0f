//! Snapshots of the application's state, for peers: which ones are offered, and pieces of them.
//!
//! The application says what it gives; it is asked now and then, after it took blocks in, and only while a peer wants to
//! know. A peer's asks are answered in their order, one at a time, when its channel has room: nobody makes this node read
//! more than it can send.

use std::time::Duration;

use bytes::Bytes;
use chain::native::StateRoot;
use diffusion::pieces::{self, MAX_OFFERED, Message};
use link::{PeerId, channel};

use super::Member;
use super::state::Ask;
use crate::Output;
use crate::application::{Question, Snapshot};

/// How many pieces of one peer wait in line: several times what an honest one asks for at once.
const MAX_ASKED: usize = 8;

/// How long what the application offers is taken to stay the same. A guess: far below the time between two snapshots.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is offered to peers.
#[derive(Debug, Default)]
pub(super) struct Giving {
    offered: Vec<StateRoot>,
    /// Whether the application is being asked.
    is_asked: bool,
    /// When it is asked again at the earliest.
    again: Duration,
    /// Whether it may give something else since it was asked.
    is_stale: bool,
    /// Whether it has ever said.
    is_known: bool,
}

impl Member {
    /// The application may give something else now.
    pub(super) fn snapshots_moved(&mut self, out: &mut Vec<Output>) {
        self.giving.is_stale = true;
        self.look_at_snapshots(out);
    }

    /// Asks the application what it gives, unless it was just asked or nobody wants to know.
    pub(super) fn look_at_snapshots(&mut self, out: &mut Vec<Output>) {
        if self.giving_deadline().is_none_or(|at| at > self.now.mono) {
            return;
        }
        self.giving.is_asked = true;
        self.giving.is_stale = false;
        self.giving.again = self.now.mono + LOOK_AGAIN;
        self.ask_snapshot(Ask::Snapshots, Snapshot::Offered, out);
    }

    /// When the application is to be asked.
    pub(super) fn giving_deadline(&self) -> Option<Duration> {
        let is_awake = self.applying.as_ref().is_some_and(super::applying::Applying::is_awake);
        let is_due = is_awake && self.giving.is_stale && !self.giving.is_asked;
        (is_due && self.peers.values().any(|peer| peer.wishes)).then_some(self.giving.again)
    }

    /// A peer wants to know what is given, from now on.
    fn on_wish(&mut self, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.wishes) else { return };
        peer.wishes = true;
        if self.giving.is_known || self.applying.is_none() {
            self.send_pieces(id, &Message::Offer(self.giving.offered.clone()), out);
        }
        self.snapshots_moved(out);
    }

    pub(super) fn ask_snapshot(&mut self, ask: Ask, about: Snapshot, out: &mut Vec<Output>) {
        let ticket = self.next_ticket();
        self.asks.insert(ticket, ask);
        out.push(Output::Ask { ticket, question: Question::Snapshot(about) });
    }

    /// The application has said what it gives; nothing where it cannot say.
    pub(super) fn on_snapshots(&mut self, mut states: Vec<StateRoot>, out: &mut Vec<Output>) {
        self.giving.is_asked = false;
        states.truncate(MAX_OFFERED);
        if std::mem::replace(&mut self.giving.is_known, true) && states == self.giving.offered {
            return;
        }
        self.giving.offered = states;
        let wishing = self.peers.iter().filter(|(_, peer)| peer.wishes);
        for id in wishing.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.send_pieces(id, &Message::Offer(self.giving.offered.clone()), out);
        }
    }

    pub(super) fn send_pieces(&mut self, id: PeerId, message: &Message, out: &mut Vec<Output>) {
        self.send(id, channel::SNAPSHOTS, message.to_bytes(), None, out);
    }

    /// A message about snapshots.
    pub(super) fn on_pieces_message(&mut self, id: PeerId, body: &Bytes, out: &mut Vec<Output>) {
        match Message::decode(body) {
            Ok(Message::Offer(states)) => self.tell_pieces(pieces::Input::Offered { peer: id, states }, out),
            Ok(Message::Piece(piece)) => self.tell_pieces(pieces::Input::Piece { peer: id, piece }, out),
            Ok(Message::Ask { of, name }) => self.on_piece_asked(id, of, name, out),
            Ok(Message::Wish) => self.on_wish(id, out),
            Err(reason) => self.blame(id, pieces::Violation::Malformed(reason).into(), out),
        }
    }

    fn on_piece_asked(&mut self, id: PeerId, of: StateRoot, name: Bytes, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.pieces.len() >= MAX_ASKED {
            return self.blame(id, pieces::Violation::Asks { max: MAX_ASKED }.into(), out);
        }
        peer.pieces.push_back((of, name));
        self.give_pieces(id, out);
    }

    /// Goes on with what a peer asked for.
    pub(super) fn give_pieces(&mut self, id: PeerId, out: &mut Vec<Output>) {
        while let Some(peer) = self.peers.get_mut(&id)
            && !peer.is_given
            && !peer.is_waiting(channel::SNAPSHOTS)
            && let Some((of, name)) = peer.pieces.front().cloned()
        {
            if self.giving.offered.contains(&of) {
                peer.is_given = true;
                return self.ask_snapshot(Ask::Piece(id), Snapshot::Piece { of, name }, out);
            }
            peer.pieces.pop_front();
            self.send_pieces(id, &Message::Piece(Bytes::new()), out);
        }
    }

    /// The application has given a piece, or does not.
    pub(super) fn on_piece_given(&mut self, id: PeerId, piece: Option<Bytes>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.is_given = false;
        peer.pieces.pop_front();
        self.send_pieces(id, &Message::Piece(piece.unwrap_or_default()), out);
        self.give_pieces(id, out);
    }
}
