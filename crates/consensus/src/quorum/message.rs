//! What validators tell each other, and its one encoding.
//!
//! Whoever relays may be a liar: nothing here is true before its signatures are checked against the validators of
//! its height. The drawing:
//!
//! ```text
//! vote     = [0, kind, height, round, block / null, validator, signature]
//! proposal = [1, height, round, valid round / null, header, validator, signature]
//! polka    = [2, height, round, block, [[validator, signature], …]]
//! entry    = [3, height, round, 0 skip / 1 next, [[kind, block / null, validator, signature], …]]
//! ```
//!
//! A header travels whole, so that a receiver can judge it before it asks for the body.

use std::collections::BTreeSet;

use bytes::Bytes;
use chain::native::ballot::{self, Kind};
use chain::native::{Faults, MAX_VALIDATORS, MAX_WIRE_BYTES, Validators, decode_header, is_signed};
use chain::{DecodeError, Hash, Header, Height};

use super::boundary::Violation;
use super::codec::{Reader, Writer};

/// The most bytes of a message: the largest header, or a vote of each validator, with air.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1_024;

const _: () =
    assert!(MAX_WIRE_BYTES + 256 < MAX_MESSAGE_BYTES && MAX_VALIDATORS * 140 + 256 < MAX_MESSAGE_BYTES);

/// A validator's Ed25519 key.
pub type Key = [u8; 32];

/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// A signed vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// What was voted.
    pub vote: ballot::Vote,
    /// By whom.
    pub validator: Key,
    /// Of [`ballot::Vote::signed_bytes`].
    pub signature: Signature,
}

/// A signed proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The round that it is proposed in.
    pub round: u32,
    /// The earlier round in which a quorum voted for the block, if it is proposed again.
    pub valid: Option<u32>,
    /// The header of the block: that of its first proposer, also when it is proposed again.
    pub header: Header,
    /// Who proposes.
    pub validator: Key,
    /// Of [`ballot::Proposal::signed_bytes`].
    pub signature: Signature,
}

/// The prevotes of a quorum for one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polka {
    /// The height that is decided on.
    pub height: Height,
    /// The round of the votes.
    pub round: u32,
    /// The block.
    pub block: Hash,
    /// Who voted, with the signatures; at most [`MAX_VALIDATORS`].
    pub votes: Vec<(Key, Signature)>,
}

/// Votes that make a round begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The height that is decided on.
    pub height: Height,
    /// The round of the votes.
    pub round: u32,
    /// Which round they begin.
    pub enters: Enters,
    /// The votes; at most [`MAX_VALIDATORS`].
    pub votes: Vec<RoundVote>,
}

/// Which round an [`Entry`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enters {
    /// The round of the votes: one who tells the truth is in it.
    Skip,
    /// The round after: a quorum gave its second votes and decided nothing.
    Next,
}

/// One vote of an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundVote {
    /// The first or the second vote.
    pub kind: Kind,
    /// The block, if any.
    pub block: Option<Hash>,
    /// By whom.
    pub validator: Key,
    /// The signature.
    pub signature: Signature,
}

/// A message from one validator to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A vote.
    Vote(Vote),
    /// A proposal.
    Proposal(Box<Proposal>),
    /// Why a block may be proposed again.
    Polka(Polka),
    /// Why a round begins.
    Entry(Entry),
}

impl Vote {
    /// Whether the signature is the validator's.
    pub fn is_signed(&self, chain: &Hash) -> bool {
        is_signed(&self.vote.signed_bytes(chain), &self.validator, &self.signature)
    }
}

impl Proposal {
    /// What the signature is over, as the chain knows it.
    pub fn ballot(&self) -> ballot::Proposal {
        let Self { round, valid, ref header, .. } = *self;
        ballot::Proposal { height: header.height, round, valid, block: header.id }
    }

    /// Whether the signature is the validator's.
    pub fn is_signed(&self, chain: &Hash) -> bool {
        is_signed(&self.ballot().signed_bytes(chain), &self.validator, &self.signature)
    }

