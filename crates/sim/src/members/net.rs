//! The links between nodes: they open, carry, break, fall silent, and open again.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use link::{PeerId, Protocol};
use node::member;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::check::Broken;
use super::config::{Config, Sabotage};
use super::topology;
use super::way::{self, CHANNELS, Item, Way};
use super::world::{Event, World};
use crate::pipe::Link;

/// How long nobody hears of a link that fell silent, at most: the link's own pings find out.
const SILENT: Duration = Duration::from_secs(20);

/// How long after its end a link opens again, at most.
const AGAIN: Duration = Duration::from_secs(3);

/// How long a peer stays away that was closed for what it did.
const COOL_OFF: Duration = Duration::from_secs(60);

/// The name of a node on its links. In another order than the numbers: who is first must not matter.
pub(super) fn peer_id(node: u32) -> PeerId {
    let mut bytes = [0x5a; 32];
    let mixed = (u64::from(node) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&(mixed ^ mixed >> 29).to_be_bytes());
    bytes[28..].copy_from_slice(&node.to_be_bytes());
    PeerId(bytes)
}

/// The node of that name.
pub(super) fn node_of(peer: PeerId) -> u32 {
    u32::from_be_bytes([peer.0[28], peer.0[29], peer.0[30], peer.0[31]])
}

/// All links.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) links: Vec<Edge>,
    /// Of each node: whom it is linked with, over which link, at which side of it.
    near: Vec<BTreeMap<u32, (usize, usize)>>,
}

/// One link, which opens many times.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) hosts: [u32; 2],
    /// Grows each time that it opens: what belongs to an earlier time comes to nothing.
    life: u32,
    /// Whether each side has it open.
    pub(super) open: [bool; 2],
    /// Whether it opens soon.
    is_opening: bool,
    /// It carries nothing more.
    pub(super) is_cut: bool,
    /// Not before this.
    barred_until: Duration,
    /// What each side sends.
    pub(super) ways: [Way; 2],
}

impl Net {
    pub(super) fn new(config: &Config, rng: &mut ChaCha12Rng) -> Self {
        let bounds = way::bounds(config.links.windows);
        let mut near = vec![BTreeMap::new(); config.nodes as usize];
        let mut links = Vec::new();
        let mut pairs = config.topology.links(config.nodes, rng);
        // Nor can those get old bodies who know nobody but one that begins with a snapshot.
        let is_late = |node| config.late.is_some_and(|(late, _)| late == node);
        topology::join(&mut pairs, config.nodes, |node| config.is_honest(node) && !is_late(node));
        topology::join(&mut pairs, config.nodes, |node| config.is_honest(node));
        for hosts in pairs {
            let latency = rng.random_range(config.links.latency.clone());
            let link = Link { latency, jitter: config.links.jitter, bytes_per_s: config.links.bytes_per_s };
            for side in [0, 1] {
                near[hosts[side] as usize].insert(hosts[1 - side], (links.len(), side));
            }
            links.push(Edge {
                hosts,
                life: 0,
                open: [false; 2],
                is_opening: false,
                is_cut: false,
                barred_until: Duration::ZERO,
                ways: [Way::new(link, bounds), Way::new(link, bounds)],
            });
        }
        Self { links, near }
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The link between two nodes, and the side of the first.
    pub(super) fn find(&self, node: u32, peer: u32) -> Option<(usize, usize)> {
        self.near[node as usize].get(&peer).copied()
    }

    /// The two ends of a link.
    pub(super) fn hosts(&self, link: usize) -> [u32; 2] {
        self.links[link].hosts
    }

    /// The links of a node.
    pub(super) fn of(&self, node: u32) -> Vec<usize> {
        self.near[node as usize].values().map(|(link, _)| *link).collect()
    }
}

impl World {
    /// Two nodes link, if both run and can hear each other.
    pub(super) fn connect(&mut self, link: usize) {
        let now = self.schedule.now().mono;
        let edge = &self.net.links[link];
        let [a, b] = edge.hosts;
        let is_free = edge.open == [false; 2] && !edge.is_opening;
        if !is_free || !self.is_running(a) || !self.is_running(b) || self.is_parted(a, b) {
            return;
        }
        let edge = &mut self.net.links[link];
        if edge.barred_until > now {
            return self.schedule.at(edge.barred_until, Event::Connect { link });
        }
        edge.life += 1;
        edge.is_opening = true;
        edge.is_cut = false;
        edge.ways.iter_mut().for_each(Way::renew);
        // A handshake takes a round trip and a half.
        let (life, trip) = (edge.life, edge.ways[0].latency());
        self.schedule.after(3 * trip, Event::Opened { link, life });
    }

