//! Certificates: which are kept, what is read, what crashes, cuts and flipped bits leave, and what they show.

#[allow(dead_code, reason = "each test program uses its part")]
mod support;

#[path = "support/certified.rs"]
mod certified;

use bytes::Bytes;
use certified::Chain;
use chain::{Hash, Position};
use proptest::prelude::*;
use store::certificates::KEEP_EVERY;
use store::files::memory::{self, Fault};
use store::verify::{self, Verified};
use store::{Certified, Config, Error, Reader, Recovered, Scan, Store};
use support::{ONE_THREAD, go_on};

/// Different tears for each place of a crash.
const DRAWS: u64 = 4;

/// What was acknowledged.
#[derive(Debug, Default)]
struct Kept {
    settled: u64,
    /// The newest certified block.
    newest: Option<usize>,
}

/// The blocks that a settlement ends with, and whether it comes with a certificate.
fn ends(blocks: usize) -> impl Iterator<Item = (usize, bool)> {
    (1..=blocks).filter(|end| end % 5 != 2).map(|end| (end, end % 7 != 3))
}

fn is_certified(position: usize) -> bool {
    ends(position + 1).last() == Some((position + 1, true))
}

/// Settles all, in runs of one or two blocks, some without a certificate.
fn settle_all(chain: &Chain, store: &mut Store<memory::Files>, kept: &mut Kept) -> Result<(), Error> {
    for (end, certified) in ends(chain.blocks.len()) {
        if end as u64 <= store.settled() {
            continue;
        }
        for block in &chain.blocks[store.settled() as usize..end] {
            store.put_fork(block)?;
        }
        store.sync()?;
        chain.settle(store, end, certified)?;
        store.sync()?;
        kept.settled = store.settled();
        kept.newest = if certified { Some(end - 1) } else { kept.newest };
    }
    Ok(())
}

fn stored(chain: &Chain) -> memory::Files {
    let files = memory::Files::new(1);
    let (mut store, _) = chain.open(&files, Scan::Tail).expect("opens");
    settle_all(chain, &mut store, &mut Kept::default()).expect("settles");
    files
}

/// What is there is true, and no less than what was acknowledged.
fn check(chain: &Chain, reader: &Reader<memory::Files>, recovered: &Recovered, kept: &Kept, what: &str) {
    assert!(recovered.settled >= kept.settled, "{what}");
    let settled = recovered.settled as usize;
    let newest = recovered.certificate.as_ref().map(|newest| newest.position.0 as usize);
    assert!(newest >= kept.newest, "{what}: {newest:?}, acknowledged {:?}", kept.newest);
    if settled > 0 && is_certified(settled - 1) {
        assert_eq!(newest, Some(settled - 1), "{what}: the tip has lost the certificate that it came with");
    }
    check_reads(chain, reader, what);
}

fn check_reads(chain: &Chain, reader: &Reader<memory::Files>, what: &str) {
    if let Some(newest) = reader.newest_certificate() {
        assert!(newest.position.0 < reader.settled(), "{what}");
        assert_eq!(newest, chain.certified(newest.position.0 as usize), "{what}");
    }
    for position in 0..chain.blocks.len() {
        match reader.certificate(Position(position as u64)) {
            Ok(Some(found)) => {
                assert!((position as u64) < reader.settled() && is_certified(position), "{what}");
                assert_eq!(found, chain.certificates[position], "{what}");
            }
            Ok(None) => {}
            Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}"),
        }
    }
}

fn verified(chain: &Chain, reader: &Reader<memory::Files>) -> Verified {
    verify::verify(reader, &chain.format, &ONE_THREAD, &mut go_on)
}

