//! The Merkle tree over a block's transactions, and proofs that one of them is in it.
//!
//! The shape is that of RFC 6962, section 2.1, over Blake2b-256: a leaf is hashed after a byte 0 and an inner
//! node after a byte 1, so that neither can be passed off as the other; the left subtree holds the largest
//! power of two of leaves that is smaller than their number.

use crate::Hash;
use crate::codec::{DecodeError, Reader, encode};

const LEAF: u8 = 0;
const INNER: u8 = 1;

/// The longest path of a proof: a tree has fewer than 2^64 leaves.
const MAX_PATH: usize = 64;

/// That a transaction is in a block: its place among the others, and the hashes beside its way to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The transaction's place, from 0.
    pub index: u64,
    /// How many transactions the block has.
    pub count: u64,
    /// The hashes beside the way, from the leaf upwards.
    pub path: Vec<Hash>,
}

/// The root over these transactions; the hash of nothing when there are none.
pub fn root<T: AsRef<[u8]>>(transactions: &[T]) -> Hash {
    if transactions.is_empty() {
        return super::blake2b(&[]);
    }
    root_of(transactions)
}

impl Proof {
    /// The proof for one of these transactions; `None` when there are not so many.
    pub fn new<T: AsRef<[u8]>>(transactions: &[T], index: usize) -> Option<Self> {
        if index >= transactions.len() {
            return None;
        }
        let mut path = Vec::new();
        let (mut within, mut at) = (transactions, index);
        while within.len() > 1 {
            let (left, right) = within.split_at(split(within.len() as u64) as usize);
            let beside;
            (within, beside, at) =
                if at < left.len() { (left, right, at) } else { (right, left, at - left.len()) };
            path.push(root_of(beside));
        }
        path.reverse();
        Some(Self { index: index as u64, count: transactions.len() as u64, path })
    }

    /// Whether the transaction stands at the stated place among the stated number under this root.
    ///
    /// The caller takes `count` from the header that holds the root and compares it with the proof's.
    pub fn is_valid(&self, root: &Hash, transaction: &[u8]) -> bool {
        if self.index >= self.count {
            return false;
        }
        let turns = turns(self.index, self.count);
        if turns.len() != self.path.len() {
            return false;
        }
        let mut hash = leaf(transaction);
        for (is_left, beside) in turns.iter().rev().zip(&self.path) {
            hash = if *is_left { inner(&hash, beside) } else { inner(beside, &hash) };
        }
        hash == *root
    }

    /// As CBOR: `[index, count, [hash, …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + 34 * self.path.len());
        encode(&mut bytes, |out| {
            out.array(3)?.u64(self.index)?.u64(self.count)?.array(self.path.len() as u64)?;
            self.path.iter().try_for_each(|hash| out.bytes(&hash.0)?.ok())
        });
        bytes
    }

    /// Reads one proof and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let list = reader.list(3, "proof")?;
        let (index, count) = (reader.uint("proof index")?, reader.uint("proof count")?);
        let found = reader.open("proof path")?.unwrap_or(u64::MAX);
        if found > MAX_PATH as u64 {
            return Err(DecodeError::Range { what: "proof path", found });
        }
        let path = (0..found).map(|_| reader.hash("proof path")).collect::<Result<_, _>>()?;
        reader.close(list, "proof")?;
        reader.finish("proof")?;
        Ok(Self { index, count, path })
    }
}

/// From the root down: whether the way to a leaf goes left.
fn turns(mut index: u64, mut count: u64) -> Vec<bool> {
    let mut turns = Vec::new();
    while count > 1 {
        let left = split(count);
        turns.push(index < left);
        (index, count) = if index < left { (index, left) } else { (index - left, count - left) };
    }
    turns
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

fn root_of<T: AsRef<[u8]>>(transactions: &[T]) -> Hash {
    match transactions {
        [one] => leaf(one.as_ref()),
        many => {
            let (left, right) = many.split_at(split(many.len() as u64) as usize);
            inner(&root_of(left), &root_of(right))
        }
    }
}

fn leaf(transaction: &[u8]) -> Hash {
    let mut hasher = pallas_crypto::hash::Hasher::<256>::new();
    hasher.input(&[LEAF]);
    hasher.input(transaction);
    Hash(*hasher.finalize())
}

fn inner(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [INNER; 1 + 2 * Hash::LEN];
    bytes[1..=Hash::LEN].copy_from_slice(&left.0);
    bytes[1 + Hash::LEN..].copy_from_slice(&right.0);
    super::blake2b(&bytes)
}
