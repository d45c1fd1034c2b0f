//! The stage: the real program in a process of its own, a chain to serve, and an honest client that keeps
//! following it while somebody else misbehaves.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::wire::{CHAIN_SYNC, PATIENCE, Point, REQUEST_NEXT, Said, Wire, find_intersect, said};

/// How many blocks the chain that is served has, at least.
const BLOCKS: usize = 300;

/// How many of them are large, and how large.
const LARGE_BLOCKS: usize = 40;
const LARGE_BYTES: usize = 8_000;

/// How many requests an honest client keeps under way.
const WINDOW: usize = 100;

/// How often the honest client follows the whole chain, at least, before and during an attack.
const ROUNDS: u32 = 8;

/// The honest client must keep this part of the throughput that it had alone. Both share two cores with the
/// attacker, who may well take his third: what is looked for is a stall, which is a thousandth.
const KEPT_SHARE: f64 = 0.1;

/// One scene at a time: throughput is compared.
static STAGE: Mutex<()> = Mutex::new(());

/// A server under attack.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) chain: &'static Chain,
    _stage: MutexGuard<'static, ()>,
}

/// The blocks that are served, oldest first, in the words of the node that made them.
pub(crate) struct Chain {
    pub(crate) points: Vec<Point>,
    dir: TempDir,
}

/// The real program.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) magic: u32,
    made: Arc<Made>,
    reader: Option<JoinHandle<()>>,
}

/// The blocks that a devnet said it made, oldest first.
#[derive(Default)]
struct Made {
    points: Mutex<Vec<Point>>,
    more: Condvar,
}

impl Scene {
    /// A server with a chain that is finished, and these lines in its configuration.
    pub(crate) fn with(config: &str) -> Self {
        Self::wrapped(config, &[])
    }

    /// A server with its defaults.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The same, started by another program, such as one that lowers a limit first.
    pub(crate) fn wrapped(config: &str, wrapper: &[&str]) -> Self {
        let stage = STAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let chain = chain();
        let file = chain.dir.path().join("anabranch.toml");
        fs::write(&file, config).expect("the configuration is written");
        let db = node(&chain.dir.path().join("db"));
        let server = Server::start(
            wrapper,
            &[
                "run".as_ref(),
                "--json".as_ref(),
                "--downstream".as_ref(),
                "127.0.0.1:0".as_ref(),
                "--network".as_ref(),
                chain.dir.path().join("db").join("network.toml").as_ref(),
                "--data-dir".as_ref(),
                db.as_ref(),
                "--config".as_ref(),
                file.as_ref(),
            ],
        );
        Self { server, chain, _stage: stage }
    }

    pub(crate) fn silent(&self) -> Wire {
        Wire::silent(self.server.address).expect("the server accepts")
    }

    pub(crate) fn greeted(&self) -> Wire {
        Wire::greeted(self.server.address, self.server.magic).expect("the server greets")
    }

    /// Attacks while an honest client follows the chain again and again: its throughput must hold, and the
    /// server's memory may not grow by more than this. What the attack returns is held until both were measured.
    pub(crate) fn attack<T>(&self, growth_bytes: u64, attack: impl FnOnce() -> T) -> T {
        self.attack_keeping(KEPT_SHARE, growth_bytes, attack)
    }

    /// The same where the honest client keeps another share: attackers that are *served* get theirs too.
    pub(crate) fn attack_keeping<T>(&self, share: f64, growth_bytes: u64, attack: impl FnOnce() -> T) -> T {
        let mut honest = self.greeted();
        // The first round fills caches; it is neither counted nor compared.
        self.follow_whole_chain(&mut honest);
        let alone = self.headers_per_s(&mut honest, || false);
        let before = self.server.resident_bytes();
        let over = AtomicBool::new(false);
        let (result, beside, peak) = std::thread::scope(|scope| {
            let follower = scope.spawn(|| {
                let mut peak = 0;
                let beside = self.headers_per_s(&mut honest, || {
                    peak = peak.max(self.server.resident_bytes());
                    !over.load(Ordering::Acquire)
                });
                (beside, peak)
            });
            let finish = Finish(&over);
            let result = attack();
            drop(finish);
            let (beside, peak) = follower.join().expect("the honest client is served to the end");
            (result, beside, peak)
        });
        println!(
            "honest client: {alone:.0} headers/s alone, {beside:.0} beside the attack; server: {} KB before, {} KB at most",
            before / 1024,
            peak / 1024
        );
        assert!(beside >= alone * share, "{beside:.0} headers/s instead of {alone:.0}");
        assert!(peak <= before + growth_bytes, "the server grew from {before} to {peak} bytes");
        result
    }

    /// At least [`ROUNDS`] rounds, and on while `more` says so.
    fn headers_per_s(&self, honest: &mut Wire, mut more: impl FnMut() -> bool) -> f64 {
        let start = Instant::now();
        let (mut rounds, mut headers) = (0, 0);
        loop {
            let go_on = more();
            if rounds >= ROUNDS && !go_on {
                return headers as f64 / start.elapsed().as_secs_f64();
            }
            headers += self.follow_whole_chain(honest);
            rounds += 1;
        }
    }

    /// From origin to the last block, pipelined; each header must be there.
    pub(crate) fn follow_whole_chain(&self, honest: &mut Wire) -> usize {
        let headers = follow(honest, self.chain.points.len());
        assert_eq!(headers.len(), self.chain.points.len());
        headers.len()
    }
}