fn check_goes_on(chain: &Chain, files: &memory::Files, what: &str) {
    let (mut store, _) = chain.open(files, Scan::Tail).unwrap_or_else(|error| panic!("{what}: {error}"));
    settle_all(chain, &mut store, &mut Kept::default()).expect("goes on");
    let kept =
        Kept { settled: store.settled(), newest: (0..chain.blocks.len()).rfind(|at| is_certified(*at)) };
    drop(store);
    let (store, recovered) = chain.open(files, Scan::Tail).expect("opens again");
    assert!(recovered.cut.is_empty(), "{what}: {:?}", recovered.cut);
    check(chain, &store.reader(), &recovered, &kept, what);
    let verified = verified(chain, &store.reader());
    assert!(verified.problem.is_none(), "{what}: {:?}", verified.problem);
    let finality = verified.finality.expect("a native chain");
    let shown = finality.shown.map(|tip| tip.height.0 as usize);
    assert_eq!((shown, finality.gap), (kept.newest, None), "{what}");
}

#[test]
fn a_crash_between_any_two_operations_loses_nothing_acknowledged() {
    let chain = Chain::new(14, &[3, 8]);
    for at in 0.. {
        let files = memory::Files::new(at);
        files.set_fault(Some(Fault { at, lasting: true }));
        let mut kept = Kept::default();
        let opened = chain.open(&files, Scan::Tail);
        let result = opened.and_then(|(mut store, _)| settle_all(&chain, &mut store, &mut kept));
        for draw in 0..DRAWS {
            let what = format!("operation {at}, draw {draw}");
            let after = files.crash();
            let (store, recovered) = chain.open(&after, Scan::Tail).expect("opens");
            check(&chain, &store.reader(), &recovered, &kept, &what);
            drop(store);
            if draw == at % DRAWS {
                check_goes_on(&chain, &after, &what);
            }
        }
        if result.is_ok() {
            assert!(at > 100, "the script has only {at} operations");
            return;
        }
    }
}

#[test]
fn one_failed_operation_loses_nothing_acknowledged() {
    let chain = Chain::new(14, &[3, 8]);
    for at in 0.. {
        let files = memory::Files::new(at);
        files.set_fault(Some(Fault { at, lasting: false }));
        let mut kept = Kept::default();
        let opened = chain.open(&files, Scan::Tail);
        let result = opened.and_then(|(mut store, _)| settle_all(&chain, &mut store, &mut kept));
        files.set_fault(None);
        for (after, what) in [(files.copy(), "restarted"), (files.crash(), "crashed")] {
            let what = format!("operation {at}, {what}");
            let (store, recovered) = chain.open(&after, Scan::Tail).expect("opens");
            check(&chain, &store.reader(), &recovered, &kept, &what);
            drop(store);
            check_goes_on(&chain, &after, &what);
        }
        if result.is_ok() {
            return;
        }
    }
}

#[test]
fn the_checks_fire_when_the_newest_is_lost() {
    let chain = Chain::new(14, &[3]);
    let files = memory::Files::new(1);
    let (mut store, _) = chain.open(&files, Scan::Tail).expect("opens");
    let mut kept = Kept::default();
    settle_all(&chain, &mut store, &mut kept).expect("settles");
    drop(store);
    let fired = ["certificates/newest.0", "certificates/newest.1"].iter().filter(|path| {
        let lost = files.copy();
        assert!(lost.edit(path, Vec::clear));
        let (store, recovered) = chain.open(&lost, Scan::Tail).expect("opens");
        let check = || check(&chain, &store.reader(), &recovered, &kept, "lost");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err()
    });
    assert_eq!(fired.count(), 1);
}

