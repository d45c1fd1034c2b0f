//! The native header: its fields, and its one encoding.

use bytes::Bytes;

use super::{MAX_EXTENSION_BYTES, MAX_HEADER_BYTES, NATIVE_ERA, Validators, blake2b};
use crate::codec::{DecodeError, Reader, encode, wrap_header};
use crate::{Hash, Header, Height, Slot};

/// How many items a header's body has.
const BODY_ITEMS: u64 = 15;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// The version of the header.
    pub version: u64,
    /// The id of the chain: the hash of its genesis.
    pub chain: Hash,
    /// How many blocks lie before this one: the first stands at 0.
    pub height: Height,
    /// When the block was made.
    pub slot: Slot,
    /// The block before; `None` for the first.
    pub prev: Option<Hash>,
    /// The Ed25519 public key of the producer.
    pub producer: [u8; 32],
    /// The producers' term, for chains that vote.
    pub term: u64,
    /// The round within the term, for chains that vote.
    pub round: u64,
    /// The Merkle root of the transactions.
    pub root: Hash,
    /// How many transactions there are.
    pub count: u64,
    /// How many bytes the list of transactions takes in the block.
    pub size: u64,
    /// The hash of the validators in force at this height.
    pub validators: Hash,
    /// The validators of later blocks, where they change.
    pub change: Option<Change>,
    /// The application's state after an earlier block, where it is known.
    pub state: Option<StateRoot>,
    /// For later: nobody reads it yet, everybody keeps it.
    pub extension: Bytes,
}

/// A change of validators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The first height at which the new validators are in force: at least two above the header's own.
    pub height: Height,
    /// The new validators.
    pub validators: Validators,
}

/// The application's state after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateRoot {
    /// The height of that block: below the header's own.
    pub height: Height,
    /// The root.
    pub root: Hash,
}

/// A header's fields with what its producer signed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    /// What the header says.
    pub fields: Fields,
    /// The encoded fields, which the signature is over.
    pub body: Vec<u8>,
    /// The producer's Ed25519 signature.
    pub signature: [u8; 64],
}

/// Reads a header in its wire form, `[100, tag24(header)]`, and nothing else.
pub fn decode_header(wire: &Bytes) -> Result<Header, DecodeError> {
    let bytes = unwrap(wire)?;
    let produced = decode_fields(bytes)?;
    Ok(header(&produced.fields, bytes, wire.clone()))
}

/// What a decoded header says beside what every format's does.
pub fn read_fields(header: &Header) -> Result<Fields, DecodeError> {
    Ok(decode_fields(unwrap(&header.wire)?)?.fields)
}

/// Reads a header's own bytes, `[body, signature]`, and nothing else.
pub fn decode_fields(bytes: &[u8]) -> Result<Produced, DecodeError> {
    if bytes.len() > MAX_HEADER_BYTES {
        return Err(DecodeError::Range { what: "native header size", found: bytes.len() as u64 });
    }
    let mut reader = Reader::new(bytes);
    let list = reader.list(2, "native header")?;
    let start = reader.position();
    let fields = fields(&mut reader)?;
    let body = reader.since(start).to_vec();
    let signature = *reader.fixed("native signature")?;
    reader.close(list, "native header")?;
    reader.finish("native header")?;
    let produced = Produced { fields, body, signature };
    if produced.fields.encode() != produced.body || produced.encode() != bytes {
        return Err(DecodeError::Malformed { what: "native header (not in its one encoding)", at: 0 });
    }
    Ok(produced)
}

/// The header's own bytes out of its wire form.
pub(super) fn unwrap(wire: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(wire);
    let list = reader.list(2, "native header")?;
    era(&mut reader)?;
    let bytes = reader.encoded("native header")?;
    reader.close(list, "native header")?;
    reader.finish("native header")?;
    // Two wire forms of one header would be two sizes of one message: there is only the shortest.
    if wire_size(bytes.len()) != wire.len() {
        return Err(DecodeError::Malformed { what: "native header (not in its one encoding)", at: 0 });
    }
    Ok(bytes)
}

pub(super) fn era(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.uint("native era")? {
        NATIVE_ERA => Ok(()),
        found => Err(DecodeError::Unknown { what: "native era", found }),
    }
}

