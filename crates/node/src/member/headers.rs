//! What comes on the sync channel, in its order: a header waits, and all behind it, until its checks are done.
//!
//! The checks themselves begin when a header comes, for they ask nothing of what is before it; so a row of headers is
//! checked side by side. What waits is bounded by the link's window, since a message is done with only when it leaves
//! the inbox.

use std::time::Duration;

use bytes::Bytes;
use chain::format::Counts;
use chain::native::read_fields;
use chain::tree::{Change, Refusal};
use chain::{Hash, Header};
use diffusion::sync::bodies::Producer;
use diffusion::sync::{self, Fin, Forks, Message, bodies};
use link::{PeerId, channel};

use super::peer::{Arrived, Check};
use super::state::{Job, Read};
use super::{Member, Violation};
use crate::work::{Fault, Work};
use crate::{CLOCK_SKEW, Load, Notice, Output, Ticket};

/// How many messages of a peer's inbox are looked at for headers to check. A guess: enough to keep a pool of cores busy
/// while its answers travel.
const CHECKED_AHEAD: usize = 256;

impl Member {
    pub(super) fn on_sync_message(&mut self, id: PeerId, body: &Bytes, out: &mut Vec<Output>) {
        let arrived = match Message::decode(body) {
            Ok(Message::Header(wire)) => match self.format.header(&wire) {
                Ok(header) => Arrived::Header { check: Check::Later, header },
                Err(reason) => {
                    let channel = channel::SYNC;
                    self.blame(id, Violation::Undecodable { channel, reason }, out);
                    return self.took(id, channel, out);
                }
            },
            Ok(Message::Fin(fin)) => {
                self.peers.get_mut(&id).expect("it is here").wait_fin(fin);
                return self.read_inbox(id, out);
            }
            Ok(message) => Arrived::Message(message),
            Err(reason) => {
                self.blame(id, Violation::Garbled { channel: channel::SYNC, reason }, out);
                return self.took(id, channel::SYNC, out);
            }
        };
        let inbox = &mut self.peers.get_mut(&id).expect("it is here").inbox;
        inbox.push_back(arrived);
        let last = inbox.len() - 1;
        if last < CHECKED_AHEAD {
            self.check_arrived(id, last, out);
        }
        self.read_inbox(id, out);
    }

    /// Begins the checks of what has this place in an inbox.
    fn check_arrived(&mut self, id: PeerId, place: usize, out: &mut Vec<Output>) {
        let arrived = self.peers.get(&id).and_then(|peer| peer.inbox.get(place));
        let Some(Arrived::Header { header, check: Check::Later }) = arrived else { return };
        let begun = self.check(&header.clone(), out);
        let arrived = self.peers.get_mut(&id).and_then(|peer| peer.inbox.get_mut(place));
        if let Some(Arrived::Header { check, .. }) = arrived {
            *check = begun;
        }
    }

    /// Has a header checked, unless it was already: a header of the tree has passed.
    pub(super) fn check(&mut self, header: &Header, out: &mut Vec<Output>) -> Check {
        if self.is_known(&header.id) {
            return Check::Passed;
        }
        if self.checking.insert(header.id) {
            let ticket = self.next_ticket();
            let checks = chain::format::Checks::Native(chain::native::Checks::new(header));
            self.works.insert(ticket, Job::Header(header.id));
            out.push(Output::Verify { ticket, work: Work::Header(checks) });
        }
        Check::Waiting
    }

    pub(super) fn is_known(&self, id: &Hash) -> bool {
        self.tree.contains(id) || self.recent.get(id).is_some()
    }

    pub(super) fn on_verified(
        &mut self,
        ticket: Ticket,
        result: Result<Counts, Fault>,
        out: &mut Vec<Output>,
    ) {
        match self.works.remove(&ticket) {
            Some(Job::Header(id)) => self.on_checked(id, result, out),
            Some(Job::Fin(peer, id)) => self.on_proven(peer, id, result, out),
            Some(Job::Claim(ticket)) => {
                let input = diffusion::routing::Input::Verified { ticket, genuine: result.is_ok() };
                self.tell_routing(input, out);
            }
            None => {}
        }
    }

