//! Byron: headers that the federation signs in turns, and boundary headers that nobody signs.
//!
//! Follows cardano-ledger's Byron and the PBFT of ouroboros-consensus. Checked from a header alone: the
//! network's magic, the delegate's signature, the issuer's word for the delegate, and that the issuer is of
//! the federation. Deliberately not: how often one issuer signed lately (the window of PBFT), nor whether
//! the delegation was revoked since, which only blocks' bodies tell.

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use pallas_crypto::hash::Hasher;

use super::params::{Byron, Params};
use super::state::Reason;
use crate::codec::{self, DecodeError, Reader};
use crate::{Hash, Header, Height, Slot};

/// The first item of a header in its envelope and of a hashed header: a boundary block.
const BOUNDARY: u64 = 0;
/// The same of a block with transactions.
const REGULAR: u64 = 1;
/// A signature by a delegate whose issuer keeps the right for good ("heavy").
const HEAVY_DELEGATE: u64 = 2;

/// What goes in front of a signed header, after the issuer's key.
const SIGN_BLOCK: u8 = 0x09;
/// What goes in front of a signed delegation.
const SIGN_DELEGATION: u8 = 0x0a;

/// A Byron header in parts.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) magic: u64,
    pub(crate) prev: Hash,
    /// What the header says of the body, as its original bytes.
    pub(crate) proof: &'a [u8],
    pub(crate) epoch: u64,
    pub(crate) height: Height,
    pub(crate) kind: Kind<'a>,
}

/// What tells the two kinds of header apart.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Boundary,
    Regular { slot_in_epoch: u64, signed: Signed<'a> },
}

/// The signature of a header and the bytes that it is made over.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    prev: &'a [u8],
    proof: &'a [u8],
    slot: &'a [u8],
    difficulty: &'a [u8],
    extra: &'a [u8],
    leader: &'a [u8; 64],
    delegation: Delegation<'a>,
    signature: &'a [u8; 64],
}

/// The issuer's word for a delegate.
#[derive(Debug)]
struct Delegation<'a> {
    epoch: &'a [u8],
    issuer: &'a [u8; 64],
    delegate: &'a [u8; 64],
    signature: &'a [u8; 64],
}

/// A header inside its envelope `[[kind, block size], tag24(header)]`.
pub(crate) struct Enveloped<'a> {
    pub(crate) boundary: bool,
    /// The size of the whole block, as whoever sent the header says: a hint that nobody signed.
    pub(crate) block_size: u32,
    pub(crate) bytes: &'a [u8],
}

/// Opens the envelope that Byron headers travel in.
pub(crate) fn open(envelope: &[u8]) -> Result<Enveloped<'_>, DecodeError> {
    const WHAT: &str = "Byron header envelope";
    let mut reader = Reader::new(envelope);
    let list = reader.list(2, WHAT)?;
    let context = reader.list(2, WHAT)?;
    let kind = reader.uint("Byron header kind")?;
    let size = reader.uint("Byron block size")?;
    let block_size =
        u32::try_from(size).map_err(|_| DecodeError::Range { what: "Byron block size", found: size })?;
    reader.close(context, WHAT)?;
    let bytes = reader.encoded(WHAT)?;
    reader.close(list, WHAT)?;
    reader.finish(WHAT)?;
    match kind {
        BOUNDARY => Ok(Enveloped { boundary: true, block_size, bytes }),
        REGULAR => Ok(Enveloped { boundary: false, block_size, bytes }),
        found => Err(DecodeError::Unknown { what: "Byron header kind", found }),
    }
}

/// The wire form of a Byron header out of a block of this size.
pub(crate) fn wrap(boundary: bool, block_size: u32, bytes: &[u8]) -> Bytes {
    let mut wire = Vec::with_capacity(bytes.len() + 24);
    let kind = if boundary { BOUNDARY } else { REGULAR };
    codec::encode(&mut wire, |out| {
        out.array(2)?.u64(0)?.array(2)?.array(2)?.u64(kind)?.u32(block_size)?.ok()
    });
    codec::wrap(bytes, &mut wire);
    wire.into()
}

/// The id of a header: the hash of `[kind, header]`.
pub(crate) fn id(boundary: bool, bytes: &[u8]) -> Hash {
    let mut hasher = Hasher::<256>::new();
    hasher.input(&[0x82, if boundary { BOUNDARY as u8 } else { REGULAR as u8 }]);
    hasher.input(bytes);
    Hash(*hasher.finalize())
}

impl<'a> Parts<'a> {
    /// Reads a header and nothing else.
    pub(crate) fn decode(boundary: bool, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let parts = Self::read(boundary, &mut reader)?;
        reader.finish("Byron header")?;
        Ok(parts)
    }

    /// Reads a header off the front.
    pub(crate) fn read(boundary: bool, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let list = reader.list(5, "Byron header")?;
        let magic = reader.uint("protocol magic")?;
        let start = reader.position();
        let prev = reader.hash("previous hash")?;
        let prev_bytes = reader.since(start);
        let proof = reader.item("body proof")?;
        let parts = if boundary {
            let consensus = reader.list(2, "boundary consensus data")?;
            let epoch = reader.uint("epoch")?;
            let (height, _) = read_difficulty(reader)?;
            reader.close(consensus, "boundary consensus data")?;
            reader.item("extra data")?;
            Self { magic, prev, proof, epoch, height, kind: Kind::Boundary }
        } else {
            Self::read_regular(magic, prev, prev_bytes, proof, reader)?
        };
        reader.close(list, "Byron header")?;
        Ok(parts)
    }

