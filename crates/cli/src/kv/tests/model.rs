//! The application against a plain map.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use redb::ReadableDatabase;

use super::*;

/// Keys that meet often, with the empty one among them.
const KEYS: [&str; 9] = ["", "a", "b", "c", "apple", "pear", "plum", "ä", "a longer key than the others"];

fn transaction() -> impl Strategy<Value = Transaction> {
    let key = proptest::sample::select(KEYS.as_slice());
    prop_oneof![
        3 => (key.clone(), "[a-c]{0,3}").prop_map(|(key, value)| put(key, &value)),
        2 => key.prop_map(delete),
    ]
}

fn apply(map: &mut BTreeMap<String, String>, transactions: &[Transaction]) {
    for transaction in transactions {
        match transaction {
            Transaction::Put { key, value, .. } => drop(map.insert(key.clone(), value.clone())),
            Transaction::Delete { key, .. } => drop(map.remove(key)),
            Transaction::Validator(_) => unreachable!("there is none"),
        }
    }
}

/// All pages of the tree.
pub(super) fn pages(kv: &Kv) -> Vec<(Vec<u8>, Vec<u8>)> {
    let reading = kv.database.begin_read().expect("read");
    let table = reading.open_table(TREE).expect("there");
    let pages = table.iter().expect("read").map(|page| {
        let (key, page) = page.expect("read");
        (key.value().to_vec(), page.value().to_vec())
    });
    pages.collect()
}

/// The same state, made at once.
fn at_once(map: &BTreeMap<String, String>, dir: &Path) -> Kv {
    let mut chain = Chain::new();
    let path = dir.join("at-once.redb");
    let _ = std::fs::remove_file(&path);
    let kv = chain.open(&path);
    let block = chain.block(&map.iter().map(|(key, value)| put(key, value)).collect::<Vec<_>>());
    kv.deliver(&block).expect("delivered");
    kv
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn is_a_map_whatever_the_blocks_and_whenever_it_is_opened_again(
        blocks in vec((vec(transaction(), 0..6), any::<bool>(), any::<bool>()), 0..8)
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut chain, path) = (Chain::new(), dir.path().join(NAME));
        let mut kv = chain.open(&path);
        let (mut map, mut waiting, mut applied) = (BTreeMap::new(), Vec::new(), kv.applied().expect("said"));
        prop_assert_eq!(applied.tip, Tip::default());
        for (transactions, together, reopen) in blocks {
            apply(&mut map, &transactions);
            waiting.push(chain.block(&transactions));
            if together {
                continue;
            }
            let tips: Vec<_> = waiting.iter().map(|block: &Block| block.header.tip()).collect();
            let said = kv.deliver_all(&std::mem::take(&mut waiting)).expect("delivered");
            prop_assert_eq!(said.iter().map(|said| said.tip).collect::<Vec<_>>(), tips);
            applied = said.last().expect("one at least").clone();
            if reopen {
                drop(kv);
                kv = chain.open(&path);
            }
            prop_assert_eq!(&kv.applied().expect("said"), &applied);
            for key in KEYS {
                prop_assert_eq!(value(&kv, key), map.get(key).cloned());
            }
            prop_assert_eq!(kv.check().expect("sound"), map.len() as u64);
            let other = at_once(&map, dir.path());
            prop_assert_eq!(other.stand().1, kv.stand().1, "the root follows from the contents alone");
            prop_assert_eq!(pages(&other), pages(&kv), "and so does the tree");
        }
    }
}

#[test]
fn keeps_thousands_of_keys_and_leaves_nothing_of_those_that_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = chain.open(&dir.path().join(NAME));
    let empty = (kv.stand().1, pages(&kv));
    let key = |at: usize| format!("key {at}");
    let mut map = BTreeMap::new();
    for round in 0..5 {
        let transactions: Vec<_> =
            (0..1_000).map(|at| put(&key(round * 800 + at), &round.to_string())).collect();
        apply(&mut map, &transactions);
        kv.deliver(&chain.block(&transactions)).expect("delivered");
    }
    assert_eq!(map.len(), 4_200);
    let transactions: Vec<_> = (0..4_200).filter(|at| at % 3 != 0).map(|at| delete(&key(at))).collect();
    apply(&mut map, &transactions);
    kv.deliver(&chain.block(&transactions)).expect("delivered");
    assert_eq!(kv.check().expect("sound"), 1_400);
    (0..4_200).step_by(7).for_each(|at| assert_eq!(value(&kv, &key(at)), map.get(&key(at)).cloned()));
    let other = at_once(&map, dir.path());
    assert_eq!((other.stand().1, pages(&other)), (kv.stand().1, pages(&kv)));

    let transactions: Vec<_> = map.keys().map(|key| delete(key)).collect();
    kv.deliver(&chain.block(&transactions)).expect("delivered");
    assert_eq!(kv.check().expect("sound"), 0);
    assert_eq!((kv.stand().1, pages(&kv)), empty);
}

#[test]
fn the_last_of_several_transactions_about_a_key_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = chain.open(&dir.path().join(NAME));
    kv.deliver(&chain.block(&[put("a", "1"), delete("a"), put("a", "2"), put("b", "1"), delete("b")]))
        .expect("delivered");
    assert_eq!((value(&kv, "a").as_deref(), value(&kv, "b")), (Some("2"), None));
}

#[test]
fn what_is_no_transaction_does_nothing_and_the_rest_of_the_block_counts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = chain.open(&dir.path().join(NAME));
    let too_long = put("long", &"x".repeat(crate::transaction::MAX_TEXT_BYTES + 1)).encode();
    let block = chain.raw([b"nonsense".to_vec(), put("a", "1").encode(), too_long, put("b", "2").encode()]);
    kv.deliver(&block).expect("delivered");
    assert_eq!(value(&kv, "a").as_deref(), Some("1"));
    assert_eq!(value(&kv, "b").as_deref(), Some("2"));
    assert_eq!(value(&kv, "long"), None);
    assert_eq!(kv.check().expect("sound"), 2);
}

#[test]
fn the_newest_states_stay_readable_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut chain = Chain::new();
    let kv = chain.open(&dir.path().join(NAME));
    let most = MAX_STATES as u64;
    let mut roots = Vec::new();
    for height in 0..most + 4 {
        let applied = kv.deliver(&chain.block(&[put("a", &height.to_string())])).expect("delivered");
        roots.push(applied.root.expect("it has one"));
    }
    for height in 0..most + 6 {
        let found = kv.get("a", Some(Height(height))).expect("read");
        if !(4..most + 4).contains(&height) {
            assert_eq!(found, None, "height {height}");
            continue;
        }
        let found = found.expect("kept");
        assert_eq!(found.value, Some(height.to_string()));
        assert_eq!((found.tip.height, found.root), (Height(height), roots[height as usize]));
        assert!(found.proof.is_valid(&found.root, b"a", Some(height.to_string().as_bytes())));
    }
}
