//! Where the victim dials: listeners that are not who they should be, and two that dial each other at once.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::greeting::Dice;
use crate::noise::{Claim, Key, Noise};
use crate::peer::{Peer, hello};
use crate::scene::{Scene, eventually};
use crate::wire::{PATIENCE, Wire};

const SLACK_BYTES: u64 = 6 << 20;

/// A listener of ours, and the victim told to dial it under this key.
struct Trap {
    listener: TcpListener,
    key: Key,
}

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        Self { listener, key: Key::fresh() }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    /// What the victim is told.
    fn text(&self) -> String {
        format!("{}@{}", self.key.hex(), self.address())
    }

    /// The victim's next dial.
    fn dialled(&self) -> Wire {
        let begun = Instant::now();
        self.listener.set_nonblocking(true).expect("a socket");
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    socket.set_nonblocking(false).expect("a socket");
                    return Wire::over(socket).expect("a socket");
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    assert!(begun.elapsed() < PATIENCE, "the victim does not dial");
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn listener_of_another_key() {
    let trap = Trap::new();
    let scene = Scene::started("", &["--peer", &trap.text()], &[]);
    scene.attack(SLACK_BYTES, || {
        for _ in 0..2 {
            let mut wire = trap.dialled();
            // A sound handshake, of somebody else.
            let liar = scene.claim();
            let mut noise = Noise::answer(&liar);
            noise.read(&wire.read_greeting().expect("the first message")).expect("sound");
            wire.greeting(&noise.write()).expect("sent");
            assert!(wire.read_greeting().is_err(), "the victim does not say who it is");
            assert!(wire.is_closed_by_peer());
        }
        scene.ended(&["wrong_key"], 2);
    });
}

#[test]
fn listener_that_is_evil() {
    let trap = Trap::new();
    let config = "[link]\nhandshake_timeout_ms = 700\n[peers]\nfirst_pause_ms = 100\nlongest_pause_ms = 500";
    let scene = Scene::started(config, &["--peer", &trap.text()], &[]);
    let claim = Claim::new(scene.victim.network, trap.key.clone());
    let mut dice = Dice::new(3);
    scene.attack(SLACK_BYTES, || {
        // Says nothing.
        let mut mute = trap.dialled();
        mute.read_greeting().expect("the first message");
        assert!(mute.is_closed_by_peer());
        scene.ended(&["handshake_timeout"], 1);
        // Noise instead of a message.
        let mut noisy = trap.dialled();
        noisy.raw(&dice.bytes(3_000)).expect("sent");
        assert!(noisy.is_closed_by_peer());
        // A refusal without end, or of codes that nobody knows.
        for code in [&[][..], &[255], &[1, 2, 3]] {
            let mut wire = trap.dialled();
            wire.frame(&[&[1], code].concat()).expect("sent");
            assert!(wire.is_closed_by_peer(), "a refusal of {code:?}");
        }
        // An echo of what the victim says.
        let mut mirror = trap.dialled();
        let first = mirror.read_frame().expect("the first message");
        mirror.frame(&first).expect("sent");
        assert!(mirror.is_closed_by_peer());
        // And then it is honest, and is taken in: nothing of all that is held against the key.
        let (mut peer, dialler) = Peer::answered(trap.dialled(), &claim).expect("a sound handshake");
        assert_eq!(dialler, scene.victim.key);
        peer.greet(&hello(claim.network)).expect("agreed");
        peer.echo(1, b"at last").expect("served");
    });
}

#[test]
fn simultaneous_dial() {
    const ROUNDS: usize = 12;
    for round in 0..ROUNDS {
        let trap = Trap::new();
        let scene = Scene::started("", &["--peer", &trap.text()], &[]);
        let claim = Claim::new(scene.victim.network, trap.key.clone());
        // Both are connected before either has said who he is.
        let dialled = trap.dialled();
        let dialling = Wire::connect(scene.victim.address).expect("the victim accepts");
        let answer = || -> std::io::Result<Peer> {
            let (mut peer, _) = Peer::answered(dialled, &claim)?;
            peer.greet(&hello(claim.network))?;
            Ok(peer)
        };
        let dial = || Peer::authenticated(dialling, &claim).and_then(|peer| peer.agree(&claim));
        // In either order, and at once.
        let (theirs, ours) = match round % 3 {
            0 => {
                let theirs = answer();
                (theirs, dial())
            }
            1 => {
                let ours = dial();
                (answer(), ours)
            }
            _ => std::thread::scope(|scope| {
                let (theirs, ours) = (scope.spawn(answer), scope.spawn(dial));
                (theirs.join().expect("no panic"), ours.join().expect("no panic"))
            }),
        };
        let ours_is_kept = trap.key.public() < scene.victim.key;
        let (kept, dropped) = if ours_is_kept { (ours, theirs) } else { (theirs, ours) };
        // The one that goes may have been open for a moment.
        if let Ok(mut dropped) = dropped {
            dropped.until_closed();
        }
        let mut kept = kept.unwrap_or_else(|error| panic!("that of the smaller key is kept: {error}"));
        kept.echo(1, b"kept").expect("that of the smaller key is served");
        assert_eq!(scene.links(&trap.key.hex()).len(), 1, "one key, one link");
        scene.ended(&["duplicate", "replaced", "by_peer"], 1);
    }
}

#[test]
fn dials_without_end() {
    let trap = Trap::new();
    let scene = Scene::started("", &["--peer", &trap.text()], &[]);
    let (over, dials) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Each dial is accepted and closed at once.
        scope.spawn(|| {
            trap.listener.set_nonblocking(true).expect("a socket");
            while !over.load(Ordering::Acquire) {
                match trap.listener.accept() {
                    Ok(_) => drop(dials.fetch_add(1, Ordering::AcqRel)),
                    Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
                }
            }
        });
        scene.attack(SLACK_BYTES, || {
            eventually("the victim dials again", || dials.load(Ordering::Acquire) >= 3, String::new);
            let begun = Instant::now();
            let before = dials.load(Ordering::Acquire);
            while begun.elapsed() < Duration::from_secs(3) {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            let more = dials.load(Ordering::Acquire) - before;
            assert!(more <= 3, "{more} dials in 3 s, after three that failed");
        });
        over.store(true, Ordering::Release);
    });
}
