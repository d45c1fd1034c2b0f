//! The state as a newcomer takes it: whole or not at all, from whoever, in any order, and nothing but what the root shows.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use anabranch::logic::{Logic, Taken};
use proptest::collection::vec;
use proptest::prelude::*;

use super::crashes::{Chance, Disk, on};
use super::model::pages;
use super::*;

/// A chain with an application whose states are kept after every block, in small pieces.
struct Giver {
    chain: Chain,
    kv: Kv,
    _dir: tempfile::TempDir,
}

impl Giver {
    fn new(piece_bytes: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let chain = Chain::new();
        let mut kv = chain.open(&dir.path().join(NAME));
        (kv.snapshot_every, kv.piece_bytes) = (NonZeroU64::MIN, piece_bytes);
        Self { chain, kv, _dir: dir }
    }

    /// With so many entries, of values of so many bytes.
    fn with(entries: usize, bytes: usize, piece_bytes: usize) -> Self {
        let mut giver = Self::new(piece_bytes);
        let transactions: Vec<_> =
            (0..entries).map(|at| put(&format!("key {at}"), &format!("{at:0bytes$}"))).collect();
        giver.deliver(&transactions);
        giver
    }

    fn deliver(&mut self, transactions: &[Transaction]) {
        self.kv.deliver(&self.chain.block(transactions)).expect("delivered");
    }

    fn newest(&self) -> StateRoot {
        self.kv.snapshots()[0]
    }

    fn piece(&self, of: &StateRoot, name: &[u8]) -> Bytes {
        self.kv.piece(of, name).expect("read").expect("it has it")
    }
}

/// Takes all pieces, in an order of chance; how many there were.
fn take_all(giver: &Giver, to: &StateRoot, taker: &Kv, chance: &mut Chance) -> usize {
    let mut wanted = taker.restore(to).expect("begun").expect("it takes them");
    let mut count = 0;
    while !wanted.is_empty() {
        let name = wanted.swap_remove(chance.below(wanted.len() as u64) as usize);
        let piece = giver.piece(to, &name);
        match taker.restore_piece(&name, &piece).expect("taken") {
            Taken::Right { more } => wanted.extend(more),
            other => panic!("{other:?}"),
        }
        assert_eq!(taker.restore_piece(&name, &piece).expect("asked"), Taken::Unasked, "each once");
        count += 1;
    }
    count
}

fn taker(giver: &Giver, dir: &Path) -> Kv {
    let path = dir.join("taker.redb");
    let _ = std::fs::remove_file(&path);
    giver.chain.open(&path)
}

/// Whether two have the same state.
fn assert_same(giver: &Giver, taker: &Kv) {
    assert_eq!(taker.applied().expect("said"), giver.kv.applied().expect("said"));
    assert_eq!(taker.check().expect("sound"), giver.kv.check().expect("sound"));
    assert_eq!(pages(taker), pages(&giver.kv), "the tree is the same, node by node");
}

#[test]
fn a_state_goes_over_in_pieces_of_a_bounded_size() {
    // Some 480 KB, in pieces of 256 KiB: the root's says nodes.
    let mut giver = Giver::with(60, 8_000, MAX_PIECE_BYTES);
    let (to, dir) = (giver.newest(), tempfile::tempdir().expect("a directory"));
    let taker = taker(&giver, dir.path());
    let first = giver.piece(&to, &[0, 0]);
    assert!(matches!(Piece::decode(&first), Ok(Piece::Nodes(_))));
    let count = take_all(&giver, &to, &taker, &mut Chance(1));
    assert!(count > 30, "{count} pieces");
    let before = taker.applied().expect("said");
    assert_eq!(before.tip, Tip::default(), "nothing has changed yet");
    assert_eq!(value(&taker, "key 7"), None);
    let tip = giver.kv.stand().0;
    assert_eq!(taker.restored(tip).expect("whole"), giver.kv.applied().expect("said"));
    assert_same(&giver, &taker);
    assert_eq!(value(&taker, "key 7"), value(&giver.kv, "key 7"));
    // Both go on from there alike.
    let block = giver.chain.block(&[put("another", "1"), delete("key 3")]);
    assert_eq!(taker.deliver(&block).expect("delivered"), giver.kv.deliver(&block).expect("delivered"));
    assert_same(&giver, &taker);
}

