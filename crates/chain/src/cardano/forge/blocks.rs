//! Made blocks from Shelley on.

use ed25519_dalek::Signer;
use minicbor::Encoder;
use pallas_crypto::hash::Hasher;

use super::super::checks::{Purpose, for_purpose, slot_seed};
use super::super::era::{Era, Protocol};
use super::super::{block, body};
use super::keys::Pool;
use super::{Forge, Plan};
use crate::codec::encode;
use crate::format::Detail;
use crate::{Hash, State};

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

impl Forge {
    pub(super) fn praos_block(&self, parent: &State, plan: &Plan<'_>) -> Vec<u8> {
        let pool = &self.pools[plan.maker % self.pools.len()];
        let parts = body_parts(plan);
        let signed = self.header_body(parent, plan, pool, &parts);
        let (start, _) = self.certificate_of(plan);
        let signature = pool.hot.sign(self.period(plan) - start, &signed);
        let mut raw = Vec::new();
        encode(&mut raw, |out| {
            out.array(2)?.u64(plan.era.block_tag(false))?.array(body::parts(plan.era) + 1)?.array(2)?.ok()
        });
        raw.extend_from_slice(&signed);
        encode(&mut raw, |out| out.bytes(&signature)?.ok());
        parts.iter().for_each(|part| raw.extend_from_slice(part));
        raw
    }

    fn header_body(&self, parent: &State, plan: &Plan<'_>, pool: &Pool, parts: &[Vec<u8>]) -> Vec<u8> {
        let height = parent.tip.point.hash().map_or(0, |_| parent.tip.height.0 + 1);
        let mut hashes = Hasher::<256>::new();
        parts.iter().for_each(|part| hashes.input(&block::hash(part)));
        let praos = plan.era.protocol() == Protocol::Praos;
        let mut bytes = Vec::new();
        encode(&mut bytes, |out| {
            out.array(if praos { 10 } else { 15 })?.u64(height)?.u64(plan.slot.0)?;
            match parent.tip.point.hash() {
                None => out.null()?,
                Some(Hash(prev)) => out.bytes(&prev)?,
            };
            out.bytes(pool.cold.verifying_key().as_bytes())?.bytes(&pool.vrf.public())?;
            self.write_proofs(out, parent, plan, pool)?;
            out.u64(parts.iter().map(|part| part.len() as u64).sum())?.bytes(&*hashes.finalize())?;
            self.write_certificate(out, plan, pool)?;
            if praos {
                out.array(2)?;
            }
            out.u64(plan.era as u64 + 1)?.u64(0)?.ok()
        });
        bytes
    }

    fn write_proofs(
        &self,
        out: &mut Encoder<&mut Vec<u8>>,
        parent: &State,
        plan: &Plan<'_>,
        pool: &Pool,
    ) -> Written {
        let Detail::Cardano(detail) = &parent.detail else { panic!("a state of another format") };
        let nonces = detail.nonces_at(&self.params, parent.tip.point.slot(), plan.era, plan.slot);
        let seed = slot_seed(plan.slot, nonces.and_then(|nonces| nonces.epoch));
        let seeds = if plan.era.protocol() == Protocol::Praos {
            vec![seed]
        } else {
            vec![for_purpose(seed, Purpose::Nonce), for_purpose(seed, Purpose::Leader)]
        };
        for seed in seeds {
            let (output, proof) = pool.vrf.prove(&seed);
            out.array(2)?.bytes(&output)?.bytes(&proof)?;
        }
        Ok(())
    }

    fn write_certificate(&self, out: &mut Encoder<&mut Vec<u8>>, plan: &Plan<'_>, pool: &Pool) -> Written {
        let (start, counter) = self.certificate_of(plan);
        let hot = pool.hot.public();
        let message = [&hot[..], &counter.to_be_bytes(), &start.to_be_bytes()].concat();
        if plan.era.protocol() == Protocol::Praos {
            out.array(4)?;
        }
        out.bytes(&hot)?.u64(counter)?.u64(start)?.bytes(&pool.cold.sign(&message).to_bytes())?.ok()
    }

    fn period(&self, plan: &Plan<'_>) -> u64 {
        plan.slot.0 / self.params.slots_per_kes_period
    }

    /// First period and counter of the certificate that is in force: each is renewed on the day it expires.
    fn certificate_of(&self, plan: &Plan<'_>) -> (u64, u64) {
        let counter = self.period(plan) / self.params.max_kes_evolutions;
        (counter * self.params.max_kes_evolutions, counter)
    }
}

/// Transactions, witnesses, auxiliary data and, from Alonzo on, which transactions failed.
fn body_parts(plan: &Plan<'_>) -> Vec<Vec<u8>> {
    let mut transactions = Vec::new();
    encode(&mut transactions, |out| {
        out.array(plan.transactions.len() as u64)?;
        for transaction in plan.transactions {
            out.bytes(transaction)?;
        }
        Ok(())
    });
    let mut parts = vec![transactions, vec![0x80], vec![0xa0]];
    if plan.era >= Era::Alonzo {
        parts.push(vec![0x80]);
    }
    parts
}
