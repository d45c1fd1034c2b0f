//! Links that open and close, what they take, and what comes over them.

use std::time::Duration;

use bytes::Bytes;
use diffusion::sync::bodies::Mode;
use diffusion::sync::{self, bodies, ranges};
use diffusion::{pieces, relay, routing, sync::Consequence};
use link::{PeerId, Protocol, channel};

use super::peer::{Peer, Posted};
use super::speech::Greeting;
use super::state::{Ask, Job, Read};
use super::{Event, Member, Violation};
use crate::{Output, Ticket};

/// What of the sync channel's room the machine of headers is not told of: a few hundred wants, promises and ranges fit.
const SYNC_RESERVE_BYTES: u64 = 64 << 10;

impl Member {
    pub(super) fn on_peer(&mut self, id: PeerId, event: Event, out: &mut Vec<Output>) {
        match event {
            Event::Joined { rtt, pinned, room } => self.on_joined(id, rtt, pinned, &room, out),
            Event::Left => self.on_left(id, out),
            Event::Pinned(pinned) => self.on_pinned(id, pinned, out),
            Event::Rtt(rtt) => self.on_rtt(id, rtt, out),
            Event::Room { channel, bytes } => self.on_room(id, channel, bytes, out),
            Event::Unread => self.tell_ranges(ranges::Input::Unread { peer: id }, out),
            Event::Message { channel, body } => self.on_message(id, channel, body, out),
        }
    }

    fn on_joined(
        &mut self,
        id: PeerId,
        rtt: Option<Duration>,
        pinned: bool,
        room: &[(Protocol, u64)],
        out: &mut Vec<Output>,
    ) {
        assert!(!self.peers.contains_key(&id), "a peer has left before it joins again");
        let mut peer = Peer::new(self.config.sync, rtt, pinned);
        for (channel, bytes) in room {
            assert!(peer.on_room(*channel, *bytes).is_empty(), "nothing waits for a new link");
        }
        self.peers.insert(id, peer);
        self.room_for_sync(id, out);
        self.tell_sync(id, sync::Input::Start, out);
        let room = self.peers[&id].room(channel::ROUTING);
        self.tell_routing(routing::Input::Joined { peer: id, rtt, room }, out);
        let room = self.peers[&id].room(channel::TRANSACTIONS);
        self.tell_relay(relay::Input::Joined { peer: id, room }, out);
        self.tell_pieces(pieces::Input::Joined { peer: id }, out);
        if let Some(key) = &self.key {
            let greeting = Greeting::new(&self.chain, key, &id);
            self.send(id, channel::CONSENSUS, greeting.encode(), None, out);
        }
    }

    /// Everything that was kept of it goes with it.
    fn on_left(&mut self, id: PeerId, out: &mut Vec<Output>) {
        self.peers.remove(&id).expect("a peer joins before it leaves");
        let proving = &mut self.finality.proving;
        self.works.retain(|_, job| match job {
            Job::Fin(peer, block) if *peer == id => !proving.remove(block),
            Job::Fin(..) | Job::Header(_) | Job::Claim(_) => true,
        });
        self.loads.retain(|_, read| match read {
            Read::Headers(peer, _) | Read::Find(peer, _) | Read::Range(peer) => *peer != id,
            Read::Deliveries | Read::Applied => true,
        });
        self.tell_bodies(bodies::Input::Left { peer: id }, out);
        self.early.retain(|(peer, _), _| *peer != id);
        self.tell_ranges(ranges::Input::Left { peer: id }, out);
        self.tell_routing(routing::Input::Left { peer: id }, out);
        self.tell_relay(relay::Input::Left { peer: id }, out);
        self.asks.retain(|_, ask| !matches!(ask, Ask::Piece(peer) if *peer == id));
        self.drop_later(id);
        self.tell_pieces(pieces::Input::Left { peer: id }, out);
        self.is_lacking = true;
    }

    fn on_pinned(&mut self, id: PeerId, pinned: bool, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.is_pinned = pinned;
        // It has not joined there before its hello; then it will be told.
        self.tell_ranges(ranges::Input::Pinned { peer: id, pinned }, out);
    }

    fn on_rtt(&mut self, id: PeerId, rtt: Duration, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.rtt = Some(rtt);
        self.tell_bodies(bodies::Input::Rtt { peer: id, rtt }, out);
        self.tell_ranges(ranges::Input::Rtt { peer: id, rtt }, out);
        self.tell_routing(routing::Input::Rtt { peer: id, rtt }, out);
    }