    /// All links that can open do.
    pub(super) fn connect_all(&mut self) {
        (0..self.net.len()).for_each(|link| self.connect(link));
    }

    pub(super) fn on_opened(&mut self, link: usize, life: u32) -> Result<(), Broken> {
        let edge = &mut self.net.links[link];
        if edge.life != life || !std::mem::replace(&mut edge.is_opening, false) {
            return Ok(());
        }
        let hosts = edge.hosts;
        if !self.is_running(hosts[0]) || !self.is_running(hosts[1]) {
            return Ok(());
        }
        let edge = &mut self.net.links[link];
        edge.open = [true; 2];
        self.figures.connections += 1;
        let rtt = 2 * edge.ways[0].latency();
        let credit: Vec<_> = (0..CHANNELS.len()).map(|at| edge.ways[0].credit(at)).collect();
        self.note(hosts[0], "links with", || format!("{}", hosts[1]));
        for side in [0, 1] {
            let room = CHANNELS.into_iter().zip(credit.iter().map(|bytes| self.claimed(*bytes))).collect();
            let event = member::Event::Joined { rtt: Some(rtt), pinned: false, room };
            self.tell_of(hosts[side], hosts[1 - side], event)?;
        }
        Ok(())
    }

    /// Room as a node is told of it.
    fn claimed(&self, bytes: u64) -> u64 {
        if self.config.sabotage == Some(Sabotage::ClaimsRoom) { bytes.saturating_mul(1_000) } else { bytes }
    }

    /// A node sends a message; where the peer has left, it is dropped.
    pub(super) fn send(
        &mut self,
        node: u32,
        peer: u32,
        channel: Protocol,
        body: Bytes,
    ) -> Result<(), Broken> {
        let Some((link, side)) = self.net.find(node, peer) else {
            return Err(Broken::Overrun { node, what: format!("it sends to {peer}, a stranger") });
        };
        let Some(at) = way::place(channel) else {
            return Err(Broken::Overrun { node, what: format!("it sends on channel {channel}") });
        };
        if !self.net.links[link].open[side] {
            return Ok(());
        }
        let Some(body) = self.sabotaged(node, peer, channel, body) else { return Ok(()) };
        self.figures.on_sent(channel, &body);
        let way = &mut self.net.links[link].ways[side];
        let (length, credit) = (body.len(), way.credit(at));
        if !way.queue(at, body) {
            // A liar's windows are its own affair: what is too much is not carried.
            if !self.config.is_honest(node) {
                return Ok(());
            }
            let what = format!("{length} bytes to {peer} on channel {channel}, which takes {credit}");
            return Err(Broken::Overrun { node, what });
        }
        self.pump(link, side);
        Ok(())
    }

