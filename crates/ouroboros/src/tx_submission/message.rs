//! The messages of tx-submission 2 (`tx-submission2.cddl`).
//!
//! Transactions and their ids are items of any shape here: `[era, id]` and `[era, tag24(tx)]` on a Cardano chain.
//! All three lists are indefinite: the reference decodes no other form.

use crate::codec::{self, Element, Error, Form, List, Raw, Reader};

/// A message of tx-submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The initiator is ready to be asked.
    Init,
    /// The responder wants ids of transactions.
    RequestTxIds {
        /// Whether the initiator answers only once it has some.
        blocking: bool,
        /// How many ids, from the oldest on, the responder is through with.
        acknowledged: u16,
        /// How many more it takes at most.
        requested: u16,
    },
    /// Ids of transactions that the initiator has.
    ReplyTxIds {
        /// The ids with the sizes of their transactions.
        ids: List<'a, IdAndSize<'a>>,
    },
    /// The responder wants these transactions.
    RequestTxs {
        /// Their ids.
        ids: List<'a, Raw<'a>>,
    },
    /// The transactions, less those that have become useless.
    ReplyTxs {
        /// The transactions.
        txs: List<'a, Raw<'a>>,
    },
    /// The initiator ends the protocol.
    Done,
}

/// The id of a transaction, and the size that its sender says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdAndSize<'a> {
    /// The id, as an item.
    pub id: Raw<'a>,
    /// The size of the transaction in bytes.
    pub size: u32,
}

impl<'a> Message<'a> {
    /// Reads the message that these bytes are.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let message = match reader.message()? {
            (4, 0) => Self::RequestTxIds {
                blocking: reader.bool("blocking")?,
                acknowledged: reader.u16("count")?,
                requested: reader.u16("count")?,
            },
            (2, 1) => Self::ReplyTxIds { ids: List::read(&mut reader)? },
            (2, 2) => Self::RequestTxs { ids: List::read(&mut reader)? },
            (2, 3) => Self::ReplyTxs { txs: List::read(&mut reader)? },
            (1, 4) => Self::Done,
            (1, 6) => Self::Init,
            (fields, number) => return Err(Error::Unknown { number, fields }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Init => codec::put_message(out, 1, 6),
            Self::RequestTxIds { blocking, acknowledged, requested } => {
                codec::put_message(out, 4, 0);
                codec::put_bool(out, *blocking);
                codec::put_uint(out, u64::from(*acknowledged));
                codec::put_uint(out, u64::from(*requested));
            }
            Self::ReplyTxIds { ids } => {
                codec::put_message(out, 2, 1);
                ids.write(out);
            }
            Self::RequestTxs { ids } => {
                codec::put_message(out, 2, 2);
                ids.write(out);
            }
            Self::ReplyTxs { txs } => {
                codec::put_message(out, 2, 3);
                txs.write(out);
            }
            Self::Done => codec::put_message(out, 1, 4),
        }
    }

    /// What the CDDL calls it, less the prefix.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init => "Init",
            Self::RequestTxIds { .. } => "RequestTxIds",
            Self::ReplyTxIds { .. } => "ReplyTxIds",
            Self::RequestTxs { .. } => "RequestTxs",
            Self::ReplyTxs { .. } => "ReplyTxs",
            Self::Done => "Done",
        }
    }
}

impl<'a> Element<'a> for IdAndSize<'a> {
    const WHAT: &'static str = "indefinite list of ids";
    const FORM: Form = Form::Indefinite;

    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        codec::element(bytes, |reader| {
            reader.array_of(2, "id and size")?;
            Ok(Self { id: Raw(reader.item("id")?), size: reader.u32("size")? })
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        codec::put_array(out, 2);
        self.id.write(out);
        codec::put_uint(out, u64::from(self.size));
    }
}
