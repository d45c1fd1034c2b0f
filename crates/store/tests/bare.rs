//! A log that begins above genesis: the first blocks are bare, their headers held and their bodies not.
//!
//! A crash leaves none of them or all; what is not held is said and never made up; what is damaged of them is told.

#[allow(dead_code, reason = "each test program uses its part")]
mod support;

#[path = "support/certified.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod certified;

use certified::Chain;
use chain::{Header, Position};
use store::files::memory::{self, Fault};
use store::immutable::export;
use store::verify::{self, Verified};
use store::{Damage, Error, Held, Reader, Recovered, Scan, Store};
use support::{ONE_THREAD, go_on};

/// Different tears for each place of a crash.
const DRAWS: u64 = 2;
/// How many blocks are bare.
const BARE: usize = 9;
/// How many there are in all.
const ALL: usize = 16;

fn chain() -> Chain {
    Chain::new(ALL, &[3, 11])
}

fn headers(chain: &Chain, from: usize, to: usize) -> Vec<Header> {
    chain.blocks[from..to].iter().map(|block| block.header.clone()).collect()
}

/// Puts the bare blocks in runs of three, each with a certificate of its last, beside a fork and a journal.
fn put_bare(chain: &Chain, store: &mut Store<memory::Files>) -> Result<(), Error> {
    for end in (3..=BARE).step_by(3) {
        store.put_bare(&headers(chain, end - 3, end))?;
        store.certify_bare(&chain.states[end], &chain.certificates[end - 1])?;
        if end == 6 {
            store.put_fork(&chain.blocks[BARE])?;
            store.sync()?;
        }
    }
    Ok(())
}

/// Makes a store whose first blocks are bare and settles the rest, one by one; notes how many were acknowledged.
fn store_all(chain: &Chain, files: &memory::Files, acknowledged: &mut u64) -> Result<(), Error> {
    let (mut store, recovered) = chain.open(files, Scan::Tail)?;
    if recovered.settled == 0 {
        put_bare(chain, &mut store)?;
        assert_eq!((store.settled(), store.reader().settled()), (0, 0), "nothing is settled yet");
        store.settle_bare(&chain.states[BARE])?;
        *acknowledged = BARE as u64;
    }
    for end in store.settled() as usize + 1..=ALL {
        chain.settle(&mut store, end, end % 3 != 1)?;
        store.sync()?;
        *acknowledged = end as u64;
    }
    Ok(())
}

fn stored(chain: &Chain) -> memory::Files {
    let files = memory::Files::new(1);
    store_all(chain, &files, &mut 0).expect("stores");
    files
}

fn verified(chain: &Chain, reader: &Reader<memory::Files>) -> Verified {
    verify::verify(reader, &chain.format, &ONE_THREAD, &mut go_on)
}

/// All that a reader says is true; where the files were damaged it may say that instead.
fn check_reads(chain: &Chain, reader: &Reader<memory::Files>, is_damaged: bool, what: &str) {
    let allowed = |error: Error| assert!(is_damaged, "{what}: {error}");
    let settled = reader.settled() as usize;
    for (at, block) in chain.blocks.iter().enumerate() {
        let position = Position(at as u64);
        let wanted = match at {
            _ if at >= settled => Held::Absent,
            _ if position.0 < reader.bare() => Held::NotHeld,
            _ => Held::Here(block.raw.clone()),
        };
        match reader.block(position) {
            Ok(found) => assert_eq!(found, wanted, "{what}: block {at}"),
            Err(error) => allowed(error),
        }
        match reader.locate(&block.header.point()) {
            Ok(found) => {
                let right = found == (at < settled).then_some(position);
                assert!(right || (is_damaged && found.is_none()), "{what}: {found:?} for {at}");
            }
            Err(error) => allowed(error),
        }
        match reader.headers(&chain.format, position, 1) {
            Ok(found) if at < settled => {
                assert_eq!(found[0].0, block.header, "{what}: header {at}");
                let certificate = found[0].1.as_ref();
                assert!(certificate.is_none_or(|it| *it == chain.certificates[at]), "{what}: header {at}");
            }
            Ok(found) => assert!(found.is_empty(), "{what}: header {at}"),
            Err(error) => allowed(error),
        }
    }
}

