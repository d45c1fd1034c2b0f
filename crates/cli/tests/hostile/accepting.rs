//! Before anything is served: accepting and greeting.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::scene::{Scene, eventually};
use crate::wire::{HANDSHAKE, Wire, proposal};

/// What one connection may cost the server before its handshake, generously: its task and its socket.
const BYTES_PER_SILENT: u64 = 16 * 1024;

/// Noise of the allocator that is nobody's fault.
const SLACK_BYTES: u64 = 4 << 20;

/// Far below the 10 s after which a silent client is dismissed: a greeting may not wait for that.
const PROMPT: Duration = Duration::from_secs(5);

/// `{version: data, …}` with the magic filled in, as relays of several generations propose.
fn proposals(magic: u32) -> Vec<Vec<u8>> {
    let m = format!("1a{magic:08x}");
    [
        // Both directions, sharing peers: the usual one.
        format!("8200a2 0e84{m}f401f4 0f84{m}f401f4"),
        // One direction only, not sharing.
        format!("8200a2 0e84{m}f500f4 0f84{m}f500f4"),
        // Older versions before it, newer and unheard-of ones after it, with data of any shape.
        format!("8200a5 0782{m}f4 0d84{m}f401f4 0e84{m}f401f4 1385{m}f401f4f5 1903e7a1616180"),
        // Only the oldest of those in use.
        format!("8200a1 0e84{m}f401f4"),
    ]
    .map(|digits| hex::decode(digits.replace(' ', "")).expect("hexadecimal digits"))
    .into()
}

#[test]
fn greets_a_relay_whatever_else_it_proposes() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for proposal in proposals(scene.server.magic) {
            let mut wire = scene.silent();
            wire.send(HANDSHAKE, &proposal).expect("sent");
            let answer = wire.message(HANDSHAKE).expect("an answer");
            assert!(
                answer.starts_with(&[0x83, 0x01]),
                "{} got {}",
                hex::encode(proposal),
                hex::encode(answer)
            );
            wire.keep_alive(1_000).expect("served after the greeting");
        }
        let mut stranger = scene.silent();
        stranger.send(HANDSHAKE, &proposal(scene.server.magic ^ 1)).expect("sent");
        let answer = stranger.message(HANDSHAKE).expect("an answer");
        assert!(answer.starts_with(&[0x82, 0x02]), "another network is refused, not {}", hex::encode(answer));
        assert!(stranger.is_closed_by_server());
    });
}

#[test]
fn accepts_beside_clients_that_say_nothing() {
    const SILENT: u64 = 200;
    let scene = Scene::new();
    let silent = scene.attack(SILENT * BYTES_PER_SILENT + SLACK_BYTES, || {
        let mut silent: Vec<_> = (0..SILENT).map(|_| scene.silent()).collect();
        // Half of them begin to speak, and stop in the middle of a segment's header, or of the proposal.
        for (at, wire) in silent.iter_mut().enumerate() {
            let proposal = crate::wire::segment(HANDSHAKE, &proposal(scene.server.magic));
            let part = [0, 5, 0, 20][at % 4];
            std::io::Write::write_all(&mut wire.socket, &proposal[..part]).expect("sent");
        }
        let start = Instant::now();
        let mut late = scene.greeted();
        late.keep_alive(1_001).expect("served");
        assert!(start.elapsed() < PROMPT, "greeted after {:?}", start.elapsed());
        silent
    });
    drop(silent);
}

#[test]
fn accepts_again_after_running_out_of_descriptors() {
    const DESCRIPTORS: usize = 96;
    let limit = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
    let scene = Scene::wrapped("", &["sh", "-c", &limit]);
    let crowd = scene.attack(DESCRIPTORS as u64 * BYTES_PER_SILENT + SLACK_BYTES, || {
        let crowd: Vec<_> = (0..DESCRIPTORS * 2).map(|_| scene.silent()).collect();
        // None left, or as good as none: one or two may be kept in reserve.
        eventually("the server runs out of descriptors", || {
            scene.server.open_descriptors() >= DESCRIPTORS - 3
        });
        crowd
    });
    drop(crowd);
    let mut after = scene.greeted();
    scene.follow_whole_chain(&mut after);
}

#[test]
fn limits_hold_before_the_handshake() {
    const LIMIT: usize = 40;
    const CROWD: usize = 500;
    /// The server lets 128 wait until they are looked at, and 64 for a place to become free; the rest is the program's own.
    const QUEUED: usize = 128 + 64 + 32;
    let scene =
        Scene::with(&format!("[downstream]\nmax_clients = {LIMIT}\nmax_clients_per_address = {LIMIT}\n"));
    let base = scene.server.open_descriptors();
    let crowd = scene.attack(LIMIT as u64 * BYTES_PER_SILENT + SLACK_BYTES, || {
        let crowd: Vec<_> = (0..CROWD).map(|_| scene.silent()).collect();
        let mut most = 0;
        let mut dismissed = 0;
        for wire in &crowd {
            most = most.max(scene.server.open_descriptors());
            dismissed += usize::from(is_closed_now(wire));
        }
        // Those that fit, those that wait for a place, and those on their way.
        assert!(most <= base + LIMIT + QUEUED, "{most} descriptors, {base} without clients");
        eventually("those beyond the limit are dismissed", || {
            dismissed.max(crowd.iter().filter(|wire| is_closed_now(wire)).count()) >= CROWD - LIMIT
        });
        crowd
    });
    drop(crowd);
    eventually("there is room again", || Wire::greeted(scene.server.address, scene.server.magic).is_ok());
}

#[test]
fn a_reconnecting_client_is_not_locked_out_by_its_dying_connections() {
    const LIMIT: usize = 4;
    let scene = Scene::with(&format!("[downstream]\nmax_clients = 64\nmax_clients_per_address = {LIMIT}\n"));
    let here = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let greeted = || Wire::greeted_from(here, scene.server.address, scene.server.magic);
    let dying = scene.attack(SLACK_BYTES, || {
        // Its machine lost power: the connections stand, nobody is behind them.
        let mut dying: Vec<_> = (0..LIMIT).map(|_| greeted().expect("within the limit")).collect();
        for round in 0..2 * LIMIT as u16 {
            let start = Instant::now();
            let mut back = greeted().expect("the client comes back");
            back.keep_alive(2_000 + round).expect("served");
            assert!(start.elapsed() < PROMPT, "back after {:?}", start.elapsed());
            // Each time it comes back, the one before is left to die too.
            dying.push(back);
        }
        dying
    });
    let buried = dying.iter().filter(|wire| is_closed_now(wire)).count();
    assert_eq!(buried, dying.len() - LIMIT, "the dead make room, and only as many as must");
}

fn is_closed_now(wire: &Wire) -> bool {
    wire.socket.set_nonblocking(true).expect("a socket");
    let seen = wire.socket.peek(&mut [0]);
    wire.socket.set_nonblocking(false).expect("a socket");
    match seen {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
