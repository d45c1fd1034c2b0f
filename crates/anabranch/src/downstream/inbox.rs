//! Transactions that clients offered: pulled, bounded, to be looked at. Relaying them is not its business.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use ouroboros::tx_submission::Announced;

/// Transactions kept at most: a guess.
const MAX_TXS: usize = 4_096;
/// Bytes of transactions kept at most: a few of Cardano's blocks. A guess.
const MAX_BYTES: usize = 8 << 20;
/// Room is only announced when so much is free: the most that one request of a client may bring.
const ROOM_BYTES: usize = 600_000;

/// A transaction that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tx {
    /// Its id as the client named it, as an item; unknown where the client left some out.
    pub id: Option<Bytes>,
    /// The transaction, as an item: on a Cardano chain `[era, tag24(tx)]`. Nobody has checked it.
    pub raw: Bytes,
    /// Who sent it.
    pub from: SocketAddr,
    /// When it came.
    pub at: SystemTime,
}

/// The inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    txs: VecDeque<Tx>,
    ids: BTreeSet<Bytes>,
    bytes: usize,
}

impl Inbox {
    /// The transactions, oldest first.
    pub fn list(&self) -> Vec<Tx> {
        self.lock().txs.iter().cloned().collect()
    }

    /// Takes the oldest transactions out, `count` at most.
    pub fn take(&self, count: usize) -> Vec<Tx> {
        let mut kept = self.lock();
        let count = count.min(kept.txs.len());
        let taken = kept.txs.drain(..count).collect::<Vec<_>>();
        for tx in &taken {
            kept.bytes -= tx.raw.len();
            if let Some(id) = &tx.id {
                kept.ids.remove(id);
            }
        }
        taken
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.lock().txs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a client may be asked for more.
    pub(crate) fn has_room(&self) -> bool {
        let kept = self.lock();
        kept.txs.len() < MAX_TXS && kept.bytes + ROOM_BYTES <= MAX_BYTES
    }

    /// Which of these are wanted: those that are not here, as far as there is room.
    pub(crate) fn wanted(&self, offers: &[Announced]) -> Vec<bool> {
        let kept = self.lock();
        let mut free = MAX_BYTES - kept.bytes;
        let wanted = |offer: &Announced| {
            let fits = offer.size as usize <= free && !kept.ids.contains(&offer.id);
            free -= if fits { offer.size as usize } else { 0 };
            fits
        };
        offers.iter().map(wanted).collect()
    }

    /// Puts transactions in; what several clients sent at once and finds no room is dropped.
    pub(crate) fn put(&self, from: SocketAddr, txs: Vec<(Option<Bytes>, Bytes)>) {
        let at = SystemTime::now();
        let mut kept = self.lock();
        for (id, raw) in txs {
            let is_new = id.as_ref().is_none_or(|id| !kept.ids.contains(id));
            if !is_new || kept.txs.len() == MAX_TXS || kept.bytes + raw.len() > MAX_BYTES {
                continue;
            }
            kept.bytes += raw.len();
            kept.ids.extend(id.clone());
            kept.txs.push_back(Tx { id, raw, from, at });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked with the lock held left at worst a wrong count of bytes.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn tx(id: u8, len: usize) -> (Option<Bytes>, Bytes) {
        (Some(Bytes::copy_from_slice(&[id])), vec![id; len].into())
    }

    #[test]
    fn keeps_each_transaction_once() {
        let inbox = Inbox::default();
        inbox.put(from(), vec![tx(1, 10), tx(1, 10), tx(2, 10)]);
        let offers = [1, 2, 3].map(|id| Announced { id: Bytes::copy_from_slice(&[id]), size: 10 });
        assert_eq!((inbox.len(), inbox.wanted(&offers)), (2, vec![false, false, true]));
        assert_eq!(inbox.take(1).len(), 1);
        assert_eq!(inbox.wanted(&offers), [true, false, true]);
    }

    #[test]
    fn never_grows_above_its_bound() {
        let inbox = Inbox::default();
        for _ in 0..20 {
            inbox.put(from(), vec![(None, vec![0; 1 << 20].into())]);
        }
        assert_eq!(inbox.len(), MAX_BYTES >> 20);
        assert!(!inbox.has_room());
        inbox.take(1);
        assert!(inbox.has_room());
    }
}