#[test]
fn what_fits_in_one_piece_is_one_piece_and_an_empty_state_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    for (entries, pieces) in [(0, 0), (1, 1), (60, 1)] {
        let giver = Giver::with(entries, 3, MAX_PIECE_BYTES);
        let taker = taker(&giver, dir.path());
        assert_eq!(take_all(&giver, &giver.newest(), &taker, &mut Chance(1)), pieces);
        taker.restored(giver.kv.stand().0).expect("whole");
        assert_same(&giver, &taker);
    }
}

#[test]
fn a_state_in_which_validators_changed_goes_over_with_them() {
    let mut giver = Giver::new(50);
    let change = giver.chain.change([9; 32], 3, 0, &[0, 1, 2]);
    giver.deliver(&[change, put("a", "1"), put("b", "2")]);
    assert_eq!(giver.kv.electorate().sequence, 1);
    let dir = tempfile::tempdir().expect("a directory");
    let taker = taker(&giver, dir.path());
    take_all(&giver, &giver.newest(), &taker, &mut Chance(3));
    taker.restored(giver.kv.stand().0).expect("whole");
    assert_eq!(taker.electorate(), giver.kv.electorate());
    assert_same(&giver, &taker);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_state_goes_over_in_any_order_over_another(
        keys in vec("[a-z]{0,3}", 0..60),
        before in vec("[a-z]{0,3}", 0..9),
        piece_bytes in 0..200usize,
        seed in 1..u64::MAX,
    ) {
        let mut giver = Giver::new(piece_bytes);
        giver.deliver(&keys.iter().map(|key| put(key, "value")).collect::<Vec<_>>());
        let dir = tempfile::tempdir().expect("a directory");
        let taker = taker(&giver, dir.path());
        let mut other = Chain::new();
        taker.deliver(&other.block(&before.iter().map(|key| put(key, "old")).collect::<Vec<_>>())).expect("delivered");
        take_all(&giver, &giver.newest(), &taker, &mut Chance(seed));
        taker.restored(giver.kv.stand().0).expect("whole");
        assert_same(&giver, &taker);
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_what_is_wrong(bytes in vec(any::<u8>(), 0..80), name in vec(any::<u8>(), 0..36)) {
        if let Ok(piece) = Piece::decode(&bytes) {
            prop_assert_eq!(piece.encode(), bytes.clone());
        }
        let giver = Giver::with(9, 3, 40);
        prop_assert!(giver.kv.piece(&giver.newest(), &name).is_ok());
        let dir = tempfile::tempdir().expect("a directory");
        let taker = taker(&giver, dir.path());
        prop_assert_eq!(taker.restore_piece(&[0, 0], &bytes), Ok(Taken::Unasked));
        taker.restore(&giver.newest()).expect("begun");
        let is_right = bytes[..] == giver.piece(&giver.newest(), &[0, 0])[..];
        let taken = taker.restore_piece(&[0, 0], &bytes).expect("asked");
        prop_assert_eq!(matches!(taken, Taken::Right { .. }), is_right);
    }
}

/// What liars make of a right piece.
fn lies(right: &Bytes, others: &[Bytes]) -> Vec<Vec<u8>> {
    let mut lies: Vec<Vec<u8>> = (0..right.len())
        .map(|at| {
            let mut flipped = right.to_vec();
            flipped[at] ^= 1 << (at % 8);
            flipped
        })
        .collect();
    lies.extend((0..right.len()).map(|end| right[..end].to_vec()));
    lies.push([right, &b"\0"[..]].concat());
    lies.extend(others.iter().filter(|other| *other != right).map(|other| other.to_vec()));
    match Piece::decode(right).expect("a piece") {
        Piece::Entries(entries) => {
            lies.extend((0..entries.len()).map(|at| {
                let mut fewer = entries.clone();
                fewer.remove(at);
                Piece::Entries(fewer).encode()
            }));
            lies.push(Piece::Entries([entries.clone(), entries.clone()].concat()).encode());
            lies.push(
                Piece::Entries(entries.iter().rev().cloned().chain([(vec![1], vec![2])]).collect()).encode(),
            );
            let other = entries.iter().map(|(key, _)| (key.clone(), b"another".to_vec())).collect();
            lies.push(Piece::Entries(other).encode());
            // Its own hash says nothing: it would be asked for over and over.
            lies.push(Piece::Nodes(Part::Whole(root(&[], 0))).encode());
        }
        Piece::Nodes(part) => {
            lies.push(Piece::Nodes(Part::Whole(part.hash())).encode());
            lies.push(Piece::Nodes(Part::Empty).encode());
            let Part::Parted(below) = part else { panic!("a piece of nodes has some") };
            lies.push(Piece::Nodes(Part::Parted(Box::new((below.1.clone(), below.0.clone())))).encode());
        }
    }
    lies
}

#[test]
fn nothing_but_the_right_piece_is_taken() {
    let giver = Giver::with(24, 5, 60);
    let (to, dir) = (giver.newest(), tempfile::tempdir().expect("a directory"));
    let taker = taker(&giver, dir.path());
    let mut wanted = taker.restore(&to).expect("begun").expect("it takes them");
    let mut taken = BTreeMap::new();
    let mut tried = 0;
    while let Some(name) = wanted.pop() {
        let right = giver.piece(&to, &name);
        let others: Vec<Bytes> = taken.values().cloned().collect();
        for lie in lies(&right, &others) {
            let said = taker.restore_piece(&name, &lie).expect("asked");
            assert!(matches!(said, Taken::Wrong { .. }), "{said:?} of {lie:?} for {name:?}");
            tried += 1;
        }
        let Taken::Right { more } = taker.restore_piece(&name, &right).expect("taken") else {
            panic!("it is right")
        };
        wanted.extend(more);
        taken.insert(name, right);
    }
    assert!(taken.len() > 10 && tried > 1_000, "{tried} lies about {} pieces", taken.len());
    taker.restored(giver.kv.stand().0).expect("whole");
    assert_same(&giver, &taker);
}

#[test]
fn a_state_that_is_not_whole_or_another_blocks_takes_no_place() {
    let mut giver = Giver::with(24, 5, 60);
    let (to, tip) = (giver.newest(), giver.kv.stand().0);
    giver.deliver(&[put("later", "1")]);
    let dir = tempfile::tempdir().expect("a directory");
    let taker = taker(&giver, dir.path());
    assert!(taker.restored(tip).is_err(), "nothing was begun");
    let wanted = taker.restore(&to).expect("begun").expect("it takes them");
    assert!(taker.restored(tip).is_err(), "pieces are missing");
    taker.restore_piece(&wanted[0], &giver.piece(&to, &wanted[0])).expect("taken");
    assert!(taker.restored(tip).is_err(), "pieces are missing");
    take_all(&giver, &to, &taker, &mut Chance(5));
    assert!(taker.restored(giver.kv.stand().0).is_err(), "it is the state after another block");
    assert_eq!(taker.applied().expect("said").tip, Tip::default());
    taker.forget_restore().expect("forgotten");
    assert!(taker.restored(tip).is_err(), "it was forgotten");
    take_all(&giver, &to, &taker, &mut Chance(6));
    assert_eq!(taker.restored(tip).expect("whole").root, Some(to.root));
    assert_eq!(value(&taker, "later"), None);
}

#[test]
fn a_snapshot_stays_as_it_is_while_blocks_come_until_two_newer_are_there() {
    let mut giver = Giver::new(60);
    giver.kv.snapshot_every = NonZeroU64::new(3).expect("it is not 0");
    let blocks: Vec<_> = (0..11)
        .map(|height| {
            giver.chain.block(&[put(&(height % 4).to_string(), &height.to_string()), put("x", "y")])
        })
        .collect();
    // However they come: a state is kept where it must be.
    giver.kv.deliver_all(&blocks[..4]).expect("delivered");
    let heights = |giver: &Giver| giver.kv.snapshots().iter().map(|it| it.height.0).collect::<Vec<_>>();
    assert_eq!(heights(&giver), [2]);
    let first = giver.newest();
    let dir = tempfile::tempdir().expect("a directory");
    let taker = taker(&giver, dir.path());
    take_all(&giver, &first, &taker, &mut Chance(1));
    taker.restored(blocks[2].header.tip()).expect("whole");
    assert_eq!((value(&taker, "2").as_deref(), value(&taker, "3")), (Some("2"), None));
    assert_eq!(taker.stand().1, first.root);
    giver.kv.deliver_all(&blocks[4..]).expect("delivered");
    assert_eq!(heights(&giver), [8, 5]);
    assert_eq!(giver.kv.piece(&first, &[0, 0]), Ok(None), "it is gone");
    let wrong = StateRoot { root: Hash([7; 32]), ..giver.newest() };
    assert_eq!(giver.kv.piece(&wrong, &[0, 0]), Ok(None), "another's");
    // The taker is as good as the giver for those who come after it.
    let after: Vec<_> = taker.deliver_all(&blocks[3..]).expect("delivered");
    assert_eq!(after.last(), Some(&giver.kv.applied().expect("said")));
}

#[test]
fn after_a_start_the_state_at_hand_is_given_until_two_newer_are_there() {
    let mut chain = Chain::new();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let kv = chain.open(&path);
    assert_eq!(kv.snapshots(), [], "where there is no block there is nothing to give");
    let blocks: Vec<_> = (0..12).map(|at| chain.block(&[put(&at.to_string(), "value")])).collect();
    kv.deliver_all(&blocks[..4]).expect("delivered");
    assert_eq!(kv.snapshots(), [], "it is not time yet");
    let (tip, root) = kv.stand();
    drop(kv);
    let kv = chain.open(&path).with_snapshots(NonZeroU64::new(3).expect("it is not 0"));
    let of = StateRoot { height: tip.height, root };
    assert_eq!(kv.snapshots(), [of]);
    kv.deliver_all(&blocks[4..8]).expect("delivered");
    assert_eq!(kv.snapshots()[1..], [of], "the newest first");
    let giver = Giver { chain, kv, _dir: dir };
    let dir = tempfile::tempdir().expect("a directory");
    let taker = taker(&giver, dir.path());
    take_all(&giver, &of, &taker, &mut Chance(1));
    assert_eq!(taker.restored(tip).expect("whole").root, Some(root));
    giver.kv.deliver_all(&blocks[8..]).expect("delivered");
    assert!(!giver.kv.snapshots().contains(&of), "two newer are there");
}

#[test]
fn after_a_crash_it_is_the_old_state_or_the_new_and_what_was_begun_is_gone() {
    let giver = Giver::with(12, 5, 80);
    let (to, tip) = (giver.newest(), giver.kv.stand().0);
    let mut old = Chain::new();
    let first = old.block(&(0..12).map(|at| put(&at.to_string(), "old")).collect::<Vec<_>>());
    let disk = Disk::of(Vec::new(), None);
    let kv = on(&disk, &old).expect("opened");
    let before = kv.deliver(&first).expect("delivered");
    let image = disk.inside().synced.clone();
    let restore = |kv: &Kv| -> Option<()> {
        let mut wanted = kv.restore(&to).ok()??;
        while let Some(name) = wanted.pop() {
            let Taken::Right { more } = kv.restore_piece(&name, &giver.piece(&to, &name)).ok()? else {
                panic!("it is right")
            };
            wanted.extend(more);
        }
        kv.restored(tip).ok().map(drop)
    };
    let after = giver.kv.applied().expect("said");
    let (mut lost, mut kept, mut operations) = (0, 0, 0);
    loop {
        let disk = Disk::of(image.clone(), Some(operations));
        let said = on(&disk, &old).and_then(|kv| restore(&kv));
        for seed in 1..=2u64 {
            let context = format!("{operations} operations, seed {seed}");
            let crashed = Disk::of(disk.crashed(&mut Chance(seed * 77 + operations)), None);
            let kv = on(&crashed, &old).unwrap_or_else(|| panic!("{context}: it opens"));
            let stands = kv.applied().expect("said");
            assert!(stands == before || stands == after, "{context}");
            kv.check().unwrap_or_else(|error| panic!("{context}: {error}"));
            let tables = begun(&kv);
            assert_eq!(tables, 0, "{context}: tables of what was begun");
            if stands == after {
                kept += 1;
            } else {
                assert!(said.is_none(), "{context}: it was said to be there");
                lost += 1;
                if seed == 1 {
                    restore(&kv).unwrap_or_else(|| panic!("{context}: it goes on"));
                    assert_eq!(kv.applied().expect("said"), after, "{context}");
                }
            }
        }
        operations += 1;
        if said.is_some() {
            break;
        }
    }
    assert!(lost > 100 && kept > 1, "crashes on both sides: {lost} and {kept}");
}

/// How many tables there are of a state that is being put together.
fn begun(kv: &Kv) -> usize {
    use redb::{ReadableDatabase, TableHandle};
    let reading = kv.database.begin_read().expect("read");
    let tables = reading.list_tables().expect("listed");
    tables.filter(|table| table.name().starts_with("new-")).count()
}
