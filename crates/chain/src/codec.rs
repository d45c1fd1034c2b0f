//! CBOR that every format shares: points and tips, a header inside a RollForward, a block inside tag 24.
//!
//! Follows the node-to-node CDDL. Decoders take whole items and refuse what is left over; original bytes
//! are cut out, never encoded again. It knows no mini-protocol beyond the two chain-sync frames whose
//! insides belong to the chain.

use bytes::Bytes;
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};

use crate::{Hash, Height, Point, Slot, Tip};

/// CBOR in CBOR (RFC 8949, 3.4.5.1).
const TAG_ENCODED_CBOR: u64 = 24;

/// The longest encoding of a tip: `[[slot, hash], height]`.
pub const MAX_TIP_BYTES: usize = 1 + 1 + 9 + 34 + 9;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no CBOR, or another item than expected.
    #[error("{what} is malformed at byte {at}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where in the bytes.
        at: usize,
    },
    /// The bytes end in the middle of an item.
    #[error("{what} ends early, after {at} bytes")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// How many bytes there were.
        at: usize,
    },
    /// A list or a byte string of the wrong length.
    #[error("{what} has length {found}, not {expected}")]
    Length {
        /// What was being read.
        what: &'static str,
        /// The only length allowed.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// A number that says which of several shapes follows, and is none of them.
    #[error("{what} {found} is unknown")]
    Unknown {
        /// What was being read.
        what: &'static str,
        /// The number found.
        found: u64,
    },
    /// Bytes left over after the item.
    #[error("{count} bytes left over after {what}")]
    LeftOver {
        /// What was being read.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// A number out of its range.
    #[error("{what} {found} is out of range")]
    Range {
        /// What was being read.
        what: &'static str,
        /// The number found.
        found: u64,
    },
}

/// A list that has been opened: says at its end whether it was really over.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) enum List {
    /// Its length was stated, and was the one expected.
    Definite,
    /// It ends with a break.
    Indefinite,
}

/// Reads CBOR items off a slice and names what it was reading when it fails.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    decoder: Decoder<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(bytes) }
    }

    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }

    /// The bytes from an earlier position up to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.decoder.input()[start..self.decoder.position()]
    }

    fn failed(&self, what: &'static str, error: &minicbor::decode::Error) -> DecodeError {
        if error.is_end_of_input() {
            DecodeError::Truncated { what, at: self.decoder.input().len() }
        } else {
            DecodeError::Malformed { what, at: self.decoder.position() }
        }
    }

    pub(crate) fn uint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.decoder.u64().map_err(|error| self.failed(what, &error))
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        self.decoder.bytes().map_err(|error| self.failed(what, &error))
    }

    pub(crate) fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<&'a [u8; N], DecodeError> {
        let bytes = self.bytes(what)?;
        bytes.try_into().map_err(|_| DecodeError::Length {
            what,
            expected: N as u64,
            found: bytes.len() as u64,
        })
    }

    pub(crate) fn hash(&mut self, what: &'static str) -> Result<Hash, DecodeError> {
        self.fixed(what).copied().map(Hash)
    }

    /// Opens a list of exactly `expected` items; close it with [`Reader::close`].
    pub(crate) fn list(&mut self, expected: u64, what: &'static str) -> Result<List, DecodeError> {
        match self.decoder.array().map_err(|error| self.failed(what, &error))? {
            None => Ok(List::Indefinite),
            Some(found) if found == expected => Ok(List::Definite),
            Some(found) => Err(DecodeError::Length { what, expected, found }),
        }
    }

    /// Opens a list of any length: `None` when it ends with a break.
    pub(crate) fn open(&mut self, what: &'static str) -> Result<Option<u64>, DecodeError> {
        self.decoder.array().map_err(|error| self.failed(what, &error))
    }

    pub(crate) fn close(&mut self, list: List, what: &'static str) -> Result<(), DecodeError> {
        match list {
            List::Definite => Ok(()),
            List::Indefinite if self.at_break(what)? => Ok(()),
            List::Indefinite => Err(DecodeError::Malformed { what, at: self.position() }),
        }
    }

    /// Takes a break if one is next.
    pub(crate) fn at_break(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        if self.kind(what)? != Type::Break {
            return Ok(false);
        }
        self.decoder.skip().map_err(|error| self.failed(what, &error))?;
        Ok(true)
    }

    pub(crate) fn kind(&self, what: &'static str) -> Result<Type, DecodeError> {
        self.decoder.datatype().map_err(|error| self.failed(what, &error))
    }

    /// Takes a null if one is next.
    pub(crate) fn null(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        if self.kind(what)? != Type::Null {
            return Ok(false);
        }
        self.decoder.null().map_err(|error| self.failed(what, &error))?;
        Ok(true)
    }

    pub(crate) fn tag(&mut self, expected: u64, what: &'static str) -> Result<(), DecodeError> {
        let found = self.decoder.tag().map_err(|error| self.failed(what, &error))?.as_u64();
        if found == expected { Ok(()) } else { Err(DecodeError::Unknown { what, found }) }
    }

    /// The next item as its original bytes, whatever it is; a lone break is none.
    pub(crate) fn item(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let start = self.position();
        if self.kind(what)? == Type::Break {
            return Err(DecodeError::Malformed { what, at: start });
        }
        self.decoder.skip().map_err(|error| self.failed(what, &error))?;
        Ok(self.since(start))
    }

    /// The insides of `tag24(bytes)`.
    pub(crate) fn encoded(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        self.tag(TAG_ENCODED_CBOR, what)?;
        self.bytes(what)
    }

    /// Refuses what is left over.
    pub(crate) fn finish(&self, what: &'static str) -> Result<(), DecodeError> {
        match self.decoder.input().len() - self.decoder.position() {
            0 => Ok(()),
            count => Err(DecodeError::LeftOver { what, count }),
        }
    }

    pub(crate) fn point(&mut self) -> Result<Point, DecodeError> {
        const WHAT: &str = "point";
        match self.open(WHAT)? {
            Some(0) => Ok(Point::Origin),
            Some(2) => Ok(Point::Block(Slot(self.uint("slot")?), self.hash("block hash")?)),
            Some(found) => Err(DecodeError::Length { what: WHAT, expected: 2, found }),
            None if self.at_break(WHAT)? => Ok(Point::Origin),
            None => {
                let point = Point::Block(Slot(self.uint("slot")?), self.hash("block hash")?);
                self.close(List::Indefinite, WHAT)?;
                Ok(point)
            }
        }
    }

    pub(crate) fn tip(&mut self) -> Result<Tip, DecodeError> {
        let list = self.list(2, "tip")?;
        let tip = Tip { point: self.point()?, height: Height(self.uint("height")?) };
        self.close(list, "tip")?;
        Ok(tip)
    }
}

