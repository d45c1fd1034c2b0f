//! `/certified`: the newest block that is irreversible by a certificate, and the certified changes of validators that lead
//! to its validators, for whoever wants to see for themselves.

use bytes::Bytes;
use chain::native::{decode_header, read_fields};
use chain::view::Chunk;
use chain::{Height, Position};
use serde::{Deserialize, Serialize};

/// How many headers are looked at for one page of changes: some tens of milliseconds.
const MAX_LOOKED_AT: u64 = 16_384;

/// How many changes a page has at most. A guess.
const MAX_CHANGES: usize = 16;

/// How many headers lead from a change's to a certified one at most. A guess: a change is in force two blocks after its
/// header, unless an application wants it later.
const MAX_LEADING: u64 = 64;

/// A header with its certificate, in their encodings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// The header as it is served, in hexadecimal digits.
    pub header: String,
    /// The certificate ([`chain::native::Certificate`]), likewise.
    pub certificate: String,
}

impl Certified {
    /// Of the chunk that holds the header; `None` where it does not.
    pub(crate) fn new(chunk: &Chunk, certified: &store::Certified) -> Option<Self> {
        let header = header(chunk, certified.position)?;
        Some(Self { header: hex::encode(header), certificate: hex::encode(&certified.certificate) })
    }
}

/// A page of the changes of validators.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertifiedChanges {
    /// In the order of the chain. One for which no certificate is kept is not among them.
    pub changes: Vec<CertifiedChange>,
    /// The height at which the next page begins.
    pub next: u64,
    /// Whether there may be more now.
    pub more: bool,
}

/// A change of validators, and what shows that it is irreversible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertifiedChange {
    /// The header that announces it and those after it up to the certified one, in hexadecimal digits.
    pub headers: Vec<String>,
    /// The certificate of the last of them, by the validators before the change.
    pub certificate: String,
}

impl CertifiedChanges {
    /// Those that headers from this height on announce, as far as one page goes.
    pub(crate) fn read(reader: &store::Reader, from: Height) -> Result<Self, store::Error> {
        let mut page = Self { next: from.0, ..Self::default() };
        let end = from.0.saturating_add(MAX_LOOKED_AT);
        while let Some(chunk) = reader.chunk(Position(page.next))? {
            let before = page.next;
            while let Some(wire) = header(&chunk, Position(page.next)) {
                if page.next == end || page.changes.len() == MAX_CHANGES {
                    return Ok(Self { more: true, ..page });
                }
                if let Some(until) = announced(&wire) {
                    page.changes.extend(CertifiedChange::read(reader, page.next, until)?);
                }
                page.next += 1;
            }
            if page.next == before {
                break;
            }
        }
        Ok(page)
    }
}

impl CertifiedChange {
    /// The change that this header announces, to be in force at a height.
    fn read(reader: &store::Reader, from: u64, until: Height) -> Result<Option<Self>, store::Error> {
        let mut headers = Vec::new();
        for position in (from..until.0.min(from + MAX_LEADING)).map(Position) {
            let Some(wire) = reader.chunk(position)?.and_then(|chunk| header(&chunk, position)) else {
                break;
            };
            headers.push(hex::encode(wire));
            if let Some(certificate) = reader.certificate(position)? {
                return Ok(Some(Self { headers, certificate: hex::encode(certificate) }));
            }
        }
        Ok(None)
    }
}

/// The header at a position, where the chunk has it.
fn header(chunk: &Chunk, position: Position) -> Option<Bytes> {
    let at = usize::try_from(position.0.checked_sub(chunk.first.0)?).ok()?;
    let end = chunk.entries.get(at)?.end as usize;
    let start = at.checked_sub(1).map_or(0, |before| chunk.entries[before].end as usize);
    (start <= end && end <= chunk.bytes.len()).then(|| chunk.bytes.slice(start..end))
}

/// When the change of validators is in force that a header announces. Other formats announce none.
fn announced(wire: &Bytes) -> Option<Height> {
    let fields = read_fields(&decode_header(wire).ok()?).ok()?;
    fields.change.map(|change| change.height)
}
