//! CBOR as messages and journal records use it: definite lengths, and each decoder checks what it read against
//! its own encoding, so that there is one for each value.

use bytes::Bytes;
use chain::native::MAX_VALIDATORS;
use chain::native::ballot::Kind;
use chain::{DecodeError, Hash};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// Writes items one after another.
#[derive(Debug)]
pub(super) struct Writer(Encoder<Vec<u8>>);

impl Default for Writer {
    fn default() -> Self {
        Self(Encoder::new(Vec::with_capacity(192)))
    }
}

/// Writing to a vector does not fail.
const INFALLIBLE: &str = "writing to a vector does not fail";

impl Writer {
    pub(super) fn array(&mut self, items: usize) -> &mut Self {
        self.0.array(items as u64).expect(INFALLIBLE);
        self
    }

    pub(super) fn uint(&mut self, number: u64) -> &mut Self {
        self.0.u64(number).expect(INFALLIBLE);
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.bytes(bytes).expect(INFALLIBLE);
        self
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.0.null().expect(INFALLIBLE);
        self
    }

    pub(super) fn hash(&mut self, hash: Option<Hash>) -> &mut Self {
        match hash {
            None => self.null(),
            Some(hash) => self.bytes(&hash.0),
        }
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into_writer().into()
    }
}

/// Reads items one after another.
#[derive(Debug)]
pub(super) struct Reader<'a>(Decoder<'a>);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    fn failed(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed { what, at: self.0.position() }
    }

    pub(super) fn array(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.0.array().ok().flatten().ok_or_else(|| self.failed(what))
    }

    pub(super) fn exactly(&mut self, expected: u64, what: &'static str) -> Result<(), DecodeError> {
        match self.array(what)? {
            found if found == expected => Ok(()),
            found => Err(DecodeError::Length { what, expected, found }),
        }
    }

    pub(super) fn uint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.0.u64().map_err(|_| self.failed(what))
    }

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        self.0.bytes().map_err(|_| self.failed(what))
    }

    pub(super) fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes(what)?;
        let length = DecodeError::Length { what, expected: N as u64, found: bytes.len() as u64 };
        bytes.try_into().map_err(|_| length)
    }

    /// Takes a null if one is next.
    pub(super) fn null(&mut self) -> Result<bool, DecodeError> {
        match self.0.datatype() {
            Ok(Type::Null) => self.0.null().map(|()| true).map_err(|_| self.failed("null")),
            Ok(_) => Ok(false),
            Err(_) => Err(self.failed("item")),
        }
    }

    pub(super) fn round(&mut self) -> Result<u32, DecodeError> {
        let found = self.uint("round")?;
        // The last number is left free: the round after any can be counted.
        u32::try_from(found)
            .ok()
            .filter(|round| *round < u32::MAX)
            .ok_or(DecodeError::Range { what: "round", found })
    }

    pub(super) fn kind(&mut self) -> Result<Kind, DecodeError> {
        match self.uint("vote kind")? {
            0 => Ok(Kind::Prevote),
            1 => Ok(Kind::Precommit),
            found => Err(DecodeError::Unknown { what: "vote kind", found }),
        }
    }

    pub(super) fn block(&mut self) -> Result<Option<Hash>, DecodeError> {
        Ok(if self.null()? { None } else { Some(Hash(self.fixed("block hash")?)) })
    }

    /// A list with at most one item for each validator.
    pub(super) fn votes<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let found = self.array("votes")?;
        if found > MAX_VALIDATORS as u64 {
            return Err(DecodeError::Range { what: "votes", found });
        }
        (0..found).map(|_| item(self)).collect()
    }

    pub(super) fn finish(&self, what: &'static str) -> Result<(), DecodeError> {
        match self.0.input().len() - self.0.position() {
            0 => Ok(()),
            count => Err(DecodeError::LeftOver { what, count }),
        }
    }
}
