//! The native header state, and what it takes for a header to be right.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::ballot::is_signed;
use super::header::{change, decode_fields, unwrap};
use super::{Change, Fields, Params, Produced, VERSION, Validators};
use crate::codec::{DecodeError, Reader, encode};
use crate::{Hash, Header, Height};

/// How far ahead of its header a change of validators takes effect, at least (DESIGN, "Chain").
const MIN_CHANGE_DELAY: u64 = 2;

/// What is needed to judge the header after a block, beside its links. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The term of the block.
    pub term: u64,
    /// The height that the last state root was of, if any was named so far.
    pub state_height: Option<Height>,
    /// The validators in force at the block.
    pub validators: Arc<Validators>,
    /// A change of validators that was announced and was not in force at the block.
    pub pending: Option<Arc<Change>>,
}

/// Why a header or a body is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The bytes are no native header or block.
    #[error("not a native block")]
    Undecodable,
    /// A version that this program does not know.
    #[error("header version {found}: this program knows {VERSION}")]
    Version {
        /// The version.
        found: u64,
    },
    /// The header is another chain's.
    #[error("the header belongs to chain {found:.8}, not to {expected:.8}")]
    Chain {
        /// Our chain.
        expected: Hash,
        /// The header's.
        found: Hash,
    },
    /// The term is below the parent's.
    #[error("term {found} after {parent}")]
    Term {
        /// The parent's.
        parent: u64,
        /// The header's.
        found: u64,
    },
    /// The producer is no validator.
    #[error("the producer is not among the validators in force")]
    Producer,
    /// The producer is a validator, but not the one whose turn it is.
    #[error("round {round} of height {height} is not its producer's turn")]
    Turn {
        /// The header's height.
        height: Height,
        /// The header's round.
        round: u64,
    },
    /// The header names other validators than are in force.
    #[error("the header names other validators than are in force")]
    Validators,
    /// A change of validators that would be in force too soon.
    #[error(
        "a change of validators at height {at} must wait until {MIN_CHANGE_DELAY} later, not {effective}"
    )]
    ChangeTooSoon {
        /// The header's height.
        at: Height,
        /// When the change would be in force.
        effective: Height,
    },
    /// A change of validators while another is waiting.
    #[error("a change of validators is already waiting for height {waiting}")]
    ChangeWaiting {
        /// When the waiting one is in force.
        waiting: Height,
    },
    /// The state root is of this block or a later one, or of an earlier one than the parent named.
    #[error("the state root is of height {found}, which cannot be known at {at}")]
    StateRoot {
        /// The header's height.
        at: Height,
        /// The height that it names.
        found: Height,
    },
    /// More transactions than the genesis allows.
    #[error("{found} bytes of transactions: the genesis allows {max}")]
    TooLarge {
        /// The bound.
        max: u64,
        /// What the header states.
        found: u64,
    },
    /// The signature is not the producer's.
    #[error("the signature is not the producer's")]
    Signature,
    /// The block holds another header than the one it is checked against.
    #[error("the block has another header")]
    OtherHeader,
    /// The body has another size than the header states.
    #[error("{found} bytes of transactions: the header states {stated}")]
    BodySize {
        /// The header's.
        stated: u64,
        /// The body's.
        found: u64,
    },
    /// The body has another number of transactions than the header states.
    #[error("{found} transactions: the header states {stated}")]
    BodyCount {
        /// The header's.
        stated: u64,
        /// The body's.
        found: u64,
    },
    /// The body's Merkle root is not the header's.
    #[error("the transactions' root is {found:.8}: the header states {stated:.8}")]
    BodyRoot {
        /// The header's.
        stated: Hash,
        /// The body's.
        found: Hash,
    },
}

/// What costs time about a header, apart from its order: a job for another thread.
#[derive(Debug, Clone)]
pub struct Checks {
    wire: Bytes,
}

/// Which of two headers ends the better chain: the higher term, then the higher height, then the higher id.
pub fn prefer(a: &Header, b: &Header) -> Ordering {
    let term = |header: &Header| read(header).map_or(0, |produced| produced.fields.term);
    let rank = |header: &Header| (term(header), header.height, header.id);
    rank(a).cmp(&rank(b))
}

impl Checks {
    /// The checks of a header.
    pub fn new(header: &Header) -> Self {
        Self { wire: header.wire.clone() }
    }

