//! Who fills the fork tree: of what no certificate covers, how much each peer brought and each producer signed.
//!
//! A header costs its producer a signature and nothing more, and one validator can make a long chain of them, at each
//! height in a round that is its own. Correct nodes cannot tell and pass them on. So each peer and each producer has a share
//! of the tree, and one that is not a validator as far as certificates lead has it together with all others that are not:
//! headers alone can name anybody.
//!
//! What is beyond a share is refused, not blamed: who brought it may be honest. It is kept apart, bounded, until its
//! finality or a child that has a place shows that others took it.
//!
//! **Invariant**: whatever is counted stands in the tree, above what is certified; each count is the sum of its headers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chain::{Hash, Header};
use diffusion::sync;
use diffusion::sync::bodies::Producer;
use link::PeerId;

use super::Member;
use super::headers::producer;
use crate::{Notice, Output};

/// How many refused headers are kept of each peer. A guess: some 80 KB, and more than an honest one sends from a header to
/// its finality.
const MAX_REFUSED: usize = 256;

/// Why a header has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its peer has brought its share.
    #[error("its peer has brought {max} undecided headers")]
    Peer {
        /// The share.
        max: u32,
    },
    /// Its producer has signed its share.
    #[error("its producer has signed {max} undecided headers")]
    Producer {
        /// The share.
        max: u32,
    },
    /// Producers that no certificate leads to have signed theirs.
    #[error("producers that no certificate leads to have signed {max} undecided headers")]
    Strangers {
        /// The share.
        max: u32,
    },
    /// The header below it had none.
    #[error("the header below it had no place")]
    Parent,
}

/// What is undecided in the tree, by whose it is.
#[derive(Debug, Default)]
pub(super) struct Shares {
    headers: BTreeMap<Hash, (Producer, Option<PeerId>)>,
    producers: BTreeMap<Producer, u32>,
    peers: BTreeMap<PeerId, u32>,
    /// How many headers were refused.
    pub(super) refused: u64,
    /// Whether the operator was told so, since the irreversible tip moved.
    is_told: bool,
}

impl Shares {
    /// A header stands in the tree now.
    pub(super) fn add(&mut self, header: &Header, from: Option<PeerId>) {
        let producer = producer(header);
        if self.headers.insert(header.id, (producer, from)).is_some() {
            return;
        }
        *self.producers.entry(producer).or_default() += 1;
        if let Some(from) = from {
            *self.peers.entry(from).or_default() += 1;
        }
    }

    /// It left the tree, or is decided. Says whether it was counted.
    pub(super) fn remove(&mut self, id: &Hash) -> bool {
        let Some((producer, from)) = self.headers.remove(id) else { return false };
        subtract(&mut self.producers, &producer);
        if let Some(from) = from {
            subtract(&mut self.peers, &from);
        }
        true
    }

    fn of_peer(&self, peer: &PeerId) -> u32 {
        self.peers.get(peer).copied().unwrap_or(0)
    }

    fn of_producer(&self, producer: &Producer) -> u32 {
        self.producers.get(producer).copied().unwrap_or(0)
    }

    /// Panics where an invariant does not hold.
    fn check_invariants(&self) {
        let (mut producers, mut peers) = (BTreeMap::new(), BTreeMap::new());
        for (producer, from) in self.headers.values() {
            *producers.entry(*producer).or_insert(0) += 1;
            from.iter().for_each(|from| *peers.entry(*from).or_insert(0) += 1);
        }
        assert_eq!(producers, self.producers, "producers' headers are counted");
        assert_eq!(peers, self.peers, "peers' headers are counted");
    }
}

fn subtract<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    let count = counts.get_mut(key).expect("what is counted was added");
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

