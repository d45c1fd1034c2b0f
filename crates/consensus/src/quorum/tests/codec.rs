//! Messages and records have one encoding each, and no bytes harm their readers.

use chain::native::ballot::{self, Kind};
use chain::native::{Builder, MAX_VALIDATORS, Params, State};
use chain::{Hash, Header, Height, Slot, Tip};
use proptest::prelude::*;

use super::world::key;
use crate::quorum::{
    Enters, Entry, MAX_MESSAGE_BYTES, Message, Polka, Proposal, Record, RoundVote, Step, Timer, Vote,
};

fn header() -> Header {
    let params = Params::solo("codec", 1, 0, key(1).public());
    Builder::start(&params, &Tip::default(), &State::genesis(&params), Slot(3)).finish(&key(1)).header
}

fn messages() -> Vec<Message> {
    let (height, block) = (Height(0), Hash([4; 32]));
    let vote = |kind, block| ballot::Vote { kind, height, round: 300, block };
    let signed = |vote| Message::Vote(Vote { vote, validator: [2; 32], signature: [3; 64] });
    let proposal = |valid| {
        let header = header();
        Message::Proposal(Box::new(Proposal {
            round: 9,
            valid,
            header,
            validator: [2; 32],
            signature: [3; 64],
        }))
    };
    let given = |kind, block| RoundVote { kind, block, validator: [5; 32], signature: [6; 64] };
    let votes = vec![given(Kind::Prevote, None), given(Kind::Precommit, Some(block))];
    vec![
        signed(vote(Kind::Prevote, Some(block))),
        signed(vote(Kind::Precommit, None)),
        proposal(None),
        proposal(Some(2)),
        Message::Polka(Polka { height, round: 1, block, votes: vec![([1; 32], [2; 64]); 3] }),
        Message::Entry(Entry { height, round: 70_000, enters: Enters::Next, votes: votes.clone() }),
        Message::Entry(Entry { height, round: 0, enters: Enters::Skip, votes }),
    ]
}

fn records() -> Vec<Record> {
    let mut records: Vec<_> = messages().into_iter().map(Record::Message).collect();
    records.push(Record::Height { chain: Hash([1; 32]), height: Height(9), parent: Some(Hash([2; 32])) });
    records.push(Record::Height { chain: Hash([1; 32]), height: Height(0), parent: None });
    records.push(Record::Value { round: 4, header: header(), is_right: true });
    records.push(Record::Timeout(Timer { round: 5, step: Step::Precommit }));
    records
}

#[test]
fn what_is_written_is_read_and_nothing_else() {
    for message in messages() {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Ok(message));
        assert!((0..bytes.len()).all(|end| Message::decode(&bytes[..end]).is_err()));
        assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
    for record in records() {
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Ok(record));
        assert!((0..bytes.len()).all(|end| Record::decode(&bytes[..end]).is_err()));
        assert!(Record::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_timer_that_repeats_is_in_no_journal() {
    let bytes = Record::Timeout(Timer { round: 5, step: Step::Repeat }).encode();
    assert!(Record::decode(&bytes).is_err());
}

#[test]
fn the_largest_fits_its_bound_and_one_more_does_not() {
    let vote = RoundVote {
        kind: Kind::Precommit,
        block: Some(Hash([255; 32])),
        validator: [255; 32],
        signature: [255; 64],
    };
    let entry = |count| {
        let votes = vec![vote.clone(); count];
        Message::Entry(Entry { height: Height(u64::MAX), round: u32::MAX - 1, enters: Enters::Next, votes })
    };
    let largest = entry(MAX_VALIDATORS);
    assert!(largest.encode().len() <= MAX_MESSAGE_BYTES);
    assert_eq!(Message::decode(&largest.encode()), Ok(largest));
    assert!(Message::decode(&entry(MAX_VALIDATORS + 1).encode()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (Message::decode(&bytes), Record::decode(&bytes));
    }

    #[test]
    fn what_is_bent_is_refused_or_something_else(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let all = messages();
        let message = which.get(&all);
        let mut bytes = message.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(bent) = Message::decode(&bytes) {
            prop_assert_ne!(&bent, message);
            prop_assert_eq!(&bent.encode()[..], &bytes[..]);
        }
    }
}
