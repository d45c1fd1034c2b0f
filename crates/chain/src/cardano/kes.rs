//! KES, the hot key that forgets: the sum construction of depth 6 over Ed25519, verification only.
//!
//! A public key is the root of a binary tree of hashes over 64 Ed25519 keys, one a period. A signature is
//! the leaf's, then the pairs of keys on the way up from it. (MMM, "Composition and efficiency tradeoffs
//! for forward-secure digital signatures", section 3.1.)

use ed25519_dalek::{Signature, VerifyingKey};
use pallas_crypto::hash::Hasher;

/// How often the key was doubled: it is good for 2^6 periods.
const DEPTH: u32 = 6;

/// How many periods a key has.
pub(crate) const PERIODS: u64 = 1 << DEPTH;

/// The leaf's signature and a pair of keys for each level.
pub(crate) const SIGNATURE_LEN: usize = 64 + DEPTH as usize * 64;

/// Whether the signature is that of this key over the message, in this period of the key's.
pub(crate) fn verify(key: &[u8; 32], period: u64, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
    if period >= PERIODS {
        return false;
    }
    let (leaf_signature, pairs) = signature.split_first_chunk::<64>().expect("64 of 448 bytes");
    let mut expected = *key;
    for (level, pair) in pairs.chunks_exact(64).enumerate().rev() {
        if *Hasher::<256>::hash(pair) != expected {
            return false;
        }
        let right = (period >> level) & 1 == 1;
        let half = if right { &pair[32..] } else { &pair[..32] };
        expected = half.try_into().expect("half of 64 bytes");
    }
    VerifyingKey::from_bytes(&expected)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(leaf_signature)).is_ok())
}
