//! Blocks of every era: cutting the header out, and the body's hash against it.

use bytes::Bytes;
use pallas_crypto::hash::Hasher;

use super::era::Era;
use super::params::{Byron, Params};
use super::{body, byron, header};
use crate::codec::{DecodeError, Reader};
use crate::{Block, Header};

/// The largest block taken: block-fetch's message limit in the streaming state.
pub const MAX_BLOCK_BYTES: usize = 2_500_000;

/// Reads a header in wire form. Of the envelope, which nobody signs, only the canonical form is passed on.
pub(crate) fn decode_header(params: &Params, wire: &Bytes) -> Result<Header, DecodeError> {
    let (era, bytes) = header::unwrap(wire)?;
    if era != Era::Byron {
        let wire = if header::is_canonical(wire, bytes) { wire.clone() } else { header::wrap(era, bytes) };
        return Ok(header::Parts::decode(era, bytes)?.header(header::id(bytes), wire));
    }
    let byron::Enveloped { boundary, block_size, bytes } = byron::open(bytes)?;
    let years = byron_years(params)?;
    let parts = byron::Parts::decode(boundary, bytes)?;
    let wire = byron::wrap(boundary, block_size, bytes);
    parts.header(params, years, byron::id(boundary, bytes), wire)
}

/// Reads a block, `[era, block]`, as far as its header; [`body::check`] reads the rest.
pub(crate) fn decode_block(params: &Params, raw: &Bytes) -> Result<Block, DecodeError> {
    if raw.len() > MAX_BLOCK_BYTES {
        return Err(DecodeError::Range { what: "block size", found: raw.len() as u64 });
    }
    let mut reader = Reader::new(raw);
    let (era, boundary) = open(&mut reader)?;
    let start = reader.position();
    let header = if era == Era::Byron {
        let parts = byron::Parts::read(boundary, &mut reader)?;
        let bytes = reader.since(start);
        let size = u32::try_from(raw.len()).expect("no larger than `MAX_BLOCK_BYTES`");
        let wire = byron::wrap(boundary, size, bytes);
        parts.header(params, byron_years(params)?, byron::id(boundary, bytes), wire)?
    } else {
        let parts = header::Parts::read(era, &mut reader)?;
        let bytes = reader.since(start);
        parts.header(header::id(bytes), header::wrap(era, bytes))
    };
    Ok(Block { header, raw: raw.clone() })
}

/// Opens `[era, [` up to the header.
pub(crate) fn open(reader: &mut Reader<'_>) -> Result<(Era, bool), DecodeError> {
    let _ = reader.list(2, "block envelope")?;
    let (era, boundary) = Era::of_block(reader.uint("block era")?)?;
    let _ = reader.list(body::parts(era) + 1, "block")?;
    Ok((era, boundary))
}

fn byron_years(params: &Params) -> Result<&Byron, DecodeError> {
    params.byron.as_ref().ok_or(DecodeError::Unknown { what: "era of this network", found: 0 })
}

/// Blake2b-256 of one part of a body.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    *Hasher::<256>::hash(bytes)
}
