//! The messages of block-fetch (`block-fetch.cddl`).

use chain::Point;
use chain::codec::encode_point;

use crate::codec::{self, Error, Reader};

/// A message of block-fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The initiator wants the blocks of a range.
    RequestRange {
        /// The first block.
        from: Point,
        /// The last block.
        to: Point,
    },
    /// The initiator ends the protocol.
    ClientDone,
    /// The blocks follow.
    StartBatch,
    /// The responder has no such range.
    NoBlocks,
    /// A block of the range.
    Block {
        /// The block as it lies in its tag 24: `[era, block]`.
        raw: &'a [u8],
    },
    /// That was the last of them.
    BatchDone,
}

impl<'a> Message<'a> {
    /// Reads the message that these bytes are.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let message = match reader.message()? {
            (3, 0) => Self::RequestRange { from: reader.point()?, to: reader.point()? },
            (1, 1) => Self::ClientDone,
            (1, 2) => Self::StartBatch,
            (1, 3) => Self::NoBlocks,
            (2, 4) => Self::Block { raw: reader.embedded("block")? },
            (1, 5) => Self::BatchDone,
            (fields, number) => return Err(Error::Unknown { number, fields }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::RequestRange { from, to } => {
                codec::put_message(out, 3, 0);
                encode_point(from, out);
                encode_point(to, out);
            }
            Self::ClientDone => codec::put_message(out, 1, 1),
            Self::StartBatch => codec::put_message(out, 1, 2),
            Self::NoBlocks => codec::put_message(out, 1, 3),
            Self::Block { raw } => {
                put_block_head(out, raw.len());
                out.extend_from_slice(raw);
            }
            Self::BatchDone => codec::put_message(out, 1, 5),
        }
    }

    /// What the CDDL calls it, less the prefix.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RequestRange { .. } => "RequestRange",
            Self::ClientDone => "ClientDone",
            Self::StartBatch => "StartBatch",
            Self::NoBlocks => "NoBlocks",
            Self::Block { .. } => "Block",
            Self::BatchDone => "BatchDone",
        }
    }
}

/// Appends what comes before the bytes of a block in its message.
pub fn put_block_head(out: &mut Vec<u8>, raw_len: usize) {
    codec::put_message(out, 2, 4);
    codec::put_embedded_head(out, raw_len);
}