    fn on_checked(&mut self, id: Hash, result: Result<Counts, Fault>, out: &mut Vec<Output>) {
        self.checking.remove(&id);
        let verdict = match result {
            Ok(counts) => {
                self.checks.add(&counts);
                Check::Passed
            }
            Err(Fault::Header(reason)) => Check::Failed(reason),
            Err(fault) => unreachable!("a header's checks say: {fault}"),
        };
        for peer in self.peers.values_mut() {
            for arrived in peer.inbox.iter_mut().take(CHECKED_AHEAD) {
                match arrived {
                    Arrived::Header { header, check } if header.id == id && *check != Check::Later => {
                        *check = verdict.clone();
                    }
                    Arrived::Header { .. } | Arrived::Message(_) | Arrived::Fin => {}
                }
            }
        }
        self.on_proposal_checked(id, verdict == Check::Passed, out);
        self.is_unblocked = true;
    }

    /// Reads what has become readable.
    pub(super) fn read_inboxes(&mut self, out: &mut Vec<Output>) {
        let is_due = self.inbox_deadline().is_some_and(|at| at <= self.now.mono);
        while std::mem::take(&mut self.is_unblocked) || is_due {
            for id in self.peers.keys().copied().collect::<Vec<_>>() {
                self.read_inbox(id, out);
            }
            if !self.is_unblocked {
                return;
            }
        }
    }

    fn read_inbox(&mut self, id: PeerId, out: &mut Vec<Output>) {
        while let Some(peer) = self.peers.get(&id)
            && let Some(first) = peer.inbox.front()
        {
            match if peer.is_condemned { Gate::Open } else { self.gate(first) } {
                Gate::Open => {}
                Gate::Shut => return,
                Gate::Far => return self.read_fins_first(id, out),
                Gate::Future(ahead) => return self.tell_clock(ahead, out),
            }
            let Some(peer) = self.peers.get_mut(&id) else { return };
            let first = peer.inbox.pop_front().expect("it was there");
            let is_condemned = peer.is_condemned;
            if !is_condemned {
                self.check_arrived(id, CHECKED_AHEAD - 1, out);
                match first {
                    Arrived::Message(message) => self.read(id, message, out),
                    Arrived::Fin => self.read_next_fin(id, out),
                    Arrived::Header { header, check: Check::Failed(reason) } => {
                        self.blame(id, Violation::Header { id: header.id, reason }, out);
                    }
                    Arrived::Header { header, check: _ } => self.read_header(id, header, out),
                }
            }
            self.took(id, channel::SYNC, out);
        }
    }

    fn read_next_fin(&mut self, id: PeerId, out: &mut Vec<Output>) {
        let fin = self.peers.get_mut(&id).and_then(|peer| peer.inbox_fins.pop_front());
        if let Some(fin) = fin.flatten() {
            self.read(id, Message::Fin(fin), out);
        }
    }

    /// Finality that lies behind a header which is too far ahead, and whose own header is here: without it the
    /// irreversible tip may never come near. A peer that is behind as well tells it so late: what it settles without a
    /// certificate of its last block.
    fn read_fins_first(&mut self, id: PeerId, out: &mut Vec<Output>) {
        while let Some(peer) = self.peers.get_mut(&id)
            && peer.sync.is_ready()
            && !peer.is_condemned
        {
            let tree = &self.tree;
            let is_here = |fin: &Fin| fin.tip.point.hash().is_some_and(|block| tree.contains(&block));
            let Some(fin) = peer.take_fin(is_here) else { return };
            self.read(id, Message::Fin(fin), out);
        }
    }

    /// Whether a header's time has come: it is checked, near enough to what is irreversible, and not of the future.
    fn gate(&self, arrived: &Arrived) -> Gate {
        let Arrived::Header { header, check } = arrived else { return Gate::Open };
        match check {
            Check::Later | Check::Waiting => return Gate::Shut,
            Check::Failed(_) => return Gate::Open,
            Check::Passed => {}
        }
        if self.is_known(&header.id) || self.failed.is_some() {
            return Gate::Open;
        }
        let most = self.tree.root().settled + u64::from(self.config.headers_ahead.get());
        if header.height.0 >= most {
            Gate::Far
        } else if self.is_time(header) {
            Gate::Open
        } else {
            Gate::Future(self.format.slot_start(header.slot).saturating_sub(self.now.wall))
        }
    }

