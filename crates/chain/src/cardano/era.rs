//! The eras of Cardano, and the numbers by which headers and blocks name them.

use serde::{Deserialize, Serialize};

use crate::codec::DecodeError;

/// An era: the rules by which a block was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// Signed in turns by the federation's keys.
    Byron,
    /// The first with stake pools; TPraos, as the next three.
    Shelley,
    /// TPraos.
    Allegra,
    /// TPraos.
    Mary,
    /// TPraos, the last.
    Alonzo,
    /// Praos: one VRF proof a header.
    Babbage,
    /// Praos.
    Conway,
}

/// How the nonce of an epoch and the leader of a slot come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Byron.
    Permissioned,
    /// Shelley to Alonzo: two VRF proofs a header.
    TransitionalPraos,
    /// Babbage and later.
    Praos,
}

impl Era {
    const ALL: [Self; 7] =
        [Self::Byron, Self::Shelley, Self::Allegra, Self::Mary, Self::Alonzo, Self::Babbage, Self::Conway];

    /// The number in front of a header on the wire: Byron is 0, boundary blocks included.
    pub fn header_tag(self) -> u64 {
        self as u64
    }

    /// The number in front of a block: boundary blocks have one of their own, 0, and Byron's others 1.
    pub fn block_tag(self, boundary: bool) -> u64 {
        if boundary { 0 } else { self as u64 + 1 }
    }

    /// The era of a header.
    pub fn of_header(tag: u64) -> Result<Self, DecodeError> {
        let index = usize::try_from(tag).unwrap_or(usize::MAX);
        Self::ALL.get(index).copied().ok_or(DecodeError::Unknown { what: "header era", found: tag })
    }

    /// The era of a block, and whether it is a boundary block.
    pub fn of_block(tag: u64) -> Result<(Self, bool), DecodeError> {
        if tag == 0 {
            return Ok((Self::Byron, true));
        }
        let era =
            Self::of_header(tag - 1).map_err(|_| DecodeError::Unknown { what: "block era", found: tag })?;
        Ok((era, false))
    }

    /// The protocol that the era runs.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Byron => Protocol::Permissioned,
            Self::Shelley | Self::Allegra | Self::Mary | Self::Alonzo => Protocol::TransitionalPraos,
            Self::Babbage | Self::Conway => Protocol::Praos,
        }
    }
}