/// Ends the honest client's rounds, also when the attack panics.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The first `count` headers of the server's chain.
pub(crate) fn follow(wire: &mut Wire, count: usize) -> Vec<Vec<u8>> {
    wire.send(CHAIN_SYNC, &find_intersect(&[Point::Origin])).expect("sent");
    assert_eq!(said(&wire.message(CHAIN_SYNC).expect("an answer")), Said::Found);
    let mut headers = Vec::with_capacity(count);
    // The first answer is the roll-back to the intersection.
    let (mut asked, mut answered) = (0, 0);
    while headers.len() < count {
        while asked < count + 1 && asked - answered < WINDOW {
            wire.send(CHAIN_SYNC, &REQUEST_NEXT).expect("sent");
            asked += 1;
        }
        match said(&wire.message(CHAIN_SYNC).expect("an answer")) {
            Said::Forward { header, .. } => headers.push(header),
            Said::Backward => assert!(headers.is_empty(), "a roll-back on a finished chain"),
            other => panic!("{other:?} instead of a header"),
        }
        answered += 1;
    }
    headers
}

/// Made once by the program itself: a development network in a hurry.
fn chain() -> &'static Chain {
    static CHAIN: OnceLock<Chain> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let db = dir.path().join("db");
        let devnet = Server::devnet(&db, "10ms");
        // Some blocks of a size that weighs.
        for at in 0..LARGE_BLOCKS {
            put(&db, &at.to_string(), &"v".repeat(LARGE_BYTES));
        }
        devnet.made(BLOCKS);
        let points = devnet.stop();
        Chain { points, dir }
    })
}

/// The data directory of a devnet's only node.
fn node(db: &Path) -> PathBuf {
    db.join("node-1")
}

/// Puts a value into the next block.
fn put(db: &Path, key: &str, value: &str) {
    let put =
        Command::new(program()).args(["tx", "put", "--data-dir"]).arg(node(db)).args([key, value]).output();
    let put = put.expect("the program starts");
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
}

/// The program built with this test, or another build of it.
fn program() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_anabranch").into();
    std::env::var_os("ANABRANCH_BIN").map_or_else(built, PathBuf::from)
}

impl Server {
    /// A node that makes a block this often.
    pub(crate) fn devnet(db: &Path, every: &str) -> Self {
        Self::start(
            &[],
            &[
                "devnet".as_ref(),
                "--json".as_ref(),
                "--nodes".as_ref(),
                "1".as_ref(),
                "--downstream".as_ref(),
                "127.0.0.1:0".as_ref(),
                "--every".as_ref(),
                every.as_ref(),
                "--data-dir".as_ref(),
                db,
            ],
        )
    }

    fn start(wrapper: &[&str], arguments: &[&Path]) -> Self {
        let program = program();
        let mut command = match wrapper {
            [] => Command::new(&program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
        };
        let mut child = command
            .args(arguments)
            .env("ANABRANCH_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("a line");
        let started: Value = serde_json::from_str(&first)
            .unwrap_or_else(|error| panic!("the server says where it is ({error}): `{first}`"));
        assert_eq!(started["event"], "started", "{first}");
        let address = started["downstream"][0].as_str().expect("an address").parse().expect("an address");
        let magic = started["magic"].as_u64().and_then(|magic| magic.try_into().ok()).expect("a magic");
        let made = Arc::new(Made::default());
        let reader = std::thread::spawn({
            let made = made.clone();
            move || made.read(lines)
        });
        Self { child, address, magic, made, reader: Some(reader) }
    }

    /// All blocks that a devnet said it made, once there are at least so many.
    pub(crate) fn made(&self, count: usize) -> Vec<Point> {
        let points = self.made.points.lock().expect("the reader does not panic");
        let (points, waited) = self
            .made
            .more
            .wait_timeout_while(points, PATIENCE, |points| points.len() < count)
            .expect("the reader does not panic");
        assert!(!waited.timed_out(), "{} blocks within {PATIENCE:?}, not {count}", points.len());
        points.clone()
    }

    /// Stops it as an operator would, and waits; all blocks that it said it made.
    pub(crate) fn stop(mut self) -> Vec<Point> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg("-TERM").arg(pid).status().expect("kill runs");
        assert!(sent.success());
        assert!(self.child.wait().expect("it ends").success(), "a graceful stop");
        self.reader.take().expect("not stopped before").join().expect("the reader does not panic");
        std::mem::take(&mut self.made.points.lock().expect("the reader does not panic"))
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// CPU time used so far, in the system's clock ticks (a hundredth of a second).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(self.proc("stat")).expect("the server runs");
        // After the name, which may hold anything: state is field 3, user and system time are 14 and 15.
        let after = stat.rsplit_once(')').expect("a name").1;
        after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    pub(crate) fn open_descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("the server runs").count()
    }

    /// Bytes that it read from anywhere, files and sockets.
    pub(crate) fn bytes_read(&self) -> u64 {
        let io = fs::read_to_string(self.proc("io")).expect("the server runs");
        let line = io.lines().find(|line| line.starts_with("rchar:")).expect("a count");
        line.split_whitespace().nth(1).and_then(|count| count.parse().ok()).expect("a number")
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Made {
    /// Reads the server's lines to their end, so that it never waits for a reader.
    fn read(&self, lines: BufReader<ChildStdout>) {
        for line in lines.lines().map_while(Result::ok) {
            if let Some(point) = block_of(&line) {
                self.points.lock().expect("nobody panics holding it").push(point);
                self.more.notify_all();
            }
        }
    }
}

fn block_of(line: &str) -> Option<Point> {
    let value: Value = serde_json::from_str(line).ok()?;
    if value["event"] != "block" {
        return None;
    }
    let mut hash = [0; 32];
    hex::decode_to_slice(value["hash"].as_str()?, &mut hash).ok()?;
    Some(Point::Block { slot: value["slot"].as_u64()?, hash })
}

/// Waits for something that another process does, by looking; there is no event to wait on.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
