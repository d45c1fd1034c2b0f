use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::merkle::{self, Proof};
use super::*;
use crate::{Block, Format, Hash, Header, Height, Slot, State as ChainState, Tip, format};

fn key(n: u8) -> Key {
    Key::from_seed(&[n; 32])
}

fn params() -> Params {
    Params::solo("test", 7, 1_000, key(1).public())
}

fn format() -> Format {
    Format::Native(Arc::new(params()))
}

fn native(state: &ChainState) -> &State {
    state.native().expect("the chain is native")
}

fn start(state: &ChainState, slot: u64) -> Builder {
    Builder::start(&params(), &state.tip, native(state), Slot(slot))
}

/// Judges a block in full and gives the state after it.
fn judge(state: &ChainState, block: &Block) -> Result<ChainState, format::Reason> {
    let format = format();
    let next = format.next(state, &block.header)?;
    let counts = format.checks(state, &block.header).run()?;
    assert_eq!(counts.signatures, 1);
    format.check_body(block)?;
    Ok(next)
}

/// The block with other fields, signed again by this key.
fn forged(block: &Block, key: &Key, change: impl FnOnce(&mut Fields)) -> Header {
    let mut fields =
        decode_fields(header::unwrap(&block.header.wire).expect("our own")).expect("our own").fields;
    change(&mut fields);
    fields.producer = key.public();
    let body = fields.encode();
    let signature = key.sign(&body);
    let bytes = Produced { fields, body, signature }.encode();
    decode_header(&header::wrap(&bytes)).expect("well-formed")
}

fn refused(state: &ChainState, block: &Block, key: &Key, change: impl FnOnce(&mut Fields)) -> format::Reason {
    format().next(state, &forged(block, key, change)).expect_err("the rule is broken")
}

#[test]
fn a_chain_is_built_judged_and_read_back() {
    let format = format();
    let mut state = format.genesis();
    for n in 0..5u64 {
        let mut builder = start(&state, n * 2);
        for i in 0..n {
            builder.add(Bytes::from(format!("transaction {i}"))).expect("it fits");
        }
        let block = builder.finish(&key(1));
        assert_eq!(block.header.height, Height(n));
        assert_eq!(format.block(&block.raw), Ok(block.clone()));
        assert_eq!(format.header(&block.header.wire), Ok(block.header.clone()));
        assert_eq!(transactions(&block).expect("our own").len() as u64, n);
        state = judge(&state, &block).expect("it is right");
        assert_eq!(state.tip, block.header.tip());
        assert_eq!(ChainState::decode(&state.encode()), Ok(state.clone()));
    }
}

#[test]
fn each_broken_rule_has_its_own_reason() {
    let genesis = format().genesis();
    let first = start(&genesis, 3).finish(&key(1));
    let parent = judge(&genesis, &first).expect("it is right");
    let block = start(&parent, 5).finish(&key(1));
    judge(&parent, &block).expect("it is right");
    let refused = |change: fn(&mut Fields)| refused(&parent, &block, &key(1), change);
    use format::Reason as R;
    assert!(matches!(refused(|f| f.prev = Some(Hash([9; 32]))), R::Previous { .. }));
    assert!(matches!(refused(|f| f.height = Height(7)), R::Height { .. }));
    assert!(matches!(refused(|f| f.slot = Slot(3)), R::Slot { .. }));
    assert!(matches!(refused(|f| f.version = 2), R::Native(Reason::Version { found: 2 })));
    assert!(matches!(refused(|f| f.chain = Hash([0; 32])), R::Native(Reason::Chain { .. })));
    assert!(matches!(refused(|f| f.size = u64::MAX), R::Native(Reason::TooLarge { .. })));
    assert!(matches!(refused(|f| f.validators = Hash([0; 32])), R::Native(Reason::Validators)));
    let soon = |f: &mut Fields| {
        let validators = Validators::new([Validator { key: [1; 32], weight: NonZeroU64::MIN }]).expect("one");
        f.change = Some(Change { height: Height(2), validators });
    };
    assert!(matches!(refused(soon), R::Native(Reason::ChangeTooSoon { .. })));
    let future = |f: &mut Fields| f.state = Some(StateRoot { height: Height(1), root: Hash([0; 32]) });
    assert!(matches!(refused(future), R::Native(Reason::StateRoot { .. })));
    let stranger = format().next(&parent, &forged(&block, &key(2), |_| ()));
    assert_eq!(stranger, Err(R::Native(Reason::Producer)));
}

