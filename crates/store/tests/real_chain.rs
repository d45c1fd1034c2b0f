//! The real blocks through the store: imported, read again, verified, exported byte for byte, on a real disk.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use chain::{Format, Point, Position, cardano};
use store::files::disk;
use store::immutable::{self, Import};
use store::verify::{self, Verify};
use store::{Check, Config, Store};

fn preview() -> Format {
    Format::Cardano(Arc::new(cardano::Params::built_in("preview").expect("preview is built in")))
}

fn go_on<T>(_: T) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn the_real_chain_is_imported_kept_verified_and_exported() {
    let Some(folder) = testdata::preview() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let format = preview();
    let config = Config { log_segment_bytes: 8 << 20, ..Config::default() };
    let source = disk::Files::new(&folder);
    let open = || Store::open(disk::Files::new(dir.path().join("data")), &format, &config).expect("opens");

    // Broken off after some chunks, then gone on with: the store is closed in between.
    let (mut store, recovered) = open();
    let mut chunks = 0;
    let mut some = |_| {
        chunks += 1;
        if chunks < 50 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let options = Import::default();
    let state = recovered.state;
    let report =
        immutable::import(&source, &mut store, state, &format, &options, &mut some).expect("imports");
    assert!(report.interrupted && report.imported > 5_000 && report.stop.is_none(), "{report:?}");
    drop(store);
    let (mut store, recovered) = open();
    assert_eq!(recovered.settled, report.imported);
    assert_eq!(recovered.state, report.state);
    assert!(recovered.cut.is_empty());
    let state = recovered.state;
    let rest = immutable::import(&source, &mut store, state, &format, &options, &mut go_on).expect("imports");
    assert_eq!((rest.stop, rest.warned), (None, 0));
    assert_eq!(report.imported + rest.imported, testdata::PREVIEW_BLOCKS);

    // Nothing left to do.
    let state = rest.state.clone();
    let again =
        immutable::import(&source, &mut store, state, &format, &options, &mut go_on).expect("imports");
    assert_eq!((again.imported, again.stop), (0, None));
    drop(store);

    let (store, recovered) = open();
    assert_eq!((recovered.settled, recovered.irreversible), (testdata::PREVIEW_BLOCKS, rest.tip));
    assert_eq!(recovered.state, rest.state);
    let reader = store.reader();
    for position in (0..testdata::PREVIEW_BLOCKS).step_by(997).map(Position) {
        let point = reader.point_at(position).expect("reads").expect("is settled");
        assert_eq!(reader.locate(&point).expect("reads"), Some(position));
        let Point::Block(slot, _) = point else { unreachable!("a block has a point") };
        assert_eq!(reader.locate(&Point::Block(slot, chain::Hash([7; 32]))).expect("reads"), None);
    }

    let verified = verify::verify(&reader, &format, &Verify::default(), &mut go_on);
    assert!(verified.problem.is_none(), "{:?}", verified.problem);
    assert_eq!((verified.blocks, &verified.state), (testdata::PREVIEW_BLOCKS, &rest.state));

    let exported = dir.path().join("immutable");
    let target = disk::Files::new(&exported);
    let count = immutable::export(&reader, &format, &target, &mut go_on).expect("exports");
    assert_eq!(count, testdata::PREVIEW_BLOCKS);
    compare(&folder, &exported);
    let mut all = Vec::new();
    let range = (Position(0), Position(u64::MAX));
    immutable::export::blocks(&reader, range, &mut all, &mut go_on).expect("exports");
    assert!(all == concatenated(&folder), "the blocks differ from the chunk files");
}

/// Every file the same, but for the end of the last primary: our chain may go on in its chunk.
fn compare(ours: &std::path::Path, theirs: &std::path::Path) {
    let mut files = 0;
    for entry in fs::read_dir(ours).expect("the data's folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        let (wanted, found) = (fs::read(&path).expect("reads"), fs::read(theirs.join(name)).expect("reads"));
        let same = match name == "00199.primary" {
            true => wanted.starts_with(&found) && found.len() > wanted.len() / 2,
            false => wanted == found,
        };
        assert!(same, "{} differs", path.display());
        files += 1;
    }
    assert_eq!(files, 600);
}

fn concatenated(folder: &std::path::Path) -> Vec<u8> {
    (0..200).flat_map(|chunk| fs::read(folder.join(format!("{chunk:05}.chunk"))).expect("reads")).collect()
}

#[test]
fn importing_with_full_checks_counts_them_all() {
    let Some(folder) = testdata::preview() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let format = preview();
    let data = disk::Files::new(dir.path());
    let (mut store, recovered) = Store::open(data, &format, &Config::default()).expect("opens");
    let options = Import { check: Check::Headers, ..Import::default() };
    let source = disk::Files::new(&folder);
    let report = immutable::import(&source, &mut store, recovered.state, &format, &options, &mut go_on)
        .expect("imports");
    let counts = report.counts;
    println!("checks run on import: {counts:?}");
    assert_eq!((report.imported, report.stop), (testdata::PREVIEW_BLOCKS, None));
    assert_eq!((counts.kes, counts.certificates), (testdata::PREVIEW_BLOCKS, testdata::PREVIEW_BLOCKS));
    assert!(counts.vrf >= testdata::PREVIEW_BLOCKS && counts.nonces_unknown == 0);
}