    fn read_regular(
        magic: u64,
        prev: Hash,
        prev_bytes: &'a [u8],
        proof: &'a [u8],
        reader: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let consensus = reader.list(4, "consensus data")?;
        let start = reader.position();
        let slot_list = reader.list(2, "slot id")?;
        let epoch = reader.uint("epoch")?;
        let slot_in_epoch = reader.uint("slot in epoch")?;
        reader.close(slot_list, "slot id")?;
        let slot = reader.since(start);
        let leader = reader.fixed("leader key")?;
        let (height, difficulty) = read_difficulty(reader)?;
        let (delegation, signature) = read_signature(reader)?;
        reader.close(consensus, "consensus data")?;
        let extra = reader.item("extra data")?;
        let signed =
            Signed { prev: prev_bytes, proof, slot, difficulty, extra, leader, delegation, signature };
        Ok(Self { magic, prev, proof, epoch, height, kind: Kind::Regular { slot_in_epoch, signed } })
    }

    /// The header as the layers above see it.
    pub(crate) fn header(
        &self,
        params: &Params,
        byron: &Byron,
        id: Hash,
        wire: Bytes,
    ) -> Result<Header, DecodeError> {
        let length = params.byron_epoch_length();
        let slot_in_epoch = match &self.kind {
            Kind::Boundary => 0,
            Kind::Regular { slot_in_epoch, .. } if *slot_in_epoch >= length => {
                return Err(DecodeError::Range { what: "slot in epoch", found: *slot_in_epoch });
            }
            Kind::Regular { slot_in_epoch, .. } => *slot_in_epoch,
        };
        let start = self.epoch.checked_mul(length).filter(|start| *start < byron.end_slot);
        let slot =
            start.ok_or(DecodeError::Range { what: "Byron epoch", found: self.epoch })? + slot_in_epoch;
        Ok(Header {
            id,
            prev: (self.prev != byron.genesis).then_some(self.prev),
            slot: Slot(slot),
            height: self.height,
            boundary: matches!(self.kind, Kind::Boundary),
            wire,
        })
    }
}

fn read_difficulty<'a>(reader: &mut Reader<'a>) -> Result<(Height, &'a [u8]), DecodeError> {
    let start = reader.position();
    let list = reader.list(1, "difficulty")?;
    let height = Height(reader.uint("difficulty")?);
    reader.close(list, "difficulty")?;
    Ok((height, reader.since(start)))
}

/// Only delegates ever signed on the networks that there are: the other two kinds of signature are refused.
fn read_signature<'a>(reader: &mut Reader<'a>) -> Result<(Delegation<'a>, &'a [u8; 64]), DecodeError> {
    const WHAT: &str = "Byron signature";
    let list = reader.list(2, WHAT)?;
    match reader.uint(WHAT)? {
        HEAVY_DELEGATE => {}
        found => return Err(DecodeError::Unknown { what: "Byron signature kind", found }),
    }
    let delegated = reader.list(2, WHAT)?;
    let certificate = reader.list(4, "delegation")?;
    let start = reader.position();
    reader.uint("delegation epoch")?;
    let epoch = reader.since(start);
    let issuer = reader.fixed("issuer key")?;
    let delegate = reader.fixed("delegate key")?;
    let delegation = Delegation { epoch, issuer, delegate, signature: reader.fixed("delegation signature")? };
    reader.close(certificate, "delegation")?;
    let signature = reader.fixed(WHAT)?;
    reader.close(delegated, WHAT)?;
    reader.close(list, WHAT)?;
    Ok((delegation, signature))
}

impl Signed<'_> {
    /// Judges the signature, the delegation and its issuer.
    pub(crate) fn check(&self, magic: u32, federation: &[[u8; 64]]) -> Result<(), Reason> {
        let delegation = &self.delegation;
        if self.leader != delegation.issuer {
            return Err(Reason::LeaderIsNotIssuer);
        }
        if !federation.is_empty() && !federation.contains(delegation.issuer) {
            return Err(Reason::UnknownIssuer);
        }
        if !verify(delegation.issuer, &delegation.message(magic), delegation.signature) {
            return Err(Reason::DelegationSignature);
        }
        if !verify(delegation.delegate, &self.message(magic), self.signature) {
            return Err(Reason::BlockSignature);
        }
        Ok(())
    }

    /// `"01" issuer 0x09 magic [prev, proof, slot, difficulty, extra]`.
    fn message(&self, magic: u32) -> Vec<u8> {
        let mut message = b"01".to_vec();
        message.extend_from_slice(self.delegation.issuer);
        message.push(SIGN_BLOCK);
        codec::encode(&mut message, |out| out.u32(magic)?.array(5)?.ok());
        for part in [self.prev, self.proof, self.slot, self.difficulty, self.extra] {
            message.extend_from_slice(part);
        }
        message
    }
}

impl Delegation<'_> {
    /// `0x0a magic bytes("00" delegate epoch)`.
    fn message(&self, magic: u32) -> Vec<u8> {
        let mut inner = b"00".to_vec();
        inner.extend_from_slice(self.delegate);
        inner.extend_from_slice(self.epoch);
        let mut message = vec![SIGN_DELEGATION];
        codec::encode(&mut message, |out| out.u32(magic)?.bytes(&inner)?.ok());
        message
    }
}

/// A Byron key is an Ed25519 key and a chain code; only the key signs.
fn verify(key: &[u8; 64], message: &[u8], signature: &[u8; 64]) -> bool {
    let (point, _chain_code) = key.split_first_chunk::<32>().expect("32 of 64 bytes");
    VerifyingKey::from_bytes(point)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}
