//! What the application answers the node: transactions, blocks, validators; and what it refuses at its start.

use anabranch::chain::native::Validators;
use anabranch::logic::Verdict;

use super::*;
use crate::transaction::{Change, MAX_TEXT_BYTES};

fn fresh(chain: &Chain, dir: &Path) -> Kv {
    chain.open(&dir.join(NAME))
}

fn reason(verdict: Verdict) -> String {
    let Verdict::Reject { reason } = verdict else { panic!("{verdict:?} is no refusal") };
    reason
}

fn key(seed: u8) -> [u8; 32] {
    Key::from_seed(&[seed; 32]).public()
}

#[test]
fn refuses_what_is_no_transaction_alone_and_in_a_block() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = Chain::new();
    let kv = fresh(&chain, dir.path());
    let good =
        [put("a", "1").encode(), delete("a").encode(), chain.change(key(9), 1, 0, &[0, 1, 2]).encode()];
    for tx in &good {
        assert_eq!(kv.check_tx(tx), Verdict::Accept);
    }
    assert_eq!(kv.check_block(&chain.beside(good.clone())), Verdict::Accept);
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    let too_long = [put(&long, "1").encode(), put("a", &long).encode(), delete(&long).encode()];
    for bad in
        [b"nonsense".to_vec(), Vec::new(), put("a", "1").encode()[1..].to_vec()].into_iter().chain(too_long)
    {
        let why = reason(kv.check_tx(&bad));
        let block = chain.beside(good.iter().cloned().chain([bad]));
        assert_eq!(reason(kv.check_block(&block)), why);
    }
}

#[test]
fn a_block_that_stands_elsewhere_is_not_judged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = fresh(&chain, dir.path());
    let (first, second) = (chain.block(&[put("a", "1")]), chain.block(&[put("a", "2")]));
    assert_eq!(kv.check_block(&second), Verdict::Ignore);
    let failed = kv.deliver(&second).expect_err("out of order");
    assert_eq!(failed.reason, "block 1 does not follow on the last one taken in");
    kv.deliver(&first).expect("delivered");
    assert_eq!(kv.check_block(&first), Verdict::Ignore);
    kv.deliver(&first).expect_err("twice");
    assert_eq!(kv.check_block(&second), Verdict::Accept);
    assert!(kv.deliver_all(&[second.clone(), first]).is_err());
    assert_eq!(value(&kv, "a").as_deref(), Some("1"), "none of the two was taken in");
    kv.deliver(&second).expect("delivered");
}

#[test]
fn a_quorum_of_the_validators_changes_them_and_nobody_else_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = fresh(&chain, dir.path());
    let check = |tx: &Transaction| kv.check_tx(&tx.encode());
    let by = |signers: &[usize]| chain.change(key(9), 5, 0, signers);
    assert_eq!(
        reason(check(&by(&[]))),
        "validators with a weight of 0 out of 4 have signed it, which is no quorum"
    );
    assert_eq!(
        reason(check(&by(&[0, 3]))),
        "validators with a weight of 2 out of 4 have signed it, which is no quorum"
    );
    assert_eq!(check(&by(&[1, 2, 3])), Verdict::Accept);
    assert_eq!(check(&by(&[0, 1, 2, 3])), Verdict::Accept);

    let Transaction::Validator(change) = by(&[0, 1, 2]) else { unreachable!() };
    let strange = |edit: fn(&mut Change)| {
        let mut change = change.clone();
        edit(&mut change);
        reason(check(&Transaction::Validator(change)))
    };
    assert!(strange(|it| it.key = key(8)).ends_with("is not sound"), "signed for another key");
    assert!(strange(|it| it.weight = 6).ends_with("is not sound"), "signed for another weight");
    assert!(strange(|it| it.signatures[1].1[5] ^= 1).ends_with("is not sound"), "a broken signature");
    assert!(
        strange(|it| it.sign(&Hash([1; 32]), &Key::from_seed(&[1; 32]))).ends_with("is not sound"),
        "another chain"
    );
    let outsider = strange(|it| it.signatures.push(([0xff; 32], [0; 64])));
    assert!(outsider.ends_with("which is no validator"), "{outsider}");

    let next = Transaction::Validator(Change { sequence: 1, ..change.clone() });
    assert_eq!(check(&next), Verdict::Ignore, "its time may come");
    let applied = kv.deliver(&chain.block(&[Transaction::Validator(change.clone())])).expect("delivered");
    let validators = applied.validators.expect("it asks for them");
    assert_eq!(validators.weight(), 9);
    assert!(validators.contains(&key(9)));
    assert_eq!(check(&Transaction::Validator(change)), Verdict::Ignore, "it had its time");
    let two = chain.change(key(1), 0, 1, &[1, 2, 3]);
    assert_eq!(
        reason(check(&two)),
        "validators with a weight of 3 out of 9 have signed it, which is no quorum"
    );
}

