//! The verifiable random function of Cardano: ECVRF-ED25519-SHA512-Elligator2, draft 03, verification only.
//!
//! Follows draft-irtf-cfrg-vrf-03, sections 5.2, 5.3 and 5.4, as libsodium implements it. There the
//! Elligator map always takes the point with sign 0. `curve25519-dalek` takes the sign from the top bit of
//! the digest that it is given, so we give it one whose top bit is cleared: see [`SignlessSha512`].

use curve25519_dalek::digest::consts::U64;
use curve25519_dalek::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use sha2_10::{Digest, Sha512};

/// The suite's number, in front of everything that is hashed.
const SUITE: u8 = 0x04;
/// Hashing to the curve (5.4.1.2).
const TO_CURVE: u8 = 0x01;
/// Hashing points to the challenge (5.4.3).
const TO_CHALLENGE: u8 = 0x02;
/// Hashing gamma to the output (5.2).
const TO_OUTPUT: u8 = 0x03;

/// Gamma, the challenge (16 bytes), the response.
pub(crate) const PROOF_LEN: usize = 80;

/// What a proof proves.
pub(crate) const OUTPUT_LEN: usize = 64;

/// The output that the proof proves for this key and input; `None` when it proves nothing.
pub(crate) fn verify(key: &[u8; 32], input: &[u8], proof: &[u8; PROOF_LEN]) -> Option<[u8; OUTPUT_LEN]> {
    let public = canonical_point(key)?;
    if public.is_small_order() {
        return None;
    }
    let (gamma_bytes, rest) = proof.split_first_chunk::<32>().expect("32 of 80 bytes");
    let gamma = canonical_point(gamma_bytes)?;
    let (challenge_bytes, response_bytes) = rest.split_first_chunk::<16>().expect("16 of 48 bytes");
    let mut wide = [0; 32];
    wide[..16].copy_from_slice(challenge_bytes);
    let challenge = Option::<Scalar>::from(Scalar::from_canonical_bytes(wide))?;
    let response_bytes = response_bytes.try_into().expect("the last 32 bytes");
    let response = Option::<Scalar>::from(Scalar::from_canonical_bytes(response_bytes))?;

    let base = hash_to_curve(key, input);
    let minus_challenge = -challenge;
    let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&minus_challenge, &public, &response);
    let v = EdwardsPoint::vartime_multiscalar_mul([response, minus_challenge], [base, gamma]);
    (hash_points(&base, gamma_bytes, &u, &v)[..16] == *challenge_bytes).then(|| output(&gamma))
}

/// Section 5.4.1.2.
pub(super) fn hash_to_curve(key: &[u8; 32], input: &[u8]) -> EdwardsPoint {
    let mut message = Vec::with_capacity(2 + key.len() + input.len());
    message.extend_from_slice(&[SUITE, TO_CURVE]);
    message.extend_from_slice(key);
    message.extend_from_slice(input);
    // Deprecated as a hash to the curve in general: it is exactly the map that this draft asks for.
    #[allow(deprecated)]
    EdwardsPoint::nonspec_map_to_curve::<SignlessSha512>(&message)
}

/// Section 5.4.3.
pub(super) fn hash_points(
    base: &EdwardsPoint,
    gamma: &[u8; 32],
    u: &EdwardsPoint,
    v: &EdwardsPoint,
) -> [u8; 64] {
    let mut hash = Sha512::new();
    Digest::update(&mut hash, [SUITE, TO_CHALLENGE]);
    Digest::update(&mut hash, base.compress().as_bytes());
    Digest::update(&mut hash, gamma);
    Digest::update(&mut hash, u.compress().as_bytes());
    Digest::update(&mut hash, v.compress().as_bytes());
    hash.finalize().into()
}

/// Section 5.2.
pub(super) fn output(gamma: &EdwardsPoint) -> [u8; OUTPUT_LEN] {
    let mut hash = Sha512::new();
    Digest::update(&mut hash, [SUITE, TO_OUTPUT]);
    Digest::update(&mut hash, gamma.mul_by_cofactor().compress().as_bytes());
    hash.finalize().into()
}

/// A point in the only encoding that libsodium takes for it: y below the field's prime, and no negative 0.
fn canonical_point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    /// 2^255 - 19, little-endian: from 0xed on, with the 30 bytes between all ones, y wraps around.
    const PRIME_LOW: u8 = 0xed;
    let high = bytes[31] & 0x7f;
    if high == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff) && bytes[0] >= PRIME_LOW {
        return None;
    }
    CompressedEdwardsY(*bytes).decompress()
}

/// SHA-512 with bit 255 of its output cleared: the sign of the Elligator map, which draft 03 fixes at 0.
#[derive(Default)]
struct SignlessSha512(Sha512);

impl HashMarker for SignlessSha512 {}

impl OutputSizeUser for SignlessSha512 {
    type OutputSize = U64;
}

impl Update for SignlessSha512 {
    fn update(&mut self, data: &[u8]) {
        Update::update(&mut self.0, data);
    }
}

impl FixedOutput for SignlessSha512 {
    fn finalize_into(self, out: &mut Output<Self>) {
        FixedOutput::finalize_into(self.0, out);
        out[31] &= 0x7f;
    }
}
