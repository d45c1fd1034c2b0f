//! What must hold after every input, in whatever order inputs come.

use std::collections::BTreeMap;

use diffusion::sync::Chain as _;

use super::Member;
use super::state::Ask;

impl Member {
    /// Panics where an invariant of the member or of one of its machines does not hold. Costs time in the size of the
    /// fork tree: for tests and the simulator.
    pub fn check_invariants(&self) {
        self.tree.check_invariants();
        self.views.check_invariants();
        self.loaded.check_invariants();
        self.recent.check_invariants(self.tree.root().settled);
        self.storing.check_invariants();
        self.bodies.check_invariants();
        self.ranges.check_invariants();
        self.routing.check_invariants();
        self.quorum.check_invariants();
        self.relay.check_invariants();
        self.pieces.check_invariants();
        if let Some(applying) = &self.applying {
            applying.check_invariants(self.config.deliveries.get(), self.config.delivery_bytes.get());
        }
        let forks = self.forks();
        for peer in self.peers.values() {
            peer.sync.check_invariants(&forks);
            peer.check_invariants();
        }
        assert!(self.untold.is_empty() && !self.is_telling, "consensus was told everything");
        assert!(!self.is_unblocked || self.failed.is_some(), "what can be read was read");
        self.check_finality();
        self.check_shares();
        self.check_bodies();
        self.check_memory();
    }

    /// What the member itself keeps because of what others say; its machines and its peers have bounds of their own.
    fn check_memory(&self) {
        self.speaking.check_invariants();
        let mut early = BTreeMap::new();
        for ((peer, _), block) in &self.early {
            *early.entry(peer).or_insert(0) += block.raw.len();
        }
        let most = self.config.bodies.early_bytes.get();
        assert!(early.values().all(|bytes| *bytes <= most), "bodies that nobody wants yet are bounded");
        let asked = |is: fn(&Ask) -> bool| self.asks.values().filter(|ask| is(ask)).count();
        let (txs, judging) = (asked(|ask| matches!(ask, Ask::Tx(_))), self.relay.status().judging);
        assert!(self.senders.len() <= judging, "who waits for word waits for the application");
        assert!(self.applying.is_none() || judging <= txs, "what waits for a verdict was asked for");
    }

    fn check_finality(&self) {
        let mut below = self.tree.root().tip.point;
        for (height, certified) in &self.finality.certified {
            let header = self.tree.header(&certified.id).expect("what is certified stands in the tree");
            assert_eq!(header.height, *height, "it is filed under its height");
            assert!(self.tree.path(&below, &header.point()).is_some(), "what is certified is on one chain");
            below = header.point();
        }
        self.way.check_invariants(&self.tree, self.finality.last().map(|(_, id)| id).as_ref());
    }

    /// B1: every body of the best chain near the irreversible tip is held, or wanted.
    fn check_bodies(&self) {
        for (peer, id) in self.early.keys() {
            assert!(self.peers.contains_key(peer), "{id:.8} came from a peer that is gone");
        }
        if self.failed.is_some() || self.ranged.is_some() || self.is_holding() {
            return;
        }
        let forks = self.forks();
        let first = forks.lib().count + 1;
        for place in (first..first + u64::from(self.config.near.get())).map_while(|count| forks.at(count)) {
            let id = place.id().expect("a block has an id");
            let is_cared_for = self.is_held(&id) || self.bodies.is_wanted(&id) || self.bodies.room() == 0;
            assert!(is_cared_for, "B1: the body of {id:.8} is forgotten");
        }
    }
}
