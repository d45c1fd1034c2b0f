//! The engine, wrapped: what it is fed, and what it wants done, in our own words.
//!
//! The engine is a coroutine behind a macro, which lives in this file alone. Its handler cannot fail: an error of
//! it would be logged and passed over, so that a vote could be published that no journal holds. What needs the
//! disk is only noted here, in order; who performs it decides when it has happened.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use chain::native::{self, Faults, Validators, is_signed};
use chain::{Hash, Header, Height};
use malachite::{
    ConsensusMsg, Effect as Wish, Error, Input, LocallyProposedValue, Params, ProposedValue, Resumable,
    Resume, State, ThresholdParams,
};
use malachite_types::{
    CertificateError, Round, SignedMessage, SignedVote, ThresholdParam, Validity, ValueOrigin, ValuePayload,
    VoteExtensionPolicy, VoteType,
};

use super::context::{self, Address, Native, Set, Value, number};
use super::evidence::Evidence;
use super::message::{Key, Message, Signature};
use super::record::Record;
use super::words::{self, liveness_out, message_in, record_out, signed_out, timer_in, timer_out};

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The proposal, with its body, should have come.
    Propose,
    /// The first votes should agree.
    Prevote,
    /// The second votes should agree.
    Precommit,
    /// Time to send the last votes once more.
    Repeat,
}

/// A timer of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// The round.
    pub round: u32,
    /// What for.
    pub step: Step,
}

/// What the engine can be told.
#[derive(Debug, Clone)]
pub(super) enum Feed {
    /// A message of this height.
    Message(Message),
    /// A block of a proposal was judged, and is durable if it is right.
    Value { round: u32, header: Header, is_right: bool },
    /// Our own block for this round, durable.
    Propose { round: u32, header: Header },
    /// A time is up.
    Timeout(Timer),
}

/// What the engine wants done, in order.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// To be in the journal before anything that follows takes effect.
    Append(Record),
    Publish(Message),
    Schedule(Timer),
    Cancel(Timer),
    CancelAll,
    /// A round began.
    Round(u32),
    /// We are to propose a block in this round.
    Build(u32),
    Decide {
        round: u32,
        block: Hash,
        precommits: Vec<(Key, Signature)>,
    },
}

/// The engine did what it must not: our own fault, after which it does not vote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The journal, fed again, led to another vote than the one that it holds.
    #[error("the journal of height {height} leads to another vote in round {round} than it holds")]
    Divergence {
        /// The height.
        height: Height,
        /// The round.
        round: u32,
    },
    /// Anything else.
    #[error("the engine failed: {text}")]
    Engine {
        /// In the engine's own words.
        text: String,
    },
}

/// How far the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) round: u32,
    /// The step that it is in; `None` when it has decided.
    pub(super) step: Option<Step>,
    /// The weight of those who voted first in this round.
    pub(super) prevotes: u64,
    /// The weight of those who voted second in this round.
    pub(super) precommits: u64,
}

/// The engine at one height.
pub(super) struct Engine {
    state: State<Native>,
    signer: Signer,
}

/// What the handler needs beside the engine's state.
struct Signer {
    key: native::Key,
    chain: Hash,
    /// Whether a signature of the message that was fed is wrong.
    rejected: bool,
}

impl Step {
    /// The step as a number in the journal.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Propose => 0,
            Self::Prevote => 1,
            Self::Precommit => 2,
            Self::Repeat => 3,
        }
    }

    /// The step of such a number, if a journal may hold it.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        [Self::Propose, Self::Prevote, Self::Precommit].get(usize::try_from(number).ok()?).copied()
    }
}

