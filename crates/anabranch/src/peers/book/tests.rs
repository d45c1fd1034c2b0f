//! What was written outlasts a restart, and a damaged file is refused.

use chain::native::Key;
use chain::native::ballot::{self, Kind};
use chain::{Hash, Height};
use consensus::quorum::{Evidence, Message, Vote};
use diffusion::sync::bodies::Mode;

use super::*;

fn id(n: u8) -> PeerId {
    link::Identity::from_seed(&[n; 32]).peer_id()
}

fn address(n: u8, place: &str) -> PeerAddress {
    PeerAddress { key: id(n), address: place.parse().expect(place) }
}

fn sorted(mut known: Vec<Known>) -> Vec<Known> {
    known.sort_by_key(|known| known.key);
    known
}

#[test]
fn what_was_changed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let (book, contents) = Book::open(&path).expect("made");
    assert_eq!(contents, Contents::default());
    book.add(&address(1, "relay.example.org:4001")).expect("added");
    book.add(&address(2, "unix:/run/peer.sock")).expect("added");
    book.pin(&id(2)).expect("pinned");
    book.pin(&id(3)).expect("pinned");
    book.pin(&id(4)).expect("pinned");
    book.unpin(&id(4)).expect("unpinned");
    book.add(&address(5, "10.0.0.1:1")).expect("added");
    book.drop_peer(&id(5)).expect("dropped");
    book.ban(Ban { key: id(1), since_s: 77 }).expect("banned");
    book.ban(Ban { key: id(6), since_s: 78 }).expect("banned");
    book.unban(&id(6)).expect("unbanned");
    drop(book);
    let (book, contents) = Book::open(&path).expect("opened");
    let place = |n: u8, place: &str| Some(address(n, place).address);
    let expected = vec![
        Known { key: id(1), address: place(1, "relay.example.org:4001"), pinned: false },
        Known { key: id(2), address: place(2, "unix:/run/peer.sock"), pinned: true },
        Known { key: id(3), address: None, pinned: true },
    ];
    assert_eq!(contents.known, sorted(expected));
    assert_eq!(contents.bans, vec![Ban { key: id(1), since_s: 77 }]);
    book.add(&address(2, "10.0.0.2:2")).expect("moved");
    book.unpin(&id(3)).expect("unpinned");
    let known = book.contents().expect("read").known;
    assert!(
        known.contains(&Known { key: id(2), address: place(2, "10.0.0.2:2"), pinned: true }),
        "{known:?}"
    );
    assert_eq!(known.len(), 2, "without a place and a pin there is nothing to keep");
}

#[test]
fn takes_no_more_than_it_has_room_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let (book, _) = Book::open(&dir.path().join(NAME)).expect("made");
    book.change(|_, bans| {
        for n in 0..MAX_ENTRIES {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            bans.insert(&key, n)?;
        }
        Ok(())
    })
    .expect("just fits");
    assert!(matches!(book.ban(Ban { key: id(1), since_s: 1 }), Err(Error::Full)));
    assert_eq!(book.contents().expect("read").bans.len() as u64, MAX_ENTRIES, "and nothing is lost");
}

#[test]
fn is_opened_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let (_book, _) = Book::open(&path).expect("made");
    assert!(matches!(Book::open(&path), Err(Error::InUse { .. })));
}

#[test]
fn a_file_of_another_version_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let (book, _) = Book::open(&path).expect("made");
    let writing = book.database.begin_write().expect("begun");
    writing.open_table(ABOUT).expect("there").insert("version", 9).expect("written");
    writing.commit().expect("committed");
    drop(book);
    assert!(matches!(Book::open(&path), Err(Error::Version { found: 9, .. })));
}

/// A file with a peer and a ban, as bytes.
fn written(path: &Path) -> (Vec<u8>, Contents) {
    let (book, _) = Book::open(path).expect("made");
    book.add(&address(1, "relay.example.org:4001")).expect("added");
    book.ban(Ban { key: id(2), since_s: 77 }).expect("banned");
    let contents = book.contents().expect("read");
    drop(book);
    (std::fs::read(path).expect("there"), contents)
}

