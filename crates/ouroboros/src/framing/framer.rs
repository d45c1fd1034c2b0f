//! Whole messages out of chunks.

use bytes::Bytes;

use super::{Error, Scanner};

/// Up to this much is reserved when a message announces its length: the largest real blocks (90,112 B) are then
/// collected without growing and without slack, and an empty promise costs no resident memory.
const RESERVE_BYTES: usize = 128 * 1024;

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// It arrived whole: the bytes still lie in the buffer that they were received in.
    Borrowed(&'a [u8]),
    /// It arrived in pieces.
    Owned(Bytes),
}

impl Item<'_> {
    /// The bytes of the message.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    /// Keeps a part of the message (a slice of [`Item::bytes`]), copying it at most once.
    pub fn keep(&self, part: &[u8]) -> Bytes {
        match self {
            Self::Borrowed(_) => Bytes::copy_from_slice(part),
            Self::Owned(bytes) => bytes.slice_ref(part),
        }
    }
}

/// What has arrived of a message that is not complete.
#[derive(Debug, Clone, Default)]
struct Partial {
    scanner: Scanner,
    bytes: Vec<u8>,
}

/// Cuts the bytes of one direction of a mini-protocol into messages.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    partial: Option<Box<Partial>>,
}

impl Framer {
    /// Takes the next message off the front of `input`; nothing when all of it was consumed without
    /// completing one. A message may be at most `limit` bytes long.
    pub fn next<'a>(&mut self, input: &mut &'a [u8], limit: usize) -> Result<Option<Item<'a>>, Error> {
        let bytes = *input;
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some(partial) = &mut self.partial else {
            return self.begin(input, limit);
        };
        let end = partial.scanner.scan(bytes, limit)?;
        let (taken, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        *input = rest;
        partial.bytes.extend_from_slice(taken);
        if end.is_none() {
            partial.reserve();
            return Ok(None);
        }
        let mut whole = std::mem::take(&mut partial.bytes);
        self.partial = None;
        if whole.len() > RESERVE_BYTES {
            whole.shrink_to_fit();
        }
        Ok(Some(Item::Owned(Bytes::from(whole))))
    }

    /// How many bytes of an incomplete message are kept.
    pub fn held(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes.len())
    }

    fn begin<'a>(&mut self, input: &mut &'a [u8], limit: usize) -> Result<Option<Item<'a>>, Error> {
        let mut scanner = Scanner::default();
        if let Some(end) = scanner.scan(input, limit)? {
            let (item, rest) = input.split_at(end);
            *input = rest;
            return Ok(Some(Item::Borrowed(item)));
        }
        let mut partial = Partial { scanner, bytes: Vec::new() };
        partial.bytes.reserve_exact(input.len() + partial.scanner.needed().min(RESERVE_BYTES));
        partial.bytes.extend_from_slice(input);
        self.partial = Some(Box::new(partial));
        *input = &[];
        Ok(None)
    }
}

impl Partial {
    fn reserve(&mut self) {
        let needed = self.scanner.needed();
        if self.bytes.capacity() - self.bytes.len() >= needed {
            return;
        }
        if needed <= RESERVE_BYTES && needed > self.bytes.len() {
            self.bytes.reserve_exact(needed);
        } else {
            self.bytes.reserve(needed.min(RESERVE_BYTES));
        }
    }
}