    /// What can be seen to be wrong with it before its signature is verified, for who knows the validators of its height.
    pub(super) fn fault(&self, validators: &Validators) -> Option<Violation> {
        if validators.proposer(self.header.height, self.round.into()).key != self.validator {
            return Some(Violation::Turn);
        }
        self.valid.is_some_and(|valid| valid >= self.round).then_some(Violation::ValidRound)
    }
}

impl Message {
    /// The height that it speaks of.
    pub fn height(&self) -> Height {
        match self {
            Self::Vote(vote) => vote.vote.height,
            Self::Proposal(proposal) => proposal.header.height,
            Self::Polka(polka) => polka.height,
            Self::Entry(entry) => entry.height,
        }
    }

    /// The round that it speaks of.
    pub fn round(&self) -> u32 {
        match self {
            Self::Vote(vote) => vote.vote.round,
            Self::Proposal(proposal) => proposal.round,
            Self::Polka(polka) => polka.round,
            Self::Entry(entry) => entry.round,
        }
    }

    /// Whether validators of this set signed it, and enough of them where it takes several, and whether a proposal was its
    /// sender's turn: what who only relays can say of it. Whether its block is any good is not looked at. What is genuine
    /// no [`Quorum`](super::Quorum) refuses.
    pub fn is_genuine(&self, chain: &Hash, validators: &Validators, faults: Faults) -> bool {
        match self {
            Self::Vote(vote) => validators.contains(&vote.validator) && vote.is_signed(chain),
            Self::Proposal(proposal) => {
                proposal.fault(validators).is_none()
                    && validators.contains(&proposal.validator)
                    && proposal.is_signed(chain)
            }
            Self::Polka(polka) => {
                let vote = ballot::Vote {
                    kind: Kind::Prevote,
                    height: polka.height,
                    round: polka.round,
                    block: Some(polka.block),
                };
                let votes = polka.votes.iter().map(|(key, signature)| (vote, key, signature));
                let weight = weight_of(chain, validators, votes);
                weight.is_some_and(|weight| faults.is_quorum(weight, validators.weight()))
            }
            Self::Entry(entry) => {
                let Entry { height, round, enters, ref votes } = *entry;
                let is_next = enters == Enters::Next;
                if is_next && votes.iter().any(|vote| vote.kind == Kind::Prevote) {
                    return false;
                }
                let votes = votes.iter().map(|vote| {
                    let said = ballot::Vote { kind: vote.kind, height, round, block: vote.block };
                    (said, &vote.validator, &vote.signature)
                });
                let weight = weight_of(chain, validators, votes);
                weight.is_some_and(|weight| match (enters, faults) {
                    (Enters::Next, _) => faults.is_quorum(weight, validators.weight()),
                    (Enters::Skip, Faults::Byzantine) => weight > validators.weight() / 3,
                    (Enters::Skip, Faults::Crash) => weight > 0,
                })
            }
        }
    }