#[test]
fn a_file_that_is_cut_or_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let (bytes, _) = written(&path);
    let cuts = [1, 9, 320, bytes.len() / 2].map(|length| bytes[..length].to_vec());
    for damaged in cuts.into_iter().chain([vec![0; bytes.len()], b"a letter".to_vec()]) {
        std::fs::write(&path, &damaged).expect("written");
        let error = Book::open(&path).expect_err("damaged");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("restore it from a copy, or remove it"), "{error}");
    }
}

#[test]
fn a_flipped_byte_is_refused_or_harms_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let (bytes, contents) = written(&path);
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let mut refused = 0;
    // Some sixty places spread over all that is in use: each takes a file written and opened, all would take minutes.
    let step = used.len() / 60;
    for at in used.into_iter().step_by(step) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        std::fs::write(&path, &damaged).expect("written");
        match Book::open(&path) {
            Ok((_, found)) => assert_eq!(found, contents, "byte {at}"),
            Err(Error::Damaged { .. }) => refused += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(refused > 0, "some damage is seen");
}

fn lie(height: u64) -> Evidence {
    let (key, chain) = (Key::from_seed(&[3; 32]), Hash([1; 32]));
    let vote = |block| {
        let vote = ballot::Vote { kind: Kind::Prevote, height: Height(height), round: 0, block };
        let signature = key.sign(&vote.signed_bytes(&chain));
        Message::Vote(Vote { vote, validator: key.public(), signature })
    };
    Evidence::from_messages([vote(None), vote(Some(Hash([2; 32])))]).expect("two votes")
}

#[test]
fn what_a_member_keeps_is_there_after_a_restart_and_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let (book, _) = Book::open(&path).expect("made");
    for mode in [Mode::Off, Mode::Active] {
        book.set_mode(&id(1), mode).expect("set");
    }
    book.set_mode(&id(2), Mode::Backup).expect("set");
    book.set_mode(&id(2), Mode::Auto).expect("undone");
    for block in [4, 5] {
        book.blacklist(&Hash([block; 32])).expect("given up");
    }
    book.allow(&Hash([4; 32])).expect("allowed");
    let most = consensus::quorum::MAX_EVIDENCE as u64;
    for height in (0..most + 3).chain([7]) {
        book.keep_evidence(&lie(height)).expect("kept");
    }
    drop(book);
    let (book, contents) = Book::open(&path).expect("opened");
    assert_eq!(contents.kept.modes, [(id(1), Mode::Active)]);
    assert_eq!(contents.kept.blacklist, [Hash([5; 32])]);
    let evidence: Vec<_> = (3..most + 3).map(lie).collect();
    assert_eq!(contents.kept.evidence, evidence, "the oldest made room, and nothing is there twice");
    let many = (0..kept::MAX_ORDERS - 1).map(|n| {
        let mut block = [0; 32];
        block[..8].copy_from_slice(&n.to_be_bytes());
        Hash(block)
    });
    book.blacklist_all(many).expect("just fits");
    assert!(matches!(book.blacklist(&Hash([7; 32])), Err(Error::Full)));
    book.blacklist(&Hash([5; 32])).expect("it is there");
}

#[test]
fn a_file_of_an_earlier_program_gets_the_tables_that_it_lacks() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(NAME);
    let (book, _) = Book::open(&path).expect("made");
    book.pin(&id(3)).expect("pinned");
    let writing = book.database.begin_write().expect("begun");
    assert!(writing.delete_table(kept::MODES).expect("deleted"));
    assert!(writing.delete_table(kept::BLACKLIST).expect("deleted"));
    assert!(writing.delete_table(kept::EVIDENCE).expect("deleted"));
    writing.commit().expect("written");
    drop(book);
    let (book, contents) = Book::open(&path).expect("opened");
    assert_eq!(contents.known.len(), 1);
    book.blacklist(&Hash([1; 32])).expect("given up");
}
