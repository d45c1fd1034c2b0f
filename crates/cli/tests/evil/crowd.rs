//! Many at once, and the same again and again: places, caps, descriptors.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::frames::STRIKES;
use crate::noise::{Claim, Key};
use crate::peer::{ECHO, Peer};
use crate::scene::{ROOM, Scene, eventually};
use crate::wire::{PATIENCE, Wire};

const SLACK_BYTES: u64 = 8 << 20;

/// What an open link may cost, generously.
const BYTES_PER_LINK: u64 = 32 * 1024;

/// A wait that is not the deadline of anything.
const PROMPT: Duration = Duration::from_secs(5);

fn from(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

#[test]
fn places_taken() {
    const LIMIT: usize = 24;
    const PER_ADDRESS: usize = 8;
    let pinned = Key::fresh();
    let limits = format!(
        "max_connections = {}\nmax_inbound = {LIMIT}\nmax_per_address = {PER_ADDRESS}\npinned = [\"{}\"]\nreserved = 2",
        2 * LIMIT,
        pinned.hex()
    );
    let scene = Scene::with("", &limits);
    scene.attack(200 * BYTES_PER_LINK + SLACK_BYTES, || {
        let open = |from: IpAddr| Peer::open_from(from, scene.victim.address, &scene.claim());
        // One address takes its share and no more, with as many keys as it likes.
        let crowd: Vec<Peer> = (0..4 * PER_ADDRESS).filter_map(|_| open(from(2)).ok()).collect();
        assert!((1..=PER_ADDRESS).contains(&crowd.len()), "{} places for one address", crowd.len());
        // Many addresses take all there is.
        let more: Vec<Peer> = (3..60).filter_map(|last| open(from(last)).ok()).collect();
        assert!(crowd.len() + more.len() <= LIMIT, "{} and {} places", crowd.len(), more.len());
        // Whom the operator pinned has a place for all that.
        let claim = Claim::new(scene.victim.network, pinned.clone());
        let mut peer = Peer::open_from(from(99), scene.victim.address, &claim).expect("a reserved place");
        peer.echo(1, b"pinned").expect("served");
        assert!(scene.refused("full_address") > 0, "the status says why");
    });
}

#[test]
fn silent_crowd() {
    const LIMIT: usize = 24;
    let pinned = Key::fresh();
    let limits = format!(
        "max_connections = {LIMIT}\nmax_inbound = {LIMIT}\nmax_per_address = 8\npinned = [\"{}\"]\nreserved = 4",
        pinned.hex()
    );
    let scene = Scene::with("", &limits);
    scene.attack(200 * BYTES_PER_LINK + SLACK_BYTES, || {
        let silent = |last: u8| Wire::connect_from(from(last), scene.victim.address).expect("accepted");
        let mut crowd: Vec<Wire> = (3..103).map(silent).collect();
        let claim = Claim::new(scene.victim.network, pinned.clone());
        let begun = Instant::now();
        // Who says nothing has no claim to a place, and not to a reserved one.
        loop {
            let opened = Peer::open_from(from(150), scene.victim.address, &claim);
            if opened.is_ok_and(|mut peer| peer.ping().is_ok()) {
                break;
            }
            // Places are given up at once, but to whoever comes first, and there are a hundred that try.
            assert!(begun.elapsed() < PATIENCE, "the pinned peer waits for those that say nothing");
            // Each that was dismissed comes again.
            for (at, wire) in crowd.iter_mut().enumerate() {
                if wire.is_closed_now() {
                    *wire = silent(3 + at as u8);
                }
            }
        }
    });
}

#[test]
fn one_key_again_and_again() {
    const TIMES: usize = 200;
    let scene = Scene::with("", ROOM);
    scene.attack(TIMES as u64 * BYTES_PER_LINK + SLACK_BYTES, || {
        let claim = scene.claim();
        let mut held = Vec::new();
        for _ in 0..TIMES {
            // Its old connections are left to die, as those of a machine that lost power.
            let mut peer = Peer::open(scene.victim.address, &claim).expect("the newest one wins");
            peer.ping().expect("it is open");
            assert_eq!(scene.links(&peer.key).len(), 1, "one key, one link");
            held.push(peer);
        }
        held.pop().expect("the last one").echo(1, b"here").expect("the newest one is served");
        eventually(
            "the others are closed",
            || held.iter().all(|peer| peer.wire.is_closed_now()),
            || scene.victim.get("/peers").to_string(),
        );
        scene.ended(&["duplicate"], TIMES as u64 - 1);
    });
}

#[test]
fn locked_out_by_its_own_dying_connection() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let claim = scene.claim();
        let mut dying = Vec::new();
        for round in 0..10 {
            let begun = Instant::now();
            let mut back = Peer::open(scene.victim.address, &claim).expect("it comes back");
            back.echo(round, b"back").expect("served");
            assert!(begun.elapsed() < PROMPT, "back after {:?}", begun.elapsed());
            dying.push(back);
        }
        scene.ended(&["replaced", "duplicate"], 9);
    });
}