impl Engine {
    /// The engine before the first round of a height.
    pub(super) fn new(
        chain: Hash,
        faults: Faults,
        key: &native::Key,
        validators: &Arc<Validators>,
        height: Height,
    ) -> Self {
        let threshold_params = match faults {
            Faults::Byzantine => ThresholdParams::default(),
            Faults::Crash => {
                ThresholdParams { quorum: ThresholdParam::new(1, 2), honest: ThresholdParam::new(0, 1) }
            }
        };
        let params = Params {
            address: Address(key.public()),
            threshold_params,
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let set = Set::new(validators.clone());
        // Messages of later heights wait elsewhere: nothing is queued inside.
        let state = State::new(Native, context::Height(height.0), set, params, 1, 1);
        Self { state, signer: Signer { key: key.clone(), chain, rejected: false } }
    }

    /// Begins the first round.
    pub(super) fn start(&mut self, out: &mut Vec<Effect>) -> Result<(), Fault> {
        let (height, set) = (self.state.height(), self.state.validator_set().clone());
        // Not as a restart, after which the engine would drop what it had been told before.
        self.run(Input::StartHeight(height, set, false, None, VoteExtensionPolicy::Disabled), out)
    }

    /// Begins the first round and feeds the journal again. What of it the journal holds already is not appended
    /// again; what it does not hold (we crashed before it was written) is.
    pub(super) fn replay(&mut self, records: &[Record], out: &mut Vec<Effect>) -> Result<(), Fault> {
        let inputs: Vec<_> = records.iter().filter_map(|record| self.recorded(record)).collect();
        self.state.index_wal_entries(&inputs);
        let mut effects = Vec::new();
        self.start(&mut effects)?;
        for input in inputs {
            self.run(input, &mut effects)?;
        }
        self.state.reset_entries_index();
        let mine = self.signer.key.public();
        out.extend(effects.into_iter().filter(|effect| match effect {
            Effect::Append(record) => is_by(record, &mine) && !records.contains(record),
            _ => true,
        }));
        Ok(())
    }

    /// Feeds the engine; says whether what was fed stands, as far as its signatures go.
    pub(super) fn feed(&mut self, feed: Feed, out: &mut Vec<Effect>) -> Result<bool, Fault> {
        self.signer.rejected = false;
        let input = match feed {
            Feed::Message(message) => message_in(&message),
            Feed::Value { round, header, is_right } => self.value(round, header, is_right),
            Feed::Propose { round, header } => {
                let height = self.state.height();
                Input::Propose(LocallyProposedValue::new(height, Round::new(round), Value(header)))
            }
            Feed::Timeout(timer) => Input::TimeoutElapsed(timer_in(timer)),
        };
        self.run(input, out)?;
        Ok(!self.signer.rejected)
    }

    /// Whether the engine is in its first step of a round and waits for a block of ours.
    pub(super) fn awaits_ours(&self, round: u32) -> bool {
        let ours = self.state.full_proposal_at_round_and_proposer(
            &self.state.height(),
            Round::new(round),
            self.state.address(),
        );
        self.state.round() == Round::new(round) && self.state.driver.step_is_propose() && ours.is_none()
    }

    /// The round that it is in.
    pub(super) fn round(&self) -> u32 {
        self.state.round().as_u32().unwrap_or(0)
    }

    /// How far it is.
    pub(super) fn standing(&self) -> Standing {
        let driver = &self.state.driver;
        let votes = driver.votes().per_round(driver.round());
        let weight = |kind| votes.map_or(0, |votes| votes.votes().weight_sum(kind));
        let step = match () {
            () if driver.step_is_commit() => None,
            () if driver.step_is_precommit() => Some(Step::Precommit),
            () if driver.step_is_prevote() => Some(Step::Prevote),
            () => Some(Step::Propose),
        };
        let (prevotes, precommits) = (weight(VoteType::Prevote), weight(VoteType::Precommit));
        Standing { round: self.round(), step, prevotes, precommits }
    }

    /// Who signed two things of which an honest validator signs one.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let driver = &self.state.driver;
        let votes = driver.votes().evidence().iter().flat_map(|(_, pairs)| pairs);
        let votes = votes.map(|(a, b)| Evidence::votes(words::vote_out(a), words::vote_out(b)));
        let proposals = driver.proposals().evidence().iter().flat_map(|(_, pairs)| pairs);
        let proposals =
            proposals.map(|(a, b)| Evidence::proposals(words::proposal_out(a), words::proposal_out(b)));
        votes.chain(proposals).collect()
    }

    fn recorded(&self, record: &Record) -> Option<Input<Native>> {
        match record {
            Record::Height { .. } => None,
            Record::Message(message) => Some(message_in(message)),
            Record::Value { round, header, is_right } => Some(self.value(*round, header.clone(), *is_right)),
            Record::Timeout(timer) => Some(Input::TimeoutElapsed(timer_in(*timer))),
        }
    }

    fn value(&self, round: u32, header: Header, is_right: bool) -> Input<Native> {
        let height = self.state.height();
        let round = Round::new(round);
        let value = ProposedValue {
            height,
            round,
            valid_round: Round::Nil,
            proposer: *self.state.get_proposer(height, round),
            value: Value(header),
            validity: Validity::from_bool(is_right),
        };
        Input::ProposedValue(value, ValueOrigin::Consensus)
    }

