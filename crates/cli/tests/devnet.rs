//! A chain of one's own: made, followed, fed with transactions, stopped, started again.

mod common;

use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{PATIENCE, Running, run, text};
use serde_json::Value;

/// A devnet that hurries, in a directory that it keeps.
fn devnet(dir: &Path) -> (Running, String) {
    devnet_at(dir, "127.0.0.1:0")
}

fn devnet_at(dir: &Path, address: &str) -> (Running, String) {
    let args =
        ["devnet", "--nodes", "1", "--data-dir", text(dir), "--downstream", address, "--every", "100ms"];
    let mut devnet = Running::spawn(&args);
    let started = devnet.until("started");
    (devnet, address_of(&started))
}

/// The data directory of its only node.
fn node_of(devnet: &Path) -> PathBuf {
    devnet.join("node-1")
}

fn address_of(started: &Value) -> String {
    started["downstream"][0].as_str().expect("an address").to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn follow(address: &str, network: &str, count: u64) -> Vec<Value> {
    let count = count.to_string();
    let args = ["follow", address, "--network", network, "--from", "origin", "--count", &count, "--json"];
    let followed = run(&args).expect_code(0);
    followed.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

#[test]
fn makes_blocks_that_anyone_can_follow() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut devnet, address) = devnet(&dir.path().join("chain"));
    let followed = follow(&address, "devnet", 5);
    assert_eq!(followed[0]["event"], "backward");
    assert_eq!(followed[0]["point"], "origin");
    for (height, line) in followed[1..].iter().enumerate() {
        let made = devnet.until("block");
        assert_eq!(line["event"], "forward");
        assert_eq!(line["height"], height);
        assert_eq!(line["hash"], made["hash"]);
    }
    devnet.interrupt();
    devnet.wait().expect_code(0);
}

#[test]
fn fetches_blocks_that_fit_their_headers() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut devnet, address) = devnet(&dir.path().join("chain"));
    let args =
        ["follow", &address, "--network", "devnet", "--from", "origin", "--count", "3", "--blocks", "--json"];
    let followed = run(&args).expect_code(0);
    let lines: Vec<Value> =
        followed.stdout.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    for line in &lines[1..] {
        assert_eq!(line["block_bytes"], devnet.until("block")["bytes"]);
    }
}

#[test]
fn follows_from_the_tip_and_from_a_point_and_says_when_there_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut devnet, address) = devnet(&dir.path().join("chain"));
    let first = devnet.until("block");
    let point = format!("{}.{}", first["slot"], first["hash"].as_str().expect("text"));
    let args = ["follow", &address, "--network", "devnet", "--from", &point, "--count", "1", "--json"];
    let followed = run(&args).expect_code(0);
    let lines: Vec<Value> =
        followed.stdout.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(lines[0]["point"], point);
    assert_eq!(lines[1]["height"], 1);
    let tip = run(&["follow", &address, "--network", "devnet", "--from", "tip", "--count", "1", "--json"]);
    tip.expect_code(0);
    let nowhere = format!("7.{}", "ab".repeat(32));
    let absent = run(&["follow", &address, "--network", "devnet", "--from", &nowhere]);
    absent.expect_code(5).expect_stderr("does not have");
}

#[test]
fn a_transaction_that_was_put_in_is_in_a_block() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let (mut devnet, _) = devnet(&chain);
    let put = run(&["tx", "put", "--data-dir", text(&node_of(&chain)), "greeting", "hello", "--json"])
        .expect_code(0);
    assert_eq!(put.json()["id"].as_str().expect("an id").len(), 64);
    loop {
        let block = devnet.until("block");
        let puts = block["puts"].as_array().expect("a list");
        if puts.iter().any(|put| put["key"] == "greeting" && put["value"] == "hello") {
            break;
        }
    }
    let again = run(&["tx", "put", "--data-dir", text(&node_of(&chain)), "greeting", "hello", "--json"]);
    again.expect_code(0);
}

#[test]
fn says_what_it_is_doing() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let (mut devnet, address) = devnet(&chain);
    devnet.until("block");
    let status = run(&["status", "--data-dir", text(&node_of(&chain)), "--json"]).expect_code(0).json();
    assert_eq!(status["state"], "validating");
    assert_eq!(status["magic"], 2622);
    assert!(number(&status["settled"]) + number(&status["volatile"]) >= 1);
    let text_status = run(&["status", "--data-dir", text(&node_of(&chain))]).expect_code(0);
    assert!(text_status.stdout.starts_with("validating: "), "{}", text_status.stdout);

    let mut follower = Running::spawn(&["follow", &address, "--network", "devnet"]);
    follower.until("forward");
    let clients = run(&["clients", "--data-dir", text(&node_of(&chain)), "--json"]).expect_code(0).json();
    assert_eq!(clients.as_array().expect("a list").len(), 1);
    assert_eq!(clients[0]["version"], 15);
    let text_clients = run(&["clients", "--data-dir", text(&node_of(&chain))]).expect_code(0);
    assert!(text_clients.stdout.contains("127.0.0.1:"), "{}", text_clients.stdout);
}

