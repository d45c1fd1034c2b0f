//! Nodes that link with each other: the real program, twice or thrice, over loopback and Unix sockets.

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{PATIENCE, Running, run, text};
use serde_json::Value;
use tempfile::TempDir;

/// A node with its place on disk.
struct Node {
    running: Running,
    dir: PathBuf,
    key: String,
    address: String,
}

impl Node {
    /// A node that listens where the system chooses.
    fn start(home: &TempDir, name: &str, more: &[&str]) -> Self {
        Self::at(home.path().join(name), "127.0.0.1:0", more)
    }

    fn at(dir: PathBuf, listen: &str, more: &[&str]) -> Self {
        let mut args = vec!["run", "--network", "preview", "--data-dir", text(&dir), "--listen", listen];
        args.extend(more);
        let mut running = Running::spawn(&args);
        let started = running.until("started");
        let word = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {started}")).to_owned();
        let (key, address) = (word(&started["peer"]), word(&started["listen"][0]));
        Self { running, dir, key, address }
    }

    /// How others name it.
    fn name(&self) -> String {
        format!("{}@{}", self.key, self.address)
    }

    /// What it says of its peers.
    fn peers(&self) -> Value {
        peers(&self.dir)
    }

    /// The open links with this key.
    fn links(&self, key: &str) -> Vec<Value> {
        let peers = self.peers();
        let sockets = peers["sockets"].as_array().unwrap_or_else(|| panic!("no sockets: {peers}"));
        let is_open = |socket: &&Value| socket["peer"] == key && socket["state"] == "open";
        sockets.iter().filter(is_open).cloned().collect()
    }

    /// Waits for one open link with this key; what it says of it.
    #[track_caller]
    fn until_linked(&self, other: &Self) -> Value {
        let mut links = Vec::new();
        self.until("linked", || {
            links = self.links(&other.key);
            links.len() == 1
        });
        links.swap_remove(0)
    }

    #[track_caller]
    fn until_alone(&self) {
        self.until("alone", || self.peers()["sockets"].as_array().is_some_and(Vec::is_empty));
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        until(what, is_so, || self.peers().to_string());
    }

    /// Carries out `peer ORDER NAME`.
    fn order(&self, order: &str, name: &str) {
        run(&["peer", order, name, "--data-dir", text(&self.dir)]).expect_code(0);
    }

    /// Ends as by a power cut, and comes back at the same address.
    fn crash(mut self, more: &[&str]) -> Self {
        self.running.kill();
        Self::at(self.dir, &self.address, more)
    }

    fn stop(self) {
        self.running.interrupt();
        self.running.wait().expect_code(0);
    }
}

fn peers(dir: &Path) -> Value {
    run(&["peers", "--json", "--data-dir", text(dir)]).expect_code(0).json()
}

/// Waits for something that another process does, by looking; there is no event to wait on.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool, instead: impl Fn() -> String) {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; instead: {}", instead());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn three_nodes_find_each_other() {
    let home = home();
    let a = Node::start(&home, "a", &[]);
    let b = Node::start(&home, "b", &["--peer", &a.name()]);
    let c = Node::start(&home, "c", &["--peer", &a.name(), "--peer", &b.name()]);
    assert_eq!(a.until_linked(&b)["direction"], "accepted");
    assert_eq!(b.until_linked(&a)["direction"], "dialled");
    for (one, other) in [(&a, &c), (&c, &a), (&b, &c), (&c, &b)] {
        one.until_linked(other);
    }
    let status = run(&["status", "--data-dir", text(&c.dir)]).expect_code(0);
    assert!(status.stdout.contains("connected 2 of 2 known"), "{}", status.stdout);
    let shown = run(&["peers", "--data-dir", text(&c.dir)]).expect_code(0).stdout;
    assert!(shown.contains(&a.key[..8]) && shown.contains(&b.key[..8]), "{shown}");
    a.stop();
    b.until("a is gone", || {
        b.links(&c.key).len() == 1 && b.peers()["sockets"].as_array().unwrap().len() == 1
    });
    b.stop();
    c.stop();
}

#[test]
fn keeps_its_key_and_is_found_again_after_a_crash() {
    let home = home();
    let a = Node::start(&home, "a", &[]);
    let b = Node::start(&home, "b", &["--peer", &a.name()]);
    let first = b.until_linked(&a);
    let key = a.key.clone();
    let a = a.crash(&[]);
    assert_eq!(a.key, key, "its key outlasts it");
    b.until("another link with the same node", || {
        b.links(&a.key).first().is_some_and(|link| link["id"] != first["id"])
    });
    a.until_linked(&b);
    // And the other way about: who dialled comes back.
    let b = b.crash(&["--peer", &a.name()]);
    a.until_linked(&b);
    b.until_linked(&a);
}

