//! Headers and certificates without bodies, up to the block of a state that is to be had.

use bytes::Bytes;
use chain::native::{StateRoot, read_fields};
use chain::{Hash, Header, Height};
use diffusion::sync::{self, Place, Settled, bodies};

use super::super::Member;
use super::super::storing::Append;
use crate::{Output, Record};

/// How many headers become bare at once.
const MAX_BARE: usize = 1_024;

impl Member {
    pub(super) fn follow_to(&mut self, to: StateRoot, out: &mut Vec<Output>) {
        if self.tree.root().settled <= to.height.0 {
            return self.bare_due(to.height, out);
        }
        match self.named(to.height) {
            Some(Some(root)) if root == to.root => self.begin_taking(to, out),
            Some(named) => self.refuse(to, named.is_some(), out),
            None => {}
        }
    }

    /// The root that a certified header names of the state after the block at this height: `None` while it is not
    /// known, `Some(None)` where none will.
    fn named(&self, height: Height) -> Option<Option<Hash>> {
        let (_, last) = self.finality.last()?;
        let end = self.tree.header(&last)?.point();
        let path = self.tree.path(&self.tree.root().tip.point, &end)?;
        let named = path.iter().filter_map(|header| read_fields(header).ok()?.state);
        let mut named = named.skip_while(|state| state.height < height);
        named.next().map(|state| (state.height == height).then_some(state.root))
    }

    /// Lets what is certified become bare, up to this height.
    fn bare_due(&mut self, height: Height, out: &mut Vec<Output>) {
        if self.storing.settling().is_some() {
            return;
        }
        let Some((last, certificate)) = self.next_bare(height) else { return };
        let root = self.tree.root().tip.point;
        let path = self.tree.path(&root, &last.point()).expect("it is above the root");
        let headers: Vec<Header> = path.into_iter().cloned().collect();
        let state = self.tree.state(&last.point()).expect("it is in the tree").clone();
        let ticket = self.next_ticket();
        self.storing.push(ticket, Append::Bare(last.id));
        out.push(Output::Persist { ticket, record: Record::Bare { headers, state, certificate } });
    }

    /// Up to which block, and what shows it: the next certified one, or one before it where that is too far.
    fn next_bare(&self, height: Height) -> Option<(Header, Option<Bytes>)> {
        let (at, certified) = self.finality.certified.first_key_value()?;
        let end = self.tree.header(&certified.id)?.point();
        let path = self.tree.path(&self.tree.root().tip.point, &end)?;
        let last = path.iter().take(MAX_BARE).take_while(|header| header.height <= height).last()?;
        let certificate = (last.height == *at).then(|| certified.certificate.clone());
        Some(((**last).clone(), certificate))
    }

    /// The store has headers that are to be bare.
    pub(in crate::member) fn on_bare(&mut self, id: Hash, out: &mut Vec<Output>) {
        let place = self.settling(&id, out);
        self.progress.moved(self.now.mono);
        let bare = self.tree.irreversible_bare(id).expect("what becomes bare stays in the tree");
        self.way.bared(bare.headers.len());
        self.on_change(&bare.change, out);
        let certified = self.settled_certificates(place.tip.height);
        let certificate = |header: &Header| certified.get(&header.height).map(|it| it.certificate.clone());
        self.forget_refused();
        for header in &bare.headers {
            self.shares.remove(&header.id);
            self.tell_bodies(bodies::Input::Unwant { id: header.id }, out);
        }
        let headers: Vec<Settled> = bare.headers.iter().map(|it| (it.clone(), certificate(it))).collect();
        self.loaded.settle(headers);
        self.is_unblocked = true;
        self.moved(out);
        self.tell_producers(out);
    }

    /// What precedes that a block and all below it leave the tree for the log.
    pub(in crate::member) fn settling(&mut self, id: &Hash, out: &mut Vec<Output>) -> Place {
        let position = self.tree.position(id).expect("what settles stays in the tree");
        let tip = self.tree.header(id).expect("it is in the tree").tip();
        let place = Place { count: position.next().0, tip };
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_sync(peer, sync::Input::Settling(place), out);
        }
        place
    }
}