    /// Something that is done to messages on purpose.
    fn sabotaged(&mut self, node: u32, peer: u32, channel: Protocol, body: Bytes) -> Option<Bytes> {
        let number = body.get(1).copied();
        let is_sync = channel == link::channel::SYNC;
        match self.config.sabotage {
            Some(Sabotage::LosesFinality) if is_sync && number == Some(2) => None,
            Some(Sabotage::LosesHeaders) if is_sync && number == Some(1) && self.rng.random_bool(0.05) => {
                None
            }
            Some(Sabotage::LosesBodies) if channel == link::channel::BODIES => None,
            Some(Sabotage::LosesTransactions) if channel == link::channel::TRANSACTIONS => None,
            Some(Sabotage::ChangesMessages)
                if self.config.is_honest(node)
                    && self.config.is_honest(peer)
                    && !body.is_empty()
                    && self.rng.random_bool(0.002) =>
            {
                let mut bytes = body.to_vec();
                let at = self.rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << self.rng.random_range(0..8);
                Some(bytes.into())
            }
            _ => Some(body),
        }
    }

    /// Sends what waits on one side of a link.
    pub(super) fn pump(&mut self, link: usize, side: usize) {
        let now = self.schedule.now().mono;
        let Self { net, rng, schedule, .. } = self;
        let edge = &mut net.links[link];
        if edge.is_cut {
            return edge.ways[side].drop_waiting();
        }
        let life = edge.life;
        let free = edge.ways[side].pump(now, rng, |at| schedule.at(at, Event::Arrive { link, side, life }));
        if let Some(free) = free {
            schedule.at(free, Event::LineFree { link, side, life });
        }
    }

    pub(super) fn on_line_free(&mut self, link: usize, side: usize, life: u32) {
        if self.net.links[link].life == life {
            self.pump(link, side);
        }
    }

    /// What one side of a link sent arrives at the other.
    pub(super) fn on_arrival(&mut self, link: usize, side: usize, life: u32) -> Result<(), Broken> {
        let edge = &mut self.net.links[link];
        if edge.life != life {
            return Ok(());
        }
        let [from, to] = [edge.hosts[side], edge.hosts[1 - side]];
        if let Some(free) = self.busy_until(to) {
            self.schedule.at(free, Event::Arrive { link, side, life });
            return Ok(());
        }
        match self.net.links[link].ways[side].arrive() {
            Some(Item::End) => self.on_left(link, 1 - side),
            Some(Item::Letter { channel, body }) if self.net.links[link].open[1 - side] => {
                let number = CHANNELS[channel];
                self.on_letter(from, to, number, body)
            }
            Some(Item::Letter { .. }) | None => Ok(()),
        }
    }

    fn on_letter(&mut self, from: u32, to: u32, channel: Protocol, body: Bytes) -> Result<(), Broken> {
        let now = self.schedule.now().mono;
        self.figures.on_arrived(now, from, to, channel, &body);
        self.note(to, "gets", || super::show::letter(from, channel, &body));
        if let Some(body) = self.heard(from, to, channel, body)? {
            self.tell_of(to, from, member::Event::Message { channel, body })?;
        }
        Ok(())
    }

    /// A node is done with messages that came over a link.
    pub(super) fn took(
        &mut self,
        node: u32,
        peer: u32,
        channel: Protocol,
        messages: u32,
    ) -> Result<(), Broken> {
        let (Some((link, side)), Some(at)) = (self.net.find(node, peer), way::place(channel)) else {
            return Err(Broken::Overrun { node, what: format!("it took what {peer} cannot have sent") });
        };
        let edge = &mut self.net.links[link];
        if !edge.open[side] {
            return Ok(());
        }
        let Some(bytes) = edge.ways[1 - side].take(at, messages) else {
            let what = format!("it took {messages} messages of {peer} on channel {channel}, fewer came");
            return Err(Broken::Overrun { node, what });
        };
        if bytes > 0 && self.config.sabotage != Some(Sabotage::LosesGrants) {
            edge.ways[1 - side].send_back(at, bytes);
            let (life, latency) = (edge.life, edge.ways[side].latency());
            let event = Event::Grant { link, side: 1 - side, life, channel: at, bytes };
            self.schedule.after(latency, event);
        }
        Ok(())
    }

