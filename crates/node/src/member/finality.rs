//! What is irreversible by certificates: our own consensus', or those that peers show.
//!
//! A certificate is judged by the validators in force at its height, and these follow from headers. Headers alone prove
//! little: one validator can make a chain of them that names whom it likes. So a certificate counts only where the set
//! is the one that the last certified block leads to; where a set changes, a certificate of the old one must come
//! first, for a block at or after the header that announced the change. Whoever commits keeps such a one.
//!
//! **Invariant**: what is certified stands in the tree, on one chain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chain::format::Counts;
use chain::native::{Certificate, Validators};
use chain::{Hash, Height, State, Tip};
use diffusion::sync::{self, Fin};
use link::{PeerId, channel};

use super::state::Job;
use super::{Member, Violation};
use crate::work::{Fault, Finality as Proof, Work};
use crate::{Notice, Output};

/// How many sets of validators' finality waits of one peer: far more changes than honest chains have in a window.
const MAX_FINS: usize = 16;

/// A certified block above the irreversible tip.
#[derive(Debug)]
pub(super) struct Certified {
    pub(super) id: Hash,
    pub(super) certificate: Bytes,
}

/// What is certified and not settled yet.
#[derive(Debug, Default)]
pub(super) struct Finality {
    pub(super) certified: BTreeMap<Height, Certified>,
    /// The blocks whose certificates are being verified.
    pub(super) proving: BTreeSet<Hash>,
}

impl Finality {
    /// The highest certified block.
    pub(super) fn last(&self) -> Option<(Height, Hash)> {
        self.certified.last_key_value().map(|(height, certified)| (*height, certified.id))
    }
}

impl Member {
    /// A peer says that a block is irreversible, whose header stands in the tree.
    pub(super) fn on_fin(&mut self, id: PeerId, fin: Fin, out: &mut Vec<Output>) {
        let Some(block) = fin.tip.point.hash().filter(|_| self.failed.is_none()) else { return };
        match Certificate::decode(&fin.certificate) {
            Err(reason) => {
                return self.blame(id, Violation::Undecodable { channel: channel::SYNC, reason }, out);
            }
            Ok(certificate) if certificate.block() != block || certificate.height() != fin.tip.height => {
                return self.blame(id, Violation::OtherCertificate { id: block }, out);
            }
            Ok(_) => {}
        }
        if self.is_final(&fin.tip) {
            return;
        }
        let set = self.validators_of(&fin);
        let Some(peer) = self.peers.get(&id) else { return };
        let first = usize::from(peer.is_proving);
        // Of one set the newest says all.
        let same = peer.fins.iter().skip(first).position(|other| self.validators_of(other) == set);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(same) = same {
            peer.fins.remove(first + same);
        }
        if peer.fins.len() < MAX_FINS {
            peer.fins.push_back(fin);
        }
    }

