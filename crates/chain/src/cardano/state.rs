//! What a Cardano block leaves behind for the judgement of the next one: era, nonces, certificate counters.

use std::collections::BTreeMap;

use super::body::MAX_BODY_BYTES;
use super::counters::{Counters, Pool};
use super::era::{Era, Protocol};
use super::header;
use super::nonces::Nonces;
use super::params::Params;
use crate::codec::{self, DecodeError, Reader};
use crate::{Hash, Header, Slot};

/// The most pools that a snapshot may name: ten times mainnet's.
const MAX_POOLS: u64 = 32_768;

/// Why a header or a body is refused, by rules that are Cardano's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Its bytes are not what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An earlier era than the block before.
    #[error("a {found:?} block cannot follow a {parent:?} block")]
    EraOrder {
        /// The era of the block before.
        parent: Era,
        /// Its own.
        found: Era,
    },
    /// A new era in the middle of an epoch.
    #[error("the {found:?} era cannot begin in slot {slot}: that is in the middle of an epoch")]
    EraInsideEpoch {
        /// The new era.
        found: Era,
        /// The slot.
        slot: Slot,
    },
    /// A slot of another era.
    #[error("slot {slot} does not belong to the {found:?} era")]
    EraSlot {
        /// Its era.
        found: Era,
        /// Its slot.
        slot: Slot,
    },
    /// A boundary block that is not at an epoch's start, or that follows another.
    #[error("slot {slot} has no place for a boundary block")]
    Boundary {
        /// Its slot.
        slot: Slot,
    },
    /// Another network's.
    #[error("it is of the network with magic {found}, not {expected}")]
    Magic {
        /// This network's.
        expected: u32,
        /// The block's.
        found: u64,
    },
    /// A certificate older than one already used.
    #[error("the operational certificate's counter {found} is below {seen}, which the pool used already")]
    CounterTooSmall {
        /// The highest seen of this pool.
        seen: u64,
        /// The header's.
        found: u64,
    },
    /// A certificate that skips counters.
    #[error("the operational certificate's counter {found} is more than one above {seen}")]
    CounterTooLarge {
        /// The highest seen of this pool.
        seen: u64,
        /// The header's.
        found: u64,
    },
    /// The certificate is for later.
    #[error("the operational certificate begins in KES period {start}, after period {period}")]
    CertificateNotYet {
        /// Its first period.
        start: u64,
        /// The header's period.
        period: u64,
    },
    /// The certificate is used up.
    #[error("the operational certificate of KES period {start} has expired in period {period}")]
    CertificateExpired {
        /// Its first period.
        start: u64,
        /// The header's period.
        period: u64,
    },
    /// The cold key did not sign the certificate.
    #[error("the operational certificate's signature is wrong")]
    CertificateSignature,
    /// The hot key did not sign the header.
    #[error("the KES signature is wrong")]
    KesSignature,
    /// The VRF proof does not prove the output stated.
    #[error("the VRF proof is wrong")]
    VrfProof,
    /// A Byron header whose leader is not who delegated.
    #[error("the leader is not the issuer of the delegation")]
    LeaderIsNotIssuer,
    /// A Byron issuer outside the federation.
    #[error("the issuer is not of the federation")]
    UnknownIssuer,
    /// The issuer did not sign the delegation.
    #[error("the delegation's signature is wrong")]
    DelegationSignature,
    /// The delegate did not sign the header.
    #[error("the block's signature is wrong")]
    BlockSignature,
    /// A header that announces a body larger than any.
    #[error("it announces a body of {stated} bytes: {MAX_BODY_BYTES} are allowed")]
    BodyTooLarge {
        /// What the header says.
        stated: u64,
    },
    /// A body of another size than its header says.
    #[error("the body has {found} bytes, its header says {stated}")]
    BodySize {
        /// What the header says.
        stated: u64,
        /// What it is.
        found: u64,
    },
    /// Another number of transactions than the header says.
    #[error("the body has {found} transactions, its header says {stated}")]
    BodyCount {
        /// What the header says.
        stated: u64,
        /// What it is.
        found: u64,
    },
    /// A body that is not its header's.
    #[error("the body's hash is {found:.8}, its header says {stated:.8}")]
    BodyHash {
        /// What the header says.
        stated: Hash,
        /// What it is.
        found: Hash,
    },
}

/// What the next header is judged by, besides the tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The era of the last block; `None` before the first.
    era: Option<Era>,
    /// `None` when the chain was joined midway: then they never become known, since each comes of the one
    /// before, and counters begin with the first that is seen.
    nonces: Option<Nonces>,
    counters: Counters,
}

impl State {
    /// Before the first block.
    pub(crate) fn genesis(params: &Params) -> Self {
        Self { era: None, nonces: Some(Nonces::genesis(params)), counters: Counters::default() }
    }

    /// At a block whose past is not known.
    pub(crate) fn midway() -> Self {
        Self { era: None, nonces: None, counters: Counters::default() }
    }

    /// The nonces, where they are known.
    pub fn nonces(&self) -> Option<&Nonces> {
        self.nonces.as_ref()
    }

    /// The era of the last block.
    pub fn era(&self) -> Option<Era> {
        self.era
    }

