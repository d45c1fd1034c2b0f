//! Before anybody has proven a key: nothing of it may cost memory, a place, or another peer's connection.

use std::time::{Duration, Instant};

use crate::noise::{Claim, Key, Noise};
use crate::peer::{Peer, hello};
use crate::scene::{LEFT, ROOM, Scene, eventually};
use crate::wire::{MAX_GREETING_BYTES, Wire, framed};

/// What one connection may cost before its handshake, generously: its task, its socket, its Noise state.
const BYTES_PER_SILENT: u64 = 16 * 1024;

/// Noise of the allocator that is nobody's fault.
const SLACK_BYTES: u64 = 6 << 20;

/// A handshake deadline that a test can wait for.
const HURRIED: &str = "handshake_timeout_ms = 1000";

/// What the victim says of who breaks a rule of the handshake.
const GREETED_WRONGLY: &[&str] = &[
    "frame_too_long",
    "frame_too_short",
    "malformed_handshake",
    "not_anabranch",
    "out_of_turn",
    "own_key",
    "refused",
    "unauthentic",
    "unproven_key",
    "weak_key",
    "wrong_version",
];

/// Far below the default deadline of 5 s: a newcomer may not wait for those that say nothing.
const PROMPT: Duration = Duration::from_secs(4);

#[test]
fn slow_handshake() {
    const SLOW: u64 = 200;
    let scene = Scene::with(HURRIED, ROOM);
    scene.attack(SLOW * BYTES_PER_SILENT + SLACK_BYTES, || {
        let first = framed(&[&[0], &Noise::dial(&scene.claim()).write()[..]].concat());
        let mut slow: Vec<Wire> = (0..SLOW).map(|_| scene.silent()).collect();
        let begun = Instant::now();
        // A byte each in turn, so that each deadline that is counted from the last byte never comes.
        for byte in first.iter().cycle().take(first.len() - 1) {
            slow.retain_mut(|wire| wire.raw(&[*byte]).is_ok() && !wire.is_closed_now());
            if slow.is_empty() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        assert!(slow.is_empty(), "{} still there after {:?}", slow.len(), begun.elapsed());
        scene.ended(&["handshake_timeout"], SLOW);
    });
}

#[test]
fn half_open() {
    const SILENT: u64 = 300;
    let scene = Scene::with(HURRIED, ROOM);
    scene.attack(SILENT * BYTES_PER_SILENT + SLACK_BYTES, || {
        let mut silent: Vec<Wire> = (0..SILENT).map(|_| scene.silent()).collect();
        // Some stop in the middle: of a length, of the first message, before the third, before hello.
        for (at, wire) in silent.iter_mut().enumerate() {
            let claim = scene.claim();
            match at % 5 {
                1 => wire.raw(&[0]).expect("sent"),
                2 => wire.raw(&framed(&Noise::dial(&claim).write())[..20]).expect("sent"),
                3 => wire.greeting(&Noise::dial(&claim).write()).expect("sent"),
                4 => drop(wire.greet(&claim).expect("greeted")),
                _ => {}
            }
        }
        let begun = Instant::now();
        scene.open().ping().expect("served");
        assert!(begun.elapsed() < PROMPT, "a newcomer waits {:?}", begun.elapsed());
        for wire in &mut silent {
            assert!(wire.is_closed_by_peer());
        }
        scene.ended(&["handshake_timeout"], SILENT);
    });
}

#[test]
fn bytes_of_noise() {
    let scene = Scene::new();
    let mut noise = Dice::new(7);
    scene.attack(SLACK_BYTES, || {
        for _ in 0..100 {
            let mut wire = scene.silent();
            // It may be closed while we write.
            while wire.raw(&noise.bytes(4_096)).is_ok() {}
        }
        for length in 0..200 {
            let mut wire = scene.silent();
            wire.frame(&noise.bytes(length)).expect("sent");
            assert!(wire.is_closed_by_peer(), "noise of {length} bytes in one frame");
        }
        // Noise where a Noise message belongs, in each step.
        for length in [0, 1, 31, 32, 33, 96, 200, 900] {
            let mut wire = scene.silent();
            wire.greeting(&noise.bytes(length)).expect("sent");
            assert!(wire.is_closed_by_peer(), "{length} bytes instead of the first message");
            let mut wire = scene.silent();
            wire.greeting(&Noise::dial(&scene.claim()).write()).expect("sent");
            wire.read_greeting().expect("the second message");
            wire.greeting(&noise.bytes(length)).expect("sent");
            assert!(wire.is_closed_by_peer(), "{length} bytes instead of the third message");
        }
        scene.ended(GREETED_WRONGLY, 300);
    });
}

#[test]
fn over_long_greeting() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for length in [MAX_GREETING_BYTES + 1, 12_312, 65_535] {
            let mut wire = scene.silent();
            // Its length alone is enough.
            wire.raw(&(length as u16).to_be_bytes()).expect("sent");
            assert!(wire.is_closed_by_peer(), "a first frame of {length} bytes");
        }
        scene.ended(GREETED_WRONGLY, 3);
    });
}

