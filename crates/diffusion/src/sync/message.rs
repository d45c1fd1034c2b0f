//! The messages of the sync channel, and their one encoding.
//!
//! Each is the body of a note: a definite CBOR array headed by its number, strictly read.
//!
//! ```text
//! [0, [point, …], lib, oldest]      ; hello: best chain from its head down to the LIB, gaps doubling
//! [1, header]                       ; header in its wire form
//! [2, tip, certificate]             ; fin; the certificate is empty where headers show finality
//! [3, id, follow]                   ; want: this body, and with `follow` the producer's next ones unasked
//! [4, id]                           ; no: that want will not be answered
//! [5, producer]                     ; stop: no more of this producer's bodies unasked
//! [6, producer]                     ; pushes: bodies whose headers follow here come unasked
//! [7, point, point]                 ; range: the bodies from the first to the last, and then one of no bytes
//! point = [] / [slot, hash]         tip = [point, height]
//! ```

use bytes::Bytes;
use chain::{Hash, Header, Point, Tip};

use super::bodies::Producer;
use crate::cbor::{self, Error, Reader};

/// The most points of a locator: gaps double, and counts are numbers of 64 bits.
pub const MAX_LOCATOR: usize = 66;

/// The most bytes of a header in its wire form: what chain-sync carries, and every format keeps.
pub const MAX_HEADER_BYTES: usize = 65_535;

/// The most bytes of a certificate: a thousand votes of a signature, a key and a weight each, and some air.
pub const MAX_CERTIFICATE_BYTES: usize = 256 << 10;

/// A message of the sync channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// The first message of each side.
    Hello(Hello),
    /// The next header of the sender's best chain, in its wire form.
    Header(Bytes),
    /// A block is irreversible.
    Fin(Fin),
    /// Send this body.
    Want {
        /// The block.
        id: Hash,
        /// Whether to push the next bodies of its producer unasked.
        follow: bool,
    },
    /// That body will not come from here.
    No {
        /// The block.
        id: Hash,
    },
    /// Push no more bodies of this producer.
    Stop {
        /// The producer.
        producer: Producer,
    },
    /// The answer to a want that follows: the bodies of this producer whose headers come after this are pushed. Those
    /// whose headers came before it may have been there before the want.
    Pushes {
        /// The producer.
        producer: Producer,
    },
    /// Send these bodies, blocks in a row of one chain, oldest first, as far as they are there; then a body of no bytes.
    /// Points and not ids: nobody keeps a map from id to block over all of history.
    Range {
        /// The first.
        from: Point,
        /// The last.
        to: Point,
    },
}

/// What a side says of its chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hello {
    /// Points of its best chain, highest first, ending in its LIB; at least one, at most [`MAX_LOCATOR`].
    pub locator: Vec<Point>,
    /// Its last irreversible block.
    pub lib: Tip,
    /// The oldest block that it can still send; origin where it has them all.
    pub oldest: Tip,
}

/// A block is irreversible.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fin {
    /// Which.
    pub tip: Tip,
    /// What shows it; at most [`MAX_CERTIFICATE_BYTES`].
    pub certificate: Bytes,
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
            (0, 4) => Self::Hello(Hello::read(&mut reader)?),
            (1, 2) => Self::Header(reader.bytes(MAX_HEADER_BYTES, "header")?),
            (2, 3) => Self::Fin(Fin {
                tip: reader.tip()?,
                certificate: reader.bytes(MAX_CERTIFICATE_BYTES, "certificate")?,
            }),
            (3, 3) => Self::Want { id: reader.hash("id")?, follow: reader.bool("follow flag")? },
            (4, 2) => Self::No { id: reader.hash("id")? },
            (5, 2) => Self::Stop { producer: Producer(reader.fixed("producer")?) },
            (6, 2) => Self::Pushes { producer: Producer(reader.fixed("producer")?) },
            (7, 3) => Self::Range { from: reader.point()?, to: reader.point()? },
            (0..=7, _) => return Err(Error::Expected { what: "message of its own length", at: 0 }),
            (number, _) => return Err(Error::Unknown { number }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => hello.write(out),
            Self::Header(wire) => {
                cbor::put_message(out, 2, 1);
                cbor::put_bytes(out, wire);
            }
            Self::Fin(Fin { tip, certificate }) => {
                cbor::put_message(out, 3, 2);
                cbor::put_tip(out, tip);
                cbor::put_bytes(out, certificate);
            }
            Self::Want { id, follow } => {
                cbor::put_message(out, 3, 3);
                cbor::put_bytes(out, &id.0);
                cbor::put_bool(out, *follow);
            }
            Self::No { id } => {
                cbor::put_message(out, 2, 4);
                cbor::put_bytes(out, &id.0);
            }
            Self::Stop { producer } => {
                cbor::put_message(out, 2, 5);
                cbor::put_bytes(out, &producer.0);
            }
            Self::Pushes { producer } => {
                cbor::put_message(out, 2, 6);
                cbor::put_bytes(out, &producer.0);
            }
            Self::Range { from, to } => {
                cbor::put_message(out, 3, 7);
                cbor::put_point(out, from);
                cbor::put_point(out, to);
            }
        }
    }

    /// The message as the body of a note.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.into()
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Header(_) => "header",
            Self::Fin(_) => "fin",
            Self::Want { .. } => "want",
            Self::No { .. } => "no",
            Self::Stop { .. } => "stop",
            Self::Pushes { .. } => "pushes",
            Self::Range { .. } => "range",
        }
    }
}

impl Hello {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let locator = reader.list(MAX_LOCATOR, "locator", Reader::point)?;
        let lib = reader.tip()?;
        // The one that says where its chain begins to be ours or not.
        if locator.last() != Some(&lib.point) {
            return Err(Error::Expected { what: "locator that ends in the irreversible block", at: 0 });
        }
        if !locator.is_sorted_by(|a, b| a.slot() >= b.slot() && a != b) {
            return Err(Error::Expected { what: "locator that goes back", at: 0 });
        }
        Ok(Self { locator, lib, oldest: reader.tip()? })
    }

    fn write(&self, out: &mut Vec<u8>) {
        cbor::put_message(out, 4, 0);
        cbor::put_array(out, self.locator.len());
        for point in &self.locator {
            cbor::put_point(out, point);
        }
        cbor::put_tip(out, &self.lib);
        cbor::put_tip(out, &self.oldest);
    }
}

impl From<&Header> for Message {
    fn from(header: &Header) -> Self {
        Self::Header(header.wire.clone())
    }
}
