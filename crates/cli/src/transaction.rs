//! The transactions of the `kv` application, and their one encoding. To the chain they are bytes without meaning.
//!
//! ```text
//! put       = [0, key, value] / [0, key, value, salt]        ; two texts
//! delete    = [1, key] / [1, key, salt]
//! validator = [2, key, weight, sequence, [[signer, signature], …]]
//! ```
//!
//! A salt says nothing: it makes two transactions out of one put that is wanted twice. What decodes but would be
//! encoded otherwise is refused, so that nobody can give one transaction two ids. Whether a transaction is too large
//! ([`Transaction::check_size`]) and whether a change of validators counts are questions of their own.

use anabranch::chain::Hash;
use anabranch::chain::native::{Key, MAX_VALIDATORS};
use minicbor::data::Type;
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

const PUT: u8 = 0;
const DELETE: u8 = 1;
const VALIDATOR: u8 = 2;

/// The longest key or value, in bytes: a transaction stays far below what a block takes.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// What a signature of a change of validators begins with, so that it can be taken for no other.
const SIGNED_FOR: &[u8] = b"anabranch kv validator";

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// Puts a value under a key, in the place of what was there.
    Put {
        /// Under which key.
        key: String,
        /// Which value.
        value: String,
        /// Tells it from another that does the same.
        salt: Option<u64>,
    },
    /// Takes a key and its value away; a key that is not there stays away.
    Delete {
        /// Which key.
        key: String,
        /// Tells it from another that does the same.
        salt: Option<u64>,
    },
    /// Changes a validator.
    Validator(Change),
}

/// A change of one validator, signed by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The validator's Ed25519 public key.
    pub key: [u8; 32],
    /// Its new weight; 0 takes it out.
    pub weight: u64,
    /// How many changes there were before: each counts once.
    pub sequence: u64,
    /// Public keys with their signatures over [`Change::signed_bytes`]; ordered by key, each key once.
    pub signatures: Vec<([u8; 32], [u8; 64])>,
}

/// Why bytes are no transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No transaction, or not in its one encoding.
    #[error("it is no transaction of this application")]
    Malformed,
    /// A text too long.
    #[error("its {what} has {bytes} bytes, {MAX_TEXT_BYTES} fit")]
    TooLong {
        /// Key or value.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
}

impl Transaction {
    /// The put without a salt.
    pub fn put(key: &str, value: &str) -> Self {
        Self::Put { key: key.to_owned(), value: value.to_owned(), salt: None }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ok(_) = self.write(&mut Encoder::new(&mut bytes)) else {
            unreachable!("memory takes what it is given")
        };
        bytes
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Self::Put { key, value, salt } => {
                out.array(3 + u64::from(salt.is_some()))?.u8(PUT)?.str(key)?.str(value)?;
                salt.iter().try_for_each(|salt| out.u64(*salt)?.ok())
            }
            Self::Delete { key, salt } => {
                out.array(2 + u64::from(salt.is_some()))?.u8(DELETE)?.str(key)?;
                salt.iter().try_for_each(|salt| out.u64(*salt)?.ok())
            }
            Self::Validator(change) => {
                out.array(5)?.u8(VALIDATOR)?.bytes(&change.key)?.u64(change.weight)?.u64(change.sequence)?;
                out.array(change.signatures.len() as u64)?;
                let mut signatures = change.signatures.iter();
                signatures.try_for_each(|(key, signature)| out.array(2)?.bytes(key)?.bytes(signature)?.ok())
            }
        }
    }

    /// Reads one transaction and nothing else.
    ///
    /// # Errors
    /// When the bytes are none, or not in its one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Invalid> {
        let read = read_one(&mut Decoder::new(bytes)).ok_or(Invalid::Malformed)?;
        // Also what is left over, and keys out of order, show here or in `read_one`.
        if read.encode() == bytes { Ok(read) } else { Err(Invalid::Malformed) }
    }

    /// Whether its texts fit.
    ///
    /// # Errors
    /// When one does not.
    pub fn check_size(&self) -> Result<(), Invalid> {
        let texts: &[_] = match self {
            Self::Put { key, value, .. } => &[("key", key), ("value", value)],
            Self::Delete { key, .. } => &[("key", key)],
            Self::Validator(_) => &[],
        };
        let too_long = texts.iter().find(|(_, text)| text.len() > MAX_TEXT_BYTES);
        too_long.map_or(Ok(()), |(what, text)| Err(Invalid::TooLong { what, bytes: text.len() }))
    }
}