    fn run(&mut self, input: Input<Native>, out: &mut Vec<Effect>) -> Result<(), Fault> {
        let Self { state, signer } = self;
        let result: Result<(), Error<Native>> = malachite::process!(
            input: input,
            state: state,
            metrics: &(),
            with: wish => Ok::<_, Infallible>(signer.perform(wish, out))
        );
        result.map_err(|error| match error {
            Error::ReplayDivergence(_, height, round) => {
                Fault::Divergence { height: Height(height.0), round: round.as_u32().unwrap_or(0) }
            }
            error => Fault::Engine { text: error.to_string() },
        })
    }
}

impl Signer {
    fn perform(&mut self, wish: Wish<Native>, out: &mut Vec<Effect>) -> Resume<Native> {
        let (effect, resume) = match wish {
            Wish::CancelAllTimeouts(resume) => (Some(Effect::CancelAll), resume),
            Wish::CancelTimeout(timeout, resume) => (timer_out(timeout).map(Effect::Cancel), resume),
            Wish::ScheduleTimeout(timeout, resume) => (timer_out(timeout).map(Effect::Schedule), resume),
            Wish::StartRound(_, round, _, _, resume) => (Some(Effect::Round(number(round))), resume),
            Wish::PublishConsensusMsg(message, resume) => {
                (Some(Effect::Publish(signed_out(message))), resume)
            }
            Wish::PublishLivenessMsg(message, resume) => {
                (Some(Effect::Publish(liveness_out(message))), resume)
            }
            Wish::RepublishVote(vote, resume) => {
                (Some(Effect::Publish(Message::Vote(words::vote_out(&vote)))), resume)
            }
            Wish::RepublishRoundCertificate(entry, resume) => {
                (Some(Effect::Publish(Message::Entry(words::entry_out(&entry)))), resume)
            }
            Wish::GetValue(_, round, _, resume) => (Some(Effect::Build(number(round))), resume),
            Wish::WalAppend(_, input, resume) => (record_out(&input).map(Effect::Append), resume),
            Wish::Decide(certificate, _, resume) => {
                let signed = certificate.commit_signatures;
                let precommits = signed.into_iter().map(|signed| (signed.address.0, signed.signature));
                let (round, block) = (number(certificate.round), certificate.value_id);
                (Some(Effect::Decide { round, block, precommits: precommits.collect() }), resume)
            }
            // A header travels in each proposal and bodies are asked for by id: nothing is streamed again. Evidence
            // is looked at as it comes. Blocks that are not of our own votes come through the chain.
            Wish::RestreamProposal(.., resume)
            | Wish::Finalize(.., resume)
            | Wish::CertVerifiedSyncValue(.., resume)
            | Wish::CertRejectedSyncValue(.., resume) => (None, resume),
            Wish::SignVote(vote, resume) => {
                let signature = self.key.sign(&vote.ballot().signed_bytes(&self.chain));
                return resume.resume_with(SignedMessage::new(vote, signature));
            }
            Wish::SignProposal(offer, resume) => {
                let signature = self.key.sign(&offer.ballot().signed_bytes(&self.chain));
                return resume.resume_with(SignedMessage::new(offer, signature));
            }
            Wish::VerifySignature(message, key, resume) => {
                let bytes = match &message.message {
                    ConsensusMsg::Vote(vote) => vote.ballot().signed_bytes(&self.chain),
                    ConsensusMsg::Proposal(offer) => offer.ballot().signed_bytes(&self.chain),
                };
                let is_right = is_signed(&bytes, &key.0, &message.signature);
                self.rejected |= !is_right;
                return resume.resume_with(is_right);
            }
            // Made of votes each of which was verified when it came.
            Wish::VerifyCommitCertificate(.., resume) => return resume.resume_with(Ok(())),
            Wish::VerifyExtendedCommitCertificate(.., resume) => return resume.resume_with(Ok(())),
            Wish::VerifyPolkaCertificate(polka, set, thresholds, resume) => {
                let votes: Vec<_> = polka.votes(&Native).collect();
                return resume.resume_with(self.verify(&votes, &set, thresholds.quorum).map_or(Ok(()), Err));
            }
            Wish::VerifyRoundCertificate(entry, set, thresholds, resume) => {
                let votes: Vec<_> = entry.votes(&Native).collect();
                let threshold = match entry.cert_type {
                    malachite_types::RoundCertificateType::Skip => thresholds.honest,
                    malachite_types::RoundCertificateType::Precommit => {
                        if let Some(stray) = votes.iter().find(|vote| is_prevote(vote)) {
                            self.rejected = true;
                            let address = Address(words::vote_out(stray).validator);
                            return resume.resume_with(Err(CertificateError::InvalidVoteType(address)));
                        }
                        thresholds.quorum
                    }
                };
                return resume.resume_with(self.verify(&votes, &set, threshold).map_or(Ok(()), Err));
            }
            // Votes carry no extensions: the policy is off.
            Wish::ExtendVote(.., resume) => return resume.resume_with(None),
            Wish::VerifyVoteExtension(.., resume) => return resume.resume_with(Ok(())),
        };
        out.extend(effect);
        resume.resume_with(())
    }

