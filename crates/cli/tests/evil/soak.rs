//! Very many links for a while: what they took must come back when they close.
//!
//! `ANABRANCH_SOAK=SOCKETS,SECONDS` says how many and how long in all; without it, few and short. They come and go in
//! waves of the same length: the allocator keeps what the first ones needed, and what later ones add is a leak.

use std::time::{Duration, Instant};

use crate::peer::Peer;
use crate::scene::{ROOM, Scene, eventually};

/// Without the variable: enough that a leak of 1 KB per link shows beside the noise.
const SOCKETS: usize = 200;
const SECONDS: u64 = 3;

/// How many times they come and go, and how many of these fill what the allocator and the runtime keep for ever.
const WAVES: u32 = 6;
const FIRST_WAVES: u32 = 2;

/// How many threads speak for the sockets.
const THREADS: usize = 4;

/// What a link may have cost for good: below anything that is allocated per link.
const LEAK_BYTES_PER_LINK: u64 = 512;

/// The allocator's own noise: pages that it keeps.
const SLACK_BYTES: u64 = 2 << 20;

#[test]
fn soak() {
    let (sockets, seconds) = size();
    let scene = Scene::with("", ROOM);
    let base = scene.victim.open_descriptors();
    let tasks = scene.total("tasks");
    let length = Duration::from_secs(seconds) / WAVES;
    let (mut before, mut most) = (0, 0);
    for at in 1..=WAVES {
        most = wave(&scene, sockets, length).max(most);
        gone(&scene, base, tasks);
        if at == FIRST_WAVES {
            before = scene.victim.resident_bytes();
        }
    }
    let after = scene.victim.resident_bytes();
    println!(
        "{sockets} links, {WAVES} times in {seconds} s: {} KB after {FIRST_WAVES}, {} KB at most, {} KB in the end",
        before / 1024,
        most / 1024,
        after / 1024
    );
    let links = sockets as u64 * u64::from(WAVES - FIRST_WAVES);
    let leak = LEAK_BYTES_PER_LINK * links + SLACK_BYTES;
    assert!(after <= before + leak, "{after} bytes after the last wave, {before} after {FIRST_WAVES}");
    scene.open().echo(1, b"after all that").expect("served");
}

fn size() -> (usize, u64) {
    let Ok(text) = std::env::var("ANABRANCH_SOAK") else { return (SOCKETS, SECONDS) };
    let sized = text
        .split_once(',')
        .and_then(|(sockets, seconds)| Some((sockets.trim().parse().ok()?, seconds.trim().parse().ok()?)));
    sized.unwrap_or_else(|| panic!("ANABRANCH_SOAK={text}: give SOCKETS,SECONDS such as 2000,60"))
}

/// Opens so many links and has each of them speak, in turn, for as long; the victim's memory at its highest.
fn wave(scene: &Scene, sockets: usize, time: Duration) -> u64 {
    let each = sockets.div_ceil(THREADS);
    let most = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut peers: Vec<Peer> = (0..each).map(|_| scene.open()).collect();
                    let begun = Instant::now();
                    let (mut round, mut most) = (0_u32, 0);
                    while round == 0 || begun.elapsed() < time {
                        for (at, peer) in peers.iter_mut().enumerate() {
                            let length = (at * 97 + thread * 31 + round as usize * 13) % 3_000;
                            peer.echo(round, &vec![at as u8; length]).expect("served");
                        }
                        most = most.max(scene.victim.resident_bytes());
                        round += 1;
                    }
                    most
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("served to the end")).max()
    });
    most.unwrap_or_default()
}

/// Waits until nothing is left of the links.
fn gone(scene: &Scene, descriptors: usize, tasks: u64) {
    eventually(
        "all descriptors and tasks come back",
        || scene.victim.open_descriptors() <= descriptors && scene.total("tasks") <= tasks,
        || format!("{} descriptors and {} tasks", scene.victim.open_descriptors(), scene.total("tasks")),
    );
}