/// What a start brought back is a part of this chain: no bare block or all, and no less than was acknowledged.
fn check_recovered(
    chain: &Chain,
    recovered: &Recovered,
    reader: &Reader<memory::Files>,
    acknowledged: u64,
    what: &str,
) {
    let settled = recovered.settled as usize;
    assert!(recovered.settled >= acknowledged, "{what}: {settled} of {acknowledged}");
    assert!(settled == 0 || settled >= BARE, "{what}: {settled}");
    let bare = if settled == 0 { 0 } else { BARE as u64 };
    assert_eq!(reader.bare(), bare, "{what}");
    assert_eq!(recovered.state, chain.states[settled], "{what}");
    assert_eq!(recovered.irreversible, chain.states[settled].tip, "{what}");
}

/// The last of the bare blocks stands with the certificate that it came with.
fn check_certificate(recovered: &Recovered, what: &str) {
    if recovered.settled == BARE as u64 {
        let newest = recovered.certificate.as_ref().map(|newest| newest.position);
        assert_eq!(newest, Some(Position(BARE as u64 - 1)), "{what}");
    }
}

/// Opens, looks, and goes on to the end of the chain.
fn check_restart(chain: &Chain, files: &memory::Files, acknowledged: u64, what: &str) {
    let (store, recovered) = chain.open(files, Scan::Tail).unwrap_or_else(|error| panic!("{what}: {error}"));
    check_recovered(chain, &recovered, &store.reader(), acknowledged, what);
    check_certificate(&recovered, what);
    check_reads(chain, &store.reader(), false, what);
    drop(store);
    store_all(chain, files, &mut 0).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (store, recovered) = chain.open(files, Scan::Tail).expect("opens again");
    assert!(recovered.cut.is_empty(), "{what}: {:?}", recovered.cut);
    check_recovered(chain, &recovered, &store.reader(), ALL as u64, what);
    let verified = verified(chain, &store.reader());
    assert!(verified.problem.is_none(), "{what}: {:?}", verified.problem);
    assert_eq!((verified.blocks, verified.bare), (ALL as u64, BARE as u64), "{what}");
    let finality = verified.finality.expect("a native chain");
    assert_eq!((finality.shown, finality.gap), (Some(chain.states[15].tip), None), "{what}");
}

#[test]
fn a_crash_between_any_two_operations_leaves_all_bare_blocks_or_none() {
    let chain = chain();
    let (mut none, mut all) = (0, 0);
    for at in 0.. {
        let files = memory::Files::new(at);
        files.set_fault(Some(Fault { at, lasting: true }));
        let mut acknowledged = 0;
        let result = store_all(&chain, &files, &mut acknowledged);
        for draw in 0..DRAWS {
            let what = format!("operation {at}, draw {draw}");
            let after = files.crash();
            let (store, recovered) =
                chain.open(&after, Scan::Tail).unwrap_or_else(|error| panic!("{what}: {error}"));
            check_recovered(&chain, &recovered, &store.reader(), acknowledged, &what);
            check_certificate(&recovered, &what);
            if recovered.settled == 0 {
                none += 1
            } else {
                all += 1
            }
            drop(store);
            if draw == at % DRAWS {
                check_restart(&chain, &after, acknowledged, &what);
            }
        }
        if result.is_ok() {
            assert!(none > 50 && all > 50, "crashes on both sides: {none} and {all}");
            return;
        }
    }
}