#[test]
fn nothing_that_was_cut_or_flipped_is_served() {
    let chain = Chain::new(11, &[3]);
    let files = stored(&chain);
    for path in ["certificates/newest.0", "certificates/newest.1", "certificates/000000.seg"] {
        let mut len = 0;
        files.copy().edit(path, |bytes| len = bytes.len());
        let written = len.min(1_000);
        for at in 0..written {
            let (flipped, cut) = (files.copy(), files.copy());
            flipped.edit(path, |bytes| bytes[at] ^= 1 << (at % 8));
            cut.edit(path, |bytes| bytes.truncate(at));
            for (files, what) in [(flipped, "flipped"), (cut, "cut")] {
                let what = format!("{path} {what} at {at}");
                let (store, recovered) = chain.open(&files, Scan::Tail).expect("opens");
                assert_eq!(recovered.settled, 11, "{what}");
                check_reads(&chain, &store.reader(), &what);
                let newest = recovered.certificate.expect("there is another").position;
                assert!(newest == Position(10) || path.contains("newest"), "{what}: {newest}");
                // Costs time.
                if at % 13 != 0 {
                    continue;
                }
                let finality = verified(&chain, &store.reader()).finality.expect("a native chain");
                // A segment that is cut between two certificates cannot be told from one that holds fewer.
                let is_told = !recovered.cut.is_empty() || what.contains("cut");
                assert!(is_told || finality.gap.is_none(), "{what}: {finality:?}");
            }
        }
    }
}

#[test]
fn one_of_so_many_is_kept_and_one_while_a_change_waits() {
    let changes = [20, 255, 300];
    let chain = Chain::new(600, &changes);
    let files = memory::Files::new(1);
    let (mut store, _) = Store::open(files, &chain.format, &Config::default()).expect("opens");
    for end in 1..=600 {
        chain.settle(&mut store, end, true).and_then(|()| store.sync()).expect("settles");
    }
    let reader = store.reader();
    let has = |at: &u64| reader.certificate(Position(*at)).expect("reads").is_some();
    let found: Vec<u64> = (0..700).filter(has).collect();
    assert_eq!(found, [0, 20, 255, KEEP_EVERY, 300, 2 * KEEP_EVERY, 599]);
    let verified = verified(&chain, &reader);
    assert!(verified.problem.is_none());
    let finality = verified.finality.expect("a native chain");
    assert_eq!((finality.certificates, finality.shown, finality.gap), (7, Some(chain.states[600].tip), None));
}

#[test]
fn validators_that_no_certificate_introduces_show_nothing() {
    let chain = Chain::new(12, &[4]);
    let files = memory::Files::new(1);
    let (mut store, _) = chain.open(&files, Scan::Tail).expect("opens");
    // The change is announced at 4 and in force at 7: no certificate of the old set knows of it.
    for (end, certified) in [(3, true), (7, false), (9, true), (12, true)] {
        chain.settle(&mut store, end, certified).and_then(|()| store.sync()).expect("settles");
    }
    let verified = verified(&chain, &store.reader());
    assert!(verified.problem.is_none());
    let finality = verified.finality.expect("a native chain");
    assert_eq!((finality.certificates, finality.shown), (2, Some(chain.states[3].tip)));
    assert_eq!(finality.gap, Some(chain.states[12].tip), "that of 8 was not kept");
}

