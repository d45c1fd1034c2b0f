//! Whole nodes, in this process.

use std::path::Path;
use std::time::Duration;

use chain::view::Step;
use chain::{Position, View};

use super::*;
use crate::founding::{self, Plan};

/// Far above what anything here takes; only a fault waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The only validator of a chain of its own, in this directory: with nothing to say, it makes an empty block now and then.
async fn producing(dir: &Path) -> Running {
    let plan = Plan {
        name: "alone".into(),
        magic: 9,
        slot_length: Duration::from_millis(10),
        start: Duration::ZERO,
        faults: chain::native::Faults::Byzantine,
        validators: 1,
        followers: 0,
    };
    let founded = founding::open(dir).expect("sound").map_or_else(|| founding::found(dir, &plan), Ok);
    let founded = founded.expect("a new chain, or the one that is there");
    let place = founded.places[0].clone();
    let mut config = Config::default();
    config.consensus.rest_ms = 20;
    let role = Role::Member { key: place.key, logic: None };
    start(config, founded.network, place.dir, role).await.expect("it starts")
}

/// The view in which the chain has so many blocks, or the first that is seen to have more.
async fn reaches(running: &Running, blocks: u64) -> Arc<View> {
    let mut views = running.views();
    let has_them = views.wait_for(|view| view.len().0 >= blocks);
    let seen = tokio::time::timeout(PATIENCE, has_them).await.expect("it makes blocks");
    seen.expect("it runs").clone()
}

/// The position of the block that a reader is told of next.
fn next(view: &View, cursor: &Cursor) -> Position {
    match view.next(cursor) {
        Step::Forward(entry) => entry.position,
        // So many were made meanwhile that the log alone has it.
        Step::Settled(at) => at,
        other => panic!("nothing comes next: {other:?}"),
    }
}

async fn stop(running: Running) {
    running.stop_token().cancel();
    running.stopped().await.expect("it has not failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_late_still_sees_all_that_was_made_since_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = producing(dir.path()).await;
    let view = reaches(&running, 3).await;
    assert_eq!(running.found(), Cursor::ORIGIN, "nothing was there");
    assert_eq!(next(&view, &running.found()), Position(0));
    stop(running).await;

    let running = producing(dir.path()).await;
    let (found, recovered) = (running.found(), running.recovered());
    assert!(found.next.0 >= 3, "what was made is there");
    assert_eq!(found.next.0, recovered.settled + recovered.forks as u64, "it has no forks but its own chain");
    let view = reaches(&running, found.next.0 + 3).await;
    assert_eq!(next(&view, &found), found.next, "only new blocks are shown");
    stop(running).await;
}
