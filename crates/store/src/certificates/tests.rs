//! Certificates that are kept, damaged, and read again.

use super::*;
use crate::files::memory;

fn certified(position: u64) -> Certified {
    let certificate = Bytes::from(format!("the certificate of {position}"));
    Certified { position: Position(position), id: Hash([position as u8; 32]), certificate }
}

fn recover(files: &memory::Files, scan: config::Scan) -> (Certificates<memory::Files>, Vec<Cut>) {
    files.create_dir(Kind::Certificates.dir()).expect("creates");
    let mut cuts = Vec::new();
    let found = Certificates::recover(files, scan, u64::MAX, |_, _| Ok(true), &mut cuts);
    (found.expect("recovers"), cuts)
}

/// Blocks of three segments.
fn positions() -> impl Iterator<Item = u64> {
    (0..150_000).step_by(700)
}

fn stored() -> memory::Files {
    let files = memory::Files::new(1);
    let (mut certificates, _) = recover(&files, config::Scan::Tail);
    for position in positions() {
        certificates.put(certified(position), None).expect("puts");
        certificates.sync().expect("syncs");
        certificates.show();
    }
    assert_eq!(Kind::Certificates.list(&files).expect("lists"), [0, 1, 2]);
    files
}

#[test]
fn segments_follow_one_another() {
    let files = stored();
    let (certificates, cuts) = recover(&files, config::Scan::Tail);
    assert!(cuts.is_empty() && check(&files).is_ok());
    let shared = certificates.shared();
    for position in positions() {
        assert_eq!(shared.at(&files, Position(position)).expect("reads"), Some(certified(position)));
        assert_eq!(shared.at(&files, Position(position + 1)).expect("reads"), None);
    }
    assert_eq!(shared.newest().map(|newest| newest.position.0), positions().last());
}

#[test]
fn a_damaged_segment_is_told_and_a_repair_keeps_what_comes_before() {
    for (at, kept) in [(5, 0), (60, 0), (2_000, 10)] {
        let files = stored();
        files.edit("certificates/000000.seg", |bytes| bytes[at] ^= 1);
        assert!(matches!(check(&files), Err(Error::Damaged { .. })), "byte {at}");
        let (_, cuts) = recover(&files, config::Scan::Tail);
        assert!(cuts.is_empty() && check(&files).is_err(), "only a repair touches it");
        let (certificates, cuts) = recover(&files, config::Scan::Whole);
        assert_eq!(cuts.len(), 1);
        check(&files).expect("it is repaired");
        let has =
            |position: &u64| certificates.shared().at(&files, Position(*position)).expect("reads").is_some();
        let found = positions().take_while(|position| *position < SPAN).filter(has).count();
        assert!(found >= kept && found < 94, "{found}");
        assert!(has(&positions().last().expect("some")));
    }
}

#[test]
fn a_change_keeps_one_certificate_however_long_it_waits() {
    let files = memory::Files::new(1);
    let (mut certificates, _) = recover(&files, config::Scan::Tail);
    for position in 0..40 {
        // One change waits from 5 to 9 for 10, another from 20 on for 30.
        let waiting = match position {
            5..10 => Some(Height(10)),
            20..30 => Some(Height(30)),
            _ => None,
        };
        certificates.put(certified(position), waiting).expect("puts");
        certificates.sync().expect("syncs");
        certificates.show();
    }
    let shared = certificates.shared();
    let has = |position: &u64| shared.at(&files, Position(*position)).expect("reads").is_some();
    assert_eq!((0..40).filter(has).collect::<Vec<_>>(), [0, 5, 20, 39]);
}
