//! Header sync between two nodes, searched exhaustively: every order in which messages arrive, blocks are made and
//! decided, logs answer, and the connection breaks, over the production machines (spec/block-sync.md).
//!
//! The worlds are small enough for every build; `ANABRANCH_SEARCH=1` searches larger ones too.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a test prints, and may be told to do more"
)]

mod universe;
mod world;

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use universe::{Node, Universe};
use world::{Broken, Event, Fault, Setup, World};

/// What a search came to.
struct Searched {
    states: usize,
    steps: usize,
    connected: usize,
}

/// What broke, and how it came to that.
struct Found {
    broken: Broken,
    trace: Vec<Event>,
}

/// Breadth first, so that what is found is as short as it gets.
fn search(setup: &Setup, most: usize) -> Result<Searched, Found> {
    let first = World::new(setup);
    let mut seen = BTreeSet::from([digest(&first)]);
    let mut from: Vec<(usize, Option<Event>)> = vec![(0, None)];
    let mut next = VecDeque::from([(0, first)]);
    let (mut steps, mut connected) = (0, 0);
    while let Some((index, world)) = next.pop_front() {
        connected += usize::from(world.is_connected());
        for event in world.events(setup) {
            steps += 1;
            let mut then = world.clone();
            if let Err(broken) = then.step(setup, event) {
                return Err(Found { broken, trace: trace(&from, index, event) });
            }
            if seen.insert(digest(&then)) {
                from.push((index, Some(event)));
                next.push_back((from.len() - 1, then));
            }
        }
        assert!(seen.len() <= most, "more than {most} states: the world is larger than it was meant to be");
    }
    Ok(Searched { states: seen.len(), steps, connected })
}

fn trace(from: &[(usize, Option<Event>)], mut at: usize, last: Event) -> Vec<Event> {
    let mut events = vec![last];
    while let (before, Some(event)) = from[at] {
        events.push(event);
        at = before;
    }
    events.reverse();
    events
}

/// 128 bits: two worlds of some millions are not mistaken for one.
fn digest(world: &World) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

fn exhaust(name: &str, setup: &Setup) {
    match search(setup, 20_000_000) {
        Ok(Searched { states, steps, connected }) => {
            println!("{name}: {states} states ({connected} connected), {steps} steps, no violation");
            assert!(connected > 0);
        }
        Err(Found { broken, trace }) => panic!("{name}: {}: {}\n{trace:?}", broken.rule, broken.why),
    }
}

fn breaks(fault: Fault) -> &'static str {
    let setup = Setup { fault, ..two_forks(1, 1) };
    let Err(Found { broken, trace }) = search(&setup, 20_000_000) else {
        panic!("{fault:?} was not seen");
    };
    println!("{fault:?} breaks {} after {} steps: {}", broken.rule, trace.len(), broken.why);
    broken.rule
}

fn base(universe: Universe) -> Setup {
    let nodes = Default::default();
    Setup { universe, fault: Fault::None, queue: 1, connects: 1, bodies: false, modes: 0, nodes }
}

/// Bodies travel apart from headers.
///
/// ```text
/// origin ── 0 ── 1        final: 0
///        └─ 2             (perhaps)
/// ```
fn two_channels(fork: bool, connects: u8, modes: u8) -> Setup {
    let parents: &[Option<usize>] = if fork { &[None, Some(0), None] } else { &[None, Some(0)] };
    let universe = Universe::new(parents, &[0]);
    Setup { connects, modes, bodies: true, ..base(universe) }
}

/// Two forks right above origin; one of them becomes irreversible.
///
/// ```text
/// origin ── 0 ── 2        final: 0, 2
///        └─ 1 ── 3
/// ```
fn two_forks(connects: u8, queue: usize) -> Setup {
    let universe = Universe::new(&[None, None, Some(0), Some(1)], &[0, 2]);
    Setup { queue, connects, ..base(universe) }
}

/// The same with a block less, so that it may break twice as often.
fn one_fork(connects: u8) -> Setup {
    let universe = Universe::new(&[None, None, Some(0)], &[0]);
    Setup { queue: 2, connects, ..base(universe) }
}

/// One node is far behind the other's log, and on a fork that is cut off.
///
/// ```text
/// origin ── 0 ── 1 ── 2 ── 4     final: 0, 1, 2
///                └─ 3 ── 5
/// ```
fn behind(connects: u8) -> Setup {
    let universe = Universe::new(&[None, Some(0), Some(1), Some(1), Some(2), Some(3)], &[0, 1, 2]);
    let ahead = Node { known: 1 << 4, lib: Some(2) };
    let behind = Node { known: 1 << 1 | 1 << 3, lib: Some(0) };
    Setup { connects, nodes: [ahead, behind], ..base(universe) }
}

#[test]
fn forks_and_finality_are_searched() {
    exhaust("one fork, two connections", &one_fork(2));
    exhaust("two forks, one connection", &two_forks(1, 1));
}

#[test]
fn catching_up_is_searched() {
    exhaust("one node behind the other's log", &behind(2));
}

#[test]
fn bodies_on_a_channel_of_their_own_are_searched() {
    exhaust("two channels, two connections", &two_channels(false, 2, 0));
    exhaust("two channels, set by hand", &two_channels(false, 1, 1));
}

#[test]
fn larger_worlds_are_searched_when_asked() {
    if std::env::var_os("ANABRANCH_SEARCH").is_none() {
        return println!(
            "SKIPPED: set ANABRANCH_SEARCH=1 to search larger worlds (some minutes in a release build)"
        );
    }
    exhaust("two forks, one connection, longer queues", &two_forks(1, 2));
    exhaust("two forks, two connections", &two_forks(2, 2));
    exhaust("two channels, a fork", &two_channels(true, 1, 0));
    exhaust("two channels, a fork, set by hand", &two_channels(true, 1, 1));
    exhaust("one fork, three connections", &one_fork(3));
    exhaust("one node behind the other's log, four connections", &behind(4));
}

#[test]
fn what_is_left_out_is_missed() {
    assert_eq!(breaks(Fault::NoFin), "P2");
    assert_eq!(breaks(Fault::NoClamp), "P6");
    assert_eq!(breaks(Fault::NoPlib), "P1, P5", "headers go out that the peer's hello has ruled out");
}
