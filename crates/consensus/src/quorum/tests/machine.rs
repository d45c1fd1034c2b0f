//! One machine before inputs of our choosing.

use std::sync::Arc;
use std::time::Duration;

use chain::native::ballot::{self, Kind};
use chain::native::{Builder, Faults, Key, Params, State};
use chain::{Header, Height, Slot, Tip};

use super::world::{Setup, key, ms, validator};
use crate::quorum::{
    Input, Journal, Message, Output, Proposal, Quorum, Record, Start, Ticket, Violation, Vote, Waiting, Watch,
};

struct Rig {
    params: Params,
    quorum: Quorum,
    /// Which key is the machine's.
    me: u8,
}

/// The keys in the order of their turns at height 0.
fn turns(params: &Params) -> Vec<u8> {
    let set = params.validator_set().expect("valid");
    let of = |turn: [u8; 32]| (1..=4).find(|n| key(*n).public() == turn).expect("one of four");
    (0..4).map(|round| of(set.proposer(Height(0), round).key)).collect()
}

impl Rig {
    /// The machine of the one whose turn this round of height 0 is, started.
    fn new(turn: usize) -> (Self, Vec<Output>) {
        let mut rig = Self::idle(turn);
        let out = rig.start(Vec::new());
        (rig, out)
    }

    fn idle(turn: usize) -> Self {
        let validators = (1..=4).map(validator).collect();
        let params = Params { validators, ..Params::solo("machine", 9, 0, key(1).public()) };
        let me = turns(&params)[turn];
        let config = Setup::new(0, 4, Faults::Byzantine).config;
        let quorum = Quorum::new(params.chain(), Faults::Byzantine, Some(key(me)), config);
        Self { params, quorum, me }
    }

    fn start(&mut self, journal: Vec<Record>) -> Vec<Output> {
        let validators = Arc::new(self.params.validator_set().expect("valid"));
        let journal = Journal::Read(journal);
        let start = Start { parent: Tip::default(), validators, has_work: true, journal };
        self.tell(ms(0), Input::Start(Box::new(start)))
    }

    fn tell(&mut self, now: Duration, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.quorum.handle(now, input, &mut out);
        self.quorum.check_invariants();
        out
    }

    fn block(&self, by: u8, round: u32, slot: u64) -> Header {
        let state = State::genesis(&self.params);
        let builder = Builder::start(&self.params, &Tip::default(), &state, Slot(slot));
        builder.round(0, round.into()).finish(&key(by)).header
    }

    fn proposal(&self, by: u8, round: u32, header: &Header) -> Message {
        let mut proposal = Proposal {
            round,
            valid: None,
            header: header.clone(),
            validator: key(by).public(),
            signature: [0; 64],
        };
        proposal.signature = key(by).sign(&proposal.ballot().signed_bytes(&self.params.chain()));
        Message::Proposal(Box::new(proposal))
    }

    fn vote(&self, by: &Key, kind: Kind, height: u64, block: Option<&Header>) -> Message {
        let vote =
            ballot::Vote { kind, height: Height(height), round: 0, block: block.map(|block| block.id) };
        let signature = by.sign(&vote.signed_bytes(&self.params.chain()));
        Message::Vote(Vote { vote, validator: by.public(), signature })
    }

    fn waiting(&self) -> Waiting {
        self.quorum.status().waiting
    }
}

fn sent(out: &[Output]) -> Vec<&Message> {
    out.iter()
        .filter_map(|output| match output {
            Output::Send { message, .. } => Some(message),
            _ => None,
        })
        .collect()
}