/// Runs an encoder over a vector, which cannot fail.
pub(crate) fn encode(
    into: &mut Vec<u8>,
    write: impl FnOnce(
        &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<core::convert::Infallible>>,
) {
    write(&mut Encoder::new(into)).expect("writing to a vector does not fail");
}

/// Reads one point and nothing else: `[]` or `[slot, hash]`.
pub fn decode_point(bytes: &[u8]) -> Result<Point, DecodeError> {
    let mut reader = Reader::new(bytes);
    let point = reader.point()?;
    reader.finish("point")?;
    Ok(point)
}

/// Appends a point.
pub fn encode_point(point: &Point, into: &mut Vec<u8>) {
    encode(into, |out| {
        match point {
            Point::Origin => out.array(0)?,
            Point::Block(slot, hash) => out.array(2)?.u64(slot.0)?.bytes(&hash.0)?,
        };
        Ok(())
    });
}

/// Reads one tip and nothing else: `[point, height]`.
pub fn decode_tip(bytes: &[u8]) -> Result<Tip, DecodeError> {
    let mut reader = Reader::new(bytes);
    let tip = reader.tip()?;
    reader.finish("tip")?;
    Ok(tip)
}

/// Appends a tip.
pub fn encode_tip(tip: &Tip, into: &mut Vec<u8>) {
    into.push(0x82);
    encode_point(&tip.point, into);
    encode(into, |out| out.u64(tip.height.0)?.ok());
}

/// A tip as it ends a RollForward, a RollBackward, an IntersectFound.
pub fn tip_suffix(tip: &Tip) -> Bytes {
    let mut bytes = Vec::with_capacity(MAX_TIP_BYTES);
    encode_tip(tip, &mut bytes);
    bytes.into()
}

/// A whole chain-sync RollForward: `[2, header, tip]`.
pub fn roll_forward_frame(wire: &[u8], tip_suffix: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(2 + wire.len() + tip_suffix.len());
    frame.extend_from_slice(&ROLL_FORWARD_PREFIX);
    frame.extend_from_slice(wire);
    frame.extend_from_slice(tip_suffix);
    frame.into()
}

/// How a RollForward begins: a header in wire form and a tip follow.
pub const ROLL_FORWARD_PREFIX: [u8; 2] = [0x83, 0x02];

/// Appends `tag24(bytes)`: how a block travels.
pub fn wrap(bytes: &[u8], into: &mut Vec<u8>) {
    into.reserve(bytes.len() + 2 + 9);
    encode(into, |out| out.tag(Tag::new(TAG_ENCODED_CBOR))?.bytes(bytes)?.ok());
}

/// The insides of `tag24(bytes)` and nothing else, sharing the buffer.
pub fn unwrap(bytes: &Bytes) -> Result<Bytes, DecodeError> {
    let mut reader = Reader::new(bytes);
    let inner = reader.encoded("wrapped item")?;
    reader.finish("wrapped item")?;
    Ok(bytes.slice_ref(inner))
}

/// A header in its wire form, `[era, tag24(bytes)]`.
pub fn wrap_header(era: u64, bytes: &[u8]) -> Bytes {
    let mut wire = Vec::with_capacity(bytes.len() + 16);
    encode(&mut wire, |out| out.array(2)?.u64(era)?.ok());
    wrap(bytes, &mut wire);
    wire.into()
}

/// The era of a header in wire form.
pub fn header_era(wire: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(wire);
    let _ = reader.list(2, "header")?;
    reader.uint("header era")
}

/// The era of a block, `[era, block]`.
pub fn block_era(raw: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(raw);
    let _ = reader.list(2, "block")?;
    reader.uint("block era")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_break_is_no_item() {
        assert!(matches!(Reader::new(&[0xff]).item("item"), Err(DecodeError::Malformed { at: 0, .. })));
        assert_eq!(Reader::new(&[0x9f, 0x01, 0xff, 0x02]).item("item"), Ok(&[0x9f, 0x01, 0xff][..]));
    }
}