impl Member {
    /// Whether a header that is not in the tree has no place there.
    fn refuses(&self, id: &PeerId, header: &Header) -> Option<Refusal> {
        let max = self.config.headers_per_peer.get();
        if self.shares.of_peer(id) >= max {
            return Some(Refusal::Peer { max });
        }
        let max = self.config.headers_per_producer.get();
        let by = producer(header);
        let validators = self.trusted_at(header.height);
        if validators.contains(&by.0) {
            return (self.shares.of_producer(&by) >= max).then_some(Refusal::Producer { max });
        }
        let strangers =
            self.shares.producers.iter().filter(|(producer, _)| !validators.contains(&producer.0));
        let signed: u32 = strangers.map(|(_, count)| count).sum();
        (signed >= max).then_some(Refusal::Strangers { max })
    }

    /// Takes a header in if it has a place, and with it those below it that had none. Otherwise keeps it apart.
    pub(super) fn has_place(&mut self, id: PeerId, header: &Header, out: &mut Vec<Output>) -> bool {
        // What is proposed here is bounded by consensus.
        if self.is_known(&header.id) || self.proposed.contains_key(&header.id) {
            return true;
        }
        let reason = match self.refuses(&id, header) {
            Some(reason) => reason,
            None => match self.refused_below(&id, header.prev) {
                Some(path) => {
                    self.admit_refused(id, path, out);
                    return true;
                }
                None => Refusal::Parent,
            },
        };
        self.shares.refused += 1;
        if !std::mem::replace(&mut self.shares.is_told, true) {
            out.push(Output::Notice(Notice::NoPlace { point: header.point(), peer: id, reason }));
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            if peer.refused.len() == MAX_REFUSED {
                peer.refused.pop_front();
            }
            peer.refused.push_back(header.clone());
        }
        self.tell_sync(id, sync::Input::Refused(header.tip()), out);
        false
    }

    /// The refused headers that lead from the tree to this one, lowest first: none where it hangs on the tree, or on what
    /// nobody knows. `None` where the lowest of them does not hang on the tree.
    fn refused_below(&self, id: &PeerId, block: Option<Hash>) -> Option<Vec<Header>> {
        let refused = &self.peers.get(id)?.refused;
        let mut path: VecDeque<Header> = VecDeque::new();
        let mut at = block;
        while let Some(header) = refused.iter().find(|header| Some(header.id) == at) {
            at = header.prev;
            path.push_front(header.clone());
        }
        let hangs = path.front().is_none_or(|lowest| self.tree.parent_state(lowest).is_ok());
        hangs.then(|| path.into())
    }

    /// A peer's finality names a block that had no place: it has one now, and so has what is below.
    pub(super) fn admit_final(&mut self, id: PeerId, block: Option<Hash>, out: &mut Vec<Output>) {
        if let Some(path) = self.refused_below(&id, block) {
            self.admit_refused(id, path, out);
        }
    }

    fn admit_refused(&mut self, id: PeerId, path: Vec<Header>, out: &mut Vec<Output>) {
        if path.is_empty() {
            return;
        }
        let admitted: BTreeSet<Hash> = path.iter().map(|header| header.id).collect();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.refused.retain(|header| !admitted.contains(&header.id));
        }
        for header in path {
            self.announce(id, header, out);
        }
    }

    /// What leads to a certified block counts no more.
    pub(super) fn release(&mut self, certified: &Hash) {
        let mut at = Some(*certified);
        while let Some(id) = at.filter(|id| self.shares.remove(id)) {
            at = self.tree.header(&id).and_then(|header| header.prev);
        }
    }

    /// The irreversible tip moved: what was refused below it never counts.
    pub(super) fn forget_refused(&mut self) {
        let lib = self.tree.root().tip.height;
        self.shares.is_told = false;
        for peer in self.peers.values_mut() {
            peer.refused.retain(|header| header.height > lib);
        }
    }

    /// Panics where an invariant of the shares does not hold.
    pub(super) fn check_shares(&self) {
        self.shares.check_invariants();
        for id in self.shares.headers.keys() {
            assert!(self.tree.contains(id), "what is counted stands in the tree");
        }
        for peer in self.peers.values() {
            assert!(peer.refused.len() <= MAX_REFUSED, "what is refused is bounded");
        }
    }
}