#[test]
fn goes_on_where_it_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let args = [
        "devnet",
        "--nodes",
        "1",
        "--data-dir",
        text(&chain),
        "--downstream",
        "127.0.0.1:0",
        "--every",
        "50ms",
    ];
    let mut first = Running::spawn(&args);
    first.until("block");
    first.interrupt();
    let rest = first.wait().expect_code(0).stdout;
    let made = 1 + rest.lines().filter(|line| line.contains("\"event\":\"block\"")).count();
    let mut second = Running::spawn(&args);
    let started = second.until("started");
    let found = number(&started["settled"]);
    assert!(found >= made as u64, "nothing shown was lost");
    assert_eq!(number(&second.until("block")["height"]), found);
}

#[test]
fn loses_no_block_that_was_shown_when_it_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let (mut devnet, address) = devnet(&chain);
    let before = follow(&address, "devnet", 6);
    devnet.kill();
    let (_devnet, address) = devnet_at(&chain, "127.0.0.1:0");
    let after = follow(&address, "devnet", 6);
    for (before, after) in before[1..].iter().zip(&after[1..]) {
        assert_eq!(before["hash"], after["hash"]);
    }
}

#[test]
fn a_temporary_directory_is_removed_at_the_end() {
    let mut devnet = Running::spawn(&["devnet", "--downstream", "127.0.0.1:0", "--every", "100ms"]);
    let started = devnet.until("started");
    let dir = started["data_dir"].as_str().expect("text").to_owned();
    assert!(Path::new(&dir).is_dir());
    devnet.interrupt();
    devnet.wait().expect_code(0);
    assert!(!Path::new(&dir).exists());
}

#[test]
fn a_port_in_use_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("known").to_string();
    let refused = run(&["devnet", "--downstream", &address, "--for", "1s"]);
    refused.expect_code(5).expect_stderr("--downstream");
}

#[test]
fn a_directory_in_use_says_by_whom() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let (_devnet, _) = devnet(&chain);
    let second = run(&["devnet", "--data-dir", text(&chain), "--downstream", "127.0.0.1:0", "--for", "1s"]);
    second.expect_code(4).expect_stderr("in use");
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("letter.txt"), "dear").expect("written");
    let refused =
        run(&["devnet", "--data-dir", text(dir.path()), "--downstream", "127.0.0.1:0", "--for", "1s"]);
    refused.expect_code(4).expect_stderr("give a new directory");
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 1);
}

#[test]
fn another_network_magic_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_devnet, address) = devnet(&dir.path().join("chain"));
    let refused = run(&["follow", &address, "--network", "preview", "--count", "1"]);
    refused.expect_code(5).expect_stderr("--network");
}

#[test]
fn another_node_follows_it_through_its_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (chain, copy) = (dir.path().join("chain"), dir.path().join("copy"));
    let (mut devnet, address) = devnet(&chain);
    devnet.until("block");
    let network = chain.join("network.toml");
    let args = [
        "run",
        "--network",
        text(&network),
        "--data-dir",
        text(&copy),
        "--upstream",
        &address,
        "--downstream",
        "127.0.0.1:0",
    ];
    let mut node = Running::spawn(&args);
    let served = address_of(&node.until("started"));
    let first = follow(&served, "devnet", 4);
    devnet.kill();
    let (_devnet, again) = devnet_at(&chain, &address);
    assert_eq!(again, address);
    let ahead = first.len() as u64 + 10;
    let through = follow(&served, "devnet", ahead);
    let origin = follow(&address, "devnet", ahead);
    assert_eq!(
        through.iter().map(|line| &line["hash"]).collect::<Vec<_>>(),
        origin.iter().map(|line| &line["hash"]).collect::<Vec<_>>()
    );
    node.interrupt();
    node.wait().expect_code(0);
}

/// A node that follows these servers of the network in `chain`, and serves.
fn node(chain: &Path, dir: &Path, upstreams: &[&str], agree: &str) -> (Running, String) {
    let network = chain.join("network.toml");
    let mut args = vec!["run", "--network", text(&network), "--data-dir", text(dir), "--agree", agree];
    args.extend(["--downstream", "127.0.0.1:0"]);
    upstreams.iter().for_each(|upstream| args.extend(["--upstream", upstream]));
    let mut node = Running::spawn(&args);
    let address = address_of(&node.until("started"));
    (node, address)
}

