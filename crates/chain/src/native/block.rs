//! The native block: a header and its transactions.

use bytes::Bytes;

use super::header::{decode_fields, era, header, unwrap, wrap};
use super::{MAX_BODY_BYTES, MAX_TRANSACTIONS, NATIVE_ERA, Reason, blake2b, merkle};
use crate::codec::{DecodeError, Reader, encode};
use crate::{Block, Hash};

/// A block taken apart, as slices of its bytes.
struct Parts<'a> {
    header: &'a [u8],
    /// The encoded list of transactions.
    body: &'a [u8],
}

/// Reads a block, `[100, [header, [transaction, …]]]`, and nothing else.
///
/// Whether the body belongs to the header is [`check_body`]'s to say.
pub fn decode_block(raw: &Bytes) -> Result<Block, DecodeError> {
    let parts = parts(raw)?;
    let produced = decode_fields(parts.header)?;
    let transactions = list(parts.body)?;
    if encoded(&transactions) != parts.body || raw.len() != size(&parts) {
        return Err(DecodeError::Malformed { what: "native block (not in its one encoding)", at: 0 });
    }
    let header = header(&produced.fields, parts.header, wrap(parts.header));
    Ok(Block { header, raw: raw.clone() })
}

/// The transactions of a block, sharing its buffer.
pub fn transactions(block: &Block) -> Result<Vec<Bytes>, DecodeError> {
    let parts = parts(&block.raw)?;
    Ok(list(parts.body)?.into_iter().map(|transaction| block.raw.slice_ref(transaction)).collect())
}

/// The id of a transaction: its Blake2b-256 hash.
pub fn transaction_id(transaction: &[u8]) -> Hash {
    blake2b(transaction)
}

/// Checks that a block's transactions are those that its header names.
pub fn check_body(block: &Block) -> Result<(), Reason> {
    let header = unwrap(&block.header.wire).map_err(|_| Reason::Undecodable)?;
    let fields = decode_fields(header).map_err(|_| Reason::Undecodable)?.fields;
    let parts = parts(&block.raw).map_err(|_| Reason::Undecodable)?;
    if parts.header != header {
        return Err(Reason::OtherHeader);
    }
    let transactions = list(parts.body).map_err(|_| Reason::Undecodable)?;
    let (size, count) = (parts.body.len() as u64, transactions.len() as u64);
    if size != fields.size {
        return Err(Reason::BodySize { stated: fields.size, found: size });
    }
    if count != fields.count {
        return Err(Reason::BodyCount { stated: fields.count, found: count });
    }
    let root = merkle::root(&transactions);
    if root != fields.root {
        return Err(Reason::BodyRoot { stated: fields.root, found: root });
    }
    Ok(())
}

/// The bytes of a block of this header and these transactions.
pub(super) fn encode_block<T: AsRef<[u8]>>(header: &[u8], transactions: &[T]) -> Vec<u8> {
    let body = encoded(transactions);
    let mut raw = Vec::with_capacity(4 + header.len() + body.len());
    encode(&mut raw, |out| out.array(2)?.u64(NATIVE_ERA)?.array(2)?.ok());
    raw.extend_from_slice(header);
    raw.extend_from_slice(&body);
    raw
}

/// How many bytes these transactions take as a block's list.
pub(super) fn encoded<T: AsRef<[u8]>>(transactions: &[T]) -> Vec<u8> {
    let mut body = Vec::new();
    encode(&mut body, |out| {
        out.array(transactions.len() as u64)?;
        transactions.iter().try_for_each(|transaction| out.bytes(transaction.as_ref())?.ok())
    });
    body
}

fn parts(raw: &[u8]) -> Result<Parts<'_>, DecodeError> {
    const WHAT: &str = "native block";
    let mut reader = Reader::new(raw);
    let outer = reader.list(2, WHAT)?;
    era(&mut reader)?;
    let inner = reader.list(2, WHAT)?;
    let parts = Parts { header: reader.item("native header")?, body: reader.item("transactions")? };
    reader.close(inner, WHAT)?;
    reader.close(outer, WHAT)?;
    reader.finish(WHAT)?;
    if parts.body.len() as u64 > MAX_BODY_BYTES {
        return Err(DecodeError::Range { what: "transactions' size", found: parts.body.len() as u64 });
    }
    Ok(parts)
}

/// How long the one encoding of a block is: a list of two, a two-byte era, a list of two, the parts.
fn size(parts: &Parts<'_>) -> usize {
    1 + 2 + 1 + parts.header.len() + parts.body.len()
}

fn list(body: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let mut reader = Reader::new(body);
    let found = reader.open("transactions")?.unwrap_or(u64::MAX);
    // A transaction takes a byte at least: more cannot follow.
    if found > MAX_TRANSACTIONS || found > body.len() as u64 {
        return Err(DecodeError::Range { what: "transactions' count", found });
    }
    let transactions = (0..found).map(|_| reader.bytes("transaction")).collect::<Result<_, _>>()?;
    reader.finish("transactions")?;
    Ok(transactions)
}
