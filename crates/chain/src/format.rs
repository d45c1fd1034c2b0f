//! A format gives bytes a meaning: what a header and a block are, and which of them may follow which.
//!
//! An enum, since two formats exist: every layer above handles headers and blocks alike. Judging a header
//! falls into a cheap part that needs its parent's state and runs in order ([`Format::next`]), and an
//! expensive part that may run anywhere ([`Format::checks`]).

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::{self, DecodeError, Reader};
use crate::{Block, Hash, Header, Height, Point, Position, Slot, Tip, cardano, native};

/// The version of an encoded [`State`]: raise it whenever the encoding changes.
const STATE_VERSION: u64 = 1;

/// The first block of a chain stands at this height.
const FIRST_HEIGHT: Height = Height(0);

/// What a caller did wrong who brings a state of one format to another.
const MIXED: &str = "a state belongs to the format that made it";

/// One format with its network's parameters.
#[derive(Debug, Clone)]
pub enum Format {
    /// Cardano.
    Cardano(Arc<cardano::Params>),
    /// Our own.
    Native(Arc<native::Params>),
}

/// Why a header or a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It does not follow the block that it was offered after.
    #[error("its previous hash is not that of the block before")]
    Previous {
        /// The block before.
        expected: Option<Hash>,
        /// What the header names.
        found: Option<Hash>,
    },
    /// Its slot is not after that of the block before.
    #[error("its slot {found} is not after slot {parent} of the block before")]
    Slot {
        /// The slot before.
        parent: Slot,
        /// Its own.
        found: Slot,
    },
    /// Its height is not the next.
    #[error("its height is {found}, not {expected}")]
    Height {
        /// The next height.
        expected: Height,
        /// Its own.
        found: Height,
    },
    /// Against a rule of Cardano's.
    #[error(transparent)]
    Cardano(#[from] cardano::Reason),
    /// Against a rule of our own format.
    #[error(transparent)]
    Native(#[from] native::Reason),
}

/// What is known after a block: all that its format needs to judge the child. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The block.
    pub tip: Tip,
    /// How many blocks lead up to it and with it: where the next one will stand.
    pub next: Position,
    /// Whether it is a boundary block.
    pub boundary: bool,
    /// What only its format knows.
    pub detail: Detail,
}

/// What only one format knows after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Cardano's.
    Cardano(cardano::State),
    /// Our own format's.
    Native(native::State),
}

/// The expensive checks of one header, to be run anywhere.
#[derive(Debug, Clone)]
pub enum Checks {
    /// Cardano's.
    Cardano(cardano::Checks),
    /// Our own format's.
    Native(native::Checks),
}

/// Which checks ran, and held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// KES signatures.
    pub kes: u64,
    /// Operational certificates, and Byron delegations.
    pub certificates: u64,
    /// VRF proofs.
    pub vrf: u64,
    /// Plain signatures: Byron's and those of native headers.
    pub signatures: u64,
    /// Boundary blocks, which nobody signs.
    pub boundaries: u64,
    /// Headers whose VRF could not be checked, since the nonce of their epoch is unknown.
    pub nonces_unknown: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.kes += more.kes;
        self.certificates += more.certificates;
        self.vrf += more.vrf;
        self.signatures += more.signatures;
        self.boundaries += more.boundaries;
        self.nonces_unknown += more.nonces_unknown;
    }
}

impl Format {
    /// The network's name.
    pub fn network(&self) -> &str {
        match self {
            Self::Cardano(params) => &params.name,
            Self::Native(params) => &params.name,
        }
    }

