//! Proofs that a key has a value, or none, in the state that a root names.
//!
//! The state is a binary Merkle tree over the hashes of keys. A subtree with one key is that key's leaf, one without a
//! key is empty, so that a way through the tree is about as long as the number of keys has bits. Over Blake2b-256:
//!
//! ```text
//! leaf  = H(0 ‖ H(key) ‖ H(value))
//! inner = H(1 ‖ left ‖ right)          ; left: keys whose hash has a 0 at this depth, from the first bit on
//! empty = 32 bytes of 0
//! ```
//!
//! The tree's shape follows from its keys alone: two histories that end with the same keys and values end with the
//! same root.

use anabranch::chain::Hash;
use anabranch::chain::native::blake2b;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// The root of a subtree without a key.
pub(super) const EMPTY: Hash = Hash([0; 32]);

/// How many turns a way has at most: the bits of a hash.
pub(super) const MAX_DEPTH: usize = 8 * Hash::LEN;

/// What shows a key's value, or that it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The hashes beside the way, from the root down.
    pub beside: Vec<Hash>,
    /// What stands where the key would, if it is another key's leaf: the hashes of that key and of its value.
    pub other: Option<(Hash, Hash)>,
}

/// Bytes that are no proof, or no question or answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not what they should be")]
pub struct Malformed;

impl Proof {
    /// Whether, under this root, the key has this value; or, without one, whether it has none.
    pub fn is_valid(&self, root: &Hash, key: &[u8], value: Option<&[u8]>) -> bool {
        let key = blake2b(key);
        let end = match (value, self.other) {
            (Some(value), None) => leaf(&key, &blake2b(value)),
            (None, None) => EMPTY,
            (None, Some((other, value)))
                if other != key && shared_bits(&other, &key) >= self.beside.len() =>
            {
                leaf(&other, &value)
            }
            (Some(_), Some(_)) | (None, Some(_)) => return false,
        };
        if self.beside.len() > MAX_DEPTH {
            return false;
        }
        let ways = self.beside.iter().enumerate().rev();
        let found =
            ways.fold(
                end,
                |hash, (depth, beside)| {
                    if bit(&key, depth) { inner(beside, &hash) } else { inner(&hash, beside) }
                },
            );
        found == *root
    }

    /// As CBOR: `[[hash, …], null]` or `[[hash, …], [key hash, value hash]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(80 + 34 * self.beside.len());
        let mut out = Encoder::new(&mut bytes);
        let written: Result<(), minicbor::encode::Error<_>> = (|| {
            out.array(2)?.array(self.beside.len() as u64)?;
            self.beside.iter().try_for_each(|hash| out.bytes(&hash.0)?.ok())?;
            match &self.other {
                None => out.null()?.ok(),
                Some((key, value)) => out.array(2)?.bytes(&key.0)?.bytes(&value.0)?.ok(),
            }
        })();
        let Ok(()) = written else { unreachable!("memory takes what it is given") };
        bytes
    }

    /// Reads one proof, in its one encoding, and nothing else.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let proof = read(&mut Decoder::new(bytes)).ok_or(Malformed)?;
        if proof.encode() == bytes { Ok(proof) } else { Err(Malformed) }
    }
}

fn read(from: &mut Decoder<'_>) -> Option<Proof> {
    let hash = |from: &mut Decoder<'_>| Hash::from_slice(from.bytes().ok()?);
    if from.array().ok()?? != 2 {
        return None;
    }
    let count = usize::try_from(from.array().ok()??).ok().filter(|count| *count <= MAX_DEPTH)?;
    let beside = (0..count).map(|_| hash(from)).collect::<Option<Vec<_>>>()?;
    let other = match from.datatype().ok()? {
        Type::Null => {
            from.null().ok()?;
            None
        }
        _ if from.array().ok()?? == 2 => Some((hash(from)?, hash(from)?)),
        _ => return None,
    };
    Some(Proof { beside, other })
}

/// The hash of a key's leaf, out of the hashes of key and value.
pub(super) fn leaf(key: &Hash, value: &Hash) -> Hash {
    joined(0, key, value)
}

/// The hash of an inner node.
pub(super) fn inner(left: &Hash, right: &Hash) -> Hash {
    joined(1, left, right)
}

fn joined(first: u8, left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [first; 1 + 2 * Hash::LEN];
    bytes[1..=Hash::LEN].copy_from_slice(&left.0);
    bytes[1 + Hash::LEN..].copy_from_slice(&right.0);
    blake2b(&bytes)
}

/// Whether the way to a key goes right at this depth.
pub(super) fn bit(key: &Hash, depth: usize) -> bool {
    key.0[depth / 8] >> (7 - depth % 8) & 1 == 1
}

/// How many bits two hashes share from the first on.
fn shared_bits(one: &Hash, other: &Hash) -> usize {
    let bytes = one.0.iter().zip(&other.0);
    let equal = bytes.clone().take_while(|(one, other)| one == other).count();
    let rest = bytes.map(|(one, other)| one ^ other).nth(equal).map_or(0, u8::leading_zeros);
    8 * equal + rest as usize
}