#[test]
fn a_certificate_that_shows_nothing_is_named_with_its_place() {
    let chain = Chain::new(6, &[]);
    let wrong = |certificate: &Bytes| {
        let (mut store, _) = chain.open(&memory::Files::new(1), Scan::Tail).expect("opens");
        store.settle(&chain.blocks[..4]).expect("settles");
        store.certify(&chain.states[4], certificate).and_then(|()| store.sync()).expect("settles");
        let verified = verified(&chain, &store.reader());
        match verified.problem {
            Some(Error::Certificate { position, reason }) => {
                assert_eq!((position, verified.finality.expect("native").shown), (Position(3), None));
                reason
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(wrong(&Bytes::from_static(b"no certificate")).contains("certificate"));
    assert!(wrong(&chain.certificates[2]).starts_with("it is of block"));
    let mut bent = chain.certificates[3].to_vec();
    *bent.last_mut().expect("is long") ^= 1;
    assert!(wrong(&bent.into()).contains("signature"));
}

#[test]
fn readers_see_a_certificate_with_its_block_and_not_before() {
    let chain = Chain::new(3, &[]);
    let (mut store, _) = chain.open(&memory::Files::new(1), Scan::Tail).expect("opens");
    let reader = store.reader();
    chain.settle(&mut store, 3, true).expect("settles");
    assert_eq!((reader.newest_certificate(), reader.certificate(Position(2)).expect("reads")), (None, None));
    store.sync().expect("syncs");
    assert_eq!(reader.newest_certificate(), Some(chain.certified(2)));
    let headers = reader.headers(&chain.format, Position(1), 5).expect("reads");
    let wanted = [(1, None), (2, Some(chain.certificates[2].clone()))];
    assert!(headers.into_iter().eq(wanted.map(|(at, of)| (chain.blocks[at].header.clone(), of))));
}

#[test]
fn a_repair_takes_the_certificates_of_cut_blocks_along() {
    let chain = Chain::new(14, &[3, 8]);
    let files = stored(&chain);
    files.edit("log/000001.seg", |bytes| bytes[40] ^= 1);
    let (mut store, recovered) = chain.open(&files, Scan::Whole).expect("opens");
    assert!(recovered.settled > 1 && recovered.settled < 10);
    check_reads(&chain, &store.reader(), "repaired");
    settle_all(&chain, &mut store, &mut Kept::default()).expect("goes on");
    drop(store);
    check_goes_on(&chain, &files, "repaired");
}

proptest! {
    /// What is decoded is what would be encoded.
    #[test]
    fn a_certificate_is_read_as_it_was_written(
        position in any::<u64>(),
        id in any::<[u8; 32]>(),
        certificate in prop::collection::vec(any::<u8>(), 1..300),
    ) {
        let certified = Certified { position: Position(position), id: Hash(id), certificate: certificate.into() };
        let mut record = Vec::new();
        certified.encode(&mut record);
        let store::segment::Record::Whole(payload) = store::segment::decode_record(&record) else {
            panic!("a whole record")
        };
        let payload = Bytes::copy_from_slice(payload);
        prop_assert_eq!(Certified::decode(&payload), Some(certified));
        for end in 0..=40 {
            prop_assert_eq!(Certified::decode(&payload.slice(..end)), None);
        }
    }

    /// Any runs, with or without certificates, restarts, and a crash at any operation.
    #[test]
    fn any_script_survives_a_crash(
        steps in prop::collection::vec((0..5u8, 1..4usize), 1..20),
        at in 0..150u64,
        seed in any::<u64>(),
    ) {
        let chain = Chain::new(20, &[2, 9]);
        let files = memory::Files::new(seed);
        files.set_fault(Some(Fault { at, lasting: true }));
        let mut kept = Kept::default();
        let _ = script(&chain, &files, &steps, &mut kept);
        let after = files.crash();
        let (store, recovered) = chain.open(&after, Scan::Tail).expect("opens");
        prop_assert!(recovered.settled >= kept.settled);
        let newest = recovered.certificate.map(|newest| newest.position.0 as usize);
        prop_assert!(newest >= kept.newest);
        if let Some(newest) = store.reader().newest_certificate() {
            prop_assert_eq!(&newest, &chain.certified(newest.position.0 as usize));
        }
        let verified = verified(&chain, &store.reader());
        prop_assert!(verified.problem.is_none(), "{:?}", verified.problem);
    }
}

/// Performs the steps until one fails.
fn script(chain: &Chain, files: &memory::Files, steps: &[(u8, usize)], kept: &mut Kept) -> Result<(), Error> {
    let (mut store, _) = chain.open(files, Scan::Tail)?;
    let mut given = None;
    for (step, count) in steps {
        match step {
            0 | 1 => {
                let end = (store.settled() as usize + count).min(chain.blocks.len());
                if (store.settled() as usize) < end {
                    chain.settle(&mut store, end, *step == 0)?;
                    given = if *step == 0 { Some(end - 1) } else { given };
                }
            }
            2 | 3 => {
                store.sync()?;
                (kept.settled, kept.newest) = (store.settled(), given.or(kept.newest));
            }
            _ => {
                drop(store);
                let (again, recovered) = chain.open(files, Scan::Tail)?;
                given = recovered.certificate.map(|newest| newest.position.0 as usize);
                store = again;
            }
        }
    }
    Ok(())
}