#[test]
fn thousands_of_handshakes() {
    const EACH: usize = 750;
    const THREADS: usize = 4;
    let scene = Scene::new();
    let base = scene.victim.open_descriptors();
    scene.attack(SLACK_BYTES, || {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let scene = &scene;
                scope.spawn(move || {
                    for at in 0..EACH {
                        // Every other one with a key that nobody saw before; all leave at once, in different steps.
                        let key = if at % 2 == 0 { Key::fresh() } else { Key::numbered(thread as u64) };
                        leave_after(scene, &Claim::new(scene.victim.network, key), at % 4);
                    }
                });
            }
        });
        scene.ended(LEFT, (EACH * THREADS) as u64);
    });
    eventually(
        "all descriptors come back",
        || scene.victim.open_descriptors() <= base + 2,
        || format!("{} descriptors, {base} before", scene.victim.open_descriptors()),
    );
}

/// Begins a link and leaves it after some of its steps. Whether the victim goes along is its own business.
fn leave_after(scene: &Scene, claim: &Claim, steps: usize) {
    let mut wire = scene.silent();
    let _ = match steps {
        0 => wire.greeting(&Noise::dial(claim).write()),
        1 => wire.greet(claim).map(drop),
        2 => Peer::authenticated(wire, claim).and_then(|peer| peer.agree(claim)).map(drop),
        _ => Peer::authenticated(wire, claim)
            .and_then(|peer| peer.agree(claim))
            .and_then(|mut peer| peer.echo(1, b"and gone")),
    };
}

#[test]
fn handshakes_at_once() {
    const LIMIT: usize = 32;
    const CROWD: usize = 300;
    let scene = Scene::with("", &format!("{ROOM}\nmax_handshakes = {LIMIT}"));
    let base = scene.victim.open_descriptors();
    scene.attack(CROWD as u64 * BYTES_PER_SILENT + SLACK_BYTES, || {
        let crowd: Vec<Wire> = (0..CROWD).map(|_| scene.silent()).collect();
        // All but those that fit are dismissed before they said anything.
        eventually(
            "those beyond the limit are dismissed",
            || crowd.iter().filter(|wire| wire.is_closed_now()).count() >= CROWD - LIMIT - 1,
            || format!("{} descriptors, {base} before", scene.victim.open_descriptors()),
        );
        assert!(scene.refused("full_handshakes") >= (CROWD - LIMIT - 1) as u64, "the status says why");
        // Room again, for who comes after them.
        drop(crowd);
    });
}