    /// Credit comes back to one side of a link.
    pub(super) fn on_grant(
        &mut self,
        link: usize,
        side: usize,
        life: u32,
        channel: usize,
        bytes: u64,
    ) -> Result<(), Broken> {
        let edge = &mut self.net.links[link];
        if edge.life != life || !edge.open[side] || edge.is_cut {
            return Ok(());
        }
        edge.ways[side].grant(channel, bytes);
        let credit = edge.ways[side].credit(channel);
        let [node, peer] = [edge.hosts[side], edge.hosts[1 - side]];
        let number = CHANNELS[channel];
        // What waits for the disk has its place in the window already.
        let bytes = self.claimed(credit.saturating_sub(self.held_back(node, peer, number)));
        self.tell_of(node, peer, member::Event::Room { channel: number, bytes })
    }

    /// A link breaks, at some message, or falls silent.
    pub(super) fn break_off(&mut self, link: usize, is_silent: bool) {
        let now = self.schedule.now().mono;
        let edge = &mut self.net.links[link];
        if std::mem::replace(&mut edge.is_opening, false) {
            return self.open_again(link);
        }
        if edge.open == [false; 2] || edge.is_cut {
            return;
        }
        edge.is_cut = true;
        self.figures.breaks += 1;
        let (life, hosts) = (edge.life, edge.hosts);
        for side in [0, 1] {
            let edge = &mut self.net.links[link];
            if is_silent {
                edge.ways[side].silence();
                let notices = SILENT.mul_f64(self.rng.random_range(0.3..1.0));
                self.schedule.after(notices, Event::Noticed { link, side, life });
            } else {
                let at = edge.ways[side].break_off(now, &mut self.rng);
                self.schedule.at(at, Event::Arrive { link, side, life });
            }
        }
        self.note(hosts[0], if is_silent { "no more hears" } else { "loses" }, || hosts[1].to_string());
    }

    /// A side learns that its link is gone.
    pub(super) fn on_noticed(&mut self, link: usize, side: usize, life: u32) -> Result<(), Broken> {
        if self.net.links[link].life != life { Ok(()) } else { self.on_left(link, side) }
    }

    /// A link is gone for one side.
    fn on_left(&mut self, link: usize, side: usize) -> Result<(), Broken> {
        let edge = &mut self.net.links[link];
        let was_open = std::mem::replace(&mut edge.open[side], false);
        let hosts = edge.hosts;
        if was_open {
            self.drop_held(hosts[side], hosts[1 - side]);
            self.tell_of(hosts[side], hosts[1 - side], member::Event::Left)?;
        }
        self.open_again(link);
        Ok(())
    }

    /// Once a link is gone for both sides, it opens again after a while.
    fn open_again(&mut self, link: usize) {
        if self.net.links[link].open == [false; 2] {
            let pause = AGAIN.mul_f64(self.rng.random_range(0.1..1.0));
            self.schedule.after(pause, Event::Connect { link });
        }
    }

    /// A node is gone, without a word: its peers notice sooner or later.
    pub(super) fn cut_all(&mut self, node: u32) {
        for link in self.net.of(node) {
            let is_silent = self.rng.random_bool(0.5);
            self.break_off(link, is_silent);
            let edge = &mut self.net.links[link];
            let side = usize::from(edge.hosts[1] == node);
            (edge.open[side], edge.is_opening) = (false, false);
        }
    }

    /// A node closes a link; it does not open again before a while when the peer was at fault, never where waiting
    /// does not help.
    pub(super) fn close(&mut self, node: u32, peer: u32, away: Away) {
        let now = self.schedule.now().mono;
        let Some((link, _)) = self.net.find(node, peer) else { return };
        self.break_off(link, false);
        self.net.links[link].barred_until = match away {
            Away::No => now,
            Away::Awhile => now + COOL_OFF,
            Away::ForEver => Duration::MAX,
        };
    }
}

/// For how long a peer stays away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    No,
    Awhile,
    ForEver,
}
