//! Four validators as four processes: keys made by the program, one genesis, transactions, orders, a crash.

mod common;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Running, run, text};
use serde_json::Value;
use tempfile::TempDir;

struct Members {
    dir: TempDir,
    network: PathBuf,
    nodes: Vec<Option<Process>>,
}

struct Process {
    process: Running,
    /// Where it listens for peers, with its key.
    peer: String,
    downstream: String,
}

fn key(dir: &Path, validator: &[&str]) -> String {
    let generate = [&["key", "generate", "--json", "--data-dir", text(dir)], validator].concat();
    let made = run(&generate).expect_code(0).json();
    let show = [&["key", "show", "--json", "--data-dir", text(dir)], validator].concat();
    assert_eq!(run(&show).expect_code(0).json(), made);
    made["key"].as_str().expect("a key").to_owned()
}

impl Members {
    fn new(count: usize) -> Self {
        Self::with(count, "[consensus]\nrest_ms = 500\n")
    }

    fn with(count: usize, config_text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let mut genesis = format!(
            "format = \"native\"\nname = \"four\"\nmagic = 4444\nslot_length_ms = 100\nstart_unix_ms = {now}\n\
             max_body_bytes = 65536\nsecurity = 1\nfaults = \"byzantine\"\n"
        );
        for number in 0..count {
            let key = key(&dir.path().join(number.to_string()), &["--validator"]);
            genesis.push_str(&format!("[[validators]]\nkey = \"{key}\"\nweight = 1\n"));
        }
        let network = dir.path().join("network.toml");
        std::fs::write(&network, genesis).expect("written");
        let config = dir.path().join("config.toml");
        std::fs::write(&config, config_text).expect("written");
        let mut members = Self { dir, network, nodes: (0..count).map(|_| None).collect() };
        (0..count).for_each(|number| members.start(number));
        members
    }

    fn data_dir(&self, number: usize) -> String {
        text(&self.dir.path().join(number.to_string())).to_owned()
    }

    /// Starts a node; it dials all that are there.
    fn start(&mut self, number: usize) {
        let (data_dir, config) = (self.data_dir(number), self.dir.path().join("config.toml"));
        let mut args = vec!["run", "--network", text(&self.network), "--data-dir", &data_dir];
        args.extend(["--config", text(&config), "--listen", "127.0.0.1:0", "--downstream", "127.0.0.1:0"]);
        let peers: Vec<_> = self.nodes.iter().flatten().map(|node| node.peer.as_str()).collect();
        peers.iter().for_each(|peer| args.extend(["--peer", peer]));
        let mut process = Running::spawn(&args);
        let started = process.until("started");
        let at = started["listen"][0].as_str().expect("a place");
        let peer = format!("{}@{at}", started["peer"].as_str().expect("a key"));
        let downstream = started["downstream"][0].as_str().expect("a place").to_owned();
        self.nodes[number] = Some(Process { process, peer, downstream });
    }

    fn ask(&self, number: usize, command: &[&str]) -> Value {
        let data_dir = self.data_dir(number);
        run(&[command, &["--json", "--data-dir", &data_dir]].concat()).expect_code(0).json()
    }

    /// Waits until somebody who follows each node as its client saw a block with at least this height.
    fn all_serve(&self, height: u64) {
        for node in self.nodes.iter().flatten() {
            let network = text(&self.network);
            let mut follower =
                Running::spawn(&["follow", &node.downstream, "--network", network, "--from", "origin"]);
            while follower.next()["height"].as_u64().is_none_or(|seen| seen < height) {}
        }
    }
}

#[test]
fn four_processes_agree_serve_obey_and_bear_a_crash() {
    let mut members = Members::new(4);
    let put = members.ask(1, &["tx", "put", "colour", "green"]);
    assert!(put["id"].is_string(), "{put}");
    members.all_serve(3);

    let status = members.ask(0, &["consensus", "status"]);
    assert_eq!((&status["weight"], &status["evidence"]), (&4.into(), &Value::Array(Vec::new())), "{status}");
    assert!(status["height"].as_u64().is_some_and(|height| height >= 3), "{status}");
    let words = run(&["consensus", "status", "--data-dir", &members.data_dir(0)]).expect_code(0);
    assert!(words.stdout.contains("deciding height"), "{}", words.stdout);
    let status = members.ask(0, &["status"]);
    assert_eq!(status["member"]["validators"], 3, "{status}");
    assert_eq!(status["state"], "validating", "{status}");
    assert!(status["member"]["application"]["applied"]["height"].is_u64(), "{status}");

    let peer = members.nodes[3].as_ref().expect("it runs").peer.split('@').next().expect("a key").to_owned();
    members.ask(0, &["peer", "mode", &peer, "backup"]);
    let peers = members.ask(0, &["peers"]);
    let chains = peers["chains"].as_array().expect("a list");
    let mode = chains.iter().find(|chain| chain["peer"] == peer.as_str()).map(|chain| chain["mode"].clone());
    assert_eq!(mode, Some("backup".into()), "{peers}");
    let unknown = "00".repeat(32);
    let data_dir = members.data_dir(0);
    let given_up = members.ask(0, &["block", "blacklist", &unknown]);
    assert!(
        given_up["done"].as_str().is_some_and(|done| done.contains("does not vote for it")),
        "{given_up}"
    );
    assert_eq!(members.ask(0, &["consensus", "status"])["blacklist"], Value::Array(vec![unknown.into()]));
    run(&["block", "blacklist", "12", "--data-dir", &data_dir]).expect_code(2);
    run(&["peer", "mode", &peer, "loud", "--data-dir", &data_dir]).expect_code(2);

    // What was ordered outlasts a crash.
    members.nodes[0].take().expect("it runs").process.kill();
    members.start(0);
    let unknown = "00".repeat(32);
    assert_eq!(members.ask(0, &["consensus", "status"])["blacklist"][0], unknown.as_str());
    let mode = loop {
        let peers = members.ask(0, &["peers"]);
        let chains = peers["chains"].as_array().expect("a list");
        if let Some(chain) = chains.iter().find(|chain| chain["peer"] == peer.as_str()) {
            break chain["mode"].clone();
        }
    };
    assert_eq!(mode, "backup");
    members.ask(0, &["block", "allow", &unknown]);
    assert_eq!(members.ask(0, &["consensus", "status"])["blacklist"], Value::Array(Vec::new()));
    run(&["block", "allow", &unknown, "--data-dir", &data_dir])
        .expect_code(1)
        .expect_stderr("was not given up");

    members.nodes[2].take().expect("it runs").process.kill();
    let height = members.ask(0, &["status"])["irreversible"]["height"].as_u64().expect("a height");
    members.all_serve(height + 3);
    members.start(2);
    members.all_serve(height + 6);
    for node in members.nodes.iter_mut().flatten() {
        node.process.interrupt();
        node.process.until("stopped");
    }
}

