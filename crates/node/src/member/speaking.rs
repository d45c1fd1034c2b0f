//! How messages of validators travel: straight to those at the other end of a link, along routes to the others.
//!
//! Whoever is at the other end of a link has proven it by its [`Greeting`]. Such a one gets our votes on the consensus
//! channel, in one hop, before everything else. All others get them through `routing`, which shows each packet to
//! consensus before it passes it on, and confirms, repeats and floods where it must. What we said at the present height
//! is said again to a validator that comes later.

use std::collections::VecDeque;

use bytes::Bytes;
use chain::native::{MAX_VALIDATORS, Validators};
use consensus::quorum;
use diffusion::routing::{self, To, Verdict};
use diffusion::sync::bodies::Producer;
use link::{PeerId, channel};

use super::speech::Greeting;
use super::state::Job;
use super::{Member, Violation};
use crate::work::Work;
use crate::{Notice, Output, Ticket};

/// How many of our own messages of a height are said again to who comes later: a proposal and two votes of some rounds.
const MAX_SAID: usize = 12;

/// How many messages wait for the disk before they go along routes. A guess: far more than a height's.
const MAX_UNSAID: usize = 256;

/// After so many claims with our key that are not ours, somebody else has it: one may be of an earlier life of ours, under
/// another clock, and one may follow it before ours has got around. A guess.
const ELSEWHERE: u64 = 3;

/// What was said, and by whom something was last heard.
#[derive(Debug, Default)]
pub(super) struct Speaking {
    /// Our own messages of the present height, oldest first, and what each waits for.
    said: VecDeque<(Bytes, Option<Ticket>)>,
    /// What goes along routes once it may.
    unsaid: VecDeque<(Ticket, Bytes)>,
    /// Who brought the message that consensus is shown.
    pub(super) heard_from: Option<PeerId>,
    /// The validators that routing knows.
    producers: Vec<Producer>,
    sends: u64,
    /// Another node was seen to have our key.
    pub(super) is_key_elsewhere: bool,
}

impl Speaking {
    /// Panics where an invariant does not hold.
    pub(super) fn check_invariants(&self) {
        assert!(self.said.len() <= MAX_SAID && self.unsaid.len() <= MAX_UNSAID, "what was said is bounded");
        assert!(self.producers.len() <= MAX_VALIDATORS, "validators are bounded");
    }
}