#[test]
fn replayed_handshake() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        // What an honest peer said, heard on the line.
        let claim = scene.claim();
        let (first, third) = {
            let mut wire = scene.silent();
            let mut noise = Noise::dial(&claim);
            let first = noise.write();
            wire.greeting(&first).expect("sent");
            noise.read(&wire.read_greeting().expect("the second message")).expect("sound");
            let third = noise.write();
            wire.greeting(&third).expect("sent");
            let mut peer = Peer::after(wire, noise.finish(), &claim);
            peer.greet(&hello(claim.network)).expect("agreed");
            peer.ping().expect("an open link");
            (first, third)
        };
        for _ in 0..20 {
            let mut wire = scene.silent();
            wire.greeting(&first).expect("sent");
            wire.read_greeting().expect("the victim cannot know yet");
            wire.greeting(&third).expect("sent");
            assert!(wire.is_closed_by_peer(), "the same handshake again");
        }
        // The steps in another order, or twice.
        for steps in [[&third, &first], [&first, &first]] {
            let mut wire = scene.silent();
            for step in steps {
                // The second may find it closed.
                let _ = wire.greeting(step);
            }
            assert!(wire.is_closed_by_peer());
        }
        scene.ended(GREETED_WRONGLY, 22);
    });
}

#[test]
fn stolen_key() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let honest = Key::fresh();
        let victims_own = scene.victim.key;
        let proofs = [
            [&honest.public()[..], &[0; 64]].concat(),
            [&honest.public()[..], &[0xff; 64]].concat(),
            // A signature that this key did make, for another Noise key.
            [&honest.public()[..], &honest.sign(b"anabranch link static key")].concat(),
            // Keys that everybody can sign for: the neutral element, and no point at all.
            [&[1][..], &[0; 31], &[1], &[0; 63]].concat(),
            [&[0xff; 32][..], &[0; 64]].concat(),
            [&victims_own[..], &[0; 64]].concat(),
            Vec::new(),
            vec![0; 95],
            vec![0; 97],
        ];
        for proof in &proofs {
            let mut wire = scene.silent();
            let mut claim = scene.claim();
            claim.proof = Some(proof.clone());
            wire.greet(&claim).expect("the victim cannot know before the third message");
            assert!(wire.is_closed_by_peer(), "the proof {}", hex::encode(proof));
        }
        scene.ended(GREETED_WRONGLY, proofs.len() as u64);
        let peers = scene.victim.get("/peers").to_string();
        assert!(!peers.contains(&honest.hex()), "a key that was not proven is nobody's name: {peers}");
    });
}

#[test]
fn points_of_small_order() {
    // Of order 1, 2, 4 and 8, and zero in other words: with these the shared secret is known to all.
    const POINTS: [&str; 7] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        for point in POINTS {
            let mut wire = scene.silent();
            let point = hex::decode(point).expect("digits");
            wire.greeting(&[&point[..], &scene.claim().clear()].concat()).expect("sent");
            assert!(wire.is_closed_by_peer(), "the ephemeral key {}", hex::encode(point));
        }
        scene.ended(GREETED_WRONGLY, POINTS.len() as u64);
    });
}

#[test]
fn wrong_network() {
    let scene = Scene::new();
    scene.attack(SLACK_BYTES, || {
        let truth = scene.claim();
        let mut network = truth.clone();
        network.network[31] ^= 1;
        let mut version = truth.clone();
        version.version += 1;
        let mut cipher = truth.clone();
        cipher.cipher = 2;
        let mut magic = truth.clone();
        magic.magic[0] ^= 1;
        for (claim, reason) in [
            (&network, &["wrong_network"][..]),
            (&version, &["wrong_version"]),
            (&cipher, &["wrong_cipher"]),
            (&magic, GREETED_WRONGLY),
        ] {
            for _ in 0..5 {
                let mut wire = scene.silent();
                wire.greeting(&Noise::dial(claim).write()).expect("sent");
                assert!(wire.read_greeting().is_err(), "no second message for {reason:?}");
                assert!(wire.is_closed_by_peer(), "{reason:?}");
            }
            scene.ended(reason, 5);
        }
        // The truth in the clear, a lie in the prologue: somebody in between has changed it.
        let mut wire = scene.silent();
        let first = Noise::dial(&network).write();
        wire.greeting(&[&first[..32], &truth.clear()].concat()).expect("sent");
        if let Ok(second) = wire.read_greeting() {
            assert!(Noise::dial(&network).read(&second).is_err());
            wire.greeting(&[0; 160]).expect("sent");
        }
        assert!(wire.is_closed_by_peer());
    });
}

/// Bytes that look drawn by chance and are the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
