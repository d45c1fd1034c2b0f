//! What is served, while some do not read, some move about, and some ask for everything.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::scene::{Scene, Server, eventually, follow};
use crate::wire::{
    AWAIT_REPLY, BATCH_DONE, BLOCK_FETCH, CHAIN_SYNC, Point, REQUEST_NEXT, Said, Wire, find_intersect,
    item_length, request_range, said,
};

/// A client that is being sent to: a run of blocks from the log and what its socket did not take, 256 KiB each, and as
/// much again while one becomes the other.
const BYTES_PER_STUCK: u64 = 1 << 20;

/// Noise of the allocator that is nobody's fault.
const SLACK_BYTES: u64 = 8 << 20;

/// As many as a reference client pipelines.
const PIPELINED_REQUESTS: usize = 300;
const PIPELINED_RANGES: usize = 100;

fn ask_for_everything(wire: &mut Wire, first: &Point, last: &Point, times: usize) {
    for _ in 0..times {
        wire.send(BLOCK_FETCH, &request_range(first, last)).expect("sent");
    }
}

/// Puts the client's cursor at a block. The node's own line about its newest block may be a moment ahead of its server.
fn stand_at(wire: &mut Wire, block: &Point) {
    eventually("the server knows the block", || {
        wire.send(CHAIN_SYNC, &find_intersect(std::slice::from_ref(block))).expect("sent");
        match said(&wire.message(CHAIN_SYNC).expect("an answer")) {
            Said::Found => true,
            Said::NotFound => false,
            other => panic!("{other:?} to FindIntersect"),
        }
    });
    wire.send(CHAIN_SYNC, &REQUEST_NEXT).expect("sent");
    assert_eq!(said(&wire.message(CHAIN_SYNC).expect("an answer")), Said::Backward);
}

#[test]
fn answers_keep_alive_while_other_protocols_are_stuck() {
    let scene = Scene::new();
    let (first, last) = (&scene.chain.points[0], scene.chain.points.last().expect("a chain"));
    scene.attack(SLACK_BYTES + BYTES_PER_STUCK, || {
        // At the tip, with more requests waiting than can be answered for a long time.
        let mut waiting = scene.greeted();
        stand_at(&mut waiting, last);
        // The node that made the chain may have been stopped before it could tell of its last block.
        let mut next = || {
            waiting.send(CHAIN_SYNC, &REQUEST_NEXT).expect("sent");
            waiting.message(CHAIN_SYNC).expect("an answer")
        };
        while next() != AWAIT_REPLY {}
        for _ in 1..PIPELINED_REQUESTS {
            waiting.send(CHAIN_SYNC, &REQUEST_NEXT).expect("sent");
        }
        for cookie in 4_000..4_020 {
            waiting.keep_alive(cookie).expect("answered beside what waits");
        }
        assert_eq!(waiting.untaken(CHAIN_SYNC), 0, "nothing else can be said at the tip");

        // In the middle of a hundred ranges, of which it has not read a byte yet.
        let mut loading = scene.greeted();
        ask_for_everything(&mut loading, first, last, PIPELINED_RANGES);
        loading.keep_alive(4_100).expect("answered between blocks");
        let mut batches = 0;
        while batches < PIPELINED_RANGES {
            batches += usize::from(loading.message(BLOCK_FETCH).expect("a block") == BATCH_DONE);
            if batches == PIPELINED_RANGES / 2 && loading.untaken(BLOCK_FETCH) == 0 {
                loading.keep_alive(4_101).expect("and again");
            }
        }
        assert_eq!(loading.untaken(BLOCK_FETCH), 0, "all was asked for once");
    });
}

