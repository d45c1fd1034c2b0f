//! The machine's part that confirms: receipts, which go back the way their packet came.

use chain::Hash;

use super::claim::Claim;
use super::message::Message;
use super::seen::Receipt;
use super::state::{Check, State};
use super::{Output, Signature, Violation};
use crate::sync::bodies::Producer;

impl<P: Copy + Ord> State<P> {
    /// Where a packet is for us, tells those who brought it that it has come.
    pub(super) fn give_receipt(&mut self, id: Hash, out: &mut Vec<Output<P>>) {
        let Some(me) = self.me.as_ref().map(|me| me.producer) else {
            return;
        };
        let Some(entry) = self.seen.get_mut(&id) else {
            return;
        };
        let Some(place) = entry.place(&me) else {
            return;
        };
        match entry.receipt {
            Receipt::None => {
                entry.receipt = Receipt::Asked;
                out.push(Output::Sign { claim: Claim::Receipt { producer: me, id } });
            }
            Receipt::Asked => {}
            Receipt::Signed(signature) => self.pass_receipt(id, place, me, signature),
        }
    }

    pub(super) fn on_receipt_signed(&mut self, id: Hash, signature: Signature) {
        let me = self.me.as_ref().map(|me| me.producer);
        if let Some(entry) = self.seen.get_mut(&id)
            && let Some(me) = me
            && let Some(place) = entry.place(&me)
        {
            entry.receipt = Receipt::Signed(signature);
            self.pass_receipt(id, place, me, signature);
        }
    }

    /// Passes a receipt on to those who brought the packet and have not been told.
    fn pass_receipt(&mut self, id: Hash, place: u8, by: Producer, signature: Signature) {
        let peers = self.seen.get_mut(&id).map(|entry| entry.take_untold(place));
        for peer in peers.into_iter().flatten() {
            self.post(peer, Message::Receipt { id, by, signature });
        }
    }

    pub(super) fn on_receipt(
        &mut self,
        peer: P,
        id: Hash,
        by: Producer,
        signature: Signature,
        out: &mut Vec<Output<P>>,
    ) {
        let Some(entry) = self.seen.get(&id) else {
            self.counts.passed_over += 1;
            return;
        };
        let Some(place) = entry.place(&by) else {
            out.push(Output::Misbehaved { peer, violation: Violation::StrangeReceipt { id } });
            return;
        };
        let watched = self.watches.is_at((id, place), peer);
        let news = !entry.confirmed.contains(place) || entry.is_awaited(place, peer);
        if watched || news {
            self.check(peer, Check::Receipt { peer, id, place, by, signature }, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a check holds, and its result")]
    pub(super) fn on_receipt_checked(
        &mut self,
        peer: P,
        id: Hash,
        place: u8,
        by: Producer,
        signature: Signature,
        genuine: bool,
        out: &mut Vec<Output<P>>,
    ) {
        if !genuine {
            out.push(Output::Misbehaved { peer, violation: Violation::ForgedReceipt { producer: by } });
            return;
        }
        if self.watches.is_at((id, place), peer) {
            self.watches.remove((id, place));
            if let Some(destination) = self.destinations.get_mut(&by) {
                destination.delivered(peer);
            }
        }
        let Some(entry) = self.seen.get_mut(&id) else {
            return;
        };
        entry.confirmed.insert(place);
        entry.knows(peer, place);
        self.pass_receipt(id, place, by, signature);
        self.on_confirmed(id, place, by, out);
    }
}
