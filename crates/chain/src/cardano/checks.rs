//! The expensive checks of one header: signatures and proofs, in any order and on any thread.

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use pallas_crypto::hash::Hasher;

use super::era::Era;
use super::header::{Parts, Proof, Vrf};
use super::nonces::Nonce;
use super::params::Params;
use super::state::{Reason, State};
use super::{byron, header, kes, vrf};
use crate::format::Counts;
use crate::{Hash, Header, Slot};

/// One header with all that its checks need.
#[derive(Debug, Clone)]
pub struct Checks {
    params: Arc<Params>,
    wire: Bytes,
    /// The nonce of the header's epoch; `None` where it is unknown.
    nonce: Option<Nonce>,
}

impl Checks {
    /// The checks of a header after a block in slot `last` that left this state.
    pub(crate) fn after(params: &Arc<Params>, state: &State, last: Option<Slot>, header: &Header) -> Self {
        let era = header::unwrap(&header.wire).map_or(Era::Byron, |(era, _)| era);
        let nonce = state.nonces_at(params, last, era, header.slot).map(|nonces| nonces.epoch);
        Self { params: Arc::clone(params), wire: header.wire.clone(), nonce }
    }

    /// Checks everything, and says what that was.
    pub fn run(&self) -> Result<Counts, Reason> {
        let (era, bytes) = header::unwrap(&self.wire)?;
        if era == Era::Byron {
            return self.run_byron(bytes);
        }
        let parts = Parts::decode(era, bytes)?;
        self.check_certificate(&parts)?;
        self.check_signature(&parts)?;
        let counts = Counts { certificates: 1, kes: 1, ..Counts::default() };
        match self.nonce {
            None => Ok(Counts { nonces_unknown: 1, ..counts }),
            Some(nonce) => Ok(Counts { vrf: check_vrf(&parts, nonce)?, ..counts }),
        }
    }

    fn run_byron(&self, envelope: &[u8]) -> Result<Counts, Reason> {
        let byron::Enveloped { boundary, bytes, .. } = byron::open(envelope)?;
        let parts = byron::Parts::decode(boundary, bytes)?;
        if parts.magic != u64::from(self.params.magic) {
            return Err(Reason::Magic { expected: self.params.magic, found: parts.magic });
        }
        match &parts.kind {
            byron::Kind::Boundary => Ok(Counts { boundaries: 1, ..Counts::default() }),
            byron::Kind::Regular { signed, .. } => {
                let federation = self.params.byron.as_ref().map_or(&[][..], |byron| &byron.issuers);
                signed.check(self.params.magic, federation)?;
                Ok(Counts { signatures: 1, certificates: 1, ..Counts::default() })
            }
        }
    }

    /// The cold key's signature over hot key, counter and first period.
    fn check_certificate(&self, parts: &Parts<'_>) -> Result<(), Reason> {
        let certificate = &parts.certificate;
        let mut message = [0; 48];
        message[..32].copy_from_slice(certificate.hot_key);
        message[32..40].copy_from_slice(&certificate.counter.to_be_bytes());
        message[40..].copy_from_slice(&certificate.period.to_be_bytes());
        let signature = Signature::from_bytes(certificate.signature);
        VerifyingKey::from_bytes(parts.issuer)
            .and_then(|key| key.verify_strict(&message, &signature))
            .map_err(|_| Reason::CertificateSignature)
    }

    /// The hot key's signature over the header's body, in the certificate's time.
    fn check_signature(&self, parts: &Parts<'_>) -> Result<(), Reason> {
        let start = parts.certificate.period;
        let period = parts.slot.0 / self.params.slots_per_kes_period;
        let evolutions = period.checked_sub(start).ok_or(Reason::CertificateNotYet { start, period })?;
        if evolutions >= self.params.max_kes_evolutions {
            return Err(Reason::CertificateExpired { start, period });
        }
        if kes::verify(parts.certificate.hot_key, evolutions, parts.body, parts.signature) {
            Ok(())
        } else {
            Err(Reason::KesSignature)
        }
    }
}

/// How many proofs were checked.
fn check_vrf(parts: &Parts<'_>, nonce: Nonce) -> Result<u64, Reason> {
    let seed = slot_seed(parts.slot, nonce);
    match &parts.vrf {
        Vrf::One(proof) => check_proof(parts.vrf_key, &seed, proof).map(|()| 1),
        Vrf::Two { nonce, leader } => {
            check_proof(parts.vrf_key, &for_purpose(seed, Purpose::Nonce), nonce)?;
            check_proof(parts.vrf_key, &for_purpose(seed, Purpose::Leader), leader)?;
            Ok(2)
        }
    }
}

fn check_proof(key: &[u8; 32], seed: &[u8; 32], proof: &Proof<'_>) -> Result<(), Reason> {
    match vrf::verify(key, seed, proof.proof) {
        Some(output) if output == *proof.output => Ok(()),
        Some(_) | None => Err(Reason::VrfProof),
    }
}

/// The lottery's input: the hash of slot and nonce.
pub(super) fn slot_seed(slot: Slot, nonce: Nonce) -> [u8; 32] {
    let mut hasher = Hasher::<256>::new();
    hasher.input(&slot.0.to_be_bytes());
    if let Some(Hash(nonce)) = nonce {
        hasher.input(&nonce);
    }
    *hasher.finalize()
}

/// What a TPraos proof is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Nonce = 0,
    Leader = 1,
}

/// TPraos keeps its two lotteries apart by the hash of a number each.
pub(super) fn for_purpose(mut seed: [u8; 32], purpose: Purpose) -> [u8; 32] {
    let constant = Hasher::<256>::hash(&(purpose as u64).to_be_bytes());
    seed.iter_mut().zip(constant.iter()).for_each(|(byte, with)| *byte ^= with);
    seed
}