#[test]
fn validators_go_and_come_in_one_block_and_outlast_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = fresh(&chain, dir.path());
    let changes = [
        chain.change(key(4), 0, 0, &[0, 1, 2]),
        chain.change(key(1), 9, 1, &[0, 1, 2]),
        // The first alone is a quorum now, and the others are none.
        chain.change(key(7), 2, 2, &[0]),
        chain.change(key(2), 0, 3, &[1, 2]),
        chain.change(key(3), 0, 3, &[0]),
    ];
    let raw: Vec<_> = changes.iter().map(Transaction::encode).collect();
    assert!(matches!(kv.check_block(&chain.beside(raw.clone())), Verdict::Reject { .. }));
    let without = [&raw[..3], &raw[4..]].concat();
    assert_eq!(kv.check_block(&chain.beside(without)), Verdict::Accept);
    let twisted = [&raw[1..2], &raw[..1]].concat();
    assert_eq!(reason(kv.check_block(&chain.beside(twisted))), "a change of validators that is not the next");

    let applied = kv.deliver(&chain.block(&changes)).expect("delivered");
    let expected = Validators::new(
        [(1, 9), (2, 1), (7, 2)]
            .map(|(seed, weight)| Validator { key: key(seed), weight: weight.try_into().expect("not 0") }),
    );
    assert_eq!(applied.validators, expected);
    let root = applied.root;
    drop(kv);
    let kv = fresh(&chain, dir.path());
    assert_eq!(kv.applied().expect("said"), applied);
    assert_eq!(kv.electorate().sequence, 4);
    assert_ne!(root, Some(EMPTY), "the state's root covers the validators");
    assert_eq!(value(&kv, "validators"), None, "no text names them");
}

#[test]
fn the_last_validator_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = fresh(&chain, dir.path());
    let changes: Vec<_> = (0..3).map(|at| chain.change(key(4 - at), 0, at.into(), &[0, 1, 2])).collect();
    // Four, three and two need three, three and two of the first three.
    let changes = [changes[0].clone(), changes[1].clone(), chain.change(key(2), 0, 2, &[0, 1])];
    kv.deliver(&chain.block(&changes)).expect("delivered");
    assert_eq!(kv.electorate().validators.members().len(), 1);
    let last = chain.change(key(1), 0, 3, &[0]);
    assert_eq!(
        reason(kv.check_tx(&last.encode())),
        "it leaves no validator, more than 128, or too much weight"
    );
    let heavy = chain.change(key(1), u64::MAX, 3, &[0]);
    assert!(reason(kv.check_tx(&heavy.encode())).ends_with("too much weight"));
    kv.deliver(&chain.block(&[last, heavy])).expect("delivered");
    assert_eq!(kv.electorate().sequence, 3);
}

#[test]
fn builds_of_what_does_something_in_its_order_and_within_the_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = Chain::new();
    let kv = fresh(&chain, dir.path());
    let candidates: Vec<_> = [
        b"nonsense".to_vec(),
        put("a", "1").encode(),
        chain.change(key(9), 1, 1, &[0, 1, 2]).encode(),
        chain.change(key(9), 1, 0, &[0, 1, 2]).encode(),
        chain.change(key(9), 2, 1, &[0, 1, 2]).encode(),
        put("b", &"x".repeat(500)).encode(),
        delete("a").encode(),
    ]
    .into_iter()
    .zip(0..)
    .map(|(tx, at)| (Hash([at; 32]), Bytes::from(tx)))
    .collect();
    let ids = |all: &[u8]| all.iter().map(|at| Hash([*at; 32])).collect::<Vec<_>>();
    // 9 has weight 1 then: three of the four are a quorum of five no more.
    assert_eq!(kv.build(Tip::default(), 10_000, &candidates), ids(&[1, 3, 5, 6]));
    let room = candidates[1].1.len() as u64 + 5 + candidates[6].1.len() as u64 + 5;
    assert_eq!(kv.build(Tip::default(), room, &candidates), ids(&[1, 6]));
    assert_eq!(kv.build(Tip::default(), room - 1, &candidates), ids(&[1]));
    assert_eq!(kv.build(Tip::default(), 0, &candidates), []);
}

