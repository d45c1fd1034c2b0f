//! Peers as the engine sees them: what is said to them once it may be, what of theirs the node has not done with, and
//! what their faults cost.
//!
//! ```text
//!   network's sink → Joined, Message, Rtt, Room, Left → Node::handle → Send → held until durable → the link's queue
//!                                                                      Took → permits of the oldest messages
//!                                                                      Blame, Part → strikes, the end of the link
//! ```
//!
//! It waits for nobody: a link takes a message at once, or it is held here. The node sends no more than it was told of
//! room for, so what is held is bounded by that; what it has not done with, by the channels' windows and the budget of
//! all links.
//!
//! **Invariant:** of one peer's channel, messages go out in the order in which the node said them; none before what it
//! must not precede is durable. No other channel waits for that.
//!
//! **Invariant:** the node hears nothing of a peer after it had the link closed, but that it has left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use link::channel;
use link::message::Kind;
use link::{PeerId, Protocol};
use node::Ticket;
use node::member::{Consequence, Event, Violation};

use crate::network::{Delivery, LinkHandle, Permit, SendError};

/// The name of a question on a channel that has none.
const QUESTION: &str = "question";

/// All peers with an open link.
#[derive(Debug, Default)]
pub(super) struct Peers {
    links: BTreeMap<PeerId, Link>,
    /// The channels on which messages are held.
    held: BTreeSet<(PeerId, Protocol)>,
    /// Everything up to this one is durable.
    durable: Option<Ticket>,
}

#[derive(Debug)]
struct Link {
    handle: LinkHandle,
    channels: BTreeMap<Protocol, Channel>,
    /// It was told to close.
    is_closing: bool,
}

/// One channel of one link. It holds no memory while nothing waits.
#[derive(Debug, Default)]
struct Channel {
    held: Held,
    /// The places of the messages that the node has not done with, oldest first.
    untaken: VecDeque<Permit>,
}

/// Messages that may not go yet, or find no place in the link's queue, in their order.
#[derive(Debug, Default)]
struct Held {
    messages: VecDeque<(Bytes, Option<Ticket>)>,
    /// What they cost together.
    bytes: u64,
}

impl Peers {
    /// A link opened.
    pub(super) fn on_joined(&mut self, handle: LinkHandle) -> Event {
        let event = Event::Joined { rtt: handle.rtt(), pinned: handle.is_pinned(), room: handle.room() };
        let link = Link { handle, channels: BTreeMap::new(), is_closing: false };
        let replaced = self.links.insert(link.handle.peer(), link);
        assert!(replaced.is_none(), "a link leaves before another with its peer joins");
        event
    }

    /// Whether the node is told what happens on the link with a peer.
    pub(super) fn is_open(&self, peer: PeerId) -> bool {
        self.links.get(&peer).is_some_and(|link| !link.is_closing)
    }

    /// A message came; what the node is told of it.
    pub(super) fn on_message(&mut self, delivery: Delivery) -> Option<Event> {
        let Delivery { peer, channel, kind, body, permit, .. } = delivery;
        let link = self.links.get_mut(&peer).expect("who says something has joined");
        if link.is_closing {
            return None;
        }
        if kind != Kind::Note {
            link.handle.strike(QUESTION);
            return None;
        }
        link.channels.entry(channel).or_default().untaken.push_back(permit);
        Some(Event::Message { channel, body })
    }

    /// A channel takes more. What is held goes first, and what then is still held takes its part.
    ///
    /// To be told to the node at once: what it says meanwhile would not be counted.
    pub(super) fn on_room(&mut self, peer: PeerId, channel: Protocol) -> Option<Event> {
        let link = self.links.get_mut(&peer).filter(|link| !link.is_closing)?;
        let mut held = link.channels.get_mut(&channel).map(|channel| &mut channel.held);
        if let Some(held) = &mut held
            && held.flush(self.durable, |body| send(&link.handle, channel, body))
        {
            self.held.remove(&(peer, channel));
        }
        let bytes = link.handle.room_of(channel)?;
        Some(Event::Room { channel, bytes: bytes.saturating_sub(held.map_or(0, |held| held.bytes)) })
    }

