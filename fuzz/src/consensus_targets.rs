//! What validators tell each other, and their journal: the readers, and a validator that is told it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::native::ballot::{self, Kind};
use chain::native::{Builder, Certificate, Faults, Key, Params, State};
use chain::{Hash, Height, Slot, Tip};
use consensus::Quorum;
use consensus::quorum::{
    Config, Enters, Entry, Input, Journal, Message, Polka, Proposal, Record, RoundVote, Start, Vote,
};
use link::PeerId;
use node::member::Greeting;

use crate::Target;

pub(crate) const CERTIFICATE: Target =
    Target { name: "certificate", run: certificate, seeds: certificate_seeds };
pub(crate) const CONSENSUS: Target = Target { name: "consensus", run, seeds };
pub(crate) const GREETING: Target = Target { name: "greeting", run: greeting, seeds: greeting_seeds };

/// A greeting has one encoding, and is worth something to no peer but the one that it was made for. Nothing is a greeting
/// and another message of validators.
fn greeting(input: &[u8]) {
    let Some(greeting) = Greeting::decode(input) else { return };
    assert_eq!(greeting.encode(), input, "a greeting has two encodings");
    assert!(Message::decode(input).is_err(), "a greeting is a message as well");
    let made = Greeting::new(&CHAIN, &key(1), &GREETED);
    assert!(greeting == made || !greeting.is_genuine(&CHAIN, &GREETED), "a forged greeting is taken");
}

const CHAIN: Hash = Hash([3; 32]);
const GREETED: PeerId = PeerId([2; 32]);

fn greeting_seeds() -> Vec<Vec<u8>> {
    let to = [GREETED, PeerId([4; 32])];
    to.iter().map(|peer| Greeting::new(&CHAIN, &key(1), peer).encode().into()).collect()
}

/// The bytes as a record, and as a message to a validator.
fn run(input: &[u8]) {
    if let Ok(record) = Record::decode(input) {
        assert_eq!(record.encode(), input, "a record has two encodings");
    }
    let Ok(message) = Message::decode(input) else { return };
    assert_eq!(message.encode(), input, "a {} has two encodings", message.name());
    let params = params();
    let mut quorum = Quorum::new(params.chain(), Faults::Byzantine, Some(key(1)), Config::default());
    let validators = Arc::new(params.validator_set().expect("valid"));
    let journal = Journal::Read(Vec::new());
    let start = Start { parent: Tip::default(), validators, has_work: true, journal };
    let mut out = Vec::new();
    quorum.handle(Duration::ZERO, Input::Start(Box::new(start)), &mut out);
    quorum.handle(Duration::ZERO, Input::Message(message), &mut out);
    quorum.handle(Duration::from_secs(5), Input::Tick, &mut out);
    quorum.check_invariants();
}

/// What is read proves nothing unless three of the four signed.
fn certificate(input: &[u8]) {
    let Ok(certificate) = Certificate::decode(input) else { return };
    assert_eq!(certificate.encode(), input, "a certificate has two encodings");
    let params = params();
    let set = params.validator_set().expect("valid");
    let verdict = certificate.verify(&params.chain(), &set, Faults::Byzantine);
    assert!(verdict.is_err() || certificate.signers().count() >= 3, "too few signed");
}

fn certificate_seeds() -> Vec<Vec<u8>> {
    let params = params();
    let set = params.validator_set().expect("valid");
    let block = Some(Hash([5; 32]));
    let vote = ballot::Vote { kind: Kind::Precommit, height: Height(7), round: 1, block };
    let bytes = vote.signed_bytes(&params.chain());
    let signed = |signers: &[u8]| {
        let signed: Vec<_> = signers.iter().map(|n| (key(*n).public(), key(*n).sign(&bytes))).collect();
        let precommits = signed.iter().map(|(key, signature)| (key, *signature));
        Certificate::new(Height(7), 1, Hash([5; 32]), &set, precommits).encode().into()
    };
    vec![signed(&[]), signed(&[1, 2]), signed(&[1, 2, 3]), signed(&[1, 2, 3, 4])]
}

fn key(n: u8) -> Key {
    Key::from_seed(&[n; 32])
}

fn params() -> Params {
    let mut params = Params::solo("fuzz", 9, 0, key(1).public());
    let weight = params.validators[0].weight;
    params.validators.extend([2, 3, 4].map(|n| chain::native::Validator { key: key(n).public(), weight }));
    params
}

fn seeds() -> Vec<Vec<u8>> {
    let params = params();
    let chain = params.chain();
    let set = params.validator_set().expect("valid");
    let proposer = (1..=4).map(key).find(|key| key.public() == set.proposer(Height(0), 0).key).expect("one");
    let builder = Builder::start(&params, &Tip::default(), &State::genesis(&params), Slot(1));
    let header = builder.finish(&proposer).header;
    let vote = |by: &Key, kind, block: Option<Hash>| {
        let vote = ballot::Vote { kind, height: Height(0), round: 0, block };
        Vote { vote, validator: by.public(), signature: by.sign(&vote.signed_bytes(&chain)) }
    };
    let (height, block) = (Height(0), header.id);
    let mut offer = Proposal {
        round: 0,
        valid: None,
        header: header.clone(),
        validator: proposer.public(),
        signature: [0; 64],
    };
    offer.signature = proposer.sign(&offer.ballot().signed_bytes(&chain));
    let prevotes: Vec<_> = [2, 3, 4].map(|n| vote(&key(n), Kind::Prevote, Some(block))).into();
    let polka = prevotes.iter().map(|vote| (vote.validator, vote.signature)).collect();
    let given = |vote: Vote| RoundVote {
        kind: vote.vote.kind,
        block: vote.vote.block,
        validator: vote.validator,
        signature: vote.signature,
    };
    let votes = [2, 3, 4].map(|n| given(vote(&key(n), Kind::Precommit, None))).into();
    let messages = [
        Message::Vote(vote(&key(2), Kind::Precommit, None)),
        Message::Vote(prevotes[0].clone()),
        Message::Proposal(Box::new(offer)),
        Message::Polka(Polka { height, round: 0, block, votes: polka }),
        Message::Entry(Entry { height, round: 0, enters: Enters::Next, votes }),
    ];
    let mut seeds: Vec<Bytes> = messages.iter().map(Message::encode).collect();
    seeds.extend(messages.into_iter().map(|message| Record::Message(message).encode()));
    seeds.push(Record::Height { chain, height, parent: None }.encode());
    seeds.push(Record::Value { round: 1, header, is_right: true }.encode());
    seeds.into_iter().map(Vec::from).collect()
}