#[test]
fn the_admin_api_answers_on_a_loopback_address_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (_devnet, origin) = devnet(&at("chain"));
    let (network, copy) = (at("chain").join("network.toml"), at("copy"));
    let mut args = vec!["run", "--network", text(&network), "--data-dir", text(&copy), "--upstream", &origin];
    args.extend(["--admin", "127.0.0.1:0"]);
    let mut node = Running::spawn(&args);
    let started = node.until("started");
    let admin = started["admin"].as_str().expect("an address");
    let status = run(&["status", "--admin", admin, "--json"]).expect_code(0).json();
    assert_eq!(status["magic"], 2622);
    let refused = run(&["tx", "put", "k", "v", "--admin", admin]);
    refused.expect_code(1).expect_stderr("makes no blocks");
    node.interrupt();
    node.wait().expect_code(0);
}

/// Asks a node until it says so; gives what it said.
fn until_status(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    let asked = Instant::now();
    loop {
        let status = run(&["status", "--data-dir", text(data_dir), "--json"]).expect_code(0).json();
        if is_so(&status) {
            return status;
        }
        assert!(asked.elapsed() < PATIENCE, "it never says so: {status}");
    }
}

#[test]
fn two_of_three_upstreams_are_enough_to_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (mut devnet, origin) = devnet(&at("chain"));
    devnet.until("block");
    let (_first, a) = node(&at("chain"), &at("a"), &[&origin], "1");
    let (mut second, b) = node(&at("chain"), &at("b"), &[&origin], "1");
    let (_last, served) = node(&at("chain"), &at("last"), &[&origin, &a, &b], "2");
    let before = follow(&served, "devnet", 3).len() as u64;
    second.kill();
    follow(&served, "devnet", before + 10);
    // Blocks become irreversible still: two serve them.
    until_status(&at("last"), |status| number(&status["settled"]) > before + 5);
}

#[test]
fn an_upstream_with_another_chain_is_let_go_and_said_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (mut honest, origin) = devnet(&at("chain"));
    let (mut other, liar) = devnet(&at("other"));
    honest.until("block");
    other.until("block");
    let (_node, served) = node(&at("chain"), &at("node"), &[&liar, &origin], "1");
    let followed = follow(&served, "devnet", 8);
    assert_eq!(
        followed.iter().map(|line| &line["hash"]).collect::<Vec<_>>(),
        follow(&origin, "devnet", 8).iter().map(|line| &line["hash"]).collect::<Vec<_>>()
    );
    let status = until_status(&at("node"), |status| status["upstream_list"][0]["last_reason"].is_string());
    let upstreams = status["upstream_list"].as_array().expect("a list");
    let reason = upstreams[0]["last_reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("invalid header"), "{reason}");
    assert_eq!(upstreams[1]["state"], "following");
}

#[test]
fn output_that_nobody_reads_any_more_is_no_failure() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_devnet, address) = devnet(&dir.path().join("chain"));
    let mut command = common::anabranch(&["follow", &address, "--network", "devnet", "--from", "origin"]);
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    let finished = child.wait_with_output().expect("it ends");
    assert_eq!(finished.status.code(), Some(0), "{}", String::from_utf8_lossy(&finished.stderr));
}

#[test]
fn refuses_a_directory_with_another_chain_of_the_same_magic() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (mut mine, _) = devnet(&at("mine"));
    let (mut other, _) = devnet(&at("other"));
    for devnet in [&mut mine, &mut other] {
        devnet.until("block");
        devnet.until("block");
        devnet.interrupt();
    }
    mine.wait().expect_code(0);
    other.wait().expect_code(0);
    let (network, mine) = (at("other").join("network.toml"), node_of(&at("mine")));
    let args = ["run", "--network", text(&network), "--data-dir", text(&mine), "--downstream", "127.0.0.1:0"];
    run(&args).expect_code(4).expect_stderr("another chain");
}

#[test]
fn a_directory_knows_its_network() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let (mut devnet, _) = devnet(&chain);
    devnet.until("block");
    devnet.interrupt();
    devnet.wait().expect_code(0);
    let verified =
        run(&["db", "verify", "--data-dir", text(&node_of(&chain)), "--json"]).expect_code(0).json();
    assert_eq!(verified["blocks"], verified["settled"]);
    assert!(number(&verified["blocks"]) > 0);
}

/// Four validators in a directory that they keep.
fn four(dir: &Path) -> Running {
    Running::spawn(&["devnet", "--data-dir", text(dir), "--downstream", "127.0.0.1:0", "--every", "100ms"])
}

