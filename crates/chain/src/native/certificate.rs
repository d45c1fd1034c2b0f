//! A certificate: the precommits of a quorum, which make a block irreversible for whoever knows the validators.
//!
//! It names its signers by their places in the validator set, so it is read with the set in force at its height:
//! the block's header names that set's hash. It has one encoding, and none that decodes is encoded otherwise:
//!
//! ```text
//! certificate = [version, height, round, block, signers, signatures]
//! signers     = bytes: bit n of byte m is the member 8 m + n; the last byte is not zero
//! signatures  = bytes: 64 for each signer, in their order
//! ```
//!
//! Under [`Faults::Crash`] a certificate proves nothing against liars.

use bytes::Bytes;

use super::ballot::{self, Kind, Vote, is_signed};
use super::{Faults, MAX_VALIDATORS, Validators};
use crate::codec::{DecodeError, Reader, encode};
use crate::{Hash, Height};

/// The version of certificates that this code makes and takes.
const VERSION: u64 = 1;

/// The length of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// The most bytes of an encoded certificate: all validators signed.
pub const MAX_CERTIFICATE_BYTES: usize =
    1 + 1 + 9 + 5 + 34 + (1 + MAX_VALIDATORS / 8) + (3 + MAX_VALIDATORS * SIGNATURE_BYTES);

/// Proof that a quorum decided on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    height: Height,
    round: u32,
    block: Hash,
    /// Each signer's place in the set, rising, and its signature.
    signatures: Vec<(usize, [u8; SIGNATURE_BYTES])>,
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A signer that the set does not have: the certificate belongs to another set.
    #[error("validator {place} signed, but there are {members}")]
    Signer {
        /// The signer's place.
        place: usize,
        /// How many there are.
        members: usize,
    },
    /// Too little weight.
    #[error("validators of weight {found} out of {total} signed: that is no quorum")]
    Weight {
        /// What signed.
        found: u64,
        /// What there is.
        total: u64,
    },
    /// A signature that is not its signer's.
    #[error("the signature of validator {place} is wrong")]
    Signature {
        /// The signer's place.
        place: usize,
    },
}

impl Certificate {
    /// Puts precommits together: each is a validator's key and its signature of [`Certificate::vote`]. Keys that
    /// are no member's are left out, as is a second signature of one; whether the rest proves anything,
    /// [`Certificate::verify`] says.
    pub fn new<'a>(
        height: Height,
        round: u32,
        block: Hash,
        validators: &Validators,
        precommits: impl IntoIterator<Item = (&'a [u8; 32], [u8; SIGNATURE_BYTES])>,
    ) -> Self {
        let mut signatures: Vec<_> = precommits
            .into_iter()
            .filter_map(|(key, signature)| Some((validators.place(key)?, signature)))
            .collect();
        signatures.sort_unstable();
        signatures.dedup_by_key(|(place, _)| *place);
        Self { height, round, block, signatures }
    }

    /// The height of the block.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The round in which it was decided.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// The block.
    pub fn block(&self) -> Hash {
        self.block
    }

    /// The places of those who signed, in the set of the block's height, rising.
    pub fn signers(&self) -> impl Iterator<Item = usize> {
        self.signatures.iter().map(|(place, _)| *place)
    }

    /// The vote that each signer signed.
    pub fn vote(&self) -> Vote {
        Vote { kind: Kind::Precommit, height: self.height, round: self.round, block: Some(self.block) }
    }

    /// Checks that a quorum of these validators signed for this block of this chain.
    pub fn verify(&self, chain: &Hash, validators: &Validators, faults: Faults) -> Result<(), Invalid> {
        let members = validators.members();
        let mut weight = 0;
        for place in self.signers() {
            let Some(member) = members.get(place) else {
                return Err(Invalid::Signer { place, members: members.len() });
            };
            // Members are different and their weights add up to a `u64`.
            weight += member.weight.get();
        }
        let total = validators.weight();
        if !faults.is_quorum(weight, total) {
            return Err(Invalid::Weight { found: weight, total });
        }
        let bytes = ballot::Vote::signed_bytes(&self.vote(), chain);
        let wrong = |(place, signature): &&(usize, [u8; SIGNATURE_BYTES])| {
            !is_signed(&bytes, &members[*place].key, signature)
        };
        match self.signatures.iter().find(wrong) {
            None => Ok(()),
            Some((place, _)) => Err(Invalid::Signature { place: *place }),
        }
    }

