//! Strict CBOR for messages between peers: definite, shortest form, nothing left over, so that each message has one
//! encoding.
//!
//! It deliberately knows no message.

use bytes::Bytes;
use chain::{Hash, Height, Point, Slot, Tip};
use minicbor::Decoder;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else stands where this should.
    #[error("no {what} at byte {at}")]
    Expected {
        /// What should be there.
        what: &'static str,
        /// Where, counted from the start of the message.
        at: usize,
    },
    /// No message has this number, in this version.
    #[error("no message has number {number}")]
    Unknown {
        /// The number that heads it.
        number: u64,
    },
    /// Bytes follow after the message.
    #[error("bytes after the end of the message, at byte {at}")]
    Trailing {
        /// Where the message ends.
        at: usize,
    },
}

/// Reads one message from front to back.
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    decoder: Decoder<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, decoder: Decoder::new(bytes) }
    }

    /// The length of a definite array.
    pub(crate) fn array(&mut self, what: &'static str) -> Result<u64, Error> {
        self.take(what, |decoder| {
            let length = decoder.array().ok()??;
            Some((length, head_bytes(length)))
        })
    }

    pub(crate) fn uint(&mut self, max: u64, what: &'static str) -> Result<u64, Error> {
        self.take(what, |decoder| {
            let value = decoder.u64().ok().filter(|value| *value <= max)?;
            Some((value, head_bytes(value)))
        })
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, Error> {
        self.take(what, |decoder| Some((decoder.bool().ok()?, 1)))
    }

    pub(crate) fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        self.take(what, |decoder| {
            let found: [u8; N] = decoder.bytes().ok()?.try_into().ok()?;
            Some((found, head_bytes(N as u64) + N))
        })
    }

    /// At most `max` bytes, sharing the message's buffer.
    pub(crate) fn bytes(&mut self, max: usize, what: &'static str) -> Result<Bytes, Error> {
        let whole = self.bytes;
        self.take(what, |decoder| {
            let found = decoder.bytes().ok().filter(|found| found.len() <= max)?;
            Some((whole.slice_ref(found), head_bytes(found.len() as u64) + found.len()))
        })
    }

    pub(crate) fn hash(&mut self, what: &'static str) -> Result<Hash, Error> {
        self.fixed(what).map(Hash)
    }

    /// `[]` or `[slot, hash]`.
    pub(crate) fn point(&mut self) -> Result<Point, Error> {
        let at = self.decoder.position();
        match self.array("point")? {
            0 => Ok(Point::Origin),
            2 => Ok(Point::Block(Slot(self.uint(u64::MAX, "slot")?), self.hash("hash")?)),
            _ => Err(Error::Expected { what: "point", at }),
        }
    }

    /// `[point, height]`.
    pub(crate) fn tip(&mut self) -> Result<Tip, Error> {
        let at = self.decoder.position();
        if self.array("tip")? != 2 {
            return Err(Error::Expected { what: "tip", at });
        }
        let tip = Tip { point: self.point()?, height: Height(self.uint(u64::MAX, "height")?) };
        if tip.point == Point::Origin && tip.height.0 != 0 {
            return Err(Error::Expected { what: "tip", at });
        }
        Ok(tip)
    }

    /// At most `max` elements; nothing is allocated on the word of the head alone.
    pub(crate) fn list<T>(
        &mut self,
        max: usize,
        what: &'static str,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let at = self.decoder.position();
        let length = self.array(what)?;
        if length > max as u64 {
            return Err(Error::Expected { what, at });
        }
        (0..length).map(|_| element(self)).collect()
    }

    /// Refuses what is left over.
    pub(crate) fn end(&self) -> Result<(), Error> {
        let at = self.decoder.position();
        if at == self.bytes.len() { Ok(()) } else { Err(Error::Trailing { at }) }
    }

    /// One item, in its shortest form: the reader says how long that is.
    fn take<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder<'a>) -> Option<(T, usize)>,
    ) -> Result<T, Error> {
        let at = self.decoder.position();
        match read(&mut self.decoder) {
            Some((value, shortest)) if self.decoder.position() == at + shortest => Ok(value),
            _ => Err(Error::Expected { what, at }),
        }
    }
}

const UINT: u8 = 0;
const BYTES: u8 = 2;
const ARRAY: u8 = 4;

/// How long the shortest head with this argument is.
pub(crate) fn head_bytes(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn put_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match head_bytes(argument) {
        1 => out.push(major | argument as u8),
        2 => out.extend_from_slice(&[major | 24, argument as u8]),
        3 => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        5 => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

pub(crate) fn put_array(out: &mut Vec<u8>, length: usize) {
    put_head(out, ARRAY, length as u64);
}

pub(crate) fn put_uint(out: &mut Vec<u8>, value: u64) {
    put_head(out, UINT, value);
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xf5 } else { 0xf4 });
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_head(out, BYTES, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_point(out: &mut Vec<u8>, point: &Point) {
    match point {
        Point::Origin => put_array(out, 0),
        Point::Block(slot, hash) => {
            put_array(out, 2);
            put_uint(out, slot.0);
            put_bytes(out, &hash.0);
        }
    }
}

pub(crate) fn put_tip(out: &mut Vec<u8>, tip: &Tip) {
    put_array(out, 2);
    put_point(out, &tip.point);
    put_uint(out, tip.height.0);
}

/// Heads a message: its number is the first of its fields.
pub(crate) fn put_message(out: &mut Vec<u8>, fields: usize, number: u64) {
    put_array(out, fields);
    put_uint(out, number);
}