#[test]
fn clients_that_do_not_read_delay_no_announcement() {
    const STUCK: usize = 50;
    const BLOCKS: usize = 40;
    /// Announcements may come later by what the CPU is shared; a stall would be of another size.
    const SLOWER: f64 = 4.0;

    // Beside the attack on a finished chain...
    let scene = Scene::new();
    let (first, last) = (scene.chain.points[0].clone(), scene.chain.points.last().expect("a chain").clone());
    // All of them are sent to until their sockets are full: the honest client has an equal share, or half of one.
    let share = 0.5 / (STUCK + 1) as f64;
    let stuck = scene.attack_keeping(share, SLACK_BYTES + STUCK as u64 * BYTES_PER_STUCK, || {
        let stuck = (0..STUCK).map(|_| {
            let mut wire = scene.greeted();
            ask_for_everything(&mut wire, &first, &last, PIPELINED_RANGES);
            wire
        });
        stuck.collect::<Vec<_>>()
    });
    drop(stuck);

    // ... and on one that grows.
    let dir = tempfile::tempdir().expect("a directory");
    let devnet = Server::devnet(&dir.path().join("db"), "20ms");
    let early = devnet.made(20);
    let (first, last) = (&early[0], &early[early.len() - 1]);
    let before = devnet.resident_bytes();
    let mut watcher = Wire::greeted(devnet.address, devnet.magic).expect("greeted");
    stand_at(&mut watcher, last);
    let (mut headers, alone) = announcements(&mut watcher, BLOCKS);
    let stuck: Vec<_> = (0..STUCK)
        .map(|_| {
            let mut wire = Wire::greeted(devnet.address, devnet.magic).expect("greeted");
            ask_for_everything(&mut wire, first, last, PIPELINED_RANGES);
            follow_without_reading(&mut wire);
            wire
        })
        .collect();
    let (more, beside) = announcements(&mut watcher, BLOCKS);
    headers.extend(more);
    println!(
        "{BLOCKS} announcements in {alone:.2} s alone, in {beside:.2} s beside {STUCK} that do not read"
    );
    assert!(beside < alone * SLOWER, "{beside:.2} s instead of {alone:.2} s");
    let grown = devnet.resident_bytes().saturating_sub(before);
    assert!(grown <= SLACK_BYTES + STUCK as u64 * BYTES_PER_STUCK, "the server grew by {grown} bytes");
    drop(stuck);
    assert_follow_each_other(&headers, early.len() - 1, &devnet.made(early.len() + headers.len()));
}

fn follow_without_reading(wire: &mut Wire) {
    wire.send(CHAIN_SYNC, &find_intersect(&[Point::Origin])).expect("sent");
    for _ in 0..PIPELINED_REQUESTS {
        wire.send(CHAIN_SYNC, &REQUEST_NEXT).expect("sent");
    }
}

/// The next headers that are announced to one who asks for each, and how long that took.
fn announcements(watcher: &mut Wire, count: usize) -> (Vec<Vec<u8>>, f64) {
    let start = Instant::now();
    let headers = (0..count).map(|_| next_header(watcher)).collect();
    (headers, start.elapsed().as_secs_f64())
}

fn next_header(wire: &mut Wire) -> Vec<u8> {
    wire.send(CHAIN_SYNC, &REQUEST_NEXT).expect("sent");
    loop {
        match said(&wire.message(CHAIN_SYNC).expect("an answer")) {
            Said::Forward { header } => return header,
            Said::Await => {}
            other => panic!("{other:?} on a chain that only grows"),
        }
    }
}

/// The first header follows the block that stands at `after`, and each the one before it: none is missing, none is
/// told twice. A header names its parent, so it holds the parent's hash.
fn assert_follow_each_other(headers: &[Vec<u8>], after: usize, chain: &[Point]) {
    for (header, parent) in headers.iter().zip(&chain[after..]) {
        let Point::Block { slot, hash } = parent else { panic!("origin is no parent here") };
        let named = header.windows(hash.len()).any(|window| window == hash);
        assert!(named, "the header does not follow the block of slot {slot}: {}", hex::encode(header));
    }
}

