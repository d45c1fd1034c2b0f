//! Headers from Shelley on, cut into their parts without copying.
//!
//! `[body, signature]`, where the body has 15 fields in TPraos (Shelley to Alonzo) and 10 in Praos (Babbage
//! and later). Nothing is judged here beyond shapes and lengths.

use bytes::Bytes;
use pallas_crypto::hash::Hasher;

use super::era::{Era, Protocol};
use super::kes;
use crate::codec::{self, DecodeError, Reader};
use crate::{Hash, Header, Height, Slot};

/// The longest header taken from a peer: four times the limit that mainnet ever set (1,100 B), and still
/// well inside chain-sync's message limit.
pub const MAX_HEADER_BYTES: usize = 4_400;

/// A header from Shelley on.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// The bytes that the KES key signed.
    pub(crate) body: &'a [u8],
    pub(crate) height: Height,
    pub(crate) slot: Slot,
    pub(crate) prev: Option<Hash>,
    /// The pool's cold key.
    pub(crate) issuer: &'a [u8; 32],
    pub(crate) vrf_key: &'a [u8; 32],
    pub(crate) vrf: Vrf<'a>,
    pub(crate) block_size: u64,
    pub(crate) block_hash: Hash,
    pub(crate) certificate: Certificate<'a>,
    pub(crate) signature: &'a [u8; kes::SIGNATURE_LEN],
}

/// What a header proves about its slot's lottery.
#[derive(Debug)]
pub(crate) enum Vrf<'a> {
    /// TPraos: one proof for the nonce, one for the leader.
    Two { nonce: Proof<'a>, leader: Proof<'a> },
    /// Praos: both from one.
    One(Proof<'a>),
}

/// A VRF output with its proof.
#[derive(Debug)]
pub(crate) struct Proof<'a> {
    pub(crate) output: &'a [u8; 64],
    pub(crate) proof: &'a [u8; 80],
}

/// The cold key's word for a hot key.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) hot_key: &'a [u8; 32],
    pub(crate) counter: u64,
    pub(crate) period: u64,
    pub(crate) signature: &'a [u8; 64],
}

impl<'a> Parts<'a> {
    /// Reads a header and nothing else.
    pub(crate) fn decode(era: Era, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let parts = Self::read(era, &mut reader)?;
        reader.finish("header")?;
        Ok(parts)
    }

    /// Reads a header off the front.
    pub(crate) fn read(era: Era, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let list = reader.list(2, "header")?;
        let start = reader.position();
        let praos = era.protocol() == Protocol::Praos;
        let body_list = reader.list(if praos { 10 } else { 15 }, "header body")?;
        let height = Height(reader.uint("height")?);
        let slot = Slot(reader.uint("slot")?);
        let prev = if reader.null("previous hash")? { None } else { Some(reader.hash("previous hash")?) };
        let issuer = reader.fixed("issuer key")?;
        let vrf_key = reader.fixed("VRF key")?;
        let vrf = if praos {
            Vrf::One(Proof::read(reader)?)
        } else {
            Vrf::Two { nonce: Proof::read(reader)?, leader: Proof::read(reader)? }
        };
        let block_size = reader.uint("body size")?;
        let block_hash = reader.hash("body hash")?;
        let certificate = Certificate::read(praos, reader)?;
        read_version(praos, reader)?;
        reader.close(body_list, "header body")?;
        let body = reader.since(start);
        let signature = reader.fixed("KES signature")?;
        reader.close(list, "header")?;
        #[rustfmt::skip]
        let parts = Self {
            body, height, slot, prev, issuer, vrf_key, vrf, block_size, block_hash, certificate, signature,
        };
        Ok(parts)
    }

    /// The header as the layers above see it.
    pub(crate) fn header(&self, id: Hash, wire: Bytes) -> Header {
        Header { id, prev: self.prev, slot: self.slot, height: self.height, boundary: false, wire }
    }

    /// The pool: the hash of its cold key.
    pub(crate) fn pool(&self) -> [u8; 28] {
        *Hasher::<224>::hash(self.issuer)
    }
}

impl<'a> Vrf<'a> {
    /// The output by which ties are broken.
    pub(crate) fn leader_output(&self) -> &'a [u8; 64] {
        match self {
            Self::Two { leader, .. } => leader.output,
            Self::One(proof) => proof.output,
        }
    }
}

impl<'a> Proof<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let list = reader.list(2, "VRF certificate")?;
        let proof = Self { output: reader.fixed("VRF output")?, proof: reader.fixed("VRF proof")? };
        reader.close(list, "VRF certificate")?;
        Ok(proof)
    }
}

impl<'a> Certificate<'a> {
    /// In Praos a list of its own; in TPraos its fields lie among the body's.
    fn read(listed: bool, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const WHAT: &str = "operational certificate";
        let list = if listed { Some(reader.list(4, WHAT)?) } else { None };
        let certificate = Self {
            hot_key: reader.fixed("KES key")?,
            counter: reader.uint("certificate counter")?,
            period: reader.uint("certificate period")?,
            signature: reader.fixed("certificate signature")?,
        };
        list.map_or(Ok(()), |list| reader.close(list, WHAT))?;
        Ok(certificate)
    }
}

fn read_version(listed: bool, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let list = if listed { Some(reader.list(2, "protocol version")?) } else { None };
    reader.uint("protocol version")?;
    reader.uint("protocol version")?;
    list.map_or(Ok(()), |list| reader.close(list, "protocol version"))
}

/// The id of a header from Shelley on.
pub(crate) fn id(bytes: &[u8]) -> Hash {
    Hash(*Hasher::<256>::hash(bytes))
}

/// Cuts a header in wire form into its era and its own bytes; Byron's keep their own envelope.
pub(crate) fn unwrap(wire: &[u8]) -> Result<(Era, &[u8]), DecodeError> {
    if wire.len() > MAX_HEADER_BYTES {
        return Err(DecodeError::Range { what: "header size", found: wire.len() as u64 });
    }
    let mut reader = Reader::new(wire);
    let list = reader.list(2, "wrapped header")?;
    let era = Era::of_header(reader.uint("header era")?)?;
    let inner =
        if era == Era::Byron { reader.item("Byron header")? } else { reader.encoded("wrapped header")? };
    reader.close(list, "wrapped header")?;
    reader.finish("wrapped header")?;
    Ok((era, inner))
}

/// Whether the envelope is as short as it can be: then it is the one that [`wrap`] makes.
pub(crate) fn is_canonical(wire: &[u8], bytes: &[u8]) -> bool {
    /// `[era,` and the tag.
    const BEFORE: usize = 2 + 2;
    let head = match bytes.len() {
        0..=0x17 => 1,
        0x18..=0xff => 2,
        _ => 3,
    };
    wire.len() == BEFORE + head + bytes.len()
}

/// The wire form of a header's own bytes.
pub(crate) fn wrap(era: Era, bytes: &[u8]) -> Bytes {
    codec::wrap_header(era.header_tag(), bytes)
}