#[test]
fn a_term_never_falls_and_the_higher_term_wins() {
    let genesis = format().genesis();
    let first = start(&genesis, 0).round(4, 1).finish(&key(1));
    let parent = judge(&genesis, &first).expect("it is right");
    let block = start(&parent, 1).finish(&key(1));
    assert!(judge(&parent, &block).is_ok(), "the builder keeps the term");
    let reason = refused(&parent, &block, &key(1), |f| f.term = 3);
    assert_eq!(reason, format::Reason::Native(Reason::Term { parent: 4, found: 3 }));
    let low = start(&genesis, 0).round(5, 0).finish(&key(1));
    assert!(format().prefer(&low.header, &block.header).is_gt(), "term before height");
    assert!(format().prefer(&block.header, &first.header).is_gt(), "height within a term");
    assert!(format().prefer(&block.header, &block.header).is_eq());
}

#[test]
fn a_state_root_never_goes_back() {
    let mut state = format().genesis();
    for n in 0..3 {
        state = judge(&state, &start(&state, n).finish(&key(1))).expect("it is right");
    }
    let root = |n| StateRoot { height: Height(n), root: Hash([n as u8; 32]) };
    let block = start(&state, 10).state_root(root(1)).finish(&key(1));
    let state = judge(&state, &block).expect("it is right");
    let older = start(&state, 11).state_root(root(0)).finish(&key(1));
    assert!(matches!(judge(&state, &older), Err(format::Reason::Native(Reason::StateRoot { .. }))));
}

#[test]
fn validators_change_at_the_height_that_was_announced() {
    let second = Validators::new([Validator { key: key(2).public(), weight: NonZeroU64::MIN }]).expect("one");
    let change = Change { height: Height(2), validators: second.clone() };
    let genesis = format().genesis();
    let state = judge(&genesis, &start(&genesis, 0).change(change.clone()).finish(&key(1))).expect("right");
    assert_eq!(ChainState::decode(&state.encode()), Ok(state.clone()), "a waiting change is kept");
    let early = start(&state, 1).finish(&key(2));
    assert_eq!(judge(&state, &early), Err(format::Reason::Native(Reason::Producer)));
    let another = start(&state, 1).change(Change { height: Height(9), ..change }).finish(&key(1));
    assert!(matches!(judge(&state, &another), Err(format::Reason::Native(Reason::ChangeWaiting { .. }))));
    let state = judge(&state, &start(&state, 1).finish(&key(1))).expect("the old ones until then");
    let late = start(&state, 2).finish(&key(1));
    assert_eq!(judge(&state, &late), Err(format::Reason::Native(Reason::Producer)));
    let state = judge(&state, &start(&state, 2).finish(&key(2))).expect("the new ones from then on");
    assert_eq!(native(&state).validators.hash(), second.hash());
    assert_eq!(native(&state).pending, None);
}

#[test]
fn a_signature_of_another_is_refused() {
    let genesis = format().genesis();
    let block = start(&genesis, 0).finish(&key(1));
    let mut produced = decode_fields(header::unwrap(&block.header.wire).expect("our own")).expect("our own");
    produced.signature = key(2).sign(&produced.body);
    let header = decode_header(&header::wrap(&produced.encode())).expect("well-formed");
    assert!(format().next(&genesis, &header).is_ok(), "the signature is not the cheap part's");
    let reason = format().checks(&genesis, &header).run().expect_err("forged");
    assert_eq!(reason, format::Reason::Native(Reason::Signature));
}

