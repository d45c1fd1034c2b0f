//! Proofs against forgers.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn filled(dir: &Path) -> Kv {
    let mut chain = Chain::new();
    let kv = chain.open(&dir.join(NAME));
    let transactions: Vec<_> = (0..300).map(|at| put(&at.to_string(), &format!("value {at}"))).collect();
    kv.deliver(&chain.block(&transactions)).expect("delivered");
    kv
}

fn found(kv: &Kv, key: &str) -> Found {
    kv.get(key, None).expect("read").expect("kept")
}

#[test]
fn shows_nothing_but_what_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let kv = filled(dir.path());
    for at in 0..300 {
        let (key, value) = (at.to_string(), format!("value {at}"));
        let Found { proof, root, .. } = found(&kv, &key);
        assert!(proof.is_valid(&root, key.as_bytes(), Some(value.as_bytes())));
        assert!(!proof.is_valid(&root, key.as_bytes(), Some(b"another value")));
        assert!(!proof.is_valid(&root, key.as_bytes(), None), "nothing is not what it has");
        assert!(!proof.is_valid(&root, b"another key", Some(value.as_bytes())));
        assert!(!proof.is_valid(&Hash([1; 32]), key.as_bytes(), Some(value.as_bytes())));
    }
    let (mut beside_another, mut beside_nothing) = (0, 0);
    for at in 300..600 {
        let key = at.to_string();
        let Found { value, proof, root, .. } = found(&kv, &key);
        assert_eq!(value, None);
        assert!(proof.is_valid(&root, key.as_bytes(), None));
        assert!(!proof.is_valid(&root, key.as_bytes(), Some(b"")));
        let which = if proof.other.is_some() { &mut beside_another } else { &mut beside_nothing };
        *which += 1;
    }
    assert!(beside_another > 0 && beside_nothing > 0, "both ways to be absent");
}

/// Everything that a liar could make of the proofs that there are: none shows that a key that is there is absent.
#[test]
fn a_key_that_is_there_cannot_be_denied() {
    let dir = tempfile::tempdir().expect("a directory");
    let kv = filled(dir.path());
    let root = kv.stand().1;
    let victim = "7".as_bytes();
    let honest = found(&kv, "7").proof;
    for at in 0..600 {
        let other = found(&kv, &at.to_string()).proof;
        for beside in [&honest.beside, &other.beside] {
            let ends = (0..300).map(|end| {
                let (key, value) = (end.to_string(), format!("value {end}"));
                Some((blake2b(key.as_bytes()), blake2b(value.as_bytes())))
            });
            for end in ends.chain([None, other.other]).step_by(if at % 50 == 7 { 1 } else { 60 }) {
                for cut in 0..=beside.len() {
                    let proof = Proof { beside: beside[..cut].to_vec(), other: end };
                    assert!(!proof.is_valid(&root, victim, None), "{proof:?}");
                }
            }
        }
    }
}

#[test]
fn an_empty_state_has_proofs_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let kv = Chain::new().open(&dir.path().join(NAME));
    let Found { value, proof, root, tip } = found(&kv, "a");
    assert_eq!((value, tip, root), (None, Tip::default(), EMPTY));
    assert!(proof.is_valid(&root, b"a", None));
    assert!(!proof.is_valid(&root, b"a", Some(b"")));
}

#[test]
fn a_proof_longer_than_any_way_is_none() {
    let mut beside = vec![EMPTY; proof::MAX_DEPTH];
    assert!(!Proof { beside: beside.clone(), other: None }.is_valid(&EMPTY, b"a", None));
    let longest = Proof { beside: beside.clone(), other: None };
    assert_eq!(Proof::decode(&longest.encode()), Ok(longest));
    beside.push(EMPTY);
    let longer = Proof { beside, other: None };
    assert!(!longer.is_valid(&EMPTY, b"a", None));
    assert_eq!(Proof::decode(&longer.encode()), Err(Malformed));
}

/// One for all cases: its folder goes with it.
static FILLED: LazyLock<(tempfile::TempDir, Kv)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory");
    let kv = filled(dir.path());
    (dir, kv)
});

proptest! {
    #[test]
    fn a_changed_proof_shows_nothing(at in 0u32..600, place: usize, flip in 1u8..) {
        let key = at.to_string();
        let Found { value, proof, root, .. } = found(&FILLED.1, &key);
        let value = value.as_deref().map(str::as_bytes);
        let mut bytes = proof.encode();
        let place = place % bytes.len();
        bytes[place] ^= flip;
        if let Ok(changed) = Proof::decode(&bytes) {
            prop_assert_eq!(changed.encode(), bytes);
            prop_assert!(!changed.is_valid(&root, key.as_bytes(), value));
        }
    }

    #[test]
    fn any_bytes_are_a_proof_in_its_one_encoding_or_none(bytes: Vec<u8>) {
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
        }
    }
}
