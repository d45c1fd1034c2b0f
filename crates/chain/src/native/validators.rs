//! The validators of a chain: who may produce and, later, vote.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Reader, encode};
use crate::{Hash, Height};

/// The most validators of a chain: what a header that changes them all can hold. A guess beyond that: votes
/// of more make rounds slow.
pub const MAX_VALIDATORS: usize = 128;

/// The most that the weights of all add up to: thrice as much still fits a `u64`, so that thresholds are exact.
pub const MAX_WEIGHT: u64 = u64::MAX / 4;

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
    weight: u64,
    hash: Hash,
}

impl Validators {
    /// The set of these, in any order; `None` when there are none, too many, a key twice, or when their
    /// weights add up to more than [`MAX_WEIGHT`].
    pub fn new(members: impl IntoIterator<Item = Validator>) -> Option<Self> {
        let mut members: Vec<_> = members.into_iter().take(MAX_VALIDATORS + 1).collect();
        members.sort_unstable();
        let twice = members.windows(2).any(|pair| pair[0].key == pair[1].key);
        let weight = members.iter().try_fold(0u64, |sum, member| sum.checked_add(member.weight.get()))?;
        if members.is_empty() || members.len() > MAX_VALIDATORS || twice || weight > MAX_WEIGHT {
            return None;
        }
        let mut bytes = Vec::new();
        encode_members(&members, &mut bytes);
        Some(Self { hash: super::blake2b(&bytes), weight, members: members.into() })
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
        self.place(key).is_some()
    }

    /// Where in [`Validators::members`] the key stands, if it is a member's.
    pub fn place(&self, key: &[u8; 32]) -> Option<usize> {
        self.members.binary_search_by(|member| member.key.cmp(key)).ok()
    }

    /// What the weights of all add up to.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Who proposes in a round of a height.
    ///
    /// In round 0 the places take turns by weight: a step that shares no divisor with the total walks through
    /// all of it, so that in as many heights as there is weight each member's turn comes exactly as often as it
    /// weighs, well spread. From there each further round goes to the next member, so that in as many rounds as
    /// there are members each has one, however little it weighs.
    pub fn proposer(&self, height: Height, round: u64) -> &Validator {
        let at = u128::from(height.0) * u128::from(step(self.weight)) % u128::from(self.weight);
        let mut below = 0;
        let first = self.members.iter().position(|member| {
            below += u128::from(member.weight.get());
            at < below
        });
        let members = self.members.len() as u64;
        let place = (first.expect("it is below the total") as u64 + round % members) % members;
        &self.members[place as usize]
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

/// The number nearest below 0.618 of the total that shares no divisor with it: the golden section spreads best.
fn step(total: u64) -> u64 {
    let golden = (u128::from(total) * 618 / 1_000) as u64;
    let alone = |step: &u64| divisor(*step, total) == 1;
    (1..=golden).rev().find(alone).unwrap_or(1)
}

/// The greatest common divisor.
fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn encode_members(members: &[Validator], into: &mut Vec<u8>) {
    encode(into, |out| {
        out.array(members.len() as u64)?;
        members.iter().try_for_each(|member| out.array(2)?.bytes(&member.key)?.u64(member.weight.get())?.ok())
    });
}
