//! Headers that were judged in order and whose expensive checks are under way.
//!
//! The cheap judgement (`next`) is sequential and already done; the checks come back in any order. A header
//! leaves here for the fork tree once its own checks passed and its parent is in the tree; a header that
//! fails takes all that stand on it along.
//!
//! **Invariants**: a header is here or in the tree, never in both; each has exactly one ticket; a child is
//! known to its parent here.

use std::collections::BTreeMap;

use chain::{Hash, Header, State};

use crate::Ticket;

/// One header under way.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// The header.
    pub header: Header,
    /// The state after it.
    pub state: State,
    ticket: Ticket,
    passed: bool,
    children: Vec<Hash>,
}

/// All headers under way.
#[derive(Debug, Default)]
pub(crate) struct Verifying {
    headers: BTreeMap<Hash, Pending>,
    tickets: BTreeMap<Ticket, Hash>,
}

impl Verifying {
    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.headers.len()
    }

    /// The state after a header that is under way.
    pub(crate) fn state(&self, id: &Hash) -> Option<&State> {
        self.headers.get(id).map(|pending| &pending.state)
    }

    /// Whether the header is under way.
    pub(crate) fn contains(&self, id: &Hash) -> bool {
        self.headers.contains_key(id)
    }

    /// Whether a header under way names this one as its previous.
    pub(crate) fn stands_on(&self, id: &Hash, prev: Option<Hash>) -> bool {
        self.headers.get(id).is_some_and(|pending| pending.header.prev == prev)
    }

    /// A header whose checks begin.
    pub(crate) fn begin(&mut self, ticket: Ticket, header: Header, state: State) {
        let id = header.id;
        if let Some(parent) = header.prev.and_then(|prev| self.headers.get_mut(&prev)) {
            parent.children.push(id);
        }
        self.tickets.insert(ticket, id);
        let pending = Pending { header, state, ticket, passed: false, children: Vec::new() };
        let before = self.headers.insert(id, pending);
        assert!(before.is_none(), "a header is checked once at a time");
    }

    /// The checks of a ticket passed: the headers that may enter the tree now, parents first.
    ///
    /// A ticket of a header that is here no longer says nothing.
    pub(crate) fn passed(&mut self, ticket: Ticket) -> Vec<Pending> {
        let Some(id) = self.tickets.remove(&ticket) else { return Vec::new() };
        let pending = self.headers.get_mut(&id).expect("a ticket belongs to a header");
        pending.passed = true;
        if pending.header.prev.is_some_and(|prev| self.headers.contains_key(&prev)) {
            return Vec::new();
        }
        let mut ready = Vec::new();
        let mut reached = vec![id];
        while let Some(id) = reached.pop() {
            if !self.headers[&id].passed {
                continue;
            }
            let pending = self.headers.remove(&id).expect("it was just seen");
            reached.extend(&pending.children);
            ready.push(pending);
        }
        ready
    }

    /// Whose checks these are, if it is still under way.
    pub(crate) fn header_of(&self, ticket: Ticket) -> Option<Hash> {
        self.tickets.get(&ticket).copied()
    }

    /// Drops a header and all that stand on it; says which.
    pub(crate) fn drop_from(&mut self, id: Hash) -> Vec<Hash> {
        if let Some(parent) = self.headers.get(&id).and_then(|pending| pending.header.prev)
            && let Some(parent) = self.headers.get_mut(&parent)
        {
            parent.children.retain(|child| *child != id);
        }
        let mut dropped = Vec::new();
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            let Some(pending) = self.headers.remove(&id) else { continue };
            self.tickets.remove(&pending.ticket);
            doomed.extend(pending.children);
            dropped.push(id);
        }
        dropped
    }

    /// Drops all that stand on something that is in the tree no longer; says which.
    pub(crate) fn drop_orphans(&mut self, parent_in_tree: impl Fn(&Header) -> bool) -> Vec<Hash> {
        let under_way = |header: &Header| header.prev.is_some_and(|prev| self.headers.contains_key(&prev));
        let headers = self.headers.values().map(|pending| &pending.header);
        let orphans = headers.filter(|header| !under_way(header) && !parent_in_tree(header));
        let doomed: Vec<Hash> = orphans.map(|header| header.id).collect();
        doomed.into_iter().flat_map(|id| self.drop_from(id)).collect()
    }

    /// Panics where an invariant of the module's doc does not hold.
    pub(crate) fn check_invariants(
        &self,
        in_tree: impl Fn(&Header) -> bool,
        parent_in_tree: impl Fn(&Header) -> bool,
    ) {
        for (id, pending) in &self.headers {
            assert_eq!(*id, pending.header.id, "a header is filed under its id");
            assert!(!in_tree(&pending.header), "a header is checked before it enters the tree, not after");
            let parent = pending.header.prev.and_then(|prev| self.headers.get(&prev));
            match parent {
                Some(parent) => assert!(parent.children.contains(id), "a parent knows its child"),
                None => {
                    assert!(parent_in_tree(&pending.header), "nothing is checked without a parent");
                    assert!(!pending.passed, "what passed and has its parent in the tree is there too");
                }
            }
            assert_eq!(pending.passed, !self.tickets.contains_key(&pending.ticket), "one answer each");
        }
        assert!(
            self.tickets.values().all(|id| self.headers.contains_key(id)),
            "no ticket without its header"
        );
    }
}