    /// What is wrong with votes that should reach this threshold, each of another member; `None` if nothing is.
    fn verify(
        &mut self,
        votes: &[SignedVote<Native>],
        set: &Set,
        threshold: ThresholdParam,
    ) -> Option<CertificateError<Native>> {
        let wrong = self.wrong(votes, set, threshold);
        self.rejected |= wrong.is_some();
        wrong
    }

    fn wrong(
        &self,
        votes: &[SignedVote<Native>],
        set: &Set,
        threshold: ThresholdParam,
    ) -> Option<CertificateError<Native>> {
        let mut seen = BTreeSet::new();
        let (mut signed, total) = (0, set.validators.weight());
        for vote in votes {
            let vote = words::vote_out(vote);
            let address = Address(vote.validator);
            let Some(place) = set.validators.place(&vote.validator) else {
                return Some(CertificateError::UnknownValidator(address));
            };
            if !seen.insert(place) {
                return Some(CertificateError::DuplicateVote(address));
            }
            // Different members: the sum stays below the set's own.
            signed += set.validators.members()[place].weight.get();
            if !vote.is_signed(&self.chain) {
                return Some(CertificateError::VerificationError(None));
            }
        }
        let expected = threshold.min_expected(total);
        let short = CertificateError::NotEnoughVotingPower { signed, total, expected };
        (!threshold.is_met(signed, total)).then_some(short)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("height", &self.state.height().0)
            .field("at", &self.standing())
            .finish()
    }
}

#[cfg(test)]
impl Engine {
    /// All that the engine holds, but for the order in which the votes of a round came: with it two engines can be told
    /// apart that would ever act differently.
    pub(super) fn everything(&self) -> String {
        let State { driver, full_proposal_keeper, last_signed_prevote, last_signed_precommit, .. } =
            &self.state;
        let votes = driver.votes().all_rounds().iter().map(|(round, votes)| {
            let mut received: Vec<_> =
                votes.received_votes().iter().map(|vote| format!("{:?}", vote.message)).collect();
            received.sort_unstable();
            (*round, received, votes.emitted_outputs().clone())
        });
        let polkas = driver.polka_certificates().iter().map(|polka| (polka.round, polka.value_id));
        let commits = driver.commit_certificates().iter().map(|commit| (commit.round, commit.value_id));
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {last_signed_prevote:?} {last_signed_precommit:?} {:?}",
            driver.round_state(),
            driver.pending_inputs(),
            driver.last_prevote(),
            driver.last_precommit(),
            driver.votes().evidence().len(),
            driver.proposals(),
            votes.collect::<Vec<_>>(),
            polkas.collect::<Vec<_>>(),
            commits.collect::<Vec<_>>(),
            driver.round_certificate().map(|certificate| certificate.enter_round),
            full_proposal_keeper,
        )
    }
}

fn is_prevote(vote: &SignedVote<Native>) -> bool {
    vote.message.ballot().kind == native::ballot::Kind::Prevote
}

/// Whether a record is a vote or a proposal that this validator signed.
fn is_by(record: &Record, key: &Key) -> bool {
    match record {
        Record::Message(Message::Vote(vote)) => vote.validator == *key,
        Record::Message(Message::Proposal(proposal)) => proposal.validator == *key,
        Record::Message(Message::Polka(_) | Message::Entry(_)) => false,
        Record::Height { .. } | Record::Value { .. } | Record::Timeout(_) => false,
    }
}