#[test]
fn two_that_dial_each_other_keep_one_link() {
    let home = home();
    let a = Node::start(&home, "a", &[]);
    let b = Node::start(&home, "b", &["--peer", &a.name()]);
    b.until_linked(&a);
    a.order("add", &b.name());
    // Each knows the other's address now; after a crash both dial.
    for _ in 0..3 {
        a.order("drop", &b.key);
        a.order("add", &b.name());
        a.until_linked(&b);
        b.until_linked(&a);
        assert_eq!((a.links(&b.key).len(), b.links(&a.key).len()), (1, 1));
    }
    let a = a.crash(&[]);
    assert!(a.peers()["known"].to_string().contains(&b.key), "who was added is known after a crash");
    a.until_linked(&b);
    b.until_linked(&a);
}

#[test]
fn dropped_and_added_again() {
    let home = home();
    let a = Node::start(&home, "a", &[]);
    let b = Node::start(&home, "b", &[]);
    b.order("add", &a.name());
    a.until_linked(&b);
    b.order("drop", &a.key);
    b.until_alone();
    a.until_alone();
    assert_eq!(b.peers()["known"].as_array().map(Vec::len), Some(0), "it does not dial again");
    b.order("add", &a.name());
    b.until_linked(&a);
}

#[test]
fn a_ban_ends_the_link_and_outlasts_a_crash() {
    let home = home();
    let a = Node::start(&home, "a", &[]);
    let b = Node::start(&home, "b", &["--peer", &a.name()]);
    a.until_linked(&b);
    a.order("ban", &b.key);
    a.until_alone();
    let refused = ping(&b, &a, &[]);
    assert_ne!(refused.code(), Some(0), "a banned key measures nothing: {}", refused.stdout);
    assert!(refused.stderr.contains("ban"), "{}", refused.stderr);
    let a = a.crash(&[]);
    assert!(a.peers()["banned"].to_string().contains(&b.key), "{}", a.peers());
    assert_ne!(ping(&b, &a, &[]).code(), Some(0));
    assert_eq!(a.links(&b.key).len(), 0);
    a.order("unban", &b.key);
    // By itself: it never gave up.
    a.until_linked(&b);
}

#[test]
fn a_pinned_peer_is_pinned_after_a_crash() {
    let home = home();
    let a = Node::start(&home, "a", &[]);
    let b = Node::start(&home, "b", &[]);
    b.order("pin", &a.name());
    b.until_linked(&a);
    let b = b.crash(&[]);
    b.until_linked(&a);
    let known = b.peers()["known"].clone();
    assert!(known.to_string().contains(&a.key) && known[0]["pinned"] == true, "{known}");
    b.order("unpin", &a.key);
    assert_ne!(b.peers()["known"][0]["pinned"], true);
}

/// Measures the link from one node's identity to the other node.
fn ping(from: &Node, to: &Node, more: &[&str]) -> common::Finished {
    let (identity, name) = (from.dir.join("peer.key"), to.name());
    let args = ["ping", &name, "--network", "preview", "--identity", text(&identity), "--json"];
    run(&[&args[..], more].concat())
}

#[test]
fn ping_measures_a_node_while_others_are_linked_with_it() {
    let home = home();
    let a = Node::start(&home, "a", &[]);
    let b = Node::start(&home, "b", &["--peer", &a.name()]);
    a.until_linked(&b);
    let c = Node::start(&home, "c", &[]);
    let few = ping(&c, &a, &["--count", "3"]).expect_code(0);
    assert!(few.stdout.contains("handshake"), "{}", few.stdout);
    let bulk = ping(&c, &a, &["--count", "20", "--size", "60000"]).expect_code(0);
    assert!(bulk.stdout.contains("mb_per_s"), "{}", bulk.stdout);
    a.until_linked(&b);
    a.until("the measurement is over", || a.links(&c.key).is_empty());
}

#[test]
fn a_unix_socket_is_as_good() {
    let home = home();
    let socket = home.path().join("a.peers");
    let a = Node::at(home.path().join("a"), &format!("unix:{}", text(&socket)), &[]);
    let b = Node::start(&home, "b", &["--peer", &format!("{}@unix:{}", a.key, text(&socket))]);
    a.until_linked(&b);
    b.until_linked(&a);
    ping(&b, &a, &["--count", "2"]).expect_code(0);
    a.stop();
    assert!(!socket.exists(), "it is removed at the end");
    // Left behind by a crash, it is in nobody's way.
    let a = Node::at(home.path().join("a"), &format!("unix:{}", text(&socket)), &[]);
    b.until_linked(&a);
    let a = a.crash(&[]);
    b.until_linked(&a);
}