    /// What it is, for counting and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vote(vote) => match vote.vote.kind {
                Kind::Prevote => "prevote",
                Kind::Precommit => "precommit",
            },
            Self::Proposal(_) => "proposal",
            Self::Polka(_) => "polka",
            Self::Entry(_) => "entry",
        }
    }

    /// Its one encoding.
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::default();
        match self {
            Self::Vote(Vote { vote, validator, signature }) => {
                out.array(7).uint(0).uint(vote.kind.number()).uint(vote.height.0).uint(vote.round.into());
                out.hash(vote.block).bytes(validator).bytes(signature);
            }
            Self::Proposal(proposal) => {
                let Proposal { round, valid, header, validator, signature } = &**proposal;
                out.array(7).uint(1).uint(header.height.0).uint((*round).into());
                match valid {
                    None => out.null(),
                    Some(valid) => out.uint((*valid).into()),
                };
                out.bytes(&header.wire).bytes(validator).bytes(signature);
            }
            Self::Polka(Polka { height, round, block, votes }) => {
                out.array(5).uint(2).uint(height.0).uint((*round).into()).bytes(&block.0);
                out.array(votes.len());
                for (validator, signature) in votes {
                    out.array(2).bytes(validator).bytes(signature);
                }
            }
            Self::Entry(Entry { height, round, enters, votes }) => {
                out.array(5).uint(3).uint(height.0).uint((*round).into());
                out.uint(u64::from(*enters == Enters::Next)).array(votes.len());
                for RoundVote { kind, block, validator, signature } in votes {
                    out.array(4).uint(kind.number()).hash(*block).bytes(validator).bytes(signature);
                }
            }
        }
        out.finish()
    }

    /// Reads a message in its one encoding, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeError::Range { what: "message size", found: bytes.len() as u64 });
        }
        let mut reader = Reader::new(bytes);
        let items = reader.array("message")?;
        let message = match (reader.uint("message kind")?, items) {
            (0, 7) => Self::Vote(read_vote(&mut reader)?),
            (1, 7) => Self::Proposal(Box::new(read_proposal(&mut reader)?)),
            (2, 5) => Self::Polka(read_polka(&mut reader)?),
            (3, 5) => Self::Entry(read_entry(&mut reader)?),
            (found, _) => return Err(DecodeError::Unknown { what: "message kind", found }),
        };
        reader.finish("message")?;
        match message.encode() == bytes {
            true => Ok(message),
            false => Err(DecodeError::Malformed { what: "message (not in its one encoding)", at: 0 }),
        }
    }
}

/// What the signers weigh; `None` where one is no validator, or signed twice, or did not sign.
fn weight_of<'a>(
    chain: &Hash,
    validators: &Validators,
    votes: impl Iterator<Item = (ballot::Vote, &'a Key, &'a Signature)>,
) -> Option<u64> {
    let mut seen = BTreeSet::new();
    let mut weight = 0;
    for (vote, key, signature) in votes {
        let place = validators.place(key).filter(|place| seen.insert(*place))?;
        if !is_signed(&vote.signed_bytes(chain), key, signature) {
            return None;
        }
        // Different members: the sum stays below the set's own.
        weight += validators.members()[place].weight.get();
    }
    Some(weight)
}

fn read_vote(reader: &mut Reader<'_>) -> Result<Vote, DecodeError> {
    let kind = reader.kind()?;
    let height = Height(reader.uint("height")?);
    let vote = ballot::Vote { kind, height, round: reader.round()?, block: reader.block()? };
    Ok(Vote { vote, validator: reader.fixed("validator")?, signature: reader.fixed("signature")? })
}

fn read_proposal(reader: &mut Reader<'_>) -> Result<Proposal, DecodeError> {
    let found = reader.uint("height")?;
    let round = reader.round()?;
    let valid = if reader.null()? { None } else { Some(reader.round()?) };
    let header = decode_header(&Bytes::copy_from_slice(reader.bytes("header")?))?;
    if header.height != Height(found) {
        return Err(DecodeError::Range { what: "height of the header", found });
    }
    let validator = reader.fixed("validator")?;
    Ok(Proposal { round, valid, header, validator, signature: reader.fixed("signature")? })
}

fn read_polka(reader: &mut Reader<'_>) -> Result<Polka, DecodeError> {
    let (height, round) = (Height(reader.uint("height")?), reader.round()?);
    let block = Hash(reader.fixed("block hash")?);
    let votes = reader.votes(|reader| {
        reader.exactly(2, "vote")?;
        Ok((reader.fixed("validator")?, reader.fixed("signature")?))
    })?;
    Ok(Polka { height, round, block, votes })
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let (height, round) = (Height(reader.uint("height")?), reader.round()?);
    let enters = match reader.uint("entry kind")? {
        0 => Enters::Skip,
        1 => Enters::Next,
        found => return Err(DecodeError::Unknown { what: "entry kind", found }),
    };
    let votes = reader.votes(|reader| {
        reader.exactly(4, "vote")?;
        let (kind, block) = (reader.kind()?, reader.block()?);
        let validator = reader.fixed("validator")?;
        Ok(RoundVote { kind, block, validator, signature: reader.fixed("signature")? })
    })?;
    Ok(Entry { height, round, enters, votes })
}