#[test]
fn a_body_must_be_the_one_that_the_header_names() {
    let genesis = format().genesis();
    let make = |texts: &[&'static str]| {
        let mut builder = start(&genesis, 0);
        texts.iter().for_each(|text| builder.add(Bytes::from_static(text.as_bytes())).expect("it fits"));
        builder.finish(&key(1))
    };
    let block = make(&["aa", "bb"]);
    let swap = |texts: &[&str]| {
        let raw = block::encode_block(header::unwrap(&block.header.wire).expect("our own"), texts).into();
        decode_block(&raw).expect("well-formed")
    };
    assert_eq!(check_body(&swap(&["aa", "bb"])), Ok(()));
    assert!(matches!(check_body(&swap(&["bb", "aa"])), Err(Reason::BodyRoot { .. })));
    assert!(matches!(check_body(&swap(&["aa"])), Err(Reason::BodySize { .. })));
    assert!(matches!(check_body(&swap(&["aabbb"])), Err(Reason::BodyCount { .. })));
    let other = Block { raw: make(&["aa", "cc"]).raw, ..block };
    assert_eq!(check_body(&other), Err(Reason::OtherHeader));
}

#[test]
fn the_builder_keeps_its_budget() {
    let params = Params { max_body_bytes: NonZeroU64::new(100).expect("not zero"), ..params() };
    let genesis = State::genesis(&params);
    let mut builder = Builder::start(&params, &Tip::default(), &genesis, Slot(0));
    builder.add(Bytes::from(vec![0; 60])).expect("it fits");
    assert_eq!(builder.add(Bytes::from(vec![0; 60])), Err(Full { bytes: 62, max: 100 }));
    builder.add(Bytes::from(vec![0; 20])).expect("a smaller one fits still");
    let block = builder.finish(&key(1));
    let state = Format::Native(Arc::new(params));
    assert!(state.next(&state.genesis(), &block.header).is_ok());
}

#[test]
fn a_second_encoding_of_a_header_or_block_is_refused() {
    let mut builder = start(&format().genesis(), 0);
    builder.add(Bytes::from_static(b"x")).expect("it fits");
    let block = builder.finish(&key(1));
    // The era, 100, in three bytes instead of two.
    for bytes in [&block.header.wire, &block.raw] {
        let mut long = vec![0x82, 0x19, 0x00, 0x64];
        long.extend_from_slice(&bytes[3..]);
        let long = Bytes::from(long);
        assert!(decode_header(&long).is_err() && decode_block(&long).is_err());
    }
    // The version, 1, in two bytes instead of one.
    let bytes = header::unwrap(&block.header.wire).expect("our own");
    let mut long = bytes[..2].to_vec();
    assert_eq!(bytes[2], 1, "the version comes first");
    long.extend([0x18, 0x01]);
    long.extend_from_slice(&bytes[3..]);
    assert!(decode_header(&header::wrap(&long)).is_err());
    // An indefinite list of transactions.
    let raw = &block.raw[..block.raw.len() - 3];
    assert_eq!(block.raw[raw.len()..], [0x81, 0x41, b'x']);
    assert!(decode_block(&[raw, &[0x9f, 0x41, b'x', 0xff]].concat().into()).is_err());
}

#[test]
fn cut_short_or_followed_by_anything_is_refused() {
    let mut builder = start(&format().genesis(), 9);
    builder.add(Bytes::from_static(b"transaction")).expect("it fits");
    let block = builder.finish(&key(1));
    for end in 0..block.raw.len() {
        assert!(decode_block(&block.raw.slice(..end)).is_err());
    }
    for end in 0..block.header.wire.len() {
        assert!(decode_header(&block.header.wire.slice(..end)).is_err());
    }
    assert!(decode_block(&[&block.raw[..], &[0]].concat().into()).is_err());
    assert!(decode_header(&[&block.header.wire[..], &[0]].concat().into()).is_err());
}