    /// The certificate's one encoding.
    pub fn encode(&self) -> Bytes {
        let mut signers = Vec::new();
        let mut signatures = Vec::with_capacity(self.signatures.len() * SIGNATURE_BYTES);
        for (place, signature) in &self.signatures {
            if signers.len() <= place / 8 {
                signers.resize(place / 8 + 1, 0u8);
            }
            signers[place / 8] |= 1 << (place % 8);
            signatures.extend_from_slice(signature);
        }
        let mut bytes = Vec::with_capacity(signatures.len() + 80);
        encode(&mut bytes, |out| {
            out.array(6)?.u64(VERSION)?.u64(self.height.0)?.u32(self.round)?.bytes(&self.block.0)?;
            out.bytes(&signers)?.bytes(&signatures)?.ok()
        });
        bytes.into()
    }

    /// Reads a certificate in its one encoding, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "certificate";
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(DecodeError::Range { what: "certificate size", found: bytes.len() as u64 });
        }
        let mut reader = Reader::new(bytes);
        let list = reader.list(6, WHAT)?;
        match reader.uint("certificate version")? {
            VERSION => {}
            found => return Err(DecodeError::Unknown { what: "certificate version", found }),
        }
        let height = Height(reader.uint("height")?);
        let found = reader.uint("round")?;
        let round = u32::try_from(found).map_err(|_| DecodeError::Range { what: "round", found })?;
        let block = reader.hash("block hash")?;
        let places = places(reader.bytes("signers")?)?;
        let signatures = reader.bytes("signatures")?;
        reader.close(list, WHAT)?;
        reader.finish(WHAT)?;
        let (expected, found) = ((places.len() * SIGNATURE_BYTES) as u64, signatures.len() as u64);
        if expected != found {
            return Err(DecodeError::Length { what: "signatures", expected, found });
        }
        let signatures = signatures.as_chunks::<SIGNATURE_BYTES>().0.iter().copied();
        let certificate =
            Self { height, round, block, signatures: places.into_iter().zip(signatures).collect() };
        if certificate.encode() != bytes {
            return Err(DecodeError::Malformed { what: "certificate (not in its one encoding)", at: 0 });
        }
        Ok(certificate)
    }
}