    /// Verifies the producer's signature.
    pub fn run(&self) -> Result<(), Reason> {
        let Produced { fields, body, signature } = read_wire(&self.wire)?;
        match is_signed(&body, &fields.producer, &signature) {
            true => Ok(()),
            false => Err(Reason::Signature),
        }
    }
}

impl State {
    /// The state before the first block. The genesis must be valid.
    pub fn genesis(params: &Params) -> Self {
        let validators = params.validator_set().expect("a valid genesis has validators");
        Self { term: 0, state_height: None, validators: Arc::new(validators), pending: None }
    }

    /// Judges a header whose links hold, all but its signature; gives the state after it.
    pub fn next(&self, params: &Params, header: &Header) -> Result<Self, Reason> {
        let fields = read(header)?.fields;
        if fields.version != VERSION {
            return Err(Reason::Version { found: fields.version });
        }
        let expected = params.chain();
        if fields.chain != expected {
            return Err(Reason::Chain { expected, found: fields.chain });
        }
        if fields.term < self.term {
            return Err(Reason::Term { parent: self.term, found: fields.term });
        }
        let max = params.max_body_bytes.get();
        if fields.size > max {
            return Err(Reason::TooLarge { max, found: fields.size });
        }
        let (validators, waiting) = self.validators_at(fields.height);
        if fields.validators != validators.hash() {
            return Err(Reason::Validators);
        }
        if !validators.contains(&fields.producer) {
            return Err(Reason::Producer);
        }
        if validators.proposer(fields.height, fields.round).key != fields.producer {
            return Err(Reason::Turn { height: fields.height, round: fields.round });
        }
        let pending = check_change(waiting, &fields)?;
        let state_height = check_state_root(self.state_height, &fields)?;
        Ok(Self { term: fields.term, state_height, validators, pending })
    }

    /// The validators in force at a height above this block, and the change that still waits then.
    pub fn validators_at(&self, height: Height) -> (Arc<Validators>, Option<Arc<Change>>) {
        match &self.pending {
            Some(change) if change.height <= height => (Arc::new(change.validators.clone()), None),
            pending => (self.validators.clone(), pending.clone()),
        }
    }

    /// Appends `[term, height / null, validators, change / null]`, for a snapshot.
    pub fn encode(&self, into: &mut Vec<u8>) {
        encode(into, |out| {
            out.array(4)?.u64(self.term)?;
            match self.state_height {
                None => out.null()?.ok(),
                Some(height) => out.u64(height.0)?.ok(),
            }
        });
        self.validators.encode(into);
        super::header::encode_change(self.pending.as_deref(), into);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "native state";
        let list = reader.list(4, WHAT)?;
        let state = Self {
            term: reader.uint("term")?,
            state_height: match reader.null("height of a state")? {
                true => None,
                false => Some(Height(reader.uint("height of a state")?)),
            },
            validators: Arc::new(Validators::decode(reader)?),
            pending: change(reader)?.map(Arc::new),
        };
        reader.close(list, WHAT)?;
        Ok(state)
    }
}

fn read(header: &Header) -> Result<Produced, Reason> {
    read_wire(&header.wire)
}

fn read_wire(wire: &[u8]) -> Result<Produced, Reason> {
    unwrap(wire).and_then(decode_fields).map_err(|_| Reason::Undecodable)
}

fn check_change(waiting: Option<Arc<Change>>, fields: &Fields) -> Result<Option<Arc<Change>>, Reason> {
    let Some(change) = &fields.change else { return Ok(waiting) };
    if let Some(waiting) = waiting {
        return Err(Reason::ChangeWaiting { waiting: waiting.height });
    }
    if change.height.0 < fields.height.0.saturating_add(MIN_CHANGE_DELAY) {
        return Err(Reason::ChangeTooSoon { at: fields.height, effective: change.height });
    }
    Ok(Some(Arc::new(change.clone())))
}

fn check_state_root(before: Option<Height>, fields: &Fields) -> Result<Option<Height>, Reason> {
    let Some(state) = fields.state else { return Ok(before) };
    if state.height >= fields.height || before.is_some_and(|before| state.height < before) {
        return Err(Reason::StateRoot { at: fields.height, found: state.height });
    }
    Ok(Some(state.height))
}