#[test]
fn a_follower_that_comes_late_begins_with_a_snapshot_proves_what_it_has_and_goes_on() {
    const EVERY: u64 = 20;
    let mut members = Members::with(
        4,
        &format!(
            "[consensus]\nrest_ms = 200\n[application]\nsnapshot_every = {EVERY}\n[sync]\nsnapshots = true\nsnapshot_worth = {EVERY}\n"
        ),
    );
    members.ask(1, &["tx", "put", "colour", "green"]);
    members.all_serve(EVERY + 2);
    members.nodes.push(None);
    members.start(4);
    // Whoever follows it as a client gets all headers, those of bare blocks too.
    let height = members.ask(0, &["status"])["irreversible"]["height"].as_u64().expect("a height");
    members.all_serve(height + 2);
    let network = text(&members.network);
    let got = members.ask(4, &["kv", "get", "colour", "--proof", "--network", network]);
    assert_eq!((&got["value"], &got["proof"]["of"]), (&"green".into(), &"inclusion".into()), "{got}");
    assert_eq!(got["proof"]["certificate"], "verified", "{got}");

    // What it holds is right, and it says what it does not hold.
    let mut late = members.nodes[4].take().expect("it runs").process;
    late.interrupt();
    late.until("stopped");
    let data_dir = members.data_dir(4);
    let verify = ["db", "verify", "--network", text(&members.network), "--data-dir", &data_dir];
    let verified = run(&[&verify[..], &["--json"]].concat()).expect_code(0).json();
    let bare = verified["bare"].as_u64().expect("a number");
    assert!(bare >= EVERY && bare.is_multiple_of(EVERY), "{verified}");
    assert!(verified["blocks"].as_u64() > Some(bare), "{verified}");
    let said = run(&verify).expect_code(0).stdout;
    assert!(said.contains(&format!("of the first {bare} blocks the headers alone are held")), "{said}");

    // Its next start goes on from there, and from what it has another can begin.
    members.start(4);
    let height = members.ask(0, &["status"])["irreversible"]["height"].as_u64().expect("a height");
    members.all_serve(height + 2);
    assert_eq!(members.ask(4, &["kv", "get", "colour"])["value"], "green");
}

#[test]
fn a_key_that_is_named_twice_or_open_to_others_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let data_dir = dir.path().join("0");
    let key = key(&data_dir, &["--validator"]);
    let validator = format!("[[validators]]\nkey = \"{key}\"\nweight = 1\n");
    let genesis = |validators: &str| {
        let network = dir.path().join("network.toml");
        let head = "format = \"native\"\nname = \"x\"\nmagic = 1\nslot_length_ms = 100\nstart_unix_ms = 0\n\
                    max_body_bytes = 65536\nsecurity = 1\nfaults = \"byzantine\"\n";
        std::fs::write(&network, format!("{head}{validators}")).expect("written");
        network
    };
    let twice = genesis(&format!("{validator}{validator}"));
    let args = ["run", "--network", text(&twice), "--data-dir", text(&data_dir), "--listen", "127.0.0.1:0"];
    run(&args).expect_code(3).expect_stderr("different keys");
    let once = genesis(&validator);
    let file = data_dir.join("validator.key");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("set");
    let args = ["run", "--network", text(&once), "--data-dir", text(&data_dir), "--listen", "127.0.0.1:0"];
    run(&args).expect_code(9).expect_stderr("chmod 600");
}

#[test]
fn a_refused_start_leaves_nothing_of_the_application_behind() {
    let members = Members::new(1);
    let (foreign, file) = (members.dir.path().join("foreign"), "holiday.jpg");
    std::fs::create_dir(&foreign).expect("made");
    std::fs::write(foreign.join(file), "a picture").expect("written");
    let network = text(&members.network);
    let args = ["run", "--network", network, "--data-dir", text(&foreign), "--listen", "127.0.0.1:0"];
    run(&args).expect_code(4).expect_stderr("foreign");
    let left: Vec<_> = std::fs::read_dir(&foreign).expect("it is there").flatten().collect();
    assert_eq!(left.iter().map(|entry| entry.file_name()).collect::<Vec<_>>(), [file], "nothing was added");
}
