//! The application against a plain map, against forgers, against its disk, and as the node asks it.

mod asked;
mod crashes;
mod model;
mod proofs;
mod snapshots;

use std::path::Path;
use std::sync::Arc;

use anabranch::chain::Slot;
use anabranch::chain::native::{Builder, Key, State, Validator};
use anabranch::logic::Logic;
use bytes::Bytes;

use super::*;

/// A chain whose blocks nobody voted for, with four validators of weight 1.
pub(super) struct Chain {
    pub(super) params: Arc<Params>,
    pub(super) keys: Vec<Key>,
    tip: Tip,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self::named("kv")
    }

    pub(super) fn named(name: &str) -> Self {
        let keys: Vec<_> = (1..=4).map(|seed| Key::from_seed(&[seed; 32])).collect();
        let mut params = Params::solo(name, 7, 0, keys[0].public());
        let weight = std::num::NonZeroU64::MIN;
        params.validators = keys.iter().map(|key| Validator { key: key.public(), weight }).collect();
        Self { params: Arc::new(params), keys, tip: Tip::default() }
    }

    /// The next block, with these transactions.
    pub(super) fn block(&mut self, transactions: &[Transaction]) -> Block {
        self.raw(transactions.iter().map(Transaction::encode))
    }

    pub(super) fn raw(&mut self, transactions: impl IntoIterator<Item = Vec<u8>>) -> Block {
        let block = self.beside(transactions);
        self.tip = block.header.tip();
        block
    }

    /// A block that the next one does not stand on.
    pub(super) fn beside(&self, transactions: impl IntoIterator<Item = Vec<u8>>) -> Block {
        let slot = Slot(self.tip.point.slot().map_or(1, |slot| slot.0 + 1));
        let mut builder = Builder::start(&self.params, &self.tip, &State::genesis(&self.params), slot);
        for transaction in transactions {
            builder.add(Bytes::from(transaction)).expect("it fits");
        }
        builder.finish(&self.keys[0])
    }

    pub(super) fn open(&self, path: &Path) -> Kv {
        Kv::open(path, Arc::clone(&self.params)).expect("opened")
    }

    /// A change of validators that these of the four have signed.
    pub(super) fn change(&self, key: [u8; 32], weight: u64, sequence: u64, signers: &[usize]) -> Transaction {
        let mut change = crate::transaction::Change { key, weight, sequence, signatures: Vec::new() };
        signers.iter().for_each(|at| change.sign(&self.params.chain(), &self.keys[*at]));
        Transaction::Validator(change)
    }
}

pub(super) fn put(key: &str, value: &str) -> Transaction {
    Transaction::put(key, value)
}

pub(super) fn delete(key: &str) -> Transaction {
    Transaction::Delete { key: key.to_owned(), salt: None }
}

/// What a key has now, with its proof checked.
pub(super) fn value(kv: &Kv, key: &str) -> Option<String> {
    let found = kv.get(key, None).expect("read").expect("the newest is kept");
    assert_eq!((found.tip, found.root), kv.stand());
    let value = found.value.as_deref().map(str::as_bytes);
    assert!(found.proof.is_valid(&found.root, key.as_bytes(), value), "the proof of {key}");
    assert_eq!(Proof::decode(&found.proof.encode()).as_ref(), Ok(&found.proof));
    found.value
}
