//! The messages of chain-sync (`chain-sync.cddl`).

use chain::codec::{encode_point, encode_tip};
use chain::{Point, Tip};

use crate::codec::{self, Error, List, Reader};

/// A message of chain-sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The initiator wants the next change of the chain.
    RequestNext,
    /// There is none yet.
    AwaitReply,
    /// The chain grew by a block.
    RollForward {
        /// Its header on the wire: `[era, tag24(bytes)]` or its Byron form.
        header: &'a [u8],
        /// Where the responder's chain ends.
        tip: Tip,
    },
    /// The chain goes on from an earlier block.
    RollBackward {
        /// The block.
        point: Point,
        /// Where the responder's chain ends.
        tip: Tip,
    },
    /// The initiator's chain has these blocks, best first.
    FindIntersect {
        /// The blocks.
        points: List<'a, Point>,
    },
    /// The first of them that is on the responder's chain.
    IntersectFound {
        /// The block.
        point: Point,
        /// Where the responder's chain ends.
        tip: Tip,
    },
    /// None of them is.
    IntersectNotFound {
        /// Where the responder's chain ends.
        tip: Tip,
    },
    /// The initiator ends the protocol.
    Done,
}

impl<'a> Message<'a> {
    /// Reads the message that these bytes are.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        // The shape of nearly every request, and of nothing else.
        if bytes == [0x81, 0x00] {
            return Ok(Self::RequestNext);
        }
        let mut reader = Reader::new(bytes);
        let message = match reader.message()? {
            (1, 0) => Self::RequestNext,
            (1, 1) => Self::AwaitReply,
            (3, 2) => Self::RollForward { header: reader.item("header")?, tip: reader.tip()? },
            (3, 3) => Self::RollBackward { point: reader.point()?, tip: reader.tip()? },
            (2, 4) => Self::FindIntersect { points: List::read(&mut reader)? },
            (3, 5) => Self::IntersectFound { point: reader.point()?, tip: reader.tip()? },
            (2, 6) => Self::IntersectNotFound { tip: reader.tip()? },
            (1, 7) => Self::Done,
            (fields, number) => return Err(Error::Unknown { number, fields }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::RequestNext => codec::put_message(out, 1, 0),
            Self::AwaitReply => codec::put_message(out, 1, 1),
            Self::RollForward { header, tip } => {
                codec::put_message(out, 3, 2);
                out.extend_from_slice(header);
                encode_tip(tip, out);
            }
            Self::RollBackward { point, tip } => put_point_and_tip(out, 3, point, tip),
            Self::FindIntersect { points } => {
                codec::put_message(out, 2, 4);
                points.write(out);
            }
            Self::IntersectFound { point, tip } => put_point_and_tip(out, 5, point, tip),
            Self::IntersectNotFound { tip } => {
                codec::put_message(out, 2, 6);
                encode_tip(tip, out);
            }
            Self::Done => codec::put_message(out, 1, 7),
        }
    }

    /// What the CDDL calls it, less the prefix.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RequestNext => "RequestNext",
            Self::AwaitReply => "AwaitReply",
            Self::RollForward { .. } => "RollForward",
            Self::RollBackward { .. } => "RollBackward",
            Self::FindIntersect { .. } => "FindIntersect",
            Self::IntersectFound { .. } => "IntersectFound",
            Self::IntersectNotFound { .. } => "IntersectNotFound",
            Self::Done => "Done",
        }
    }
}

/// Appends a RollForward whose tip is encoded already: one tip serves all the headers of a view.
pub fn put_roll_forward(out: &mut Vec<u8>, header: &[u8], tip: &[u8]) {
    codec::put_message(out, 3, 2);
    out.extend_from_slice(header);
    out.extend_from_slice(tip);
}

fn put_point_and_tip(out: &mut Vec<u8>, number: u64, point: &Point, tip: &Tip) {
    codec::put_message(out, 3, number);
    encode_point(point, out);
    encode_tip(tip, out);
}