#[test]
fn refuses_the_state_of_another_chain_and_of_another_version() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let chain = Chain::new();
    drop(chain.open(&path));
    let other = Chain::named("other");
    let error = Kv::open(&path, Arc::clone(&other.params)).expect_err("another chain's");
    assert!(matches!(error, Error::OtherChain { found, .. } if found == chain.params.chain()), "{error}");

    let database = redb::Database::open(&path).expect("opened");
    let writing = database.begin_write().expect("begun");
    writing.open_table(ABOUT).expect("there").insert("version", 9u64.to_be_bytes().as_slice()).expect("put");
    writing.commit().expect("committed");
    drop(database);
    let error = Kv::open(&path, Arc::clone(&chain.params)).expect_err("another version's");
    assert!(matches!(error, Error::Version { found: 9, .. }), "{error}");
}

#[test]
fn refuses_a_file_that_is_in_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let chain = Chain::new();
    let _kv = chain.open(&path);
    let error = Kv::open(&path, Arc::clone(&chain.params)).expect_err("in use");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
}

#[test]
fn refuses_what_is_no_database_and_says_the_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    std::fs::write(&path, "a letter, long enough for a header of some kind. ".repeat(100)).expect("written");
    let error = Kv::open(&path, Chain::new().params).expect_err("damaged");
    assert!(error.to_string().contains("remove it and start the node again"), "{error}");
}

#[test]
fn answers_readers_in_the_states_that_it_keeps() {
    let (mut chain, dir) = (Chain::new(), tempfile::tempdir().expect("a directory"));
    let kv = chain.open(&dir.path().join("kv"));
    for at in 0..=MAX_STATES {
        kv.deliver(&chain.block(&[put("river", &at.to_string())])).expect("taken in");
    }
    let ask = |question: &Question| {
        assert_eq!(Question::decode(&question.encode()).as_ref(), Ok(question));
        let answer = kv.query(&question.encode()).expect("answered");
        let read = Answer::decode(&answer).expect("an answer");
        assert_eq!(read.encode(), answer);
        for cut in 0..answer.len() {
            assert_eq!(Answer::decode(&answer[..cut]), Err(Malformed));
        }
        read
    };
    let get = |key: &str, height: Option<u64>| {
        ask(&Question::Get { key: key.to_owned(), height: height.map(Height) })
    };
    let newest = kv.stand().0.height;
    let found = kv.get("river", None).expect("read").expect("kept");
    assert_eq!(get("river", None), Answer::Found(found.clone()));
    let before = kv.get("river", Some(Height(newest.0 - 1))).expect("read").expect("kept");
    assert_eq!((before.value.as_deref(), found.value.as_deref()), (Some("15"), Some("16")));
    assert_eq!(get("river", Some(newest.0 - 1)), Answer::Found(before));
    assert_eq!(get("river", Some(0)), Answer::Gone { newest });
    assert_eq!(get("river", Some(newest.0 + 1)), Answer::Gone { newest });
    assert!(matches!(get("sea", None), Answer::Found(Found { value: None, .. })));
    assert_eq!(ask(&Question::Validators), Answer::Validators(kv.electorate()));
    assert!(kv.query(b"?").is_err());
    assert!(kv.query(&[Question::Validators.encode(), vec![0]].concat()).is_err(), "left-over bytes");
}

#[test]
fn a_header_shows_what_it_names_and_nothing_else() {
    let (mut chain, dir) = (Chain::new(), tempfile::tempdir().expect("a directory"));
    let kv = chain.open(&dir.path().join("kv"));
    kv.deliver(&chain.block(&[put("river", "delta")])).expect("taken in");
    let found = kv.get("river", None).expect("read").expect("kept");
    let header = chain.block(&[]).header;
    let mut fields = anabranch::chain::native::read_fields(&header).expect("sound");
    assert!(!found.is_shown_by(&fields, "river"), "it names no state");
    fields.state = Some(StateRoot { height: found.tip.height, root: found.root });
    assert!(found.is_shown_by(&fields, "river"));
    assert!(!found.is_shown_by(&fields, "sea"), "another key");
    let lie = Found { value: Some("oxbow".into()), ..found.clone() };
    assert!(!lie.is_shown_by(&fields, "river"), "another value");
    let lie = Found { value: None, ..found.clone() };
    assert!(!lie.is_shown_by(&fields, "river"), "none");
    fields.state = Some(StateRoot { height: Height(9), root: found.root });
    assert!(!found.is_shown_by(&fields, "river"), "another height");
}