/// The header as everything above the formats sees it.
pub(super) fn header(fields: &Fields, bytes: &[u8], wire: Bytes) -> Header {
    let Fields { prev, slot, height, .. } = *fields;
    Header { id: blake2b(bytes), prev, slot, height, boundary: false, wire }
}

/// The header's bytes in their wire form.
pub(super) fn wrap(bytes: &[u8]) -> Bytes {
    wrap_header(NATIVE_ERA, bytes)
}

/// How long the wire form of a header of this size is: a list of two, a two-byte era, a two-byte tag, a
/// byte string.
fn wire_size(bytes: usize) -> usize {
    let length = match bytes {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    };
    1 + 2 + 2 + length + bytes
}

impl Produced {
    /// The header's own bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + 67);
        bytes.push(0x82);
        bytes.extend_from_slice(&self.body);
        encode(&mut bytes, |out| out.bytes(&self.signature)?.ok());
        bytes
    }
}

impl Fields {
    /// The bytes that the producer signs.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(320 + self.extension.len());
        encode(&mut bytes, |out| {
            out.array(BODY_ITEMS)?.u64(self.version)?.bytes(&self.chain.0)?;
            out.u64(self.height.0)?.u64(self.slot.0)?;
            match self.prev {
                None => out.null()?,
                Some(prev) => out.bytes(&prev.0)?,
            };
            out.bytes(&self.producer)?.u64(self.term)?.u64(self.round)?;
            out.bytes(&self.root.0)?.u64(self.count)?.u64(self.size)?.bytes(&self.validators.0)?.ok()
        });
        encode_change(self.change.as_ref(), &mut bytes);
        encode(&mut bytes, |out| {
            match self.state {
                None => out.null()?,
                Some(state) => out.array(2)?.u64(state.height.0)?.bytes(&state.root.0)?,
            };
            out.bytes(&self.extension)?.ok()
        });
        bytes
    }
}

/// Appends `[height, validators]` or null.
pub(super) fn encode_change(change: Option<&Change>, into: &mut Vec<u8>) {
    match change {
        None => encode(into, |out| out.null()?.ok()),
        Some(change) => {
            encode(into, |out| out.array(2)?.u64(change.height.0)?.ok());
            change.validators.encode(into);
        }
    }
}

fn fields(reader: &mut Reader<'_>) -> Result<Fields, DecodeError> {
    let list = reader.list(BODY_ITEMS, "native header body")?;
    let fields = Fields {
        version: reader.uint("native version")?,
        chain: reader.hash("chain id")?,
        height: Height(reader.uint("height")?),
        slot: Slot(reader.uint("slot")?),
        prev: if reader.null("previous hash")? { None } else { Some(reader.hash("previous hash")?) },
        producer: *reader.fixed("producer")?,
        term: reader.uint("term")?,
        round: reader.uint("round")?,
        root: reader.hash("transactions' root")?,
        count: reader.uint("transactions' count")?,
        size: reader.uint("transactions' size")?,
        validators: reader.hash("validators' hash")?,
        change: change(reader)?,
        state: state_root(reader)?,
        extension: extension(reader)?,
    };
    reader.close(list, "native header body")?;
    Ok(fields)
}

pub(super) fn change(reader: &mut Reader<'_>) -> Result<Option<Change>, DecodeError> {
    if reader.null("change of validators")? {
        return Ok(None);
    }
    let list = reader.list(2, "change of validators")?;
    let height = Height(reader.uint("height of a change")?);
    let validators = Validators::decode(reader)?;
    reader.close(list, "change of validators")?;
    Ok(Some(Change { height, validators }))
}

fn state_root(reader: &mut Reader<'_>) -> Result<Option<StateRoot>, DecodeError> {
    if reader.null("state root")? {
        return Ok(None);
    }
    let list = reader.list(2, "state root")?;
    let state =
        StateRoot { height: Height(reader.uint("height of a state")?), root: reader.hash("state root")? };
    reader.close(list, "state root")?;
    Ok(Some(state))
}

fn extension(reader: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
    let bytes = reader.bytes("extension")?;
    if bytes.len() > MAX_EXTENSION_BYTES {
        return Err(DecodeError::Range { what: "extension size", found: bytes.len() as u64 });
    }
    Ok(Bytes::copy_from_slice(bytes))
}
