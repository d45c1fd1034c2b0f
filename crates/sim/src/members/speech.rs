//! What a node says: held back until what must be durable before is, seen by the checkers, edited by a liar; and whom it
//! blames.

use bytes::Bytes;
use link::channel::cost;
use link::{PeerId, Protocol, strikes};
use node::Ticket;
use node::member::{Consequence, Violation};

use super::check::Broken;
use super::net::{Away, node_of};
use super::show;
use super::world::World;

impl World {
    /// Sends a message, or keeps it until what must be durable before is.
    pub(super) fn hold_or_send(
        &mut self,
        node: u32,
        peer: u32,
        channel: Protocol,
        body: Bytes,
        after: Option<Ticket>,
    ) -> Result<(), Broken> {
        let host = &mut self.hosts[node as usize];
        let waits = after.filter(|ticket| host.durable.is_none_or(|durable| *ticket > durable));
        let behind = host.held.get(&(peer, channel)).and_then(|held| held.back()).map(|(ticket, _)| *ticket);
        match waits.max(behind) {
            None => self.say(node, peer, channel, body),
            Some(ticket) => {
                host.held.entry((peer, channel)).or_default().push_back((ticket, body));
                Ok(())
            }
        }
    }

    /// What of a channel to a peer waits for the disk.
    pub(super) fn held_back(&self, node: u32, peer: u32, channel: Protocol) -> u64 {
        let held = self.hosts[node as usize].held.get(&(peer, channel)).into_iter().flatten();
        held.map(|(_, body)| cost(body.len() as u32)).sum()
    }

    /// What of all channels to all peers waits for the disk.
    pub(super) fn held_bytes(&self, node: u32) -> u64 {
        let held = self.hosts[node as usize].held.values().flatten();
        held.map(|(_, body)| cost(body.len() as u32)).sum()
    }

    /// A link is gone, with what waited for it.
    pub(super) fn drop_held(&mut self, node: u32, peer: u32) {
        self.hosts[node as usize].held.retain(|(of, _), _| *of != peer);
    }

    /// Everything up to this ticket is durable.
    pub(super) fn release(&mut self, node: u32, ticket: Ticket) -> Result<(), Broken> {
        let host = &mut self.hosts[node as usize];
        host.durable = host.durable.max(Some(ticket));
        let mut released = Vec::new();
        for ((peer, channel), held) in &mut host.held {
            while held.front().is_some_and(|(after, _)| *after <= ticket) {
                let (_, body) = held.pop_front().expect("it was just there");
                released.push((*peer, *channel, body));
            }
        }
        host.held.retain(|_, held| !held.is_empty());
        for (peer, channel, body) in released {
            self.say(node, peer, channel, body)?;
        }
        Ok(())
    }

    /// Says something, after the checkers have seen it, or a liar has changed it.
    fn say(&mut self, node: u32, peer: u32, channel: Protocol, body: Bytes) -> Result<(), Broken> {
        let host = &self.hosts[node as usize];
        if host.liar.is_some() {
            return self.lie(node, peer, channel, body);
        }
        if let Some(key) = &host.key
            && let Some(message) = show::of_consensus(channel, &body)
        {
            let key = key.public();
            self.checker.on_said(node, &key, &message)?;
        }
        self.send(node, peer, channel, body)
    }

    pub(super) fn blame(&mut self, node: u32, peer: PeerId, violation: Violation) -> Result<(), Broken> {
        let peer = node_of(peer);
        self.note(node, "blames", || format!("{peer}: {violation}"));
        if self.config.is_honest(node) && self.config.is_honest(peer) {
            return Err(Broken::Slandered { node, peer, violation: Box::new(violation) });
        }
        let now = self.schedule.now().mono;
        match violation.consequence() {
            Consequence::Strike => {
                let strikes = self.hosts[node as usize].strikes.entry(peer).or_default();
                if strikes.add(&strikes::Config::default(), now).is_some() {
                    self.close(node, peer, Away::Awhile);
                }
            }
            Consequence::Close => self.close(node, peer, Away::Awhile),
            Consequence::Alarm => self.close(node, peer, Away::ForEver),
        }
        Ok(())
    }
}