impl Change {
    /// What a validator signs to agree with the change: a name of its own, the chain, and the change.
    pub fn signed_bytes(&self, chain: &Hash) -> Vec<u8> {
        let numbers = [self.sequence.to_be_bytes(), self.weight.to_be_bytes()].concat();
        [SIGNED_FOR, &chain.0, &self.key, &numbers].concat()
    }

    /// Adds a signature, in the place of an earlier one with the same key.
    pub fn sign(&mut self, chain: &Hash, key: &Key) {
        let (signer, signature) = (key.public(), key.sign(&self.signed_bytes(chain)));
        match self.signatures.binary_search_by(|(other, _)| other.cmp(&signer)) {
            Ok(at) => self.signatures[at].1 = signature,
            Err(at) => self.signatures.insert(at, (signer, signature)),
        }
    }
}

fn read_one(from: &mut Decoder<'_>) -> Option<Transaction> {
    let items = from.array().ok()??;
    let salt = |from: &mut Decoder<'_>, without: u64| match items.checked_sub(without)? {
        0 => Some(None),
        1 => Some(Some(from.u64().ok()?)),
        _ => None,
    };
    match from.u8().ok()? {
        PUT => {
            let (key, value) = (from.str().ok()?.to_owned(), from.str().ok()?.to_owned());
            Some(Transaction::Put { key, value, salt: salt(from, 3)? })
        }
        DELETE => {
            let key = from.str().ok()?.to_owned();
            Some(Transaction::Delete { key, salt: salt(from, 2)? })
        }
        VALIDATOR if items == 5 => {
            let (key, weight, sequence) = (fixed(from)?, from.u64().ok()?, from.u64().ok()?);
            let signatures = signatures(from)?;
            Some(Transaction::Validator(Change { key, weight, sequence, signatures }))
        }
        _ => None,
    }
}

fn signatures(from: &mut Decoder<'_>) -> Option<Vec<([u8; 32], [u8; 64])>> {
    let count = from.array().ok()??;
    if count > MAX_VALIDATORS as u64 {
        return None;
    }
    let mut signatures: Vec<([u8; 32], [u8; 64])> = Vec::new();
    for _ in 0..count {
        let pair = (from.datatype().ok()? == Type::Array && from.array().ok()? == Some(2))
            .then(|| Some((fixed(from)?, fixed(from)?)))??;
        if signatures.last().is_some_and(|(key, _)| *key >= pair.0) {
            return None;
        }
        signatures.push(pair);
    }
    Some(signatures)
}

fn fixed<const N: usize>(from: &mut Decoder<'_>) -> Option<[u8; N]> {
    from.bytes().ok()?.try_into().ok()
}

/// The bytes of a transaction that puts `value` under `key`, without a salt.
pub fn put(key: &str, value: &str) -> Vec<u8> {
    Transaction::put(key, value).encode()
}

