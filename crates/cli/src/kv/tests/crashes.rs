//! The application on a disk that loses what was not synced, in any order, and tears writes.

use std::io;
use std::sync::MutexGuard;

use redb::StorageBackend;

use super::*;

/// A disk in memory, shared with whoever crashes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
pub(super) struct Inside {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What a crash leaves at least.
    pub(super) synced: Vec<u8>,
    /// What was done since, in its order.
    since: Vec<Op>,
    /// How many more operations succeed.
    left: Option<u64>,
}

#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Op {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let (at, end) = (*at as usize, *at as usize + bytes.len());
                // A write that outlived the change of length before it.
                to.resize(to.len().max(end), 0);
                to[at..end].copy_from_slice(bytes);
            }
            Self::Length(length) => to.resize(*length as usize, 0),
        }
    }
}

impl Disk {
    pub(super) fn of(image: Vec<u8>, left: Option<u64>) -> Self {
        let inside = Inside { seen: image.clone(), synced: image, since: Vec::new(), left };
        Self(Arc::new(Mutex::new(inside)))
    }

    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more operation.
    fn spend(&self) -> io::Result<MutexGuard<'_, Inside>> {
        let mut inside = self.inside();
        match &mut inside.left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(inside)
    }

    /// What is on the disk after a crash, where chance says of each operation since the last sync if it got there,
    /// and of each write how much of it.
    pub(super) fn crashed(&self, chance: &mut Chance) -> Vec<u8> {
        let inside = self.inside();
        let mut image = inside.synced.clone();
        for op in &inside.since {
            match (op, chance.below(4)) {
                (_, 0) => {}
                (Op::Write(at, bytes), 1) => {
                    let kept = chance.below(bytes.len() as u64) as usize;
                    Op::Write(*at, bytes[..kept].to_vec()).apply(&mut image);
                }
                (op, _) => op.apply(&mut image),
            }
        }
        image
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inside().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inside = self.inside();
        let found = inside.seen.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inside = self.spend()?;
        let op = Op::Length(len);
        op.apply(&mut inside.seen);
        inside.since.push(op);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inside = self.spend()?;
        inside.synced = inside.seen.clone();
        inside.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inside = self.spend()?;
        let op = Op::Write(offset, data.to_vec());
        op.apply(&mut inside.seen);
        inside.since.push(op);
        Ok(())
    }
}

/// A small generator of numbers (xorshift): a failure prints its seed.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// The application on a disk; `None` where that failed.
pub(super) fn on(disk: &Disk, chain: &Chain) -> Option<Kv> {
    let path = Path::new("in memory");
    let database = redb::Database::builder().create_with_backend(disk.clone()).ok()?;
    database::set_up(&database, path, &chain.params).ok()?;
    Kv::over(database, path, Arc::clone(&chain.params)).ok()
}

#[test]
fn a_block_is_there_or_not_after_a_crash_and_is_there_once_it_was_said() {
    let mut chain = Chain::new();
    let disk = Disk::of(Vec::new(), None);
    let kv = on(&disk, &chain).expect("opened");
    let first: Vec<_> = (0..40).map(|at| put(&at.to_string(), "first")).collect();
    kv.deliver(&chain.block(&first)).expect("delivered");
    let before = kv.applied().expect("said");
    // Not dropped: a process that is killed closes nothing.
    let image = disk.inside().synced.clone();
    let second: Vec<_> = (0..30).map(|at| put(&(at * 2).to_string(), "second")).collect();
    let block = chain.block(&[second, vec![delete("1")]].concat());
    let after = kv.deliver(&block).expect("delivered");

    let (mut lost, mut kept, mut operations) = (0, 0, 0);
    loop {
        let disk = Disk::of(image.clone(), Some(operations));
        let said = on(&disk, &chain).map(|kv| kv.deliver(&block).is_ok());
        for seed in 1..=20u64 {
            let mut chance = Chance((operations << 8 | seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let disk = Disk::of(disk.crashed(&mut chance), None);
            let kv =
                on(&disk, &chain).unwrap_or_else(|| panic!("it opens: {operations} operations, seed {seed}"));
            let stands = kv.applied().expect("said");
            let context = format!("{operations} operations, seed {seed}");
            assert!(stands == before || stands == after, "{context}");
            kv.check().unwrap_or_else(|error| panic!("{context}: {error}"));
            if stands == after {
                kept += 1;
            } else {
                assert_ne!(said, Some(true), "{context}: it was said to be taken in");
                lost += 1;
                assert_eq!(kv.deliver(&block).expect("delivered"), after, "{context}");
            }
            assert_eq!(value(&kv, "0").as_deref(), Some("second"));
            assert_eq!(value(&kv, "1"), None);
            assert_eq!(value(&kv, "3").as_deref(), Some("first"));
        }
        operations += 1;
        if said == Some(true) {
            break;
        }
    }
    assert!(lost > 20 && kept > 20, "crashes on both sides: {lost} and {kept}");
}

/// What a killed process leaves is what it wrote, synced or not.
#[test]
fn a_copy_of_the_file_at_any_time_is_a_state() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, copy) = (dir.path().join(NAME), dir.path().join("copy.redb"));
    let mut chain = Chain::new();
    let kv = chain.open(&path);
    for round in 0..20 {
        let applied = kv.deliver(&chain.block(&[put(&round.to_string(), "x")])).expect("delivered");
        std::fs::copy(&path, &copy).expect("copied");
        let killed = chain.open(&copy);
        assert_eq!(killed.applied().expect("said"), applied);
        assert_eq!(killed.check().expect("sound"), round + 1);
    }
}