#[test]
fn one_failed_operation_leaves_all_bare_blocks_or_none() {
    let chain = chain();
    for at in 0.. {
        let files = memory::Files::new(at);
        files.set_fault(Some(Fault { at, lasting: false }));
        let mut acknowledged = 0;
        let result = store_all(&chain, &files, &mut acknowledged);
        files.set_fault(None);
        check_restart(&chain, &files.copy(), acknowledged, &format!("operation {at}, restarted"));
        check_restart(&chain, &files.crash(), acknowledged, &format!("operation {at}, crashed"));
        if result.is_ok() {
            return;
        }
    }
}

#[test]
fn a_crash_of_the_first_start_above_bare_blocks_loses_nothing() {
    let chain = chain();
    // The mark is made, the log has not begun above it: the next start does that, and may be cut short as well.
    let marked = (0..).map(|at| {
        let files = memory::Files::new(at);
        files.set_fault(Some(Fault { at, lasting: true }));
        let result = store_all(&chain, &files, &mut 0);
        (files.crash(), result.is_ok())
    });
    let is_marked = |files: &memory::Files| {
        let mut text = Vec::new();
        files.copy().edit("meta.toml", |bytes| text = bytes.clone());
        String::from_utf8_lossy(&text).contains("bare")
    };
    let early = marked.take_while(|(_, is_over)| !is_over).map(|(files, _)| files).find(is_marked);
    let files = early.expect("the mark is made before the end");
    for at in 0.. {
        let again = files.copy();
        again.set_fault(Some(Fault { at, lasting: true }));
        let opened = chain.open(&again, Scan::Tail).is_ok();
        for draw in 0..DRAWS {
            check_restart(
                &chain,
                &again.crash(),
                BARE as u64,
                &format!("operation {at} of recovery, draw {draw}"),
            );
        }
        if opened {
            assert!(at > 3, "recovery has only {at} operations");
            return;
        }
    }
}

#[test]
fn what_is_not_held_is_said() {
    let chain = chain();
    let (store, _) = chain.open(&stored(&chain), Scan::Tail).expect("opens");
    let reader = store.reader();
    check_reads(&chain, &reader, false, "stored");
    let decoded = |from: usize, to: usize| {
        let (from, to) = (chain.blocks[from].header.point(), chain.blocks[to].header.point());
        reader.decoded_between(&chain.format, &from, &to, 100, u64::MAX).expect("reads")
    };
    assert_eq!(decoded(2, 4), Held::NotHeld);
    assert_eq!(decoded(BARE - 1, BARE + 1), Held::NotHeld, "a part of a range is none");
    assert_eq!(decoded(BARE, BARE + 1), Held::Here(chain.blocks[BARE..=BARE + 1].to_vec()));
    let run = reader.blocks(Position(0), Position(99), 1 << 20).expect("reads");
    assert!(matches!(run, Held::NotHeld));
    let mut out = Vec::new();
    let count = export::blocks(&reader, (Position(0), Position(99)), &mut out, &mut go_on).expect("exports");
    assert_eq!(count, (ALL - BARE) as u64);
    let held: Vec<u8> = chain.blocks[BARE..].iter().flat_map(|block| block.raw.to_vec()).collect();
    assert!(out == held, "the bodies that are held, and nothing else");
    let none = (Position(0), Position(3));
    assert_eq!(export::blocks(&reader, none, &mut out, &mut go_on).expect("exports"), 0);
}

#[test]
#[should_panic(expected = "only the first blocks are bare")]
fn bare_blocks_above_others_are_our_own_mistake() {
    let chain = chain();
    let (mut store, _) = chain.open(&memory::Files::new(1), Scan::Tail).expect("opens");
    chain.settle(&mut store, 1, true).expect("settles");
    let _ = store.put_bare(&headers(&chain, 1, 3));
}

#[test]
#[should_panic(expected = "settled before others are")]
fn a_body_above_bare_blocks_that_are_not_settled_is_our_own_mistake() {
    let chain = chain();
    let (mut store, _) = chain.open(&memory::Files::new(1), Scan::Tail).expect("opens");
    put_bare(&chain, &mut store).expect("puts");
    let _ = store.settle(&chain.blocks[..1]);
}