    /// The format's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cardano(_) => "cardano",
            Self::Native(_) => "native",
        }
    }

    /// The magic of the network's handshakes.
    pub fn magic(&self) -> u32 {
        match self {
            Self::Cardano(params) => params.magic,
            Self::Native(params) => params.magic,
        }
    }

    /// Which chain this is, for those who must not mistake it for another: of a native chain its genesis' hash,
    /// of Cardano's networks, which tell each other apart by their magic alone, a hash of that.
    pub fn chain_id(&self) -> Hash {
        match self {
            Self::Cardano(params) => {
                let mut bytes = Vec::new();
                codec::encode(&mut bytes, |out| out.array(2)?.str("cardano")?.u32(params.magic)?.ok());
                native::blake2b(&bytes)
            }
            Self::Native(params) => params.chain(),
        }
    }

    /// k: with this many blocks on top a block is deep.
    pub fn security(&self) -> u64 {
        match self {
            Self::Cardano(params) => params.security,
            Self::Native(params) => params.security.get(),
        }
    }

    /// When a slot begins, since the Unix epoch.
    pub fn slot_start(&self, slot: Slot) -> Duration {
        match self {
            Self::Cardano(params) => params.slot_start(slot),
            Self::Native(params) => params.slot_start(slot),
        }
    }

    /// The slot at a time since the Unix epoch.
    pub fn slot_at(&self, wall: Duration) -> Slot {
        match self {
            Self::Cardano(params) => params.slot_at(wall),
            Self::Native(params) => params.slot_at(wall),
        }
    }

    /// The largest header that this format takes, in its wire form.
    pub fn max_header_bytes(&self) -> usize {
        match self {
            Self::Cardano(_) => cardano::MAX_HEADER_BYTES,
            Self::Native(_) => native::MAX_WIRE_BYTES,
        }
    }

    /// The largest block that this format takes.
    pub fn max_block_bytes(&self) -> usize {
        match self {
            Self::Cardano(_) => cardano::MAX_BLOCK_BYTES,
            Self::Native(_) => native::MAX_BLOCK_BYTES,
        }
    }

    /// The largest body that a header may announce. (Byron's announce none, and only the federation makes them.)
    pub fn max_body_bytes(&self) -> u64 {
        match self {
            Self::Cardano(_) => cardano::MAX_BODY_BYTES,
            Self::Native(params) => params.max_body_bytes.get(),
        }
    }

    /// Reads a header in wire form. Shares the buffer, unless the envelope is not in its canonical form: that
    /// one is made again.
    pub fn header(&self, wire: &Bytes) -> Result<Header, DecodeError> {
        match self {
            Self::Cardano(params) => cardano::decode_header(params, wire),
            Self::Native(_) => native::decode_header(wire),
        }
    }

    /// Reads a block, `[era, block]`, as far as its header: [`Format::check_body`] reads the rest. Shares
    /// the buffer.
    pub fn block(&self, raw: &Bytes) -> Result<Block, DecodeError> {
        match self {
            Self::Cardano(params) => cardano::decode_block(params, raw),
            Self::Native(_) => native::decode_block(raw),
        }
    }

    /// The state before the first block.
    pub fn genesis(&self) -> State {
        let detail = match self {
            Self::Cardano(params) => Detail::Cardano(cardano::State::genesis(params)),
            Self::Native(params) => Detail::Native(native::State::genesis(params)),
        };
        State { tip: Tip::default(), next: Position(0), boundary: false, detail }
    }

    /// The state at a block that is trusted though its past is not at hand: nonces stay unknown. The block
    /// is taken for one that is no boundary block.
    pub fn midway(&self, tip: Tip, next: Position) -> State {
        let detail = match self {
            Self::Cardano(_) => Detail::Cardano(cardano::State::midway()),
            // The validators of the genesis, until headers say otherwise.
            Self::Native(params) => Detail::Native(native::State::genesis(params)),
        };
        State { tip, next, boundary: false, detail }
    }

    /// The state after a header: links, slot, height, and what else is cheap and must run in order.
    pub fn next(&self, parent: &State, header: &Header) -> Result<State, Reason> {
        check_links(parent, header)?;
        let detail = match (self, &parent.detail) {
            (Self::Cardano(params), Detail::Cardano(state)) => {
                Detail::Cardano(state.next(params, parent.tip.point.slot(), header)?)
            }
            (Self::Native(params), Detail::Native(state)) => Detail::Native(state.next(params, header)?),
            (Self::Cardano(_), Detail::Native(_)) | (Self::Native(_), Detail::Cardano(_)) => {
                panic!("{MIXED}")
            }
        };
        Ok(State { tip: header.tip(), next: parent.next.next(), boundary: header.boundary, detail })
    }

    /// The expensive checks of a header that follows this parent: pure, and of any order.
    pub fn checks(&self, parent: &State, header: &Header) -> Checks {
        match (self, &parent.detail) {
            (Self::Cardano(params), Detail::Cardano(state)) => {
                Checks::Cardano(cardano::Checks::after(params, state, parent.tip.point.slot(), header))
            }
            (Self::Native(_), Detail::Native(_)) => Checks::Native(native::Checks::new(header)),
            (Self::Cardano(_), Detail::Native(_)) | (Self::Native(_), Detail::Cardano(_)) => {
                panic!("{MIXED}")
            }
        }
    }

    /// Judges a body against its header: hash, size, nothing left over.
    pub fn check_body(&self, block: &Block) -> Result<(), Reason> {
        match self {
            Self::Cardano(params) => Ok(cardano::check_body(params, block)?),
            Self::Native(_) => Ok(native::check_body(block)?),
        }
    }

    /// `Greater` when a chain that ends in `a` is better than one that ends in `b`; `Equal` when neither is:
    /// then one keeps what one has.
    pub fn prefer(&self, a: &Header, b: &Header) -> Ordering {
        match self {
            Self::Cardano(_) => cardano::prefer(a, b),
            Self::Native(_) => native::prefer(a, b),
        }
    }
}