    /// Has the next certificate of each peer verified, where it can be.
    pub(super) fn prove_fins(&mut self, out: &mut Vec<Output>) {
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.prove_next(id, out);
        }
    }

    fn prove_next(&mut self, id: PeerId, out: &mut Vec<Output>) {
        while let Some(peer) = self.peers.get(&id)
            && !peer.is_proving
            && let Some(fin) = peer.fins.front()
        {
            let block = fin.tip.point.hash().expect("it was looked at when it came");
            if self.finality.proving.contains(&block) {
                return; // One proof is enough; where it fails, this one is next.
            }
            let trusted = self.trusted_at(fin.tip.height);
            let validators = self.validators_of(fin).filter(|set| set.hash() == trusted.hash());
            let Some(validators) = validators.filter(|_| !self.is_final(&fin.tip)) else {
                self.peers.get_mut(&id).expect("it is here").fins.pop_front();
                continue;
            };
            let certificate = Certificate::decode(&fin.certificate).expect("it was read when it came");
            let proof = Proof { chain: self.chain, faults: self.params.faults, validators, certificate };
            let ticket = self.next_ticket();
            self.works.insert(ticket, Job::Fin(id, block));
            self.finality.proving.insert(block);
            self.peers.get_mut(&id).expect("it is here").is_proving = true;
            out.push(Output::Verify { ticket, work: Work::Certificate(Box::new(proof)) });
        }
    }

    pub(super) fn on_proven(
        &mut self,
        id: PeerId,
        block: Hash,
        result: Result<Counts, Fault>,
        out: &mut Vec<Output>,
    ) {
        self.finality.proving.remove(&block);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.is_proving = false;
        let fin = peer.fins.pop_front().expect("what is proven is the first in line");
        assert_eq!(fin.tip.point.hash(), Some(block), "what is proven is the first in line");
        match result {
            Ok(_) if self.is_final(&fin.tip) => {}
            Ok(_) => self.certify(fin.tip, fin.certificate, Some(id), out),
            Err(Fault::Certificate(reason)) => {
                self.blame(id, Violation::Certificate { id: block, reason }, out);
            }
            Err(fault) => unreachable!("a certificate's verification says: {fault}"),
        }
    }

    /// A block is certified; its header stands in the tree.
    pub(super) fn certify(
        &mut self,
        tip: Tip,
        certificate: Bytes,
        from: Option<PeerId>,
        out: &mut Vec<Output>,
    ) {
        let Some(id) = tip.point.hash().filter(|_| self.failed.is_none() && !self.is_final(&tip)) else {
            return;
        };
        if !self.tree.contains(&id) {
            return;
        }
        if let Some(ours) = self.conflict(&tip) {
            let ours = self.tree.header(&ours).map_or(self.tree.root().tip, chain::Header::tip);
            out.push(Output::Notice(Notice::TwoCertificates { ours, theirs: tip }));
            if let Some(from) = from {
                self.blame(from, sync::Violation::Conflict { theirs: tip, ours }.into(), out);
            }
            return;
        }
        self.finality.certified.insert(tip.height, Certified { id, certificate });
        self.way.lead(&self.tree, &tip);
        self.release(&id);
        self.is_lacking = true;
    }

    /// A certified block that is not on one chain with this one.
    fn conflict(&self, tip: &Tip) -> Option<Hash> {
        let below = self.finality.certified.range(..=tip.height).next_back();
        let above = self.finality.certified.range(tip.height..).next();
        let beside = |(_, certified): &(&Height, &Certified)| {
            let other = self.tree.header(&certified.id).expect("what is certified is in the tree").point();
            let (low, high) = if certified_height(&other, self) <= tip.height {
                (other, tip.point)
            } else {
                (tip.point, other)
            };
            self.tree.path(&low, &high).is_none()
        };
        below.into_iter().chain(above).find(beside).map(|(_, certified)| certified.id)
    }

    /// Whether a block is known to be irreversible: nothing more is to be learned of it.
    fn is_final(&self, tip: &Tip) -> bool {
        let root = self.tree.root();
        root.settled > tip.height.0 || self.finality.certified.contains_key(&tip.height)
    }

    /// The validators in force at a block whose header stands in the tree.
    fn validators_of(&self, fin: &Fin) -> Option<Arc<Validators>> {
        let header = self.tree.header(&fin.tip.point.hash()?)?;
        let parent = self.tree.parent_state(header).ok()?;
        Some(Self::native(parent).validators_at(fin.tip.height).0)
    }

    /// The validators at a height as the last certified block below it has them: no set that was announced after it.
    pub(super) fn trusted_at(&self, height: Height) -> Arc<Validators> {
        Self::native(self.last_certified_below(height)).validators_at(height).0
    }

    /// The state after the last certified block below a height, or after the irreversible tip.
    fn last_certified_below(&self, height: Height) -> &State {
        let below = self.finality.certified.range(..height).next_back();
        let point = below.and_then(|(_, certified)| Some(self.tree.header(&certified.id)?.point()));
        point.and_then(|point| self.tree.state(&point)).unwrap_or(&self.tree.root().state)
    }
}

fn certified_height(point: &chain::Point, member: &Member) -> Height {
    point.hash().and_then(|id| member.tree.header(&id)).map_or(Height(0), |header| header.height)
}