/// The places whose bits are set, at most as many as a chain has validators.
fn places(signers: &[u8]) -> Result<Vec<usize>, DecodeError> {
    if signers.len() > MAX_VALIDATORS / 8 {
        return Err(DecodeError::Range { what: "signers", found: signers.len() as u64 });
    }
    let is_set = |place: &usize| signers[place / 8] & (1 << (place % 8)) != 0;
    Ok((0..signers.len() * 8).filter(is_set).collect())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;
    use crate::native::{Key, Validator};

    const CHAIN: Hash = Hash([9; 32]);
    const BLOCK: Hash = Hash([5; 32]);

    fn key(n: u8) -> Key {
        Key::from_seed(&[n; 32])
    }

    fn validators(weights: &[u64]) -> Validators {
        let weight = |weight: &u64| NonZeroU64::new(*weight).expect("not zero");
        let members = weights.iter().enumerate();
        Validators::new(members.map(|(n, w)| Validator { key: key(n as u8).public(), weight: weight(w) }))
            .expect("a set")
    }

    fn certificate(set: &Validators, signers: &[u8]) -> Certificate {
        let vote = Vote { kind: Kind::Precommit, height: Height(7), round: 2, block: Some(BLOCK) };
        let bytes = vote.signed_bytes(&CHAIN);
        let signed: Vec<_> = signers.iter().map(|n| (key(*n).public(), key(*n).sign(&bytes))).collect();
        let precommits = signed.iter().map(|(key, signature)| (key, *signature));
        Certificate::new(Height(7), 2, BLOCK, set, precommits)
    }

    #[test]
    fn a_quorum_is_more_than_two_thirds_or_more_than_half() {
        let set = validators(&[1, 1, 1, 1]);
        let verify = |signers: &[u8], faults| certificate(&set, signers).verify(&CHAIN, &set, faults);
        assert_eq!(verify(&[0, 1, 2], Faults::Byzantine), Ok(()));
        assert_eq!(verify(&[0, 1, 2, 3], Faults::Byzantine), Ok(()));
        assert_eq!(verify(&[2, 3], Faults::Byzantine), Err(Invalid::Weight { found: 2, total: 4 }));
        assert_eq!(verify(&[1, 2, 3], Faults::Crash), Ok(()));
        assert_eq!(verify(&[1, 2], Faults::Crash), Err(Invalid::Weight { found: 2, total: 4 }));
        assert_eq!(verify(&[], Faults::Crash), Err(Invalid::Weight { found: 0, total: 4 }));
        let three = validators(&[1, 1, 1]);
        let two = certificate(&three, &[0, 2]);
        assert_eq!(two.verify(&CHAIN, &three, Faults::Crash), Ok(()));
        assert!(two.verify(&CHAIN, &three, Faults::Byzantine).is_err(), "with three, all must sign");
    }

    #[test]
    fn weights_count_and_not_heads() {
        let set = validators(&[10, 1, 1, 1]);
        assert_eq!(certificate(&set, &[0]).verify(&CHAIN, &set, Faults::Byzantine), Ok(()));
        let many = certificate(&set, &[1, 2, 3]).verify(&CHAIN, &set, Faults::Crash);
        assert_eq!(many, Err(Invalid::Weight { found: 3, total: 13 }));
    }

    #[test]
    fn one_signer_counts_once_and_strangers_do_not() {
        let set = validators(&[1, 1, 1, 1]);
        let twice = certificate(&set, &[0, 0, 0, 77]);
        assert_eq!(twice.signers().count(), 1);
        assert!(twice.verify(&CHAIN, &set, Faults::Crash).is_err());
    }

    #[test]
    fn another_chain_height_round_block_or_set_is_refused() {
        let set = validators(&[1, 1, 1, 1]);
        let good = certificate(&set, &[0, 1, 2]);
        let refused =
            |certificate: &Certificate| certificate.verify(&CHAIN, &set, Faults::Byzantine).is_err();
        assert!(good.verify(&Hash([8; 32]), &set, Faults::Byzantine).is_err());
        assert!(refused(&Certificate { height: Height(8), ..good.clone() }));
        assert!(refused(&Certificate { round: 3, ..good.clone() }));
        assert!(refused(&Certificate { block: Hash([6; 32]), ..good.clone() }));
        let other =
            Validators::new([9, 10, 11].map(|n| Validator { key: key(n).public(), weight: NonZeroU64::MIN }));
        assert!(good.verify(&CHAIN, &other.expect("a set"), Faults::Crash).is_err());
    }

    #[test]
    fn a_prevote_is_no_precommit() {
        let set = validators(&[1]);
        let vote = Vote { kind: Kind::Prevote, height: Height(7), round: 2, block: Some(BLOCK) };
        let signature = key(0).sign(&vote.signed_bytes(&CHAIN));
        let signed = Certificate::new(Height(7), 2, BLOCK, &set, [(&key(0).public(), signature)]);
        let refused = Err(Invalid::Signature { place: 0 });
        assert_eq!(signed.verify(&CHAIN, &set, Faults::Byzantine), refused);
    }

    #[test]
    fn the_largest_fits_its_bound() {
        let members = (0..MAX_VALIDATORS as u8).map(|n| Validator { key: [n; 32], weight: NonZeroU64::MIN });
        let set = Validators::new(members).expect("a set");
        let signed: Vec<_> = set.members().iter().map(|member| (&member.key, [0; 64])).collect();
        let largest = Certificate::new(Height(u64::MAX), u32::MAX, BLOCK, &set, signed);
        assert_eq!(largest.encode().len(), MAX_CERTIFICATE_BYTES);
        assert_eq!(Certificate::decode(&largest.encode()), Ok(largest));
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_encoded_alike(signers in prop::collection::btree_set(0..9u8, 0..9)) {
            let set = validators(&[1; 9]);
            let signers: Vec<_> = signers.into_iter().collect();
            let certificate = certificate(&set, &signers);
            let bytes = certificate.encode();
            prop_assert_eq!(Certificate::decode(&bytes), Ok(certificate));
            for end in 0..bytes.len() {
                prop_assert!(Certificate::decode(&bytes[..end]).is_err());
            }
            prop_assert!(Certificate::decode(&[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn a_bent_certificate_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let set = validators(&[1; 4]);
            let mut bytes = certificate(&set, &[0, 1, 2]).encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(bent) = Certificate::decode(&bytes) {
                prop_assert!(bent.verify(&CHAIN, &set, Faults::Byzantine).is_err());
            }
        }

        #[test]
        fn the_decoder_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Certificate::decode(&bytes);
        }
    }
}
