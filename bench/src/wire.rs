//! The few messages that the load and the bare server speak, written apart from the product's codecs so
//! that both ends cannot share a mistake.

use anyhow::{Context, bail, ensure};
use minicbor::{Decoder, Encoder};

/// The network that all servers under test serve.
pub(crate) const MAGIC: u64 = 2;
/// Set in the protocol number of a segment from the responder.
pub(crate) const FROM_RESPONDER: u16 = 0x8000;
/// Handshake.
pub(crate) const HANDSHAKE: u16 = 0;
/// Chain-sync.
pub(crate) const CHAIN_SYNC: u16 = 2;
/// Block-fetch.
pub(crate) const BLOCK_FETCH: u16 = 3;
/// The payload that the reference node puts in one segment at most.
pub(crate) const SEGMENT_PAYLOAD: usize = 12_288;
/// The bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: usize = 8;
/// RequestNext in a segment of its own, as a follower sends it.
pub(crate) const REQUEST_NEXT: [u8; 10] = [0, 0, 0, 0, 0, 2, 0, 2, 0x81, 0x00];
/// Enough for any header or small message.
const SMALL: usize = 1_024;

/// A point: `None` is origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point(pub(crate) Option<(u64, [u8; 32])>);

impl std::str::FromStr for Point {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "origin" {
            return Ok(Self(None));
        }
        let (slot, hash) = text.split_once('.').context("a point is `origin` or SLOT.HASH")?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes)?;
        Ok(Self(Some((slot.parse()?, bytes))))
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => f.write_str("origin"),
            Some((slot, hash)) => write!(f, "{slot}.{}", hex::encode(hash)),
        }
    }
}

/// Appends `payload` in as many segments as it needs.
pub(crate) fn segments(protocol: u16, payload: &[u8], out: &mut Vec<u8>) {
    for part in payload.chunks(SEGMENT_PAYLOAD) {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&protocol.to_be_bytes());
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(part);
    }
}

/// Writes CBOR into a vector, which cannot fail.
pub(crate) fn cbor(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SMALL);
    write(&mut Encoder::new(&mut bytes));
    bytes
}

/// A point in CBOR.
pub(crate) fn point(point: &Point) -> Vec<u8> {
    cbor(|e| match &point.0 {
        None => drop(e.array(0)),
        Some((slot, hash)) => drop(e.array(2).and_then(|e| e.u64(*slot)).and_then(|e| e.bytes(hash))),
    })
}

/// A tip in CBOR.
pub(crate) fn tip(at: &Point, height: u64) -> Vec<u8> {
    let mut bytes = vec![0x82];
    bytes.extend_from_slice(&point(at));
    bytes.extend_from_slice(&cbor(|e| drop(e.u64(height))));
    bytes
}

/// ProposeVersions with version 14 alone.
pub(crate) fn propose() -> Vec<u8> {
    cbor(|e| {
        let _ = e.array(2).and_then(|e| e.u8(0)).and_then(|e| e.map(1)).and_then(|e| e.u8(14));
        version_data(e);
    })
}

/// AcceptVersion of version 14.
pub(crate) fn accept() -> Vec<u8> {
    cbor(|e| {
        let _ = e.array(3).and_then(|e| e.u8(1)).and_then(|e| e.u8(14));
        version_data(e);
    })
}

fn version_data(e: &mut Encoder<&mut Vec<u8>>) {
    let _ = e
        .array(4)
        .and_then(|e| e.u64(MAGIC))
        .and_then(|e| e.bool(true))
        .and_then(|e| e.u8(0))
        .and_then(|e| e.bool(false));
}

/// FindIntersect with one point.
pub(crate) fn find_intersect(at: &Point) -> Vec<u8> {
    let mut bytes = vec![0x82, 0x04, 0x81];
    bytes.extend_from_slice(&point(at));
    bytes
}

/// RequestRange, both ends included.
pub(crate) fn request_range(from: &Point, to: &Point) -> Vec<u8> {
    let mut bytes = vec![0x83, 0x00];
    bytes.extend_from_slice(&point(from));
    bytes.extend_from_slice(&point(to));
    bytes
}