#[test]
fn the_largest_header_fits_its_bound() {
    let members = (0..MAX_VALIDATORS as u8)
        .map(|n| Validator { key: [n; 32], weight: NonZeroU64::new(MAX_WEIGHT / 128).expect("not zero") });
    let validators = Validators::new(members).expect("they add up");
    let change = Change { height: Height(u64::MAX), validators };
    let block = start(&format().genesis(), u64::MAX)
        .change(change)
        .extension(vec![0; MAX_EXTENSION_BYTES].into())
        .finish(&key(1));
    assert!(block.header.wire.len() <= MAX_WIRE_BYTES, "{}", block.header.wire.len());
    assert_eq!(decode_header(&block.header.wire), Ok(block.header.clone()));
}

#[test]
fn a_genesis_says_what_is_wrong_with_it() {
    assert_eq!(params().validate(), Ok(()));
    let broken = |change: fn(&mut Params)| {
        let mut params = params();
        change(&mut params);
        params.validate()
    };
    assert_eq!(broken(|p| p.name.clear()), Err(Invalid::Name));
    assert_eq!(broken(|p| p.validators.clear()), Err(Invalid::Validators));
    assert_eq!(broken(|p| p.validators.push(p.validators[0])), Err(Invalid::Validators));
    let large = |p: &mut Params| p.max_body_bytes = NonZeroU64::new(MAX_BODY_BYTES + 1).expect("not zero");
    assert!(matches!(broken(large), Err(Invalid::MaxBody { .. })));
}

#[test]
fn every_parameter_makes_another_chain() {
    let ids: std::collections::BTreeSet<Hash> = [
        params(),
        Params { name: "other".into(), ..params() },
        Params { magic: 8, ..params() },
        Params { start_unix_ms: 1_001, ..params() },
        Params { security: NonZeroU64::MAX, ..params() },
        Params::solo("test", 7, 1_000, key(2).public()),
        Params { faults: Faults::Crash, ..params() },
    ]
    .iter()
    .map(Params::chain)
    .collect();
    assert_eq!(ids.len(), 7);
}

#[test]
fn slots_and_times_agree() {
    let params = params();
    assert_eq!(params.slot_at(std::time::Duration::ZERO), Slot(0));
    for slot in [0, 1, 59, 1 << 40] {
        let begins = params.slot_start(Slot(slot));
        assert_eq!(params.slot_at(begins), Slot(slot));
        assert_eq!(params.slot_at(begins + params.slot_length()), Slot(slot + 1));
    }
}

fn set(weights: &[u64]) -> Validators {
    let members = weights.iter().enumerate().map(|(n, weight)| Validator {
        key: [n as u8; 32],
        weight: NonZeroU64::new(*weight).expect("not zero"),
    });
    Validators::new(members).expect("a set")
}

#[test]
fn a_block_of_a_validator_whose_turn_it_is_not_is_refused() {
    let weight = NonZeroU64::MIN;
    let validators = [1, 2, 3].map(|n| Validator { key: key(n).public(), weight }).to_vec();
    let params = Params { validators, ..params() };
    let format = Format::Native(Arc::new(params.clone()));
    let genesis = format.genesis();
    let set = params.validator_set().expect("valid");
    for round in 0..6 {
        let turn = set.proposer(Height(0), round).key;
        for n in 1..=3 {
            let block = Builder::start(&params, &Tip::default(), native(&genesis), Slot(0)).round(0, round);
            let judged = format.next(&genesis, &block.finish(&key(n)).header).map(|_| ());
            let refused = format::Reason::Native(Reason::Turn { height: Height(0), round });
            let expected = if key(n).public() == turn { Ok(()) } else { Err(refused) };
            assert_eq!(judged, expected);
        }
    }
}