#[test]
fn announces_each_block_once_to_clients_that_move_about() {
    const CLIENTS: usize = 8;
    const BLOCKS: usize = 300;
    let _alone = Scene::new();
    let dir = tempfile::tempdir().expect("a directory");
    let devnet = Server::devnet(&dir.path().join("db"), "5ms");
    devnet.made(10);
    let over = AtomicBool::new(false);
    let walks = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (devnet, over, walks) = (&devnet, &over, &walks);
            scope.spawn(move || {
                let mut wire = Wire::greeted(devnet.address, devnet.magic).expect("greeted");
                let mut turn = client;
                while !over.load(Ordering::Acquire) {
                    // Now at the newest block that is known, now some way behind; for one header, or for many.
                    turn += 1;
                    let known = devnet.made(1);
                    let after = known.len() - 1 - (turn * 7 % 30).min(known.len() - 1);
                    stand_at(&mut wire, &known[after]);
                    let headers: Vec<_> = (0..1 + turn % 5).map(|_| next_header(&mut wire)).collect();
                    walks.lock().expect("nobody panics holding it").push((after, headers));
                }
            });
        }
        devnet.made(BLOCKS);
        over.store(true, Ordering::Release);
    });
    let walks = walks.into_inner().expect("nobody panicked");
    let farthest = walks.iter().map(|(after, headers)| after + headers.len()).max().expect("somebody walked");
    let chain = devnet.made(farthest + 1);
    for (after, headers) in &walks {
        assert_follow_each_other(headers, *after, &chain);
    }
    println!("{} walks of {CLIENTS} clients over {} blocks", walks.len(), chain.len());
    assert!(walks.len() > CLIENTS * 5, "too few to have met an announcement");
}

#[test]
fn serves_all_clients_the_same_bytes() {
    let scene = Scene::new();
    let (first, last) = (&scene.chain.points[0], scene.chain.points.last().expect("a chain"));
    scene.attack(SLACK_BYTES, || {
        let mut one = scene.greeted();
        let mut other = scene.greeted();
        let headers = follow(&mut one, scene.chain.points.len());
        assert_eq!(headers, follow(&mut other, scene.chain.points.len()), "not the same to all");
        let blocks = load(&mut one, first, last);
        assert_eq!(blocks.len(), headers.len());
        for (header, block) in headers.iter().zip(&blocks) {
            // `[era, tag24(bytes)]`: those bytes stand in the block as they are.
            let inner = embedded(header);
            assert!(block.windows(inner.len()).any(|window| window == inner), "encoded anew");
        }
    });
}

#[test]
fn loads_each_block_once() {
    /// Requests, index entries, and what else a process reads; a second load of each block would double the sum.
    const MORE: f64 = 1.5;
    const OTHER_BYTES: f64 = 64.0 * 1024.0;
    let scene = Scene::new();
    let (first, last) = (&scene.chain.points[0], scene.chain.points.last().expect("a chain"));
    let mut wire = scene.greeted();
    load(&mut wire, first, last);
    let before = scene.server.bytes_read();
    let served: usize = load(&mut wire, first, last).iter().map(Vec::len).sum();
    let read = (scene.server.bytes_read() - before) as f64;
    println!("{served} B of blocks were served with {read} B read");
    assert!(read <= served as f64 * MORE + OTHER_BYTES, "{read} bytes read to serve {served}");
    scene.attack(SLACK_BYTES, || load(&mut wire, first, last));
}

/// The blocks of a range, each as its message.
fn load(wire: &mut Wire, first: &Point, last: &Point) -> Vec<Vec<u8>> {
    wire.send(BLOCK_FETCH, &request_range(first, last)).expect("sent");
    assert_eq!(wire.message(BLOCK_FETCH).expect("an answer"), [0x81, 0x02], "the batch starts");
    let mut blocks = Vec::new();
    loop {
        let message = wire.message(BLOCK_FETCH).expect("a block");
        if message == BATCH_DONE {
            return blocks;
        }
        assert!(message.starts_with(&[0x82, 0x04]));
        blocks.push(message);
    }
}

/// Of a header in wire form, the bytes inside its tag 24.
fn embedded(header: &[u8]) -> &[u8] {
    let era = item_length(&header[1..]).expect("an era");
    let string = &header[1 + era + 2..];
    let head = match string[0] & 31 {
        0..=23 => 1,
        24 => 2,
        25 => 3,
        _ => 5,
    };
    &string[head..]
}
