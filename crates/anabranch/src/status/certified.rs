//! `/certified`: the newest block that is irreversible by a certificate, for whoever wants to see for themselves.

use chain::view::Chunk;
use serde::{Deserialize, Serialize};

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
        let at = usize::try_from(certified.position.0.checked_sub(chunk.first.0)?).ok()?;
        let end = chunk.entries.get(at)?.end as usize;
        let start = at.checked_sub(1).map_or(0, |before| chunk.entries[before].end as usize);
        let header = chunk.bytes.get(start..end)?;
        Some(Self { header: hex::encode(header), certificate: hex::encode(&certified.certificate) })
    }
}