impl Member {
    /// Sends a message to all other validators, once what it waits for is durable.
    pub(super) fn speak(&mut self, message: &quorum::Message, after: Option<Ticket>, out: &mut Vec<Output>) {
        let body = message.encode();
        let neighbours = self.peers.iter().filter(|(_, peer)| self.is_validator(peer.validator));
        for id in neighbours.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.send(id, channel::CONSENSUS, body.clone(), after, out);
        }
        match after {
            None => self.speak_far(body.clone(), out),
            Some(ticket) => {
                if self.speaking.unsaid.len() == MAX_UNSAID {
                    self.speaking.unsaid.pop_front();
                }
                self.speaking.unsaid.push_back((ticket, body.clone()));
            }
        }
        if self.speaking.said.len() == MAX_SAID {
            self.speaking.said.pop_front();
        }
        self.speaking.said.push_back((body, after));
    }

    /// What has become durable goes along routes.
    pub(super) fn speak_durable(&mut self, out: &mut Vec<Output>) {
        while let Some((ticket, _)) = self.speaking.unsaid.front()
            && self.storing.is_durable(*ticket)
        {
            let (_, body) = self.speaking.unsaid.pop_front().expect("it was there");
            self.speak_far(body, out);
        }
    }

    /// Sends to the validators that are at the end of no link of ours.
    fn speak_far(&mut self, body: Bytes, out: &mut Vec<Output>) {
        let near: Vec<Producer> =
            self.peers.values().filter_map(|peer| peer.validator).map(Producer).collect();
        let me = self.me.map(Producer);
        let is_far = |producer: &&Producer| !near.contains(producer) && Some(**producer) != me;
        let far: Vec<Producer> = self.speaking.producers.iter().filter(is_far).copied().collect();
        if far.is_empty() || self.peers.is_empty() {
            return;
        }
        self.speaking.sends += 1;
        let ticket = routing::Ticket(self.speaking.sends);
        self.tell_routing(routing::Input::Send { ticket, to: To::Producers(far), body }, out);
    }

    /// Another height begins: what was said at the last is no news any more.
    pub(super) fn forget_said(&mut self) {
        self.speaking.said.clear();
        self.speaking.unsaid.clear();
    }

    fn validators(&self) -> std::sync::Arc<Validators> {
        let root = self.tree.root();
        Self::native(&root.state).validators_at(chain::Height(root.settled)).0
    }

    fn is_validator(&self, key: Option<quorum::Key>) -> bool {
        key.is_some_and(|key| self.speaking.producers.contains(&Producer(key)))
    }

    /// A neighbour says which validator it is.
    pub(super) fn on_greeting(&mut self, id: PeerId, greeting: &Greeting, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.validator == Some(greeting.key) {
            return;
        }
        if peer.validator.is_some() || !greeting.is_genuine(&self.chain, &self.config.peer_id) {
            return self.blame(id, Violation::Greeting, out);
        }
        self.peers.get_mut(&id).expect("it is here").validator = Some(greeting.key);
        if self.me == Some(greeting.key) {
            self.on_key_elsewhere(Some(id), out);
        }
        if self.is_validator(Some(greeting.key)) {
            for (body, after) in self.speaking.said.clone() {
                let after = after.filter(|ticket| !self.storing.is_durable(*ticket));
                self.send(id, channel::CONSENSUS, body, after, out);
            }
        }
    }

    /// The operator is told once.
    fn on_key_elsewhere(&mut self, peer: Option<PeerId>, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.speaking.is_key_elsewhere, true) {
            out.push(Output::Notice(Notice::KeyElsewhere { peer }));
        }
    }

    /// Tells routing who the validators are, when they change.
    pub(super) fn tell_producers(&mut self, out: &mut Vec<Output>) {
        let set = self.validators();
        let all: Vec<Producer> = set.members().iter().map(|member| Producer(member.key)).collect();
        if all != self.speaking.producers {
            self.speaking.producers.clone_from(&all);
            let me = self.me.filter(|me| set.contains(me)).map(Producer);
            self.tell_routing(routing::Input::Producers { all, me }, out);
        }
    }

    /// Tells routing, and does what it says.
    pub(super) fn tell_routing(&mut self, input: routing::Input<PeerId>, out: &mut Vec<Output>) {
        let now = routing::Time { mono: self.now.mono, wall: self.now.wall };
        let mut said = Vec::new();
        self.routing.handle(now, input, &mut said);
        for output in said {
            self.perform_routing(output, out);
        }
        if self.routing.counts().claims_elsewhere >= ELSEWHERE {
            self.on_key_elsewhere(None, out);
        }
    }

    fn perform_routing(&mut self, output: routing::Output<PeerId>, out: &mut Vec<Output>) {
        match output {
            routing::Output::Send { peer, message } => {
                let mut body = Vec::new();
                message.encode(&mut body);
                self.send(peer, channel::ROUTING, body.into(), None, out);
            }
            routing::Output::Verify { ticket: theirs, claim, signature } => {
                let ticket = self.next_ticket();
                self.works.insert(ticket, Job::Claim(theirs));
                let work = Work::Claim { network: self.chain, claim, signature };
                out.push(Output::Verify { ticket, work });
            }
            routing::Output::Sign { claim } => {
                if let Some(key) = &self.key {
                    let signature = key.sign(&claim.bytes(&self.chain));
                    self.tell_routing(routing::Input::Signed { claim, signature }, out);
                }
            }
            routing::Output::Judge { id, peer, body } => {
                let verdict = self.judge_packet(peer, &body, out);
                self.tell_routing(routing::Input::Judged { id, verdict }, out);
            }
            routing::Output::Misbehaved { peer, violation } => self.blame(peer, violation.into(), out),
            // Consensus was shown it when it was judged.
            routing::Output::Deliver { .. } => {}
            // It repeats what counts.
            routing::Output::Confirmed { .. }
            | routing::Output::Over { .. }
            | routing::Output::Refused { .. } => {}
        }
    }

    /// What a packet is worth: it carries a message of a validator, which consensus is shown before it travels on. All
    /// correct nodes that know the validators of its height say the same of it: who passes it on is not blamed by the next.
    fn judge_packet(&mut self, from: PeerId, body: &[u8], out: &mut Vec<Output>) -> Verdict {
        let Ok(message) = quorum::Message::decode(body) else { return Verdict::Reject };
        let settled = self.tree.root().settled;
        // Two heights ahead the validators are known for certain; what is below is decided.
        if !(settled..=settled + 1).contains(&message.height().0) {
            return Verdict::Ignore;
        }
        // Whatever our own engine knows already: it passes over much of that without looking at its signatures.
        let (validators, _) = Self::native(&self.tree.root().state).validators_at(message.height());
        if !message.is_genuine(&self.chain, &validators, self.params.faults) {
            return Verdict::Reject;
        }
        let header = match &message {
            quorum::Message::Proposal(proposal) => Some(proposal.header.clone()),
            quorum::Message::Vote(_) | quorum::Message::Polka(_) | quorum::Message::Entry(_) => None,
        };
        // Others may be at another height, and pass on what is genuine: nobody is to blame for that.
        if self.show(from, message, out).is_some() {
            return Verdict::Ignore;
        }
        if let Some(header) = header {
            self.on_passing(from, &header, out);
        }
        Verdict::Accept
    }
}
