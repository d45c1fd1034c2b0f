//! The messages of the relay channel, and their one encoding.
//!
//! Each is the body of a note: a definite CBOR array headed by its number, strictly read.
//!
//! ```text
//! [0, [[kind, id, size], …]]   ; offer: the sender has these items
//! [1, [[kind, id], …]]         ; want: send these; each is answered once, by data or no
//! [2, kind, bytes]             ; data: an item
//! [3, [[kind, id], …]]         ; no: these will not come from here
//! [4, count]                   ; more: so many more offers may come
//! ```

use bytes::Bytes;

use super::{Kind, Name};
use crate::cbor::{self, Error, Reader};

/// The most bytes of an item: with the message around it, it fits the channel's megabyte.
pub const MAX_ITEM_BYTES: usize = (1 << 20) - 64;

/// The most offers in one message. A guess: ten kilobytes, so that offers never hold up what was asked for.
pub const MAX_OFFERS: usize = 256;

/// The most items that one side may have asked the other for without an answer, and so the most names of a message. A
/// guess: of small transactions some ten kilobytes in a round trip.
pub const MAX_WANTED: usize = 256;

/// The most offers that one side may let the other have open. A guess: far more than are of use.
pub const MAX_MORE: u32 = 1 << 16;

/// A message of the relay channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The sender has these items; at least one.
    Offer(Vec<Offer>),
    /// Send these; at least one.
    Want(Vec<Name>),
    /// An item that was asked for.
    Data {
        /// Its kind.
        kind: Kind,
        /// Its bytes; at least one.
        bytes: Bytes,
    },
    /// Items that were asked for and will not come; at least one.
    No(Vec<Name>),
    /// So many more offers may come; at least one.
    More {
        /// How many.
        offers: u32,
    },
}

/// One item that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub name: Name,
    /// How many bytes it has.
    pub size: u32,
}

impl Message {
    /// Reads the message that these bytes are. Shares the buffer.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let fields = reader.array("message")?;
        let message = match (reader.uint(u64::MAX, "message number")?, fields) {
            (0, 2) => Self::Offer(read_some(&mut reader, MAX_OFFERS, "offers", read_offer)?),
            (1, 2) => Self::Want(read_some(&mut reader, MAX_WANTED, "names", read_named)?),
            (2, 3) => Self::Data { kind: read_kind(&mut reader)?, bytes: read_item(&mut reader)? },
            (3, 2) => Self::No(read_some(&mut reader, MAX_WANTED, "names", read_named)?),
            (4, 2) => Self::More { offers: read_positive(&mut reader, MAX_MORE, "number of offers")? },
            (0..=4, _) => return Err(Error::Expected { what: "message of its own length", at: 0 }),
            (number, _) => return Err(Error::Unknown { number }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Offer(offers) => {
                cbor::put_message(out, 2, 0);
                cbor::put_array(out, offers.len());
                for Offer { name, size } in offers {
                    cbor::put_array(out, 3);
                    put_name(out, name);
                    cbor::put_uint(out, u64::from(*size));
                }
            }
            Self::Want(names) => put_names(out, 1, names),
            Self::Data { kind, bytes } => {
                cbor::put_message(out, 3, 2);
                cbor::put_uint(out, u64::from(kind.0));
                cbor::put_bytes(out, bytes);
            }
            Self::No(names) => put_names(out, 3, names),
            Self::More { offers } => {
                cbor::put_message(out, 2, 4);
                cbor::put_uint(out, u64::from(*offers));
            }
        }
    }

    /// The message as the body of a note.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.into()
    }

    /// No more bytes than this.
    pub fn max_bytes(&self) -> u64 {
        match self {
            Self::Offer(offers) => Self::max_bytes_of_offers(offers.len()),
            Self::Want(names) | Self::No(names) => Self::max_bytes_of_names(names.len()),
            Self::Data { bytes, .. } => Self::max_bytes_of_data(bytes.len()),
            Self::More { .. } => 8,
        }
    }

    pub(super) fn max_bytes_of_offers(count: usize) -> u64 {
        8 + count as u64 * 43
    }

    pub(super) fn max_bytes_of_names(count: usize) -> u64 {
        8 + count as u64 * 38
    }

    pub(super) fn max_bytes_of_data(bytes: usize) -> u64 {
        16 + bytes as u64
    }

    /// Its name, for operators.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offer",
            Self::Want(_) => "want",
            Self::Data { .. } => "data",
            Self::No(_) => "no",
            Self::More { .. } => "more",
        }
    }
}

fn read_kind(reader: &mut Reader<'_>) -> Result<Kind, Error> {
    reader.uint(u16::MAX.into(), "kind").map(|kind| Kind(kind as u16))
}

fn read_name(reader: &mut Reader<'_>) -> Result<Name, Error> {
    Ok(Name { kind: read_kind(reader)?, id: reader.hash("id")? })
}

fn read_named(reader: &mut Reader<'_>) -> Result<Name, Error> {
    match reader.array("name")? {
        2 => read_name(reader),
        _ => Err(Error::Expected { what: "name of two fields", at: 0 }),
    }
}

fn read_offer(reader: &mut Reader<'_>) -> Result<Offer, Error> {
    match reader.array("offer")? {
        3 => {
            let name = read_name(reader)?;
            Ok(Offer { name, size: read_positive(reader, MAX_ITEM_BYTES as u32, "size")? })
        }
        _ => Err(Error::Expected { what: "offer of three fields", at: 0 }),
    }
}

fn read_item(reader: &mut Reader<'_>) -> Result<Bytes, Error> {
    let bytes = reader.bytes(MAX_ITEM_BYTES, "item")?;
    if bytes.is_empty() { Err(Error::Expected { what: "item that is not empty", at: 0 }) } else { Ok(bytes) }
}

fn read_positive(reader: &mut Reader<'_>, max: u32, what: &'static str) -> Result<u32, Error> {
    match reader.uint(max.into(), what)? {
        0 => Err(Error::Expected { what, at: 0 }),
        value => Ok(value as u32),
    }
}

/// A list that is not empty.
fn read_some<T>(
    reader: &mut Reader<'_>,
    max: usize,
    what: &'static str,
    element: impl FnMut(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let list = reader.list(max, what, element)?;
    if list.is_empty() { Err(Error::Expected { what, at: 0 }) } else { Ok(list) }
}

fn put_name(out: &mut Vec<u8>, name: &Name) {
    cbor::put_uint(out, u64::from(name.kind.0));
    cbor::put_bytes(out, &name.id.0);
}

fn put_names(out: &mut Vec<u8>, number: u64, names: &[Name]) {
    cbor::put_message(out, 2, number);
    cbor::put_array(out, names.len());
    for name in names {
        cbor::put_array(out, 2);
        put_name(out, name);
    }
}
