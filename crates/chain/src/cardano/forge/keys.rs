//! The keys of made-up pools and federations, and what is signed and proven with them.
//!
//! All keys come from a seed by hashing: they are anyone's, and good for nothing but made chains.

use curve25519_dalek::constants::ED25519_BASEPOINT_TABLE;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::{Signer, SigningKey};
use pallas_crypto::hash::Hasher;
use sha2_10::{Digest, Sha512};

use super::super::kes::{PERIODS, SIGNATURE_LEN};
use super::super::vrf;

/// A key derived from a seed, a purpose and a number.
pub(super) fn derive(seed: &[u8; 32], purpose: &str, number: u64) -> [u8; 32] {
    let mut hasher = Hasher::<256>::new();
    hasher.input(seed);
    hasher.input(purpose.as_bytes());
    hasher.input(&number.to_be_bytes());
    *hasher.finalize()
}

/// A whole KES key: all its leaves at once, so that any period can be signed for in any order.
#[derive(Debug)]
pub(in super::super) struct Kes {
    leaves: Vec<SigningKey>,
    /// The tree from the leaves' public keys up to the root.
    levels: Vec<Vec<[u8; 32]>>,
}

impl Kes {
    pub(in super::super) fn new(seed: &[u8; 32]) -> Self {
        let leaves: Vec<_> =
            (0..PERIODS).map(|period| SigningKey::from_bytes(&derive(seed, "kes", period))).collect();
        let mut levels = vec![leaves.iter().map(|key| key.verifying_key().to_bytes()).collect::<Vec<_>>()];
        while levels.last().expect("the leaves").len() > 1 {
            let below = levels.last().expect("the leaves");
            let above = below.chunks_exact(2).map(|pair| *Hasher::<256>::hash(&pair.concat())).collect();
            levels.push(above);
        }
        Self { leaves, levels }
    }

    pub(in super::super) fn public(&self) -> [u8; 32] {
        self.levels.last().expect("the root")[0]
    }

    pub(in super::super) fn sign(&self, period: u64, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut index = usize::try_from(period).expect("one of 64");
        let mut signature = self.leaves[index].sign(message).to_bytes().to_vec();
        for level in &self.levels[..self.levels.len() - 1] {
            let left = index & !1;
            signature.extend_from_slice(&level[left]);
            signature.extend_from_slice(&level[left + 1]);
            index /= 2;
        }
        signature.try_into().expect("a leaf's signature and six pairs")
    }
}

/// A VRF key.
#[derive(Debug)]
pub(super) struct Vrf {
    secret: Scalar,
    nonce_seed: [u8; 32],
    public: [u8; 32],
}

impl Vrf {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let expanded: [u8; 64] = Sha512::digest(seed).into();
        let (secret, nonce_seed) = expanded.split_first_chunk::<32>().expect("32 of 64 bytes");
        let secret = Scalar::from_bytes_mod_order(clamp_integer(*secret));
        let public = (&secret * ED25519_BASEPOINT_TABLE).compress().to_bytes();
        Self { secret, nonce_seed: nonce_seed.try_into().expect("the other 32"), public }
    }

    pub(super) fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Output and proof, after sections 5.1 and 5.4.2.2 of the draft.
    pub(super) fn prove(&self, input: &[u8]) -> ([u8; vrf::OUTPUT_LEN], [u8; vrf::PROOF_LEN]) {
        let base = vrf::hash_to_curve(&self.public, input);
        let gamma = base * self.secret;
        let hashed = Sha512::new().chain_update(self.nonce_seed).chain_update(base.compress().as_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&hashed.finalize().into());
        let gamma_bytes = gamma.compress().to_bytes();
        let hashed = vrf::hash_points(&base, &gamma_bytes, &(&k * ED25519_BASEPOINT_TABLE), &(base * k));
        let mut challenge = [0; 32];
        challenge[..16].copy_from_slice(&hashed[..16]);
        let response = k + Scalar::from_bytes_mod_order(challenge) * self.secret;
        let mut proof = [0; vrf::PROOF_LEN];
        proof[..32].copy_from_slice(&gamma_bytes);
        proof[32..48].copy_from_slice(&challenge[..16]);
        proof[48..].copy_from_slice(response.as_bytes());
        (vrf::output(&gamma), proof)
    }
}

/// A pool with its cold, hot and lottery keys.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) cold: SigningKey,
    pub(super) hot: Kes,
    pub(super) vrf: Vrf,
}

impl Pool {
    pub(super) fn new(seed: &[u8; 32], number: u64) -> Self {
        Self {
            cold: SigningKey::from_bytes(&derive(seed, "cold", number)),
            hot: Kes::new(&derive(seed, "hot", number)),
            vrf: Vrf::new(&derive(seed, "vrf", number)),
        }
    }
}

/// A member of the federation with its delegate.
#[derive(Debug)]
pub(super) struct Federate {
    pub(super) issuer: SigningKey,
    pub(super) delegate: SigningKey,
}

impl Federate {
    pub(super) fn new(seed: &[u8; 32], number: u64) -> Self {
        Self {
            issuer: SigningKey::from_bytes(&derive(seed, "issuer", number)),
            delegate: SigningKey::from_bytes(&derive(seed, "delegate", number)),
        }
    }
}

/// A Byron public key: the point, and a chain code that nothing here uses.
pub(super) fn byron_public(key: &SigningKey) -> [u8; 64] {
    let mut public = [0; 64];
    public[..32].copy_from_slice(key.verifying_key().as_bytes());
    public
}