/// Key and value of a transaction, if it is a put.
pub fn read(transaction: &[u8]) -> Option<(String, String)> {
    match Transaction::decode(transaction).ok()? {
        Transaction::Put { key, value, .. } => Some((key, value)),
        Transaction::Delete { .. } | Transaction::Validator(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_it_writes_at_every_length_form() {
        for length in [0, 1, 23, 24, 255, 256, 8_192, 65_535, 65_536] {
            let (key, value) = ("k".repeat(length), "v".repeat(length / 2));
            assert_eq!(read(&put(&key, &value)), Some((key, value)));
        }
    }

    #[test]
    fn takes_no_other_bytes_for_a_put() {
        let whole = put("key", "value");
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(read(&[whole.as_slice(), &[0]].concat()), None, "left-over bytes");
        assert_eq!(read(b"anything else"), None);
    }

    #[test]
    fn a_put_stays_what_it_was() {
        assert_eq!(hex::encode(put("key", "value")), "8300636b65796576616c7565");
    }

    #[test]
    fn says_which_text_is_too_long() {
        let (fits, more) = ("x".repeat(MAX_TEXT_BYTES), "x".repeat(MAX_TEXT_BYTES + 1));
        assert_eq!(Transaction::put(&fits, &fits).check_size(), Ok(()));
        let said = |transaction: &Transaction| transaction.check_size().expect_err("too long").to_string();
        assert_eq!(said(&Transaction::put(&more, "")), "its key has 8193 bytes, 8192 fit");
        assert_eq!(said(&Transaction::put("", &more)), "its value has 8193 bytes, 8192 fit");
        assert_eq!(said(&Transaction::Delete { key: more, salt: None }), "its key has 8193 bytes, 8192 fit");
    }

    #[test]
    fn signatures_stand_in_order_and_each_key_once() {
        let chain = Hash([7; 32]);
        let mut change = Change { key: [1; 32], weight: 3, sequence: 9, signatures: Vec::new() };
        let keys: Vec<_> = (0..5).map(|seed| Key::from_seed(&[seed; 32])).collect();
        keys.iter().chain(&keys).for_each(|key| change.sign(&chain, key));
        assert_eq!(change.signatures.len(), 5);
        let bytes = Transaction::Validator(change.clone()).encode();
        assert_eq!(Transaction::decode(&bytes), Ok(Transaction::Validator(change.clone())));

        change.signatures.swap(1, 2);
        let refused = Transaction::decode(&Transaction::Validator(change.clone()).encode());
        assert_eq!(refused, Err(Invalid::Malformed));
        change.signatures[1] = change.signatures[2];
        let refused = Transaction::decode(&Transaction::Validator(change).encode());
        assert_eq!(refused, Err(Invalid::Malformed));
    }

    #[test]
    fn refuses_more_signatures_than_there_can_be_validators() {
        let signatures = |count: u64| {
            let keys = (0..count).map(|at| {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&at.to_be_bytes());
                (key, [0; 64])
            });
            Transaction::Validator(Change {
                key: [1; 32],
                weight: 1,
                sequence: 0,
                signatures: keys.collect(),
            })
        };
        let most = MAX_VALIDATORS as u64;
        assert!(Transaction::decode(&signatures(most).encode()).is_ok());
        assert!(Transaction::decode(&signatures(most + 1).encode()).is_err());
    }

    fn transactions() -> impl Strategy<Value = Transaction> {
        let signatures = proptest::collection::btree_map(any::<[u8; 32]>(), vec(any::<u8>(), 64), 0..4);
        let signatures = signatures.prop_map(|all| {
            all.into_iter().map(|(key, bytes)| (key, bytes.try_into().expect("64"))).collect()
        });
        prop_oneof![
            (".{0,40}", ".{0,40}", any::<Option<u64>>()).prop_map(|(key, value, salt)| Transaction::Put {
                key,
                value,
                salt
            }),
            (".{0,40}", any::<Option<u64>>()).prop_map(|(key, salt)| Transaction::Delete { key, salt }),
            (any::<[u8; 32]>(), any::<u64>(), any::<u64>(), signatures).prop_map(
                |(key, weight, sequence, signatures)| Transaction::Validator(Change {
                    key,
                    weight,
                    sequence,
                    signatures
                })
            ),
        ]
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(transaction in transactions()) {
            let bytes = transaction.encode();
            prop_assert_eq!(Transaction::decode(&bytes), Ok(transaction));
            for cut in 0..bytes.len() {
                prop_assert!(Transaction::decode(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn what_it_reads_is_in_its_one_encoding(transaction in transactions(), at: usize, flip: u8) {
            let mut bytes = transaction.encode();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(read) = Transaction::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
