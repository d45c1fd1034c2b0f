//! The native chain as the engine sees it: its types.
//!
//! The value that the engine decides is a header; its address for a validator is the validator's key.

use std::fmt;
use std::sync::Arc;

use chain::native::Validators;
use chain::native::ballot::{self, Kind};
use chain::{Hash, Header};
use malachite_types::{self as engine, NilOrVal, Round, SignedExtension, VoteType};

use super::message::{Key, Signature};

/// The native chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Native;

/// A validator's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address(pub(super) Key);

/// A height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Height(pub(super) u64);

/// A header, told from others by its id.
#[derive(Debug, Clone)]
pub(super) struct Value(pub(super) Header);

/// A validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    address: Address,
    weight: u64,
}

/// The validators of a height, in the order of the chain's set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) validators: Arc<Validators>,
    members: Arc<[Member]>,
}

/// A proposal, unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) value: Value,
    pub(super) valid: Round,
    pub(super) address: Address,
}

/// A vote, unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) kind: VoteType,
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) block: NilOrVal<Hash>,
    pub(super) address: Address,
}

/// Bodies travel apart: there are no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoPart;

/// How long steps take is ours to say, not the engine's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NoTimeouts;

/// Ed25519, of which the engine sees bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ed25519;

/// Bytes of the wrong length.
#[derive(Debug, thiserror::Error)]
#[error("wrong length")]
pub(super) struct WrongLength;

impl Set {
    pub(super) fn new(validators: Arc<Validators>) -> Self {
        let member = |member: &chain::native::Validator| Member {
            address: Address(member.key),
            weight: member.weight.get(),
        };
        Self { members: validators.members().iter().map(member).collect(), validators }
    }
}

impl Offer {
    /// What its signature is over.
    pub(super) fn ballot(&self) -> ballot::Proposal {
        ballot::Proposal {
            height: chain::Height(self.height.0),
            round: number(self.round),
            valid: self.valid.as_u32(),
            block: self.value.0.id,
        }
    }
}

impl Ballot {
    /// What its signature is over.
    pub(super) fn ballot(&self) -> ballot::Vote {
        ballot::Vote {
            kind: match self.kind {
                VoteType::Prevote => Kind::Prevote,
                VoteType::Precommit => Kind::Precommit,
            },
            height: chain::Height(self.height.0),
            round: number(self.round),
            block: match self.block {
                NilOrVal::Nil => None,
                NilOrVal::Val(block) => Some(block),
            },
        }
    }
}

/// A round that has begun, as a number.
pub(super) fn number(round: Round) -> u32 {
    round.as_u32().expect("what is signed and timed has a round")
}

impl engine::Context for Native {
    type Address = Address;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Offer;
    type Validator = Member;
    type ValidatorSet = Set;
    type Timeouts = NoTimeouts;
    type Value = Value;
    type Vote = Ballot;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a Set, height: Height, round: Round) -> &'a Member {
        let proposer = set.validators.proposer(chain::Height(height.0), number(round).into());
        let place = set.validators.place(&proposer.key).expect("the proposer is a member");
        &set.members[place]
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: Value,
        valid: Round,
        address: Address,
    ) -> Offer {
        Offer { height, round, value, valid, address }
    }

    fn new_prevote(&self, height: Height, round: Round, block: NilOrVal<Hash>, address: Address) -> Ballot {
        Ballot { kind: VoteType::Prevote, height, round, block, address }
    }

    fn new_precommit(&self, height: Height, round: Round, block: NilOrVal<Hash>, address: Address) -> Ballot {
        Ballot { kind: VoteType::Precommit, height, round, block, address }
    }
}

impl engine::Address for Address {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", Hash(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl engine::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(0);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl engine::Validator<Native> for Member {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &Address {
        &self.address
    }

    fn voting_power(&self) -> u64 {
        self.weight
    }
}

impl engine::ValidatorSet<Native> for Set {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.validators.weight()
    }

    fn get_by_address(&self, address: &Address) -> Option<&Member> {
        self.members.get(self.validators.place(&address.0)?)
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

impl engine::Value for Value {
    type Id = Hash;

    fn id(&self) -> Hash {
        self.0.id
    }
}

impl engine::Proposal<Native> for Offer {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.valid
    }

    fn validator_address(&self) -> &Address {
        &self.address
    }
}

impl engine::Vote<Native> for Ballot {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Hash> {
        &self.block
    }

    fn take_value(self) -> NilOrVal<Hash> {
        self.block
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.address
    }

    fn extension(&self) -> Option<&SignedExtension<Native>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Native>> {
        None
    }

    fn extend(self, _extension: SignedExtension<Native>) -> Self {
        self
    }
}

impl engine::ProposalPart<Native> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

impl engine::Timeouts<Native> for NoTimeouts {
    fn duration_for(&self, _timeout: engine::Timeout) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

impl engine::SigningScheme for Ed25519 {
    type DecodingError = WrongLength;
    type Signature = Signature;
    type PublicKey = Address;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Signature, WrongLength> {
        bytes.try_into().map_err(|_| WrongLength)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<Address, WrongLength> {
        bytes.try_into().map(Address).map_err(|_| WrongLength)
    }

    fn encode_public_key(key: &Address) -> Vec<u8> {
        key.0.to_vec()
    }
}
