//! Between the engine's words and ours: messages, votes, journal records, timers.

use chain::Hash;
use chain::native::ballot::{self, Kind};
use malachite::{Input, LivenessMsg, SignedConsensusMsg};
use malachite_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType,
    RoundSignature, SignedProposal, SignedVote, Timeout, TimeoutKind, VoteType,
};

use super::context::{Address, Ballot, Height, Native, Offer, Value, number};
use super::engine::{Step, Timer};
use super::message::{Enters, Entry, Key, Message, Polka, Proposal, RoundVote, Signature, Vote};
use super::record::Record;

pub(super) fn message_in(message: &Message) -> Input<Native> {
    match message {
        Message::Vote(vote) => Input::Vote(vote_in(vote)),
        Message::Proposal(proposal) => Input::Proposal(proposal_in(proposal)),
        Message::Polka(polka) => Input::PolkaCertificate(polka_in(polka)),
        Message::Entry(entry) => Input::RoundCertificate(entry_in(entry)),
    }
}

pub(super) fn signed_out(message: SignedConsensusMsg<Native>) -> Message {
    match message {
        SignedConsensusMsg::Vote(vote) => Message::Vote(vote_out(&vote)),
        SignedConsensusMsg::Proposal(proposal) => Message::Proposal(Box::new(proposal_out(&proposal))),
    }
}

pub(super) fn liveness_out(message: LivenessMsg<Native>) -> Message {
    match message {
        LivenessMsg::Vote(vote) => Message::Vote(vote_out(&vote)),
        LivenessMsg::PolkaCertificate(polka) => Message::Polka(polka_out(&polka)),
        LivenessMsg::SkipRoundCertificate(entry) => Message::Entry(entry_out(&entry)),
    }
}

/// The record of what the engine wants remembered.
pub(super) fn record_out(input: &Input<Native>) -> Option<Record> {
    match input {
        Input::Vote(vote) => Some(Record::Message(Message::Vote(vote_out(vote)))),
        Input::Proposal(proposal) => {
            Some(Record::Message(Message::Proposal(Box::new(proposal_out(proposal)))))
        }
        Input::PolkaCertificate(polka) => Some(Record::Message(Message::Polka(polka_out(polka)))),
        Input::ProposedValue(value, _) => Some(Record::Value {
            round: number(value.round),
            header: value.value.0.clone(),
            is_right: value.validity.is_valid(),
        }),
        Input::TimeoutElapsed(timeout) => timer_out(*timeout).map(Record::Timeout),
        // The engine remembers none of these: their parts come as records of their own.
        Input::StartHeight(..)
        | Input::RoundCertificate(_)
        | Input::Propose(_)
        | Input::SyncValueResponse(_) => None,
    }
}

pub(super) fn timer_in(timer: Timer) -> Timeout {
    let kind = match timer.step {
        Step::Propose => TimeoutKind::Propose,
        Step::Prevote => TimeoutKind::Prevote,
        Step::Precommit => TimeoutKind::Precommit,
        Step::Repeat => TimeoutKind::Rebroadcast,
    };
    Timeout::new(Round::new(timer.round), kind)
}

/// A timer of ours; `None` for the end of a height, which never waits here.
pub(super) fn timer_out(timeout: Timeout) -> Option<Timer> {
    let step = match timeout.kind {
        TimeoutKind::Propose => Step::Propose,
        TimeoutKind::Prevote => Step::Prevote,
        TimeoutKind::Precommit => Step::Precommit,
        TimeoutKind::Rebroadcast => Step::Repeat,
        TimeoutKind::FinalizeHeight(_) => return None,
    };
    Some(Timer { step, round: number(timeout.round) })
}

fn block(value: &NilOrVal<Hash>) -> Option<Hash> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(*block),
    }
}

fn value(block: Option<Hash>) -> NilOrVal<Hash> {
    block.map_or(NilOrVal::Nil, NilOrVal::Val)
}

fn vote_type(kind: Kind) -> VoteType {
    match kind {
        Kind::Prevote => VoteType::Prevote,
        Kind::Precommit => VoteType::Precommit,
    }
}

pub(super) fn vote_in(vote: &Vote) -> SignedVote<Native> {
    let ballot::Vote { kind, height, round, block } = vote.vote;
    let ballot = Ballot {
        kind: vote_type(kind),
        height: Height(height.0),
        round: Round::new(round),
        block: value(block),
        address: Address(vote.validator),
    };
    SignedVote::new(ballot, vote.signature)
}

pub(super) fn vote_out(vote: &SignedVote<Native>) -> Vote {
    Vote { vote: vote.message.ballot(), validator: vote.message.address.0, signature: vote.signature }
}

pub(super) fn proposal_in(proposal: &Proposal) -> SignedProposal<Native> {
    let offer = Offer {
        height: Height(proposal.header.height.0),
        round: Round::new(proposal.round),
        value: Value(proposal.header.clone()),
        valid: Round::from(proposal.valid),
        address: Address(proposal.validator),
    };
    SignedProposal::new(offer, proposal.signature)
}

pub(super) fn proposal_out(proposal: &SignedProposal<Native>) -> Proposal {
    let Offer { round, ref value, valid, address, .. } = proposal.message;
    Proposal {
        round: number(round),
        valid: valid.as_u32(),
        header: value.0.clone(),
        validator: address.0,
        signature: proposal.signature,
    }
}

pub(super) fn polka_in(polka: &Polka) -> PolkaCertificate<Native> {
    let signature = |(key, signature): &(Key, Signature)| PolkaSignature::new(Address(*key), *signature);
    PolkaCertificate {
        height: Height(polka.height.0),
        round: Round::new(polka.round),
        value_id: polka.block,
        polka_signatures: polka.votes.iter().map(signature).collect(),
    }
}

pub(super) fn polka_out(polka: &PolkaCertificate<Native>) -> Polka {
    Polka {
        height: chain::Height(polka.height.0),
        round: number(polka.round),
        block: polka.value_id,
        votes: polka.polka_signatures.iter().map(|signed| (signed.address.0, signed.signature)).collect(),
    }
}

pub(super) fn entry_in(entry: &Entry) -> RoundCertificate<Native> {
    let signature = |vote: &RoundVote| {
        let kind = vote_type(vote.kind);
        RoundSignature::new(kind, value(vote.block), Address(vote.validator), vote.signature)
    };
    RoundCertificate {
        height: Height(entry.height.0),
        round: Round::new(entry.round),
        cert_type: match entry.enters {
            Enters::Skip => RoundCertificateType::Skip,
            Enters::Next => RoundCertificateType::Precommit,
        },
        round_signatures: entry.votes.iter().map(signature).collect(),
    }
}

pub(super) fn entry_out(entry: &RoundCertificate<Native>) -> Entry {
    let vote = |signed: &RoundSignature<Native>| RoundVote {
        kind: match signed.vote_type {
            VoteType::Prevote => Kind::Prevote,
            VoteType::Precommit => Kind::Precommit,
        },
        block: block(&signed.value_id),
        validator: signed.address.0,
        signature: signed.signature,
    };
    Entry {
        height: chain::Height(entry.height.0),
        round: number(entry.round),
        enters: match entry.cert_type {
            RoundCertificateType::Skip => Enters::Skip,
            RoundCertificateType::Precommit => Enters::Next,
        },
        votes: entry.round_signatures.iter().map(vote).collect(),
    }
}
