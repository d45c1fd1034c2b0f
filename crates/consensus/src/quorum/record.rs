//! The journal: what a validator must remember of the height that it votes on.
//!
//! A journal begins with [`Record::Height`] and holds what was fed to the engine, in that order: fed again, the
//! engine comes to stand where it stood, and signs nothing that it did not sign. It is cut when the block of its
//! height is durable with its certificate and the next height begins.
//!
//! ```text
//! height  = [0, version, chain, height, parent / null]
//! message = [1, message]
//! value   = [2, round, header, 0 wrong / 1 right]
//! timeout = [3, step, round]
//! ```

use bytes::Bytes;
use chain::native::decode_header;
use chain::{DecodeError, Hash, Header, Height};

use super::codec::{Reader, Writer};
use super::engine::{Step, Timer};
use super::message::Message;

/// The version of journals that this code writes and reads.
const VERSION: u64 = 1;

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A height begins.
    Height {
        /// The chain.
        chain: Hash,
        /// The height that is voted on.
        height: Height,
        /// The block before.
        parent: Option<Hash>,
    },
    /// A message that counts, of another or our own.
    Message(Message),
    /// A block was judged.
    Value {
        /// The round that it was proposed in.
        round: u32,
        /// Its header.
        header: Header,
        /// Whether it may be voted for.
        is_right: bool,
    },
    /// A time was up.
    Timeout(Timer),
}

/// What the driver found where the journal should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Journal {
    /// The whole records that are there, perhaps none: a record that was torn at the end was never acknowledged.
    Read(Vec<Record>),
    /// Records that had been acknowledged are gone or damaged.
    Damaged,
}

impl Record {
    /// Its one encoding.
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::default();
        match self {
            Self::Height { chain, height, parent } => {
                out.array(5).uint(0).uint(VERSION).bytes(&chain.0).uint(height.0).hash(*parent);
            }
            Self::Message(message) => {
                out.array(2).uint(1).bytes(&message.encode());
            }
            Self::Value { round, header, is_right } => {
                out.array(4).uint(2).uint((*round).into()).bytes(&header.wire).uint((*is_right).into());
            }
            Self::Timeout(timer) => {
                out.array(3).uint(3).uint(timer.step.number()).uint(timer.round.into());
            }
        }
        out.finish()
    }

    /// Reads a record in its one encoding, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let items = reader.array("record")?;
        let record = match (reader.uint("record kind")?, items) {
            (0, 5) => {
                match reader.uint("journal version")? {
                    VERSION => {}
                    found => return Err(DecodeError::Unknown { what: "journal version", found }),
                }
                let chain = Hash(reader.fixed("chain")?);
                Self::Height { chain, height: Height(reader.uint("height")?), parent: reader.block()? }
            }
            (1, 2) => Self::Message(Message::decode(reader.bytes("message")?)?),
            (2, 4) => {
                let round = reader.round()?;
                let header = decode_header(&Bytes::copy_from_slice(reader.bytes("header")?))?;
                let is_right = match reader.uint("verdict")? {
                    flag @ (0 | 1) => flag == 1,
                    found => return Err(DecodeError::Unknown { what: "verdict", found }),
                };
                Self::Value { round, header, is_right }
            }
            (3, 3) => {
                let found = reader.uint("step")?;
                let step = Step::from_number(found).ok_or(DecodeError::Unknown { what: "step", found })?;
                Self::Timeout(Timer { step, round: reader.round()? })
            }
            (found, _) => return Err(DecodeError::Unknown { what: "record kind", found }),
        };
        reader.finish("record")?;
        match record.encode() == bytes {
            true => Ok(record),
            false => Err(DecodeError::Malformed { what: "record (not in its one encoding)", at: 0 }),
        }
    }
}