    fn on_room(&mut self, id: PeerId, channel: Protocol, bytes: u64, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for (body, after) in peer.on_room(channel, bytes) {
            out.push(Output::Send { peer: id, channel, body, after });
        }
        match channel {
            channel::SYNC => self.room_for_sync(id, out),
            channel::ROUTING => {
                let bytes = self.peers[&id].room(channel);
                self.tell_routing(routing::Input::Room { peer: id, bytes }, out);
            }
            channel::TRANSACTIONS => {
                let bytes = self.peers[&id].room(channel);
                self.tell_relay(relay::Input::Room { peer: id, bytes }, out);
            }
            channel::BODIES => self.serve_ranges(id, out),
            channel::SNAPSHOTS => self.give_pieces(id, out),
            _ => {}
        }
    }

    /// Tells the machine of headers what it may send.
    fn room_for_sync(&mut self, id: PeerId, out: &mut Vec<Output>) {
        let peer = &self.peers[&id];
        let is_free = !peer.is_waiting(channel::SYNC);
        let room = peer.room(channel::SYNC).saturating_sub(SYNC_RESERVE_BYTES);
        let bytes = if is_free { room } else { 0 };
        self.tell_sync(id, sync::Input::Room { bytes }, out);
    }

    fn on_message(&mut self, id: PeerId, channel: Protocol, body: Bytes, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.is_condemned {
            return self.took(id, channel, out);
        }
        match channel {
            channel::SYNC => return self.on_sync_message(id, &body, out),
            channel::BODIES => self.on_body(id, &body, out),
            channel::CONSENSUS => self.on_consensus_message(id, &body, out),
            channel::SNAPSHOTS => self.on_pieces_message(id, &body, out),
            channel::ROUTING => match routing::Message::decode(&body) {
                Ok(message) => self.tell_routing(routing::Input::Message { peer: id, message }, out),
                Err(reason) => self.blame(id, routing::Violation::Malformed(reason).into(), out),
            },
            channel::TRANSACTIONS => match relay::Message::decode(&body) {
                Ok(message) => self.tell_relay(relay::Input::Message { peer: id, message }, out),
                Err(reason) => self.blame(id, relay::Violation::Malformed(reason).into(), out),
            },
            _ => self.blame(id, Violation::Channel { channel }, out),
        }
        self.took(id, channel, out);
    }

    /// The message is done with.
    pub(super) fn took(&mut self, peer: PeerId, channel: Protocol, out: &mut Vec<Output>) {
        out.push(Output::Took { peer, channel, messages: 1 });
    }

    /// Sends something as soon as the channel takes it. Who lets too much wait is parted from.
    pub(super) fn send(
        &mut self,
        id: PeerId,
        channel: Protocol,
        body: Bytes,
        after: Option<Ticket>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match peer.post(channel, body, after) {
            Posted::Now(body) => out.push(Output::Send { peer: id, channel, body, after }),
            Posted::Waits => {}
            Posted::Full if peer.is_condemned => {}
            Posted::Full => {
                peer.is_condemned = true;
                out.push(Output::Part { peer: id });
            }
        }
    }

    /// A peer broke a rule. Where that costs the link, nothing more of it is looked at.
    pub(super) fn blame(&mut self, id: PeerId, violation: Violation, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match violation.consequence() {
            Consequence::Strike => {}
            Consequence::Close | Consequence::Alarm => peer.is_condemned = true,
        }
        out.push(Output::Blame { peer: id, violation });
    }

    /// Both hellos have come: bodies may go between the two.
    pub(super) fn join_bodies(&mut self, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.is_joined || !peer.sync.is_ready() {
            return;
        }
        peer.is_joined = true;
        let (rtt, pinned) = (peer.rtt, peer.is_pinned);
        self.tell_bodies(bodies::Input::Joined { peer: id }, out);
        self.tell_ranges(ranges::Input::Joined { peer: id, pinned }, out);
        if let Some(rtt) = rtt {
            self.tell_bodies(bodies::Input::Rtt { peer: id, rtt }, out);
            self.tell_ranges(ranges::Input::Rtt { peer: id, rtt }, out);
        }
        if let Some(mode) = self.modes.get(&id).copied().filter(|mode| *mode != Mode::Auto) {
            self.tell_bodies(bodies::Input::Mode { peer: id, mode }, out);
        }
        self.is_lacking = true;
    }
}
