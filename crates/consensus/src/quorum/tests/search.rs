//! A small set-up, searched exhaustively: each message of a height lost, and each two of them.

use std::time::Duration;

use chain::native::Faults;

use super::world::{Setup, World};

const MINUTE: Duration = Duration::from_secs(60);

/// How many messages are sent until all have their first block, when none is lost.
fn messages(setup: &Setup) -> u64 {
    let mut world = World::new(setup.clone());
    world.boot();
    let everyone: Vec<_> = (0..setup.keys.len()).collect();
    assert!(world.reach(&everyone, 1, MINUTE));
    world.messages
}

fn lose(setup: &Setup, lost: [u64; 2]) {
    let mut world = World::new(setup.clone());
    world.lost.extend(lost);
    world.boot();
    let everyone: Vec<_> = (0..setup.keys.len()).collect();
    assert!(world.reach(&everyone, 2, MINUTE), "without messages {lost:?}\n{}", world.story());
}

#[test]
fn any_two_messages_may_be_lost_among_three_who_only_stop() {
    let mut setup = Setup::new(21, 3, Faults::Crash);
    setup.has_sync = false;
    let count = messages(&setup);
    // Without sync, the last words of a height may be lost to one that then has no way to learn of its end.
    setup.has_sync = true;
    for first in 1..=count {
        (first..=count).for_each(|second| lose(&setup, [first, second]));
    }
}

#[test]
fn any_two_messages_may_be_lost_among_four() {
    let setup = Setup::new(22, 4, Faults::Byzantine);
    let count = messages(&setup);
    for first in 1..=count {
        (first..=count).step_by(2).for_each(|second| lose(&setup, [first, second]));
    }
}
