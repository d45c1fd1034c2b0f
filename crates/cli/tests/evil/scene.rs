//! The stage: a victim, and an honest peer that keeps sending and getting bytes while somebody else misbehaves.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::noise::{Claim, Key};
use crate::peer::Peer;
use crate::victim::Victim;
use crate::wire::{PATIENCE, Wire};

/// What an honest request carries.
const ECHO_BYTES: usize = 16 * 1024;

/// How many honest requests make a round, and how many of them are under way at once.
const ECHOES: u32 = 64;
const WINDOW: u32 = 4;

/// How many rounds the honest peer goes, at least, before and during an attack.
const ROUNDS: u32 = 8;

/// The honest peer must keep this part of the throughput that it had alone. Both share two cores with the
/// attacker, who may well take his third: what is looked for is a stall, which is a thousandth.
const KEPT_SHARE: f64 = 0.1;

/// Where the honest peer comes from, when places are counted by address.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 200));

/// Room for crowds, in `[peers]`: what is tried is something else than the caps.
pub(crate) const ROOM: &str = "max_connections = 4096\nmax_inbound = 4000\nmax_per_address = 4000";

/// Why links end whose peer just goes, whatever was under way, or is thrown out before it can.
pub(crate) const LEFT: &[&str] = &["eof", "read_failed", "write_failed", "strikes", "duplicate"];

/// One scene at a time: throughput is compared.
static STAGE: Mutex<()> = Mutex::new(());

/// A victim under attack.
pub(crate) struct Scene {
    pub(crate) victim: Victim,
    _stage: MutexGuard<'static, ()>,
}

impl Scene {
    /// A victim with its defaults.
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// A victim with these lines in its configuration's `[link]` and `[peers]`.
    pub(crate) fn with(link: &str, peers: &str) -> Self {
        Self::started(&format!("[link]\n{link}\n[peers]\n{peers}\n"), &[], &[])
    }

    /// A victim with further arguments, and started by another program when one is given.
    pub(crate) fn started(config: &str, arguments: &[&str], wrapper: &[&str]) -> Self {
        let stage = STAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self { victim: Victim::start(config, arguments, wrapper), _stage: stage }
    }

    /// What an honest stranger says of himself.
    pub(crate) fn claim(&self) -> Claim {
        Claim::new(self.victim.network, Key::fresh())
    }

    /// A connection on which nothing was said.
    pub(crate) fn silent(&self) -> Wire {
        Wire::connect(self.victim.address).expect("the victim accepts")
    }

    /// An open link of a stranger.
    pub(crate) fn open(&self) -> Peer {
        Peer::open(self.victim.address, &self.claim()).expect("the victim opens a link")
    }

    /// Attacks while an honest peer exchanges bytes: its throughput must hold, and the victim's memory may not grow
    /// by more than this. What the attack returns is held until both were measured.
    pub(crate) fn attack<T>(&self, growth_bytes: u64, attack: impl FnOnce() -> T) -> T {
        self.attack_keeping(KEPT_SHARE, growth_bytes, attack)
    }

    /// The same where the honest peer keeps another share: attackers that are *served* get theirs too.
    pub(crate) fn attack_keeping<T>(&self, share: f64, growth_bytes: u64, attack: impl FnOnce() -> T) -> T {
        let mut honest =
            Peer::open_from(HOME, self.victim.address, &self.claim()).expect("the victim opens a link");
        // The first round fills caches and buffers; it is neither counted nor compared.
        round(&mut honest);
        let alone = bytes_per_s(&mut honest, || false);
        let before = self.victim.resident_bytes();
        let over = AtomicBool::new(false);
        let (result, beside, peak) = std::thread::scope(|scope| {
            let exchange = scope.spawn(|| {
                let mut peak = 0;
                let beside = bytes_per_s(&mut honest, || {
                    peak = peak.max(self.victim.resident_bytes());
                    !over.load(Ordering::Acquire)
                });
                (beside, peak)
            });
            let finish = Finish(&over);
            let result = attack();
            drop(finish);
            let (beside, peak) = exchange.join().expect("the honest peer is served to the end");
            (result, beside, peak)
        });
        println!(
            "honest peer: {:.1} MB/s alone, {:.1} MB/s beside the attack; victim: {} KB before, {} KB at most",
            alone / 1e6,
            beside / 1e6,
            before / 1024,
            peak / 1024
        );
        println!("ended: {}", self.victim.get("/peers/departed")["counts"]);
        assert!(beside >= alone * share, "{beside:.0} B/s instead of {alone:.0}");
        assert!(peak <= before + growth_bytes, "the victim grew from {before} to {peak} bytes");
        // Still there for who comes now.
        let newcomer = Peer::open_from(HOME, self.victim.address, &self.claim());
        newcomer.and_then(|mut peer| peer.echo(1, b"after the attack")).expect("a newcomer is served");
        result
    }