    /// A header of the future waits; once, the operator is told.
    pub(super) fn tell_clock(&mut self, ahead: Duration, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.is_clock_told, true) {
            out.push(Output::Notice(Notice::Clock { ahead }));
        }
    }

    /// Whether a header is not of the future.
    pub(super) fn is_time(&self, header: &Header) -> bool {
        self.format.slot_start(header.slot) <= self.now.wall.saturating_add(CLOCK_SKEW)
    }

    /// When a header that is of the future will not be any more, on the monotonic clock.
    pub(super) fn time_of(&self, header: &Header) -> Duration {
        let starts = self.format.slot_start(header.slot);
        let wait = starts.saturating_sub(self.now.wall.saturating_add(CLOCK_SKEW));
        self.now.mono.saturating_add(wait)
    }

    /// When the next inbox is worth a look though nothing comes.
    pub(super) fn inbox_deadline(&self) -> Option<Duration> {
        let firsts = self.peers.values().filter(|peer| !peer.is_condemned);
        let times = firsts.filter_map(|peer| match peer.inbox.front()? {
            Arrived::Header { header, check: Check::Passed } if !self.is_time(header) => {
                Some(self.time_of(header))
            }
            Arrived::Header { .. } | Arrived::Message(_) | Arrived::Fin => None,
        });
        times.min()
    }

    fn read(&mut self, id: PeerId, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Hello(hello) => {
                self.tell_sync(id, sync::Input::Hello(hello), out);
                self.join_bodies(id, out);
            }
            Message::Header(_) => unreachable!("headers are decoded when they come"),
            // Nothing more can be kept: what peers say of their chains is passed over.
            Message::Fin(_) if self.failed.is_some() => {}
            Message::Fin(fin) => {
                self.admit_held(id, |held| Some(held.id) == fin.tip.point.hash(), out);
                self.admit_final(id, fin.tip.point.hash(), out);
                self.tell_sync(id, sync::Input::Fin(fin), out);
            }
            Message::Want { id: block, follow } => self.on_asked(id, block, follow, out),
            Message::No { id: block } => {
                self.tell_bodies(bodies::Input::Refused { peer: id, id: block }, out);
                self.on_refused_few();
            }
            Message::Stop { producer } => {
                self.tell_bodies(bodies::Input::Stopped { peer: id, producer }, out);
            }
            Message::Pushes { producer } => {
                self.tell_bodies(bodies::Input::Pushes { peer: id, producer }, out);
            }
            Message::Range { from, to } => self.on_range(id, from, to, out),
        }
    }

    /// A header whose checks are done. One that nobody proposed here and that is too much is kept apart, until its
    /// child or its finality shows that others took it.
    fn read_header(&mut self, id: PeerId, header: Header, out: &mut Vec<Output>) {
        if self.failed.is_some() {
            return;
        }
        self.admit_held(id, |held| Some(held.id) == header.prev, out);
        let is_sibling = self.quorum.height() == Some(header.height)
            && self.quorum.is_voting()
            && !self.is_known(&header.id)
            && !self.proposed.contains_key(&header.id);
        if is_sibling && !self.quorum.admits(&header) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.held = Some(header);
            }
            return;
        }
        if self.has_place(id, &header, out) {
            self.announce(id, header, out);
        }
    }

    fn admit_held(&mut self, id: PeerId, is_it: impl Fn(&Header) -> bool, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(held) = peer.held.take()
            && is_it(&held)
        {
            self.announce(id, held, out);
        }
    }

    pub(super) fn announce(&mut self, id: PeerId, header: Header, out: &mut Vec<Output>) {
        let producer = producer(&header);
        self.tell_bodies(bodies::Input::Announced { peer: id, id: header.id, producer }, out);
        self.tell_sync(id, sync::Input::Header(header), out);
        self.is_lacking = true;
    }

    /// Tells the machine of one connection, and does what it says.
    pub(super) fn tell_sync(&mut self, id: PeerId, input: sync::Input, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let forks = Forks { tree: &self.tree, trunk: &self.trunk, loaded: &self.loaded };
        let mut said = Vec::new();
        peer.sync.handle(&forks, input, &mut said);
        for output in said {
            self.perform_sync(id, output, out);
        }
    }

    fn perform_sync(&mut self, id: PeerId, output: sync::Output, out: &mut Vec<Output>) {
        match output {
            sync::Output::Send(message) => {
                self.send(id, channel::SYNC, message.to_bytes(), None, out);
                if let Message::Header(wire) = message {
                    let header = self.format.header(&wire).expect("a header of ours can be read");
                    let held = self.has_body(&header.id).then(|| producer(&header));
                    self.tell_bodies(bodies::Input::Told { peer: id, id: header.id, held }, out);
                }
            }
            sync::Output::Insert(header) => {
                self.insert(Some(id), header, out);
                self.tell_sync(id, sync::Input::Moved, out);
            }
            sync::Output::Commit(fin) => self.on_fin(id, fin, out),
            sync::Output::Find { points } => {
                let has_origin = points.iter().any(|point| point.hash().is_none());
                self.load_for(id, Load::Find(points), has_origin, out);
            }
            sync::Output::Load { from } => {
                let max = (self.config.loaded_headers.get() / 8).clamp(1, 256) as u32;
                self.load_for(id, Load::Headers { from, max }, false, out);
            }
            // An honest peer sends such ones while our news travel to it.
            sync::Output::Passed { .. } => {}
            sync::Output::Behind { oldest } => out.push(Output::Notice(Notice::Behind { peer: id, oldest })),
            sync::Output::PeerBehind { .. } => {}
            sync::Output::Violation(violation) => self.blame(id, violation.into(), out),
        }
    }

    /// Reads what the machine of a connection wants of the log; has it wait while there is none.
    pub(super) fn load_for(&mut self, id: PeerId, load: Load, has_origin: bool, out: &mut Vec<Output>) {
        if self.keep_for_later(id, &load, has_origin) {
            return;
        }
        let read = match &load {
            Load::Headers { from, .. } => Read::Headers(id, *from),
            _ => Read::Find(id, has_origin),
        };
        let ticket = self.next_ticket();
        self.loads.insert(ticket, read);
        out.push(Output::Load { ticket, load });
    }

    /// Puts a header whose checks passed into the tree. Says whether it stands there.
    pub(super) fn insert(&mut self, from: Option<PeerId>, header: Header, out: &mut Vec<Output>) -> bool {
        if self.failed.is_some() {
            return false;
        }
        if self.tree.contains(&header.id) {
            return true;
        }
        let Ok(parent) = self.tree.parent_state(&header) else { return false };
        let state = match self.format.next(parent, &header) {
            Ok(state) => state,
            Err(reason) => {
                if let Some(from) = from {
                    self.blame(from, Violation::Header { id: header.id, reason }, out);
                }
                return false;
            }
        };
        let point = header.point();
        match self.tree.insert_header(header.clone(), state) {
            Ok(change) => {
                self.shares.add(&header, from);
                self.progress.moved(self.now.mono);
                self.on_change(&change, out);
                self.moved(out);
                true
            }
            Err(Refusal::Known { .. }) => true,
            Err(reason) => {
                out.push(Output::Notice(Notice::Refused { point, reason }));
                false
            }
        }
    }

    /// What left the tree is wanted no more.
    pub(super) fn on_change(&mut self, change: &Change, out: &mut Vec<Output>) {
        for id in &change.dropped {
            self.shares.remove(id);
            self.tell_bodies(bodies::Input::Unwant { id: *id }, out);
        }
        if !change.dropped.is_empty() {
            // Had it to make room, its header comes again with the next hello.
            let certified = &mut self.finality.certified;
            certified.retain(|_, certified| !change.dropped.contains(&certified.id));
            self.way.dropped(&self.tree, self.finality.last().map(|(_, id)| id).as_ref());
        }
    }

    /// The tree changed: every connection follows.
    pub(super) fn moved(&mut self, out: &mut Vec<Output>) {
        if self.trunk.follow(&self.tree) {
            for id in self.peers.keys().copied().collect::<Vec<_>>() {
                self.tell_sync(id, sync::Input::Moved, out);
            }
        }
        self.is_lacking = true;
    }
}

/// Whether something that came may be read.
enum Gate {
    Open,
    Shut,
    /// It is a header too far above the irreversible tip.
    Far,
    /// It is a header of a slot that begins so much later.
    Future(Duration),
}

/// Who made a block.
pub(super) fn producer(header: &Header) -> Producer {
    Producer(read_fields(header).expect("a header that was read can be read again").producer)
}