    /// The nonces at the start of a slot, with the epoch's as its header must use it.
    pub(crate) fn nonces_at(
        &self,
        params: &Params,
        last: Option<Slot>,
        era: Era,
        slot: Slot,
    ) -> Option<Nonces> {
        let nonces = self.nonces?;
        let last_epoch = last.map_or(0, |last| params.epoch(last));
        Some(if params.epoch(slot) > last_epoch { nonces.enter_epoch(params, era, slot) } else { nonces })
    }

    /// The state after a header whose links hold.
    pub(crate) fn next(&self, params: &Params, last: Option<Slot>, header: &Header) -> Result<Self, Reason> {
        let (era, bytes) = header::unwrap(&header.wire)?;
        self.check_era(params, last, header, era)?;
        if era.protocol() == Protocol::Permissioned {
            return Ok(Self { era: Some(era), ..self.clone() });
        }
        let parts = header::Parts::decode(era, bytes)?;
        if parts.block_size > MAX_BODY_BYTES {
            return Err(Reason::BodyTooLarge { stated: parts.block_size });
        }
        let pool = parts.pool();
        self.check_counter(era, &pool, parts.certificate.counter)?;
        let nonces = self
            .nonces_at(params, last, era, header.slot)
            .map(|nonces| nonces.after(params, era, header.slot, header.prev, &parts.vrf));
        Ok(Self { era: Some(era), nonces, counters: self.counters.with(pool, parts.certificate.counter) })
    }

    fn check_era(
        &self,
        params: &Params,
        last: Option<Slot>,
        header: &Header,
        era: Era,
    ) -> Result<(), Reason> {
        let slot = header.slot;
        if !params.allows(era, slot) {
            return Err(Reason::EraSlot { found: era, slot });
        }
        if header.boundary && !slot.0.is_multiple_of(params.byron_epoch_length()) {
            return Err(Reason::Boundary { slot });
        }
        let (Some(parent), Some(last)) = (self.era, last) else { return Ok(()) };
        if era < parent {
            return Err(Reason::EraOrder { parent, found: era });
        }
        if era > parent && params.epoch(last) == params.epoch(slot) {
            return Err(Reason::EraInsideEpoch { found: era, slot });
        }
        Ok(())
    }

    /// A pool's first certificate counts from 0. Praos lets the counter grow by one at a time.
    fn check_counter(&self, era: Era, pool: &Pool, found: u64) -> Result<(), Reason> {
        let seen = match (self.counters.get(pool), self.nonces) {
            (Some(seen), _) => seen,
            (None, Some(_)) => 0,
            (None, None) => return Ok(()),
        };
        if found < seen {
            return Err(Reason::CounterTooSmall { seen, found });
        }
        if era.protocol() == Protocol::Praos && found - seen > 1 {
            return Err(Reason::CounterTooLarge { seen, found });
        }
        Ok(())
    }

    /// Appends the state: `[era + 1 or 0, nonces or null, {pool: counter}]`.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        codec::encode(into, |out| {
            out.array(3)?.u64(self.era.map_or(0, |era| era.header_tag() + 1))?;
            match &self.nonces {
                None => out.null()?,
                Some(_) => out.array(5)?,
            };
            for nonce in self.nonces.iter().flat_map(Nonces::fields) {
                match nonce {
                    None => out.null()?,
                    Some(hash) => out.bytes(&hash.0)?,
                };
            }
            let counters = self.counters.to_map();
            out.array(counters.len() as u64)?;
            for (pool, counter) in &counters {
                out.array(2)?.bytes(pool)?.u64(*counter)?;
            }
            Ok(())
        });
    }

    /// Reads a state off the front.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "state";
        let list = reader.list(3, WHAT)?;
        let era = match reader.uint("era")? {
            0 => None,
            tag => Some(Era::of_header(tag - 1)?),
        };
        let nonces = if reader.null("nonces")? { None } else { Some(read_nonces(reader)?) };
        let count = reader.open("counters")?.filter(|count| *count <= MAX_POOLS);
        let count = count.ok_or(DecodeError::Malformed { what: "counters", at: reader.position() })?;
        let mut counters = BTreeMap::new();
        for _ in 0..count {
            let pair = reader.list(2, "counter")?;
            counters.insert(*reader.fixed("pool")?, reader.uint("counter")?);
            reader.close(pair, "counter")?;
        }
        reader.close(list, WHAT)?;
        Ok(Self { era, nonces, counters: Counters::from(counters) })
    }
}

fn read_nonces(reader: &mut Reader<'_>) -> Result<Nonces, DecodeError> {
    let list = reader.list(5, "nonces")?;
    let mut nonce = || -> Result<Option<Hash>, DecodeError> {
        if reader.null("nonce")? { Ok(None) } else { reader.hash("nonce").map(Some) }
    };
    let nonces = Nonces {
        epoch: nonce()?,
        evolving: nonce()?,
        candidate: nonce()?,
        previous: nonce()?,
        previous_of_epoch: nonce()?,
    };
    reader.close(list, "nonces")?;
    Ok(nonces)
}

impl Nonces {
    fn fields(&self) -> [Option<Hash>; 5] {
        [self.epoch, self.evolving, self.candidate, self.previous, self.previous_of_epoch]
    }
}
