//! Four validators on four machines, as the manual lays them out, while the network between them parts and heals.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::machines::{Machines, address};
use crate::program::{self, PATIENCE, answer};

const NODES: usize = 4;

/// How long a network that parted is watched: many rounds, of a second and more each, could end in that time.
const WATCHED: Duration = Duration::from_secs(5);

/// How often a node is asked: another process has no event to wait on.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The network of the manual, running.
struct Network {
    machines: Machines,
    program: PathBuf,
    dir: tempfile::TempDir,
    nodes: Vec<Child>,
}

impl Network {
    /// Lays it out and runs it; `None` where that cannot be.
    fn start() -> Option<Self> {
        let program = program::path()?;
        let machines = match Machines::new(NODES) {
            Ok(machines) => machines,
            Err(why) => {
                eprintln!("SKIPPED: no network namespaces here: {why}");
                return None;
            }
        };
        let dir = tempfile::tempdir().expect("a directory");
        let net = dir.path().join("net");
        let places: Vec<_> = (0..NODES).map(|number| format!("{}:4001", address(number))).collect();
        let mut init = vec!["init", text(&net)];
        places.iter().for_each(|place| init.extend(["--machine", place]));
        answer(&program, &init);
        let mut network = Self { machines, program, dir, nodes: Vec::new() };
        network.nodes = (0..NODES).map(|number| network.run(number)).collect();
        Some(network)
    }

    fn place(&self, number: usize) -> PathBuf {
        self.dir.path().join("net").join(format!("node-{}", number + 1))
    }

    /// The manual's third step.
    fn run(&self, number: usize) -> Child {
        let mut command = self.machines.on(number);
        command.arg(&self.program).args(["run", "--config", "anabranch.toml", "--data-dir", ".", "--json"]);
        command.current_dir(self.place(number)).env("ANABRANCH_LOG", "error");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("a line");
        assert!(first.contains("started"), "the node says where it is: {first}");
        // Whatever else it says is taken, so that it never waits.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
        child
    }

    fn ask(&self, number: usize, command: &[&str]) -> Value {
        let place = self.place(number);
        answer(&self.program, &[command, &["--data-dir", text(&place)]].concat())
    }

    fn put(&self, number: usize, key: &str) {
        self.ask(number, &["tx", "put", key, "here"]);
    }

    fn has(&self, number: usize, key: &str) -> bool {
        self.ask(number, &["kv", "get", key])["value"] == "here"
    }

    fn height(&self, number: usize) -> u64 {
        let status = self.ask(number, &["status"]);
        status["irreversible"]["height"].as_u64().expect("a height")
    }

    fn heights(&self) -> Vec<u64> {
        (0..NODES).map(|number| self.height(number)).collect()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > PATIENCE {
                let status = (0..NODES).map(|number| self.ask(number, &["consensus", "status"]));
                panic!("{what} within {PATIENCE:?}: {:#?}", status.collect::<Vec<_>>());
            }
            std::thread::park_timeout(ASK_EVERY);
        }
        println!("{what}: after {:.1} s", start.elapsed().as_secs_f64());
    }

    /// Waits until these nodes have got no further for a while, and gives where all stand.
    fn at_rest(&self, nodes: &[usize]) -> Vec<u64> {
        let of = |heights: &[u64]| nodes.iter().map(|at| heights[*at]).collect::<Vec<_>>();
        let (start, mut before, mut since) = (Instant::now(), self.heights(), Instant::now());
        while since.elapsed() < WATCHED {
            assert!(start.elapsed() < PATIENCE, "{nodes:?} go on: {before:?}");
            std::thread::park_timeout(ASK_EVERY);
            let now = self.heights();
            if of(&now) != of(&before) {
                since = Instant::now();
            }
            before = now;
        }
        before
    }

    /// Stops all nodes, and compares what each holds: the blocks, in order.
    fn have_one_chain(mut self) {
        for node in &mut self.nodes {
            let pid = node.id().to_string();
            let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
            assert!(sent.success());
        }
        for node in &mut self.nodes {
            assert!(node.wait().expect("it ends").success());
        }
        let export = |number: usize| {
            let (place, file) = (self.place(number), self.dir.path().join(format!("blocks-{number}")));
            answer(&self.program, &["db", "verify", "--data-dir", text(&place)]);
            answer(&self.program, &["db", "export", "--output", text(&file), "--data-dir", text(&place)]);
            std::fs::read(&file).expect("the export")
        };
        let chains: Vec<_> = (0..NODES).map(export).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).expect("four");
        assert!(!longest.is_empty());
        for (number, chain) in chains.iter().enumerate() {
            assert!(longest.starts_with(chain), "node {number} holds another chain");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn four_machines_make_one_history_however_the_network_parts() {
    let Some(network) = Network::start() else { return };
    let all = |key: &str| (0..NODES).all(|number| network.has(number, key));
    network.put(0, "before");
    network.until("all four agree", || all("before"));

    // Two and two: neither side is a quorum, whatever it is given to do.
    network.machines.part(&[0, 0, 1, 1]);
    network.put(0, "left");
    network.put(2, "right");
    let parted = network.at_rest(&[0, 1, 2, 3]);
    let final_somewhere = |key: &str| (0..NODES).any(|number| network.has(number, key));
    assert!(!final_somewhere("left") && !final_somewhere("right"), "half of them decided: {parted:?}");
    let said = network.ask(0, &["consensus", "status"])["waiting"].clone();
    println!("parted two and two at {parted:?}; the first says: {said}");
    network.machines.part(&[0; NODES]);
    network.until("what both sides were given is final", || all("left") && all("right"));

    // Three and one: three go on, one does not.
    network.machines.part(&[0, 0, 0, 1]);
    let parted = network.at_rest(&[3]);
    network.put(1, "majority");
    network.put(3, "minority");
    network.until("three go on", || (0..3).all(|number| network.has(number, "majority")));
    assert_eq!(network.height(3), parted[3], "one alone decides nothing");
    assert!(!network.has(3, "minority"));
    network.machines.part(&[0; NODES]);
    network.until("the one has caught up, and is heard", || all("majority") && all("minority"));
    network.have_one_chain();
}