/// What a chain-sync server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A header with this block number and slot.
    Forward { height: u64, slot: u64 },
    /// Back to a point.
    Backward,
    /// Wait.
    Await,
    /// FindIntersect's point is on the server's chain.
    Found,
}

/// Decodes one chain-sync message: the message and its length, or `None` where bytes are missing.
pub(crate) fn chain_sync(bytes: &[u8]) -> anyhow::Result<Option<(Said, usize)>> {
    let mut d = Decoder::new(bytes);
    match chain_sync_message(&mut d) {
        Ok(said) => Ok(Some((said, d.position()))),
        Err(error) if error.downcast_ref().is_some_and(minicbor::decode::Error::is_end_of_input) => Ok(None),
        Err(error) => Err(error),
    }
}

fn chain_sync_message(d: &mut Decoder<'_>) -> anyhow::Result<Said> {
    d.array()?;
    let said = match d.u8()? {
        1 => return Ok(Said::Await),
        2 => {
            d.array()?;
            d.u8()?;
            d.tag()?;
            let (height, slot) = header(d.bytes()?)?;
            Said::Forward { height, slot }
        }
        3 => {
            d.skip()?;
            Said::Backward
        }
        5 => {
            d.skip()?;
            Said::Found
        }
        other => bail!("chain-sync message {other}: not one that this load can get"),
    };
    d.skip()?;
    Ok(said)
}

/// Walks a whole header and returns its block number and slot.
pub(crate) fn header(bytes: &[u8]) -> anyhow::Result<(u64, u64)> {
    let mut d = Decoder::new(bytes);
    let fields = header_fields(&mut d).map_err(|error| anyhow::anyhow!("malformed header: {error}"))?;
    ensure!(d.position() == bytes.len(), "bytes after the header");
    Ok(fields)
}

fn header_fields(d: &mut Decoder<'_>) -> Result<(u64, u64), minicbor::decode::Error> {
    d.array()?;
    let fields = d.array()?.unwrap_or_default();
    let (height, slot) = (d.u64()?, d.u64()?);
    for _ in 2..fields {
        d.skip()?;
    }
    d.skip()?;
    Ok((height, slot))
}

/// What a block-fetch server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// Blocks follow.
    Start,
    /// A block of so many bytes with this block number.
    Block { bytes: usize, height: u64 },
    /// That was all.
    Done,
}

/// Decodes one block-fetch message: the message and its length, or `None` where bytes are missing.
pub(crate) fn block_fetch(bytes: &[u8]) -> anyhow::Result<Option<(Batch, usize)>> {
    let mut d = Decoder::new(bytes);
    match block_fetch_message(&mut d) {
        Ok(said) => Ok(Some((said, d.position()))),
        Err(error) if error.downcast_ref().is_some_and(minicbor::decode::Error::is_end_of_input) => Ok(None),
        Err(error) => Err(error),
    }
}

fn block_fetch_message(d: &mut Decoder<'_>) -> anyhow::Result<Batch> {
    d.array()?;
    match d.u8()? {
        2 => Ok(Batch::Start),
        4 => {
            d.tag()?;
            let raw = d.bytes()?;
            let height = block(raw).map_err(|error| anyhow::anyhow!("malformed block: {error}"))?;
            Ok(Batch::Block { bytes: raw.len(), height })
        }
        5 => Ok(Batch::Done),
        other => bail!("block-fetch message {other}: not one that this load can get"),
    }
}

/// Walks a whole block and returns its number.
fn block(raw: &[u8]) -> Result<u64, minicbor::decode::Error> {
    let mut d = Decoder::new(raw);
    d.array()?;
    d.u8()?;
    let parts = d.array()?.unwrap_or_default();
    let (height, _) = header_fields(&mut d)?;
    for _ in 1..parts {
        d.skip()?;
    }
    if d.position() != raw.len() {
        return Err(minicbor::decode::Error::message("bytes after the block"));
    }
    Ok(height)
}
