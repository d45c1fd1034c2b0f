//! What the message codecs share: strict reading and writing of the CBOR that the CDDL describes.
//!
//! Reading borrows: headers, blocks and transactions stay where they are. Accepted is what the reference
//! decoder accepts: a message is a definite array headed by its number; integers may be encoded longer than
//! necessary; lists may be definite or indefinite where the reference takes both. Nothing may follow.

mod list;

use chain::{Hash, Height, Point, Slot, Tip};
use minicbor::Decoder;

use crate::framing;

pub(crate) use list::element;
pub use list::{Element, Form, List, Raw};

/// CBOR embedded in CBOR.
const TAG_EMBEDDED: u64 = 24;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else stands where the CDDL wants this.
    #[error("no {what} at byte {at}")]
    Expected {
        /// What should be there.
        what: &'static str,
        /// Where, counted from the start of the message.
        at: usize,
    },
    /// The protocol has no such message.
    #[error("no message has number {number} and {fields} fields")]
    Unknown {
        /// The number that heads it.
        number: u64,
        /// How many elements its array has, the number included.
        fields: u64,
    },
    /// Bytes follow after the message.
    #[error("bytes after the end of the message, at byte {at}")]
    Trailing {
        /// Where the message ends.
        at: usize,
    },
}

/// Reads one message from front to back.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    decoder: Decoder<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(bytes) }
    }

    /// The head of a message: how many elements its array has, and its number.
    pub(crate) fn message(&mut self) -> Result<(u64, u64), Error> {
        let fields = self.array("message")?;
        let number = self.uint("message number")?;
        Ok((fields, number))
    }

    /// A definite array; how long it is.
    pub(crate) fn array(&mut self, what: &'static str) -> Result<u64, Error> {
        self.take(what, |decoder| decoder.array().ok().flatten())
    }

    /// A definite array of this length.
    pub(crate) fn array_of(&mut self, length: u64, what: &'static str) -> Result<(), Error> {
        self.take(what, |decoder| decoder.array().ok().filter(|n| *n == Some(length)).map(drop))
    }

    /// A definite map; how many pairs it has.
    pub(crate) fn map(&mut self, what: &'static str) -> Result<u64, Error> {
        self.take(what, |decoder| decoder.map().ok().flatten())
    }

    pub(crate) fn uint(&mut self, what: &'static str) -> Result<u64, Error> {
        self.take(what, |decoder| decoder.u64().ok())
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.take(what, |decoder| decoder.u32().ok())
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        self.take(what, |decoder| decoder.u16().ok())
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        self.take(what, |decoder| decoder.u8().ok())
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, Error> {
        self.take(what, |decoder| decoder.bool().ok())
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, Error> {
        self.take(what, |decoder| decoder.str().ok())
    }

    /// `tag24(bytes)`; the bytes.
    pub(crate) fn embedded(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        self.take(what, |decoder| {
            let tag = decoder.tag().ok()?;
            if tag.as_u64() == TAG_EMBEDDED { decoder.bytes().ok() } else { None }
        })
    }

    /// One item of any shape, as it stands. (`minicbor` would also skip a break.)
    pub(crate) fn item(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let at = self.decoder.position();
        let rest = &self.decoder.input()[at..];
        let Ok(Some(length)) = framing::item_len(rest, rest.len()) else {
            return Err(Error::Expected { what, at });
        };
        self.decoder.set_position(at + length);
        Ok(&rest[..length])
    }

    /// `[]` or `[slot, hash]`.
    pub(crate) fn point(&mut self) -> Result<Point, Error> {
        self.take("point", |decoder| match decoder.array().ok()?? {
            0 => Some(Point::Origin),
            2 => {
                let slot = Slot(decoder.u64().ok()?);
                Some(Point::Block(slot, Hash::from_slice(decoder.bytes().ok()?)?))
            }
            _ => None,
        })
    }

    /// `[point, height]`.
    pub(crate) fn tip(&mut self) -> Result<Tip, Error> {
        self.array_of(2, "tip")?;
        Ok(Tip { point: self.point()?, height: Height(self.uint("height")?) })
    }

    /// How far the reading is.
    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }

    /// What was read since then.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.decoder.input()[start..self.decoder.position()]
    }

    /// The end of the message.
    pub(crate) fn end(&self) -> Result<(), Error> {
        let at = self.decoder.position();
        if at == self.decoder.input().len() { Ok(()) } else { Err(Error::Trailing { at }) }
    }

    fn take<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder<'a>) -> Option<T>,
    ) -> Result<T, Error> {
        let at = self.decoder.position();
        read(&mut self.decoder).ok_or(Error::Expected { what, at })
    }
}

/// Writes the head of an item: its major type and its argument, in the shortest form.
fn put_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

/// Writes an unsigned number.
pub(crate) fn put_uint(out: &mut Vec<u8>, value: u64) {
    put_head(out, 0, value);
}

/// Writes the head of a definite array.
pub(crate) fn put_array(out: &mut Vec<u8>, length: u64) {
    put_head(out, 4, length);
}

/// Writes the head of a definite map.
pub(crate) fn put_map(out: &mut Vec<u8>, pairs: u64) {
    put_head(out, 5, pairs);
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xf5 } else { 0xf4 });
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes the head of a message: an array of so many elements that begins with its number.
pub(crate) fn put_message(out: &mut Vec<u8>, fields: u64, number: u64) {
    put_array(out, fields);
    put_uint(out, number);
}

/// Writes what comes before the bytes in `tag24(bytes)`.
pub(crate) fn put_embedded_head(out: &mut Vec<u8>, length: usize) {
    put_head(out, 6, TAG_EMBEDDED);
    put_head(out, 2, length as u64);
}

impl Error {
    /// The same error, met in a slice that begins at this byte.
    fn after(self, start: usize) -> Self {
        match self {
            Self::Expected { what, at } => Self::Expected { what, at: at + start },
            Self::Trailing { at } => Self::Trailing { at: at + start },
            Self::Unknown { .. } => self,
        }
    }
}