/// The end of what index and headers file say of the bare blocks.
fn bare_ends(chain: &Chain, files: &memory::Files) -> [(&'static str, usize); 2] {
    let (store, _) = chain.open(&files.copy(), Scan::Tail).expect("opens");
    let last = store.reader().entry(Position(BARE as u64 - 1)).expect("reads").expect("is settled");
    [("index", BARE * 80), ("headers", last.header_end as usize)]
}

#[test]
fn no_flipped_bit_of_a_bare_block_is_served_and_verify_names_it() {
    let chain = chain();
    let files = stored(&chain);
    for (path, end) in bare_ends(&chain, &files) {
        for at in (0..end).step_by(if path == "index" { 3 } else { 11 }) {
            let flipped = files.copy();
            flipped.edit(path, |bytes| bytes[at] ^= 1 << (at % 8));
            for scan in [Scan::Tail, Scan::Whole] {
                let what = format!("{path} byte {at}, {scan:?}");
                let error = match chain.open(&flipped, scan) {
                    Ok((store, recovered)) => {
                        assert_eq!(recovered.settled, ALL as u64, "{what}");
                        check_reads(&chain, &store.reader(), true, &what);
                        verified(&chain, &store.reader()).problem
                    }
                    Err(error) => Some(error),
                };
                match error {
                    Some(Error::Bare { path: found, .. }) => assert_eq!(found, format!("memory:{path}")),
                    other => panic!("{what}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn files_that_end_inside_the_bare_blocks_are_told_and_no_repair_cuts_the_log() {
    let chain = chain();
    let files = stored(&chain);
    for (path, end) in bare_ends(&chain, &files) {
        for len in (0..end).rev().step_by(17) {
            let cut = files.copy();
            cut.edit(path, |bytes| bytes.truncate(len));
            for scan in [Scan::Tail, Scan::Whole] {
                match chain.open(&cut, scan) {
                    Err(Error::Bare { path: found, .. }) => assert_eq!(found, format!("memory:{path}")),
                    other => panic!("{path} cut to {len}: {:?}", other.map(|_| ())),
                }
            }
        }
    }
    let (_, recovered) = chain.open(&files, Scan::Whole).expect("a repair of what is whole changes nothing");
    assert_eq!((recovered.settled, recovered.cut.len()), (ALL as u64, 0));
}

#[test]
fn a_log_cut_at_any_byte_keeps_the_bare_blocks_and_those_before() {
    let chain = chain();
    let files = stored(&chain);
    let segments: Vec<String> = files.paths().into_iter().filter(|path| path.starts_with("log/")).collect();
    assert!(segments.len() > 1, "several segments are wanted");
    for path in &segments {
        let mut whole = 0;
        files.copy().edit(path, |bytes| whole = bytes.len());
        for len in (0..whole).step_by(5) {
            let cut = files.copy();
            cut.edit(path, |bytes| bytes.truncate(len));
            let what = format!("{path} cut to {len}");
            match chain.open(&cut, Scan::Tail) {
                Ok((store, recovered)) => {
                    assert!(Some(path) == segments.last(), "{what} was sealed: its end is known");
                    check_recovered(&chain, &recovered, &store.reader(), BARE as u64, &what);
                }
                Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}"),
            }
            let (store, recovered) = chain.open(&cut, Scan::Whole).expect("a repair opens");
            check_recovered(&chain, &recovered, &store.reader(), BARE as u64, &what);
            check_reads(&chain, &store.reader(), false, &what);
        }
    }
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let chain = chain();
    let files = stored(&chain);
    for path in files.paths().iter().filter(|path| path.starts_with("log/")) {
        store::Files::remove(&files, path).expect("removes");
    }
    let error = chain.open(&files, Scan::Tail).expect_err("blocks were settled");
    assert!(matches!(error, Error::Damaged { damage: Damage::Missing, .. }), "{error}");
    let (store, recovered) = chain.open(&files, Scan::Whole).expect("a repair opens");
    check_recovered(&chain, &recovered, &store.reader(), BARE as u64, "without a log");
    assert_eq!(recovered.settled, BARE as u64);
}

#[test]
fn a_mark_that_cannot_be_is_refused() {
    let chain = chain();
    let files = stored(&chain);
    let edits = [
        ("blocks = 9", "blocks = 8"),
        ("blocks = 9", "blocks = 12"),
        ("blocks = 9", "blocks = 0"),
        ("blocks = 9", "blocks = 9223372036854775807"),
        ("version = 2", "version = 1"),
        ("blocks = 9", "bloks = 9"),
        ("tip = \"", "tip = \"00"),
    ];
    for (from, to) in edits {
        let damaged = files.copy();
        damaged.edit("meta.toml", |bytes| {
            let text = String::from_utf8(bytes.clone()).expect("is text");
            assert!(text.contains(from), "{text}");
            *bytes = text.replace(from, to).into_bytes();
        });
        let error = chain.open(&damaged, Scan::Tail).expect_err("is wrong");
        assert!(matches!(error, Error::Bare { .. } | Error::Meta { .. }), "{to}: {error}");
    }
}

#[test]
fn bare_blocks_that_are_forgotten_leave_nothing_whatever_was_written_of_them() {
    let chain = chain();
    // How many whole blocks are settled after it: few, so that more of the bare ones is left in the files, or all.
    for settled in [0, 2, ALL] {
        let files = memory::Files::new(1);
        let (mut store, _) = chain.open(&files, Scan::Tail).expect("opens");
        put_bare(&chain, &mut store).and_then(|()| store.forget_bare()).expect("forgets");
        assert_eq!((store.settled(), store.reader().newest_certificate()), (0, None));
        for end in 1..=settled {
            chain.settle(&mut store, end, end % 3 != 1).and_then(|()| store.sync()).expect("settles");
        }
        let read = store.reader();
        assert_eq!((read.settled(), read.bare()), (settled as u64, 0));
        assert_eq!(read.block(Position(0)).expect("reads").here().is_some(), settled > 0);
        drop(store);
        for files in [files.copy(), files.crash()] {
            let (store, recovered) = chain.open(&files, Scan::Tail).expect("opens again");
            assert_eq!((recovered.settled, store.reader().bare()), (settled as u64, 0));
            assert_eq!(recovered.state, chain.states[settled]);
            let verified = verified(&chain, &store.reader());
            assert!(verified.problem.is_none(), "{settled}: {:?}", verified.problem);
            assert_eq!((verified.blocks, verified.bare), (settled as u64, 0));
        }
        // The next newcomer begins in it as in an empty one.
        if settled == 0 {
            check_restart(&chain, &files, 0, "after it was forgotten");
        }
    }
}

#[test]
fn a_journal_beside_bare_blocks_changes_nothing_about_them() {
    let chain = chain();
    let files = stored(&chain);
    let (mut store, _) = chain.open(&files, Scan::Tail).expect("opens");
    store.begin_journal(b"a height").and_then(|()| store.sync()).expect("begins");
    drop(store);
    check_restart(&chain, &files, ALL as u64, "with a journal");
}

#[test]
fn the_checks_fire_on_a_disk_that_lies_about_syncs() {
    let chain = chain();
    let files = memory::Files::new(1);
    drop(chain.open(&files, Scan::Tail).expect("opens"));
    files.set_lying(true);
    let mut acknowledged = 0;
    store_all(&chain, &files, &mut acknowledged).expect("stores");
    let held = |files: &memory::Files| {
        let check = || match chain.open(files, Scan::Tail) {
            Ok((store, recovered)) => {
                check_recovered(&chain, &recovered, &store.reader(), acknowledged, "lied to");
            }
            Err(error) => panic!("{error}"),
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
    };
    assert!(held(&files.copy()), "without a crash nothing is lost");
    let fired = (0..20).filter(|_| !held(&files.crash())).count();
    assert!(fired > 15, "the checks fired in {fired} of 20 crashes");
}