fn written(out: &[Output]) -> Vec<Record> {
    out.iter()
        .filter_map(|output| match output {
            Output::Persist { record, .. } => Some(record.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn our_block_is_proposed_once_it_is_durable() {
    let (mut rig, out) = Rig::new(0);
    let asked = out.iter().find_map(|output| match output {
        Output::Produce { parent, round, until } => Some((*parent, *round, *until)),
        _ => None,
    });
    assert_eq!(asked, Some((Tip::default(), 0, ms(200))));
    assert!(matches!(out[0], Output::Persist { record: Record::Height { .. }, .. }), "the journal begins");
    rig.tell(ms(1), Input::Persisted(Ticket(1)));
    assert_eq!(rig.waiting(), Waiting::OurBlock);
    let block = rig.block(rig.me, 0, 5);
    let out = rig.tell(ms(2), Input::Built(block.clone()));
    assert!(out.is_empty(), "made, and not durable yet");
    let out = rig.tell(ms(3), Input::Stored(block.id));
    let names: Vec<_> = sent(&out).iter().map(|message| message.name()).collect();
    assert_eq!(names, ["prevote", "proposal"]);
}

#[test]
fn nothing_goes_out_before_what_led_to_it_is_written() {
    let (mut rig, _) = Rig::new(0);
    let block = rig.block(rig.me, 0, 5);
    rig.tell(ms(2), Input::Built(block.clone()));
    let out = rig.tell(ms(3), Input::Stored(block.id));
    let mut last = Ticket(0);
    let mut own = Vec::new();
    for output in &out {
        match output {
            Output::Persist { ticket, record } => {
                assert!(*ticket > last, "tickets rise");
                last = *ticket;
                own.push(record.clone());
            }
            Output::Send { message, after } => {
                assert_eq!(*after, last, "it waits for all that is written before it");
                assert!(own.contains(&Record::Message(message.clone())), "and for itself");
            }
            _ => {}
        }
    }
    assert!(!sent(&out).is_empty());
}

#[test]
fn a_proposed_block_is_wanted_and_voted_for_when_it_is_there_and_right() {
    let (mut rig, _) = Rig::new(1);
    let first = turns(&rig.params)[0];
    let block = rig.block(first, 0, 5);
    let out = rig.tell(ms(10), Input::Message(rig.proposal(first, 0, &block)));
    assert!(out.iter().any(|output| matches!(output, Output::Want { header } if header.id == block.id)));
    let written = written(&out).len() as u64;
    rig.tell(ms(10), Input::Persisted(Ticket(1 + written)));
    assert_eq!(rig.waiting(), Waiting::Body { block: block.id });
    let out = rig.tell(ms(20), Input::Judged { block: block.id, is_right: true });
    assert!(sent(&out).is_empty(), "right, and not durable yet");
    let out = rig.tell(ms(30), Input::Stored(block.id));
    let [Message::Vote(vote)] = sent(&out)[..] else { panic!("one vote, not {out:?}") };
    assert_eq!((vote.vote.kind, vote.vote.block), (Kind::Prevote, Some(block.id)));
}

#[test]
fn a_block_that_is_durable_waits_for_its_verdict_and_can_be_given_up() {
    let (mut rig, _) = Rig::new(1);
    let first = turns(&rig.params)[0];
    let block = rig.block(first, 0, 5);
    let out = rig.tell(ms(10), Input::Message(rig.proposal(first, 0, &block)));
    rig.tell(ms(10), Input::Persisted(Ticket(1 + written(&out).len() as u64)));
    assert!(sent(&rig.tell(ms(20), Input::Stored(block.id))).is_empty());
    assert_eq!(rig.waiting(), Waiting::Verdict { block: block.id });
    let out = rig.tell(ms(30), Input::Judged { block: block.id, is_right: false });
    let [Message::Vote(vote)] = sent(&out)[..] else { panic!("one vote, not {out:?}") };
    assert_eq!((vote.vote.kind, vote.vote.block), (Kind::Prevote, None));
}

#[test]
fn a_block_that_comes_too_late_is_fed_and_may_be_decided_later() {
    let (mut rig, _) = Rig::new(1);
    let first = turns(&rig.params)[0];
    let block = rig.block(first, 0, 5);
    rig.tell(ms(10), Input::Message(rig.proposal(first, 0, &block)));
    let out = rig.tell(ms(200), Input::Tick);
    let [Message::Vote(vote)] = sent(&out)[..] else { panic!("one vote, not {out:?}") };
    assert_eq!(vote.vote.block, None, "no body in time: none in this round");
    rig.tell(ms(220), Input::Stored(block.id));
    let out = rig.tell(ms(230), Input::Judged { block: block.id, is_right: true });
    assert_eq!(written(&out).len(), 1, "the block is remembered");
    // The others had it in time: their votes decide.
    let others: Vec<_> = (1..=4).filter(|n| *n != rig.me).map(key).collect();
    let mut all = Vec::new();
    for kind in [Kind::Prevote, Kind::Precommit] {
        for other in &others {
            all.extend(rig.tell(ms(240), Input::Message(rig.vote(other, kind, 0, Some(&block)))));
        }
    }
    let decided = all.iter().find_map(|output| match output {
        Output::Commit { block, certificate, .. } => Some((*block, certificate.signers().count())),
        _ => None,
    });
    assert_eq!(decided, Some((block.id, 3)));
    assert_eq!(
        rig.tell(ms(9_000), Input::Tick).iter().filter(|o| matches!(o, Output::Commit { .. })).count(),
        0
    );
}

#[test]
fn a_header_against_the_rules_is_voted_against_at_once() {
    let (mut rig, _) = Rig::new(1);
    let turns = turns(&rig.params);
    // Made by one whose turn that round was not.
    let block = rig.block(turns[2], 0, 5);
    let out = rig.tell(ms(10), Input::Message(rig.proposal(turns[0], 0, &block)));
    assert!(!out.iter().any(|output| matches!(output, Output::Want { .. })), "it is not even asked for");
    let [Message::Vote(vote)] = sent(&out)[..] else { panic!("one vote, not {out:?}") };
    assert_eq!(vote.vote.block, None);
}

#[test]
fn each_wrong_message_is_refused_for_its_own_reason() {
    let (mut rig, _) = Rig::new(1);
    let turns = turns(&rig.params);
    let block = rig.block(turns[0], 0, 5);
    let (chain, validators) = (rig.params.chain(), rig.params.validator_set().expect("valid"));
    let mut refused = |message: Message| {
        let is_genuine = message.is_genuine(&chain, &validators, Faults::Byzantine);
        assert!(!is_genuine, "who relays sees it, too: {message:?}");
        let out = rig.tell(ms(10), Input::Message(message));
        match out[..] {
            [Output::Refused(violation)] => violation,
            _ => panic!("refused and nothing else, not {out:?}"),
        }
    };
    let rig2 = Rig::idle(1);
    let stranger = rig2.vote(&key(99), Kind::Prevote, 0, None);
    assert_eq!(refused(stranger), Violation::Stranger);
    assert_eq!(refused(rig2.proposal(turns[2], 0, &block)), Violation::Turn);
    let Message::Proposal(mut again) = rig2.proposal(turns[0], 0, &block) else { panic!("a proposal") };
    again.valid = Some(0);
    assert_eq!(refused(Message::Proposal(again)), Violation::ValidRound);
    let Message::Vote(mut vote) = rig2.vote(&key(turns[0]), Kind::Prevote, 0, None) else { panic!("a vote") };
    vote.signature[5] ^= 1;
    assert_eq!(refused(Message::Vote(vote.clone())), Violation::Signature);
    vote.vote.height = Height(1);
    assert_eq!(refused(Message::Vote(vote)), Violation::Signature, "ahead of its height, too");
}

#[test]
fn the_journal_fed_again_says_the_same_and_writes_nothing_new() {
    let (mut rig, out) = Rig::new(1);
    let first = turns(&rig.params)[0];
    let block = rig.block(first, 0, 5);
    let mut journal = written(&out);
    let mut said: Vec<Message> = Vec::new();
    let inputs = [
        (10, Input::Message(rig.proposal(first, 0, &block))),
        (20, Input::Stored(block.id)),
        (30, Input::Judged { block: block.id, is_right: true }),
        (40, Input::Message(rig.vote(&key(first), Kind::Prevote, 0, Some(&block)))),
        (300, Input::Tick),
    ];
    for (at, input) in inputs {
        let out = rig.tell(ms(at), input);
        journal.extend(written(&out));
        said.extend(sent(&out).into_iter().cloned());
    }
    assert!(journal.len() > 4 && !said.is_empty());
    for end in 1..=journal.len() {
        let mut again = Rig::idle(1);
        let out = again.start(journal[..end].to_vec());
        let new = written(&out);
        assert!(new.iter().all(|record| journal.contains(record)), "it signs what it signed: {new:?}");
        assert!(end < journal.len() || new.is_empty(), "all of it is written already: {new:?}");
        assert!(sent(&out).into_iter().all(|message| said.contains(message)));
    }
}

#[test]
fn a_block_that_is_missing_after_a_restart_is_wanted_again() {
    let (mut rig, out) = Rig::new(1);
    let first = turns(&rig.params)[0];
    let block = rig.block(first, 0, 5);
    let mut journal = written(&out);
    journal.extend(written(&rig.tell(ms(10), Input::Message(rig.proposal(first, 0, &block)))));
    let out = Rig::idle(1).start(journal);
    assert!(out.iter().any(|output| matches!(output, Output::Want { header } if header.id == block.id)));
}

#[test]
fn our_block_is_asked_for_again_after_a_restart_only_if_it_was_not_proposed() {
    let (mut rig, out) = Rig::new(0);
    let mut journal = written(&out);
    let asks = |out: &[Output]| out.iter().any(|output| matches!(output, Output::Produce { .. }));
    assert!(asks(&Rig::idle(0).start(journal.clone())));
    let block = rig.block(rig.me, 0, 5);
    rig.tell(ms(2), Input::Built(block.clone()));
    journal.extend(written(&rig.tell(ms(3), Input::Stored(block.id))));
    let out = Rig::idle(0).start(journal);
    assert!(!asks(&out), "it is proposed already");
}

#[test]
fn a_node_without_a_key_watches() {
    let mut rig = Rig::idle(0);
    rig.quorum =
        Quorum::new(rig.params.chain(), Faults::Byzantine, None, Setup::new(0, 4, Faults::Byzantine).config);
    assert!(rig.start(Vec::new()).is_empty());
    assert_eq!(rig.waiting(), Waiting::Others(Watch::NoValidator));
    assert_eq!(rig.quorum.next_deadline(), None);
    let vote = rig.vote(&key(1), Kind::Prevote, 0, None);
    assert!(rig.tell(ms(1), Input::Message(vote)).is_empty());
}

#[test]
fn headers_that_nobody_proposed_are_kept_within_bounds() {
    let (mut rig, _) = Rig::new(1);
    let turns = turns(&rig.params);
    let by = |round: u32| turns[round as usize % 4];
    let blocks: Vec<_> = (0..3).map(|slot| rig.block(by(0), 0, slot)).collect();
    assert!(rig.quorum.admits(&blocks[0]) && rig.quorum.admits(&blocks[1]));
    assert!(!rig.quorum.admits(&blocks[2]), "two of one producer and round are enough");
    assert!(rig.quorum.admits(&blocks[0]), "the first two stay");
    assert!(rig.quorum.admits(&rig.block(by(10), 10, 0)));
    assert!(!rig.quorum.admits(&rig.block(by(11), 11, 0)), "too far ahead");
    assert!(!rig.quorum.admits(&rig.block(by(1), 2, 0)), "not its turn");
}

#[test]
fn early_messages_wait_within_bounds() {
    let (mut rig, _) = Rig::new(1);
    let other = key(turns(&rig.params)[0]);
    // Many different votes of one validator for the next height.
    for round in 0..100 {
        let vote = ballot::Vote { kind: Kind::Prevote, height: Height(1), round, block: None };
        let signature = other.sign(&vote.signed_bytes(&rig.params.chain()));
        let vote = Message::Vote(Vote { vote, validator: other.public(), signature });
        assert!(rig.tell(ms(1), Input::Message(vote)).is_empty());
    }
    for height in [3, 1_000_000, u64::MAX] {
        let vote = rig.vote(&other, Kind::Prevote, height, None);
        assert!(rig.tell(ms(1), Input::Message(vote)).is_empty(), "too far ahead: dropped");
    }
    assert_eq!(rig.quorum.early(), 12);
}

/// Each piece is a line for the operator and a write: a liar gets no more of either than one for each place.
#[test]
fn a_lie_is_told_once_however_often_it_is_repeated_and_not_again_after_a_restart() {
    let (mut rig, _) = Rig::new(1);
    let liar = turns(&rig.params)[2];
    let votes: Vec<_> = (1..6)
        .map(|slot| {
            let header = rig.block(liar, 2, slot);
            rig.vote(&key(liar), Kind::Prevote, 0, Some(&header))
        })
        .collect();
    let told = |rig: &mut Rig| -> Vec<_> {
        let out = votes.iter().flat_map(|vote| rig.tell(ms(1), Input::Message(vote.clone())));
        out.filter_map(|output| match output {
            Output::Evidence(evidence) => Some(evidence),
            _ => None,
        })
        .collect()
    };
    let first = told(&mut rig);
    assert_eq!((first.len(), rig.quorum.evidence().count()), (1, 1));
    assert!(first[0].is_proof(&rig.params.chain()));
    let mut next = Rig::idle(1);
    next.quorum.remember(first.clone());
    next.start(Vec::new());
    assert_eq!(told(&mut next), [], "it is known");
    assert!(next.quorum.evidence().eq(&first));
}
