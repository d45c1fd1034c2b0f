//! The validators of a chain: who may produce and, later, vote.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::Hash;
use crate::codec::{DecodeError, Reader, encode};

/// The most validators of a chain: what a header that changes them all can hold. A guess beyond that: votes
/// of more make rounds slow.
pub const MAX_VALIDATORS: usize = 128;

/// One validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Its Ed25519 public key.
    #[serde(with = "hex::serde")]
    pub key: [u8; 32],
    /// Its share of the votes.
    pub weight: NonZeroU64,
}

/// A set of validators: at least one, ordered by key, each key once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    members: Box<[Validator]>,
    hash: Hash,
}

impl Validators {
    /// The set of these, in any order; `None` when there are none, too many, a key twice, or when their
    /// weights add up to more than a `u64`.
    pub fn new(members: impl IntoIterator<Item = Validator>) -> Option<Self> {
        let mut members: Vec<_> = members.into_iter().take(MAX_VALIDATORS + 1).collect();
        members.sort_unstable();
        let twice = members.windows(2).any(|pair| pair[0].key == pair[1].key);
        let weight = members.iter().try_fold(0u64, |sum, member| sum.checked_add(member.weight.get()));
        if members.is_empty() || members.len() > MAX_VALIDATORS || twice || weight.is_none() {
            return None;
        }
        let mut bytes = Vec::new();
        encode_members(&members, &mut bytes);
        Some(Self { hash: super::blake2b(&bytes), members: members.into() })
    }

    /// The members, ordered by key.
    pub fn members(&self) -> &[Validator] {
        &self.members
    }

    /// The hash that headers name the set by.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether the key is a member's.
    pub fn contains(&self, key: &[u8; 32]) -> bool {
        self.members.binary_search_by(|member| member.key.cmp(key)).is_ok()
    }

    /// Appends `[[key, weight], …]`.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        encode_members(&self.members, into);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "validators";
        let found = reader.open(WHAT)?.unwrap_or(u64::MAX);
        if found > MAX_VALIDATORS as u64 {
            return Err(DecodeError::Range { what: WHAT, found });
        }
        let mut members = Vec::with_capacity(found as usize);
        for _ in 0..found {
            let list = reader.list(2, WHAT)?;
            let key = *reader.fixed("validator key")?;
            let weight = reader.uint("validator weight")?;
            let weight = NonZeroU64::new(weight)
                .ok_or(DecodeError::Range { what: "validator weight", found: weight })?;
            reader.close(list, WHAT)?;
            members.push(Validator { key, weight });
        }
        Self::new(members).ok_or(DecodeError::Range { what: WHAT, found })
    }
}

fn encode_members(members: &[Validator], into: &mut Vec<u8>) {
    encode(into, |out| {
        out.array(members.len() as u64)?;
        members.iter().try_for_each(|member| out.array(2)?.bytes(&member.key)?.u64(member.weight.get())?.ok())
    });
}