fn order(verb: &str, node: &str, dir: &Path) -> common::Finished {
    run(&["devnet", verb, node, "--data-dir", text(dir), "--json"])
}

/// Waits for so many blocks after the next one.
fn more_blocks(devnet: &mut Running, count: u64) -> u64 {
    let from = number(&devnet.until("block")["height"]);
    loop {
        let height = number(&devnet.until("block")["height"]);
        if height >= from + count {
            return height;
        }
    }
}

#[test]
fn four_validators_agree_while_each_is_killed_and_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let mut devnet = four(&chain);
    (0..4).for_each(|_| drop(devnet.until("started")));
    more_blocks(&mut devnet, 2);
    for node in ["1", "node-3"] {
        order("kill", node, &chain).expect_code(0);
        order("kill", node, &chain).expect_code(1).expect_stderr("is down");
        let height = more_blocks(&mut devnet, 3);
        order("start", node, &chain).expect_code(0);
        order("start", node, &chain).expect_code(1).expect_stderr("is running");
        let back = chain.join(if node == "1" { "node-1" } else { node });
        until_status(&back, |status| number(&status["settled"]) > height + 1);
    }
    order("kill", "9", &chain).expect_code(1).expect_stderr("give one of node-1, node-2");
    devnet.interrupt();
    let summary = devnet.until("stopped");
    devnet.wait().expect_code(0);
    let nodes = summary["nodes"].as_array().expect("a list");
    assert_eq!(nodes.len(), 4, "{summary}");
    let heights: Vec<u64> = nodes.iter().map(|node| number(&node["final_height"])).collect();
    let (least, most) = (heights.iter().min().expect("some"), heights.iter().max().expect("some"));
    assert!(most - least <= 3, "they go together: {summary}");
    assert!(number(&summary["transactions"]) > 0 && summary["finality_ms"]["p50"].is_number(), "{summary}");
    for node in 1..=4 {
        let data = chain.join(format!("node-{node}"));
        run(&["db", "verify", "--data-dir", text(&data), "--json"]).expect_code(0);
    }
}

#[test]
fn a_transaction_put_in_at_a_follower_becomes_final() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let args = ["devnet", "--data-dir", text(&chain), "--downstream", "127.0.0.1:0", "--followers", "1"];
    let mut devnet = Running::spawn(&[&args[..], &["--no-made-up", "--every", "500ms"]].concat());
    (0..5).for_each(|_| drop(devnet.until("started")));
    let follower = chain.join("follower-1");
    run(&["tx", "put", "--data-dir", text(&follower), "greeting", "hello"]).expect_code(0);
    loop {
        let block = devnet.until("block");
        let puts = block["puts"].as_array().expect("a list");
        if puts.iter().any(|put| put["key"] == "greeting" && put["value"] == "hello") {
            let height = number(&block["height"]);
            until_status(&follower, |status| number(&status["irreversible"]["height"]) >= height);
            break;
        }
    }
}

#[test]
fn a_devnet_of_another_size_is_refused_with_what_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let chain = dir.path().join("chain");
    let args =
        ["devnet", "--data-dir", text(&chain), "--downstream", "127.0.0.1:0", "--for", "1ms", "--nodes"];
    run(&[&args[..], &["2"]].concat()).expect_code(0);
    run(&[&args[..], &["3"]].concat()).expect_code(4).expect_stderr("2 validators and 0 followers");
    order("kill", "1", &chain).expect_code(7).expect_stderr("no devnet answers");
}

#[test]
fn a_network_for_several_machines_is_laid_out_and_never_over_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let net = dir.path().join("net");
    let args = ["init", text(&net), "--machine", "10.0.0.1:4001", "--machine", "10.0.0.2:4001"];
    let laid = run(&[&args[..], &["--follower", "10.0.0.9:4001", "--json"]].concat()).expect_code(0).json();
    let machines = laid["machines"].as_array().expect("a list");
    assert_eq!(machines.len(), 3, "{laid}");
    let config = std::fs::read_to_string(net.join("node-1").join("anabranch.toml")).expect("written");
    let other = format!("{}@10.0.0.2:4001", machines[1]["peer"].as_str().expect("a key"));
    assert!(config.contains(&other) && !config.contains("10.0.0.1"), "{config}");
    for name in ["node-1", "node-2", "follower-1"] {
        let file = net.join(name).join("anabranch.toml");
        run(&["config", "check", "--config", text(&file)]).expect_code(0);
        assert_eq!(net.join(name).join("validator.key").is_file(), name != "follower-1");
    }
    run(&args).expect_code(4).expect_stderr("give a new directory");
    run(&["init", "x", "--machine", "nowhere"]).expect_code(2).expect_stderr("HOST:PORT");
}
