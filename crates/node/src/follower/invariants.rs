//! What must hold after every input, in whatever order inputs come.

use super::Follower;
use super::upstream::Phase;

impl Follower {
    /// Panics where an invariant of the node or of one of its parts does not hold. Costs time in the size of
    /// the fork tree: for tests and the simulator.
    pub fn check_invariants(&self) {
        self.tree.check_invariants();
        self.views.check_invariants();
        self.sources.check_invariants();
        self.storing.check_invariants();
        self.bodies.check_invariants();
        let in_tree = |header: &chain::Header| self.tree.contains(&header.id);
        let has_parent = |header: &chain::Header| self.tree.parent_state(header).is_ok();
        self.verifying.check_invariants(in_tree, has_parent);
        self.depth.check_invariants(&self.tree);
        let unowned = self.tree.headers().filter(|header| !self.sources.contains(&header.id)).count();
        assert!(unowned <= self.bounds.headers_each(), "so the tree never drops a branch for want of room");
        self.upstreams.iter().for_each(|upstream| self.check_phase(&upstream.phase));
        assert!(
            self.failed.is_none() || self.upstreams.iter().all(|up| !up.is_connected()),
            "failed is apart"
        );
    }

    fn check_phase(&self, phase: &Phase) {
        let Phase::Following(fragment) = phase else { return };
        assert!(self.tree.state(&fragment.at).is_some(), "a chain that is followed stands in the tree");
        let mut last = fragment.at.hash();
        for point in &fragment.unverified {
            let id = point.hash().expect("a header is no origin");
            assert!(self.verifying.contains(&id), "what is not verified is under way");
            assert!(self.verifying.stands_on(&id, last), "each on the one before");
            last = Some(id);
        }
    }
}
