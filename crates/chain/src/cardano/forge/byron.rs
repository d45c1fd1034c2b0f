//! Made Byron blocks.

use ed25519_dalek::Signer;
use pallas_crypto::hash::Hasher;

use super::super::{block, body};
use super::keys::{Federate, byron_public};
use super::{Forge, Plan};
use crate::State;
use crate::codec::encode;

/// Block version, software version, attributes, hash of nothing: what follows the consensus data.
const EXTRA: [u8; 10] = [0x84, 0x83, 0x00, 0x00, 0x00, 0x82, 0x60, 0x00, 0xa0, 0x40];

impl Forge {
    pub(super) fn byron_block(&self, parent: &State, plan: &Plan<'_>) -> Vec<u8> {
        let member = &self.federation[plan.maker % self.federation.len()];
        let (proof, content) = byron_body(plan);
        let height = parent.tip.point.hash().map_or(0, |_| parent.tip.height.0 + 1);
        let length = self.params.byron_epoch_length();
        let (mut prev, mut slot, mut difficulty) = (Vec::new(), Vec::new(), Vec::new());
        encode(&mut prev, |out| out.bytes(&self.previous(parent))?.ok());
        encode(&mut slot, |out| out.array(2)?.u64(plan.slot.0 / length)?.u64(plan.slot.0 % length)?.ok());
        encode(&mut difficulty, |out| out.array(1)?.u64(height)?.ok());
        let issuer = byron_public(&member.issuer);
        let delegate = byron_public(&member.delegate);

        let mut message = [&b"01"[..], &issuer, &[0x09]].concat();
        encode(&mut message, |out| out.u32(self.params.magic)?.array(5)?.ok());
        for part in [&prev, &proof, &slot, &difficulty, &EXTRA.to_vec()] {
            message.extend_from_slice(part);
        }
        let signature = member.delegate.sign(&message).to_bytes();

        let mut raw = Vec::new();
        encode(&mut raw, |out| out.array(2)?.u64(1)?.array(3)?.array(5)?.u32(self.params.magic)?.ok());
        raw.extend_from_slice(&prev);
        raw.extend_from_slice(&proof);
        raw.push(0x84);
        raw.extend_from_slice(&slot);
        encode(&mut raw, |out| out.bytes(&issuer)?.ok());
        raw.extend_from_slice(&difficulty);
        encode(&mut raw, |out| {
            out.array(2)?.u64(2)?.array(2)?.array(4)?.u64(0)?.bytes(&issuer)?.bytes(&delegate)?;
            out.bytes(&self.delegation(member))?.bytes(&signature)?.ok()
        });
        raw.extend_from_slice(&EXTRA);
        raw.extend_from_slice(&content);
        raw
    }

    pub(super) fn boundary_block(&self, parent: &State, epoch: u64) -> Vec<u8> {
        let content = [0x9f, 0xff];
        let mut raw = Vec::new();
        encode(&mut raw, |out| {
            out.array(2)?.u64(0)?.array(3)?.array(5)?.u32(self.params.magic)?;
            out.bytes(&self.previous(parent))?.bytes(&block::hash(&content))?;
            out.array(2)?.u64(epoch)?.array(1)?.u64(parent.tip.height.0)?;
            out.array(1)?.map(0)?.ok()
        });
        raw.extend_from_slice(&content);
        encode(&mut raw, |out| out.array(1)?.map(0)?.ok());
        raw
    }

    fn previous(&self, parent: &State) -> [u8; 32] {
        let genesis = self.params.byron.as_ref().expect("a network with Byron years").genesis;
        parent.tip.point.hash().unwrap_or(genesis).0
    }

    fn delegation(&self, member: &Federate) -> [u8; 64] {
        let inner = [&b"00"[..], &byron_public(&member.delegate), &[0x00]].concat();
        let mut message = vec![0x0a];
        encode(&mut message, |out| out.u32(self.params.magic)?.bytes(&inner)?.ok());
        member.issuer.sign(&message).to_bytes()
    }
}

/// The body's proof, and the body with the extra data after it.
fn byron_body(plan: &Plan<'_>) -> (Vec<u8>, Vec<u8>) {
    let (mut content, mut witnesses, mut leaves) = (vec![0x84, 0x9f], vec![0x9f], Vec::new());
    for transaction in plan.transactions {
        let mut bytes = Vec::new();
        encode(&mut bytes, |out| out.bytes(transaction)?.ok());
        leaves.push(body::leaf(&bytes));
        content.push(0x82);
        content.extend_from_slice(&bytes);
        content.push(0x80);
        witnesses.push(0x80);
    }
    witnesses.push(0xff);
    let (shared_seed, delegations, updates) = ([0x80], [0x9f, 0xff], [0x82, 0x80, 0x80]);
    content.push(0xff);
    content.extend_from_slice(&shared_seed);
    content.extend_from_slice(&delegations);
    content.extend_from_slice(&updates);
    content.extend_from_slice(&[0x81, 0xa0]);
    let mut proof = Vec::new();
    encode(&mut proof, |out| {
        out.array(4)?.array(3)?.u64(leaves.len() as u64)?.bytes(&body::merkle_root(&leaves))?;
        out.bytes(&*Hasher::<256>::hash(&witnesses))?.array(0)?;
        out.bytes(&block::hash(&delegations))?.bytes(&block::hash(&updates))?.ok()
    });
    (proof, content)
}