    /// Waits until so many sockets ended for one of these reasons; the status must say so.
    #[track_caller]
    pub(crate) fn ended(&self, reasons: &[&str], count: u64) {
        eventually(
            &format!("{count} sockets end for {reasons:?}"),
            || self.ends(reasons) >= count,
            || self.victim.get("/peers/departed").to_string(),
        );
    }

    /// How many connections found no place, for this reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        let departed = self.victim.get("/peers/departed");
        departed["refused"][reason]
            .as_u64()
            .unwrap_or_else(|| panic!("no `{reason}` in {}", departed["refused"]))
    }

    /// Why the last link of this key ended, once it has.
    #[track_caller]
    pub(crate) fn reason_of(&self, claim: &Claim) -> String {
        let mut found = None;
        eventually(
            "its end is in the status",
            || {
                let departed = self.victim.get("/peers/departed");
                let recent = departed["recent"].as_array().cloned().unwrap_or_default();
                // The newest first.
                let mine = recent.iter().find(|entry| entry["peer"] == claim.key.hex());
                found = mine.and_then(|entry| entry["reason"].as_str()).map(str::to_owned);
                found.is_some()
            },
            || self.victim.get("/peers/departed").to_string(),
        );
        found.expect("it was found")
    }

    /// What the status says of the open links with a key.
    pub(crate) fn links(&self, key: &str) -> Vec<Value> {
        let peers = self.victim.get("/peers");
        let sockets = peers["sockets"].as_array().unwrap_or_else(|| panic!("no sockets in {peers}"));
        let is_open = |socket: &&Value| socket["peer"] == key && socket["state"] == "open";
        sockets.iter().filter(is_open).cloned().collect()
    }

    /// What the status says of an open link; the victim may not have heard our hello yet.
    #[track_caller]
    pub(crate) fn status(&self, peer: &Peer) -> Value {
        let mut found = None;
        eventually(
            "the link is listed",
            || {
                found = self.links(&peer.key).pop();
                found.is_some()
            },
            || self.victim.get("/peers/departed").to_string(),
        );
        found.expect("it was found")
    }

    /// How many strikes an open link has.
    #[track_caller]
    pub(crate) fn strikes(&self, peer: &Peer) -> u64 {
        let status = self.status(peer);
        status["strikes"].as_u64().unwrap_or_else(|| panic!("no strikes in {status}"))
    }

    /// How often an open link was at fault in this way.
    #[track_caller]
    pub(crate) fn violations(&self, peer: &Peer, name: &str) -> u64 {
        let status = self.status(peer);
        assert!(status["violations"].is_object(), "no violations in {status}");
        status["violations"][name].as_u64().unwrap_or_default()
    }

    /// A number about all links.
    #[track_caller]
    pub(crate) fn total(&self, name: &str) -> u64 {
        let peers = self.victim.get("/peers");
        peers["totals"][name].as_u64().unwrap_or_else(|| panic!("no total `{name}` in {}", peers["totals"]))
    }

    /// The victim alone, the stage still taken.
    pub(crate) fn stop(self) -> Duration {
        self.victim.stop()
    }

    /// How many sockets ended for one of these reasons so far.
    pub(crate) fn ends(&self, reasons: &[&str]) -> u64 {
        let departed = self.victim.get("/peers/departed");
        reasons.iter().map(|reason| departed["counts"][reason].as_u64().unwrap_or_default()).sum()
    }
}

/// Ends the honest peer's rounds, also when the attack panics.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// At least [`ROUNDS`] rounds, and on while `more` says so; both directions count.
fn bytes_per_s(honest: &mut Peer, mut more: impl FnMut() -> bool) -> f64 {
    let start = Instant::now();
    let (mut rounds, mut bytes) = (0, 0);
    loop {
        let go_on = more();
        if rounds >= ROUNDS && !go_on {
            return bytes as f64 / start.elapsed().as_secs_f64();
        }
        bytes += round(honest);
        rounds += 1;
    }
}

/// Requests, a few of them under way at once; each answer must be there and whole.
pub(crate) fn round(honest: &mut Peer) -> usize {
    let body: Vec<u8> = (0..ECHO_BYTES).map(|at| at as u8).collect();
    let mut asked = 0;
    for answered in 0..ECHOES {
        while asked < ECHOES && asked - answered < WINDOW {
            honest.ask_echo(asked, &body).expect("the victim takes it");
            asked += 1;
        }
        let answer = honest.answer().expect("the victim answers");
        assert_eq!(answer.body, body, "the echo of what was sent");
    }
    2 * ECHOES as usize * ECHO_BYTES
}

/// Waits for something that another process does, by looking; there is no event to wait on.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool, instead: impl FnOnce() -> String) {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            panic!("{what}: not within {PATIENCE:?}; instead: {}", instead());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