#[test]
fn turns_come_as_often_as_they_weigh() {
    for weights in [&[1, 1, 1, 1][..], &[3, 2, 1], &[1], &[10, 1, 1, 1], &[5, 5]] {
        let set = set(weights);
        let mut turns = vec![0; weights.len()];
        for height in 0..set.weight() {
            turns[usize::from(set.proposer(Height(height), 0).key[0])] += 1;
        }
        assert_eq!(turns, weights);
    }
}

#[test]
fn each_validator_has_a_round_of_each_height() {
    let set = set(&[100, 1, 7, 1]);
    for height in [0, 1, 99, u64::MAX] {
        for start in [0, 5, u64::MAX - 4] {
            let keys = (start..start + 4).map(|round| set.proposer(Height(height), round).key);
            let keys: std::collections::BTreeSet<_> = keys.collect();
            assert_eq!(keys.len(), 4);
        }
    }
}

#[test]
fn equal_weights_take_turns() {
    let set = set(&[1; 7]);
    for height in 0..20 {
        let keys = (height..height + 7).map(|height| set.proposer(Height(height), 0).key);
        let keys: std::collections::BTreeSet<_> = keys.collect();
        assert_eq!(keys.len(), 7);
    }
}

/// RFC 6962, 2.1, word by word, over a list.
fn naive_root(leaves: &[Vec<u8>]) -> Hash {
    if leaves.len() == 1 {
        return blake2b(&[&[0], &leaves[0][..]].concat());
    }
    let mut split = 1;
    while split * 2 < leaves.len() {
        split *= 2;
    }
    let (left, right) = (naive_root(&leaves[..split]), naive_root(&leaves[split..]));
    blake2b(&[&[1], &left.0[..], &right.0[..]].concat())
}

proptest! {
    #[test]
    fn a_proof_holds_for_its_transaction_and_nothing_else(
        leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 1..40),
        at in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(), flip in 0..32usize,
    ) {
        let root = merkle::root(&leaves);
        prop_assert_eq!(root, naive_root(&leaves));
        let index = at.index(leaves.len());
        let proof = Proof::new(&leaves, index).expect("it is in there");
        prop_assert!(proof.is_valid(&root, &leaves[index]));
        prop_assert_eq!(Proof::decode(&proof.encode()), Ok(proof.clone()));
        let other = other.index(leaves.len());
        prop_assert_eq!(proof.is_valid(&root, &leaves[other]), leaves[other] == leaves[index]);
        prop_assert!(!proof.is_valid(&root, b"another, and longer"));
        let mut bent = root;
        bent.0[flip] ^= 1;
        prop_assert!(!proof.is_valid(&bent, &leaves[index]));
        for step in 0..proof.path.len() {
            let mut bent = proof.clone();
            bent.path[step].0[flip] ^= 1;
            prop_assert!(!bent.is_valid(&root, &leaves[index]));
        }
        let beyond = Proof { index: proof.count, ..proof.clone() };
        prop_assert!(!beyond.is_valid(&root, &leaves[index]));
        prop_assert_eq!(Proof::new(&leaves, leaves.len()), None);
    }

    #[test]
    fn decoders_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = (decode_header(&bytes), decode_block(&bytes), decode_fields(&bytes), Proof::decode(&bytes));
    }

    #[test]
    fn a_bent_block_is_refused_or_judged_wrong(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut builder = start(&format().genesis(), 5);
        builder.add(Bytes::from_static(b"one")).expect("it fits");
        builder.add(Bytes::from_static(b"two")).expect("it fits");
        let block = builder.finish(&key(1));
        let mut raw = block.raw.to_vec();
        let at = at.index(raw.len());
        raw[at] ^= 1 << bit;
        if let Ok(bent) = format().block(&raw.into()) {
            prop_assert!(judge(&format().genesis(), &bent).is_err());
        }
    }
}