#[test]
fn machine_that_died() {
    const PEERS: usize = 20;
    let scene = Scene::with("ping_interval_ms = 500\ndead_after_ms = 1500", ROOM);
    // The honest peer answers pings; these do not, and their sockets stand.
    let mut dead: Vec<Peer> = (0..PEERS).map(|_| scene.open()).collect();
    scene.attack(SLACK_BYTES, || scene.ended(&["silent"], PEERS as u64));
    for peer in &mut dead {
        assert!(peer.wire.is_closed_by_peer());
    }
}

#[test]
fn cooling_off() {
    let scene = Scene::with("", "cool_off_ms = 2000");
    scene.attack(SLACK_BYTES, || {
        let claim = scene.claim();
        let mut peer = Peer::open(scene.victim.address, &claim).expect("open");
        for _ in 0..STRIKES {
            let _ = peer.wire.frame(&[0; 3]);
        }
        assert!(peer.wire.is_closed_by_peer());
        scene.ended(&["strikes"], 1);
        let refused = Peer::open(scene.victim.address, &claim).and_then(|mut peer| peer.ping());
        assert!(refused.is_err(), "it may not come back at once");
        scene.ended(&["cooling_off"], 1);
        eventually(
            "it may come back later",
            || Peer::open(scene.victim.address, &claim).and_then(|mut peer| peer.ping()).is_ok(),
            || scene.victim.get("/peers/departed").to_string(),
        );
    });
}

#[test]
fn banned() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let claim = scene.claim();
        let mut peer = Peer::open(scene.victim.address, &claim).expect("open");
        scene.victim.post("/peers/ban", &format!("{{\"peer\":\"{}\"}}", claim.key.hex()));
        assert!(peer.wire.is_closed_by_peer(), "it is thrown out");
        for _ in 0..20 {
            let again = Peer::open(scene.victim.address, &claim).and_then(|mut peer| peer.ping());
            assert!(again.is_err(), "it does not come back");
        }
        scene.ended(&["banned"], 20);
    });
}

#[test]
fn out_of_descriptors() {
    const DESCRIPTORS: usize = 128;
    let limit = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"");
    let scene = Scene::started(&format!("[peers]\n{ROOM}"), &[], &["sh", "-c", &limit]);
    scene.attack(2 * DESCRIPTORS as u64 * BYTES_PER_LINK + SLACK_BYTES, || {
        let crowd: Vec<Wire> = (0..DESCRIPTORS * 2).map(|_| scene.silent()).collect();
        // None left, or as good as none: one or two may be kept in reserve.
        eventually(
            "the victim runs out of descriptors",
            || scene.victim.open_descriptors() >= DESCRIPTORS - 3,
            || format!("{} descriptors", scene.victim.open_descriptors()),
        );
        // Room again, before the honest peer's newcomers are counted.
        drop(crowd);
        eventually(
            "it accepts again",
            || {
                let opened = Peer::open(scene.victim.address, &scene.claim());
                opened.and_then(|mut peer| peer.ping()).is_ok()
            },
            || format!("{} descriptors", scene.victim.open_descriptors()),
        );
    });
}

#[test]
fn stop_under_attack() {
    let scene = Scene::with("", ROOM);
    let mut crowd: Vec<Peer> = (0..20).map(|_| scene.open()).collect();
    let silent: Vec<Wire> = (0..20).map(|_| scene.silent()).collect();
    let deaf: Vec<Peer> = (0..5).map(|_| scene.open()).map(filled).collect();
    std::thread::scope(|scope| {
        let told: Vec<_> = crowd.iter_mut().map(|peer| scope.spawn(|| talk_to_the_end(peer))).collect();
        let took = scene.stop();
        assert!(took < PROMPT, "it took {took:?} to stop");
        for told in told {
            assert!(told.join().expect("no panic").is_some(), "who listens is told why");
        }
    });
    drop((silent, deaf));
}

/// Asks for as much as it may; reads nothing.
fn filled(mut peer: Peer) -> Peer {
    while peer.credit(ECHO) > 20_000 {
        peer.ask_echo(1, &[0x5a; 8_000]).expect("within its credit");
    }
    peer
}

/// Echoes until the victim ends it; the reason that it gave.
fn talk_to_the_end(peer: &mut Peer) -> Option<u8> {
    while peer.close.is_none() && peer.try_echo(&[0x5a; 8_000]).is_ok() {}
    peer.until_closed()
}