    /// A link closed.
    pub(super) fn on_left(&mut self, peer: PeerId) -> Event {
        self.links.remove(&peer).expect("who leaves has joined");
        self.held.retain(|(of, _)| *of != peer);
        Event::Left
    }

    /// Sends this, unless it must wait; behind what waits already.
    pub(super) fn send(&mut self, peer: PeerId, channel: Protocol, body: Bytes, after: Option<Ticket>) {
        // The node may not have heard yet that a peer has left.
        let Some(link) = self.links.get_mut(&peer).filter(|link| !link.is_closing) else { return };
        let held = &mut link.channels.entry(channel).or_default().held;
        held.push(body, after);
        if !held.flush(self.durable, |body| send(&link.handle, channel, body)) {
            self.held.insert((peer, channel));
        }
    }

    /// Everything up to this ticket is durable: what waited for it goes.
    pub(super) fn on_durable(&mut self, ticket: Ticket) {
        self.durable = self.durable.max(Some(ticket));
        let Self { links, held, durable } = self;
        held.retain(|(peer, number)| {
            let Some(link) = links.get_mut(peer) else { return false };
            let channel = link.channels.get_mut(number);
            let is_empty =
                channel.map(|channel| channel.held.flush(*durable, |body| send(&link.handle, *number, body)));
            is_empty == Some(false)
        });
    }

    /// The node has done with the oldest messages of a channel.
    pub(super) fn took(&mut self, peer: PeerId, channel: Protocol, messages: u32) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let Some(channel) = link.channels.get_mut(&channel) else { return };
        let taken = channel.untaken.len().min(messages as usize);
        channel.untaken.drain(..taken);
        if channel.untaken.is_empty() {
            channel.untaken = VecDeque::new();
        }
    }

    /// A peer broke a rule.
    pub(super) fn blame(&mut self, peer: PeerId, violation: &Violation) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let rule = violation.name();
        match violation.consequence() {
            Consequence::Strike => {
                tracing::debug!(%peer, rule, %violation, "a peer broke a rule");
                link.handle.strike(rule);
            }
            Consequence::Close => {
                tracing::warn!(%peer, rule, %violation, "closing the link with a peer");
                link.close(|handle| handle.close_for(rule));
            }
            Consequence::Alarm => {
                tracing::error!(%peer, rule, %violation, "security: this will not mend by waiting");
                link.close(|handle| handle.close_for(rule));
            }
        }
    }

    /// A peer holds everybody up.
    pub(super) fn part(&mut self, peer: PeerId) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        tracing::info!(%peer, "parting with a peer that holds others up");
        link.close(LinkHandle::part);
    }
}

impl Link {
    fn close(&mut self, close: impl FnOnce(&LinkHandle)) {
        self.is_closing = true;
        // Permits as well: nobody will say that these messages are done with.
        self.channels.clear();
        close(&self.handle);
    }
}

impl Held {
    fn push(&mut self, body: Bytes, after: Option<Ticket>) {
        self.bytes += cost(&body);
        self.messages.push_back((body, after));
    }

    /// Sends what may go, up to the first that may not or that finds no place; whether nothing is left.
    fn flush(&mut self, durable: Option<Ticket>, mut send: impl FnMut(Bytes) -> bool) -> bool {
        while let Some((body, after)) = self.messages.front() {
            // Where nothing was durable yet, nothing that is waited for is.
            if *after > durable || !send(body.clone()) {
                return false;
            }
            self.bytes -= cost(body);
            self.messages.pop_front();
        }
        self.messages = VecDeque::new();
        true
    }
}

/// Hands a message to a link; no where there is no place for it yet.
fn send(link: &LinkHandle, channel: Protocol, body: Bytes) -> bool {
    match link.try_send(channel, body) {
        Ok(()) => true,
        Err(SendError::Full) => false,
        // It is said that the peer has left, or will be.
        Err(SendError::Ending | SendError::NotConnected { .. }) => true,
        Err(why @ (SendError::TooLong { .. } | SendError::NoChannel)) => {
            tracing::warn!(peer = %link.peer(), %channel, %why, "a message is lost: the peer's settings differ");
            true
        }
    }
}

/// What a message takes of its channel.
fn cost(body: &Bytes) -> u64 {
    channel::cost(u32::try_from(body.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
