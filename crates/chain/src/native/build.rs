//! Building a native block: start, transactions, finish.

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};

use super::block::{encode_block, encoded};
use super::header::{header, wrap};
use super::{Change, Fields, MAX_EXTENSION_BYTES, Params, Produced, State, StateRoot, VERSION, merkle};
use crate::{Block, Height, Slot, Tip};

/// How many bytes the list of transactions needs beside them, at most: its own head.
const LIST_HEAD_BYTES: u64 = 9;

/// How many bytes the head of a transaction takes, at most.
const TRANSACTION_HEAD_BYTES: u64 = 5;

/// A producer's secret key.
#[derive(Clone)]
pub struct Key(SigningKey);

impl Key {
    /// The key that follows from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half, as headers and the genesis name it.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs some bytes.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", hex::encode(self.public()))
    }
}

/// The largest transaction that a block of this chain can hold.
pub fn max_transaction_bytes(params: &Params) -> usize {
    let most = params.max_body_bytes.get().saturating_sub(LIST_HEAD_BYTES + TRANSACTION_HEAD_BYTES);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// A transaction that does not fit the block any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the block is full: {bytes} more bytes of transactions would pass {max}")]
pub struct Full {
    /// What the transaction needs.
    pub bytes: u64,
    /// The budget of the whole block.
    pub max: u64,
}

/// A block in the making.
#[derive(Debug, Clone)]
pub struct Builder {
    fields: Fields,
    transactions: Vec<Bytes>,
    /// What the transactions take so far, with the largest head their list may need.
    used: u64,
    max: u64,
}

impl Builder {
    /// Starts the block after `parent`, whose state is `state`. Whether the slot and the producer are right, the caller knows.
    pub fn start(params: &Params, parent: &Tip, state: &State, slot: Slot) -> Self {
        let height = parent.point.slot().map_or(Height(0), |_| Height(parent.height.0 + 1));
        let (validators, _) = state.validators_at(height);
        let fields = Fields {
            version: VERSION,
            chain: params.chain(),
            height,
            slot,
            prev: parent.point.hash(),
            producer: [0; 32],
            term: state.term,
            round: 0,
            root: merkle::root::<Bytes>(&[]),
            count: 0,
            size: 0,
            validators: validators.hash(),
            change: None,
            state: None,
            extension: Bytes::new(),
        };
        let max = params.max_body_bytes.get();
        Self { fields, transactions: Vec::new(), used: LIST_HEAD_BYTES, max }
    }

    /// Adds a transaction, unless the block would pass its budget.
    pub fn add(&mut self, transaction: Bytes) -> Result<(), Full> {
        let bytes = bytes_needed(&transaction);
        if self.used + bytes > self.max {
            return Err(Full { bytes, max: self.max });
        }
        self.used += bytes;
        self.transactions.push(transaction);
        Ok(())
    }

    /// States the term and the round.
    pub fn round(mut self, term: u64, round: u64) -> Self {
        (self.fields.term, self.fields.round) = (term, round);
        self
    }

    /// Announces a change of validators.
    pub fn change(mut self, change: Change) -> Self {
        self.fields.change = Some(change);
        self
    }

    /// States the application's state after an earlier block.
    pub fn state_root(mut self, state: StateRoot) -> Self {
        self.fields.state = Some(state);
        self
    }

    /// Sets the extension, at most [`MAX_EXTENSION_BYTES`].
    pub fn extension(mut self, extension: Bytes) -> Self {
        assert!(extension.len() <= MAX_EXTENSION_BYTES, "an extension of our own keeps its bound");
        self.fields.extension = extension;
        self
    }

    /// How many transactions were added.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether no transaction was added.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Signs the block.
    pub fn finish(mut self, key: &Key) -> Block {
        self.fields.producer = key.public();
        self.fields.root = merkle::root(&self.transactions);
        self.fields.count = self.transactions.len() as u64;
        self.fields.size = encoded(&self.transactions).len() as u64;
        let body = self.fields.encode();
        let signature = key.sign(&body);
        let produced = Produced { fields: self.fields, body, signature };
        let bytes = produced.encode();
        let header = header(&produced.fields, &bytes, wrap(&bytes));
        Block { header, raw: encode_block(&bytes, &self.transactions).into() }
    }
}

/// How many bytes a transaction takes in a block: itself and the head of its byte string.
fn bytes_needed(transaction: &Bytes) -> u64 {
    let head = match transaction.len() {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        _ => TRANSACTION_HEAD_BYTES,
    };
    head + transaction.len() as u64
}