/// What every format asks: the previous hash, a later slot, the next height. A boundary block shares its
/// height with the block before it and its slot with the one after.
fn check_links(parent: &State, header: &Header) -> Result<(), Reason> {
    let expected = parent.tip.point.hash();
    if header.prev != expected {
        return Err(Reason::Previous { expected, found: header.prev });
    }
    let Point::Block(slot, _) = parent.tip.point else {
        return if header.height == FIRST_HEIGHT {
            Ok(())
        } else {
            Err(Reason::Height { expected: FIRST_HEIGHT, found: header.height })
        };
    };
    let shares_slot = parent.boundary && !header.boundary;
    if header.slot < slot || (header.slot == slot && !shares_slot) {
        return Err(Reason::Slot { parent: slot, found: header.slot });
    }
    let shares_height = header.boundary && !parent.boundary;
    let step = u64::from(!shares_height);
    let height = parent.tip.height.0.checked_add(step).map(Height);
    match height {
        Some(expected) if expected == header.height => Ok(()),
        Some(expected) => Err(Reason::Height { expected, found: header.height }),
        None => Err(Reason::Height { expected: parent.tip.height, found: header.height }),
    }
}

impl Checks {
    /// Runs them all, and says which ran.
    pub fn run(&self) -> Result<Counts, Reason> {
        match self {
            Self::Cardano(checks) => Ok(checks.run()?),
            Self::Native(checks) => {
                checks.run()?;
                Ok(Counts { signatures: 1, ..Counts::default() })
            }
        }
    }
}

impl State {
    /// What only the native format knows; `None` on a Cardano chain.
    pub fn native(&self) -> Option<&native::State> {
        match &self.detail {
            Detail::Native(state) => Some(state),
            Detail::Cardano(_) => None,
        }
    }

    /// The state as bytes, for a snapshot: `[version, tip, next, boundary, format, detail]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode(&mut bytes, |out| out.array(6)?.u64(STATE_VERSION)?.ok());
        codec::encode_tip(&self.tip, &mut bytes);
        let boundary = u64::from(self.boundary);
        match &self.detail {
            Detail::Cardano(state) => {
                codec::encode(&mut bytes, |out| out.u64(self.next.0)?.u64(boundary)?.u64(0)?.ok());
                state.encode(&mut bytes);
            }
            Detail::Native(state) => {
                codec::encode(&mut bytes, |out| out.u64(self.next.0)?.u64(boundary)?.u64(1)?.ok());
                state.encode(&mut bytes);
            }
        }
        bytes
    }

    /// Reads an encoded state and nothing else. An older version is refused: it is made again from the log.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let list = reader.list(6, "state")?;
        match reader.uint("state version")? {
            STATE_VERSION => {}
            found => return Err(DecodeError::Unknown { what: "state version", found }),
        }
        let tip = reader.tip()?;
        let next = Position(reader.uint("position")?);
        let boundary = match reader.uint("boundary flag")? {
            flag @ (0 | 1) => flag == 1,
            found => return Err(DecodeError::Unknown { what: "boundary flag", found }),
        };
        let detail = match reader.uint("format")? {
            0 => Detail::Cardano(cardano::State::read(&mut reader)?),
            1 => Detail::Native(native::State::read(&mut reader)?),
            found => return Err(DecodeError::Unknown { what: "format", found }),
        };
        reader.close(list, "state")?;
        reader.finish("state")?;
        Ok(Self { tip, next, boundary, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_a_chain_id_of_its_own() {
        let cardano = |name| {
            let params = cardano::Params::built_in(name).expect("built in");
            Format::Cardano(Arc::new(params)).chain_id()
        };
        let native = native::Params::solo("mine", 1, 5, [3; 32]);
        // Preprod's magic is 1 as well.
        let ids = [cardano("mainnet"), cardano("preprod"), cardano("preview"), native.chain()];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{id}");
        }
        assert_eq!(cardano("preview"), cardano("preview"));
        assert_eq!(Format::Native(Arc::new(native.clone())).chain_id(), native.chain());
    }
}
