//! Both implementations of `Files` keep the same promises; the memory breaks everything that was not promised.

use std::io::ErrorKind;

use store::files::memory::{self, Fault};
use store::files::{Access, LockError, disk};
use store::{File, Files};

/// What the store relies on, asked of any implementation.
fn keeps_its_word<F: Files>(files: &F) {
    assert_eq!(files.open("a", Access::Read).expect_err("not there").kind(), ErrorKind::NotFound);
    assert!(files.list("dir").expect("an absent directory has no names").is_empty());
    files.create_dir("").expect("creates the root");
    files.create_dir("dir").expect("creates");
    files.create_dir("dir").expect("creates again");
    let file = files.create("dir/b").expect("creates");
    file.write_at(3, b"xyz").expect("writes");
    assert_eq!(file.len().expect("has a length"), 6);
    let mut bytes = [9; 6];
    file.read_at(0, &mut bytes).expect("reads");
    assert_eq!(&bytes, b"\0\0\0xyz");
    let over = file.read_at(1, &mut bytes).expect_err("behind the end");
    assert_eq!(over.kind(), ErrorKind::UnexpectedEof);
    file.allocate(4).expect("reserves nothing new");
    file.allocate(8).expect("reserves");
    file.read_at(2, &mut bytes).expect("reads");
    assert_eq!(&bytes, b"\0xyz\0\0");
    file.truncate(5).expect("cuts");
    file.allocate(6).expect("reserves");
    file.read_at(0, &mut bytes).expect("reads");
    assert_eq!(&bytes, b"\0\0\0xy\0", "what was cut off is gone");
    file.sync_data().expect("syncs");
    files.rename("dir/b", "dir/a").expect("renames");
    files.create("dir/c").expect("creates");
    assert_eq!(files.list("dir").expect("lists"), ["a", "c"]);
    let reading = files.open("dir/a", Access::Read).expect("opens");
    reading.write_at(0, b"no").expect_err("was opened for reading");
    files.remove("dir/a").expect("removes");
    reading.read_at(0, &mut bytes).expect("an open file outlives its name");
    files.sync_dir("dir").expect("syncs");
    assert_eq!(files.list("dir").expect("lists"), ["c"]);
    assert!(files.create("dir/c").expect("empties").is_empty().expect("has a length"));

    let lock = files.lock("lock").expect("locks");
    assert!(matches!(files.lock("lock"), Err(LockError::Busy { .. })));
    drop(lock);
    files.lock("lock").expect("locks again");
}

#[test]
fn the_memory_keeps_its_word() {
    keeps_its_word(&memory::Files::new(1));
}

#[test]
fn the_disk_keeps_its_word() {
    let dir = tempfile::tempdir().expect("a directory");
    keeps_its_word(&disk::Files::new(dir.path().join("root")));
}

#[test]
fn the_disk_says_which_process_holds_a_lock() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = disk::Files::new(dir.path());
    let _held = files.lock("lock").expect("locks");
    let Err(LockError::Busy { pid }) = files.lock("lock") else { panic!("locked twice") };
    assert_eq!(pid, Some(std::process::id()));
}

fn content(files: &memory::Files, path: &str) -> Option<Vec<u8>> {
    let file = files.open(path, Access::Read).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().expect("has a length")).expect("small")];
    file.read_at(0, &mut bytes).expect("reads");
    Some(bytes)
}

#[test]
fn a_crash_keeps_what_was_synced_and_tears_the_rest() {
    let files = memory::Files::new(1);
    files.create_dir("d").expect("creates");
    files.sync_dir("").expect("syncs");
    let file = files.create("d/synced").expect("creates");
    files.sync_dir("d").expect("syncs");
    let old = vec![1; 1_000];
    file.write_at(0, &old).expect("writes");
    file.sync_data().expect("syncs");
    file.write_at(0, &[2; 1_000]).expect("writes");
    files.create("d/unsynced").expect("creates");
    let (mut whole, mut lost, mut torn, mut named) = (0, 0, 0, 0);
    for _ in 0..100 {
        let after = files.crash();
        let bytes = content(&after, "d/synced").expect("its name was synced");
        assert_eq!(bytes.len(), 1_000);
        assert!(bytes.iter().all(|byte| [1, 2].contains(byte)));
        match (bytes.contains(&1), bytes.contains(&2)) {
            (true, true) => torn += 1,
            (true, false) => lost += 1,
            (false, _) => whole += 1,
        }
        named += usize::from(content(&after, "d/unsynced").is_some());
        // What survived one crash survives the next.
        assert_eq!(content(&after.crash(), "d/synced"), Some(bytes));
    }
    assert!(whole > 10 && lost > 10 && torn > 10, "{whole} whole, {lost} lost, {torn} torn");
    assert!((20..80).contains(&named), "{named} names survived");
}

#[test]
fn the_same_seed_crashes_the_same_way() {
    let crashed = |seed| {
        let files = memory::Files::new(seed);
        let file = files.create("a").expect("creates");
        files.sync_dir("").expect("syncs");
        (0..50u8).for_each(|at| file.write_at(u64::from(at) * 90, &[at + 1; 100]).expect("writes"));
        content(&files.crash(), "a")
    };
    assert_eq!(crashed(5), crashed(5));
    assert_ne!(crashed(5), crashed(6));
}

#[test]
fn faults_come_when_they_are_told_to() {
    let files = memory::Files::new(1);
    let file = files.create("a").expect("creates");
    let next = files.ops();
    files.set_fault(Some(Fault { at: next + 1, lasting: false }));
    file.write_at(0, b"x").expect("writes");
    file.sync_data().expect_err("fails once");
    file.sync_data().expect("syncs");
    files.set_fault(Some(Fault { at: files.ops(), lasting: true }));
    file.write_at(0, b"x").expect_err("fails");
    file.sync_data().expect_err("goes on failing");
    files.set_fault(None);
    file.sync_data().expect("syncs");
}

#[test]
fn a_failed_sync_loses_what_a_later_one_does_not_bring_back() {
    let lost = (0..50).filter(|seed| {
        let files = memory::Files::new(*seed);
        let file = files.create("a").expect("creates");
        files.sync_dir("").expect("syncs");
        file.write_at(0, b"x").expect("writes");
        files.set_fault(Some(Fault { at: files.ops(), lasting: false }));
        file.sync_data().expect_err("fails");
        file.sync_data().expect("says that it synced");
        content(&files.crash(), "a") != Some(b"x".to_vec())
    });
    assert!(lost.count() > 10);
}
