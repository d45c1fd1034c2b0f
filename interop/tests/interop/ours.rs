//! The tests.

use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use crate::pallas;
use crate::program::{self, Node};
use crate::real::{self, Block};

/// Preview's k: what is less deep can still be rolled back, and is not in the log yet.
const K: u64 = 432;

/// The program, the real chain, and a directory; nothing where one of the first two is missing.
fn scene() -> Option<(std::path::PathBuf, &'static Path, &'static [Block], TempDir)> {
    let program = program::path()?;
    let (folder, chain) = real::chain()?;
    Some((program, folder, chain, tempfile::tempdir().expect("a directory")))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn import(program: &Path, folder: &Path, db: &Path, check: &str) -> serde_json::Value {
    let source = ["import", "--immutable", text(folder), "--network", "preview"];
    let report =
        program::answer(program, &[&source[..], &["--data-dir", text(db), "--check", check]].concat());
    println!("import --check {check}: {report}");
    report
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn all_real_blocks_are_imported_checked_verified_and_exported_unchanged() {
    let Some((program, folder, chain, dir)) = scene() else { return };
    let db = dir.path().join("db");
    let report = import(&program, folder, &db, "headers");
    let count = chain.len() as u64;
    assert_eq!(report["imported"], count);
    let checks = &report["checks"];
    // Two proofs in each header of Alonzo (block era 5), one in each of Babbage.
    let proofs = count + chain.iter().filter(|block| block.raw[1] == 5).count() as u64;
    assert_eq!((&checks["kes"], &checks["certificates"]), (&count.into(), &count.into()));
    assert_eq!((&checks["vrf"], &checks["nonces_unknown"]), (&proofs.into(), &0.into()));
    println!(
        "checked {count} KES signatures, {count} certificates, {proofs} VRF proofs; no nonce was unknown"
    );

    let again = import(&program, folder, &db, "links");
    assert_eq!((&again["imported"], &again["found"]), (&0.into(), &count.into()), "nothing twice");

    let place = ["--network", "preview", "--data-dir", text(&db)];
    let start = Instant::now();
    let verified = program::answer(&program, &[&["db", "verify", "--check", "headers"][..], &place].concat());
    println!("db verify: {verified}, {:.1} s", start.elapsed().as_secs_f64());
    let file = dir.path().join("blocks");
    let exported =
        program::answer(&program, &[&["db", "export", "--output", text(&file)][..], &place].concat());
    println!("db export: {exported}");
    let all: Vec<u8> = chain.iter().flat_map(|block| block.raw.iter().copied()).collect();
    assert!(std::fs::read(&file).expect("the export") == all, "the export is not what the chunk files hold");
}

#[test]
fn pallas_follows_our_server_over_all_real_blocks() {
    let Some((program, folder, chain, dir)) = scene() else { return };
    let db = dir.path().join("db");
    import(&program, folder, &db, "links");
    let config = dir.path().join("anabranch.toml");
    std::fs::write(&config, "[downstream]\nshared_peers = [\"10.7.7.10:3001\"]\n").expect("written");
    let node = Node::run(&program, &db, &["--config", text(&config)]);
    let runtime = runtime();
    let start = Instant::now();
    runtime.block_on(pallas::follow(node.address, chain));
    println!("pallas followed {} headers in {:.1} s", chain.len(), start.elapsed().as_secs_f64());
    let start = Instant::now();
    runtime.block_on(pallas::load(node.address, chain));
    println!("pallas loaded all blocks in {:.1} s", start.elapsed().as_secs_f64());
    runtime.block_on(pallas::intersect(node.address, chain));
    runtime.block_on(pallas::stranger_is_refused(node.address));
    let versions = runtime.block_on(pallas::versions(node.address));
    assert!(versions.contains(&14), "{versions:?}");
    let peers = runtime.block_on(pallas::peers(node.address));
    // An address that reads the same from both ends: the reference sends an IPv4 address as the number that its bytes
    // are to a little-endian machine, and so do we; pallas takes it for big-endian.
    assert_eq!(peers, ["10.7.7.10:3001"]);

    // Nothing is lost when its machine loses power, and it serves on.
    node.kill();
    let node = Node::run(&program, &db, &[]);
    runtime.block_on(pallas::follow(node.address, chain));
}

#[test]
fn our_node_follows_another_over_all_real_blocks_and_serves_them_on() {
    let Some((program, folder, chain, dir)) = scene() else { return };
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    import(&program, folder, &first, "links");
    let server = Node::run(&program, &first, &[]);
    let upstream = server.address.to_string();
    let start = Instant::now();
    let node = Node::run(&program, &second, &["--upstream", &upstream]);
    let status = node.reaches(chain.last().expect("a chain").height());
    println!("followed our own server in {:.1} s: {status}", start.elapsed().as_secs_f64());
    let count = chain.len() as u64;
    assert_eq!(status["checks"]["nonces_unknown"], 0, "{status}");
    assert!(status["checks"]["headers"].as_u64() >= Some(count), "{status}");
    assert!(status["checks"]["bodies"].as_u64() >= Some(count), "{status}");
    assert!(status["settled"].as_u64() <= Some(count - K), "what is not deep is not settled: {status}");
    let runtime = runtime();
    runtime.block_on(pallas::follow(node.address, chain));
    runtime.block_on(pallas::load(node.address, chain));

    // Its forks come back too when its machine loses power, without the upstream.
    node.kill();
    drop(server);
    let node = Node::run(&program, &second, &[]);
    node.reaches(chain.last().expect("a chain").height());
    runtime.block_on(pallas::follow(node.address, chain));
}

#[test]
fn our_follower_prints_every_real_block_of_our_server() {
    let Some((program, folder, chain, dir)) = scene() else { return };
    let db = dir.path().join("db");
    import(&program, folder, &db, "links");
    let node = Node::run(&program, &db, &[]);
    follow_and_compare(&program, node.address, chain);
}

#[test]
fn our_follower_and_our_node_follow_the_server_of_pallas() {
    let Some((program, _, chain, dir)) = scene() else { return };
    let runtime = runtime();
    let server = runtime.block_on(pallas::Server::start(chain));
    follow_and_compare(&program, server.address, chain);
    let upstream = server.address.to_string();
    let start = Instant::now();
    let node = Node::run(&program, &dir.path().join("db"), &["--upstream", &upstream]);
    let status = node.reaches(chain.last().expect("a chain").height());
    println!("followed the server of pallas in {:.1} s: {status}", start.elapsed().as_secs_f64());
    assert_eq!(status["checks"]["nonces_unknown"], 0, "{status}");
    runtime.block_on(pallas::load(node.address, chain));
}

fn follow_and_compare(program: &Path, address: std::net::SocketAddr, chain: &[Block]) {
    let start = Instant::now();
    let (address, count) = (address.to_string(), chain.len().to_string());
    let arguments =
        ["follow", &address, "--network", "preview", "--from", "origin", "--blocks", "--count", &count];
    let output = program::run(program, &arguments);
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("text");
    let mut blocks = chain.iter();
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if event["event"] == "forward" {
            let block = blocks.next().expect("no more than asked for");
            let told = format!("{}.{}", event["slot"], event["hash"].as_str().expect("a hash"));
            assert_eq!(told, block.point());
            assert_eq!(event["height"], block.height());
            assert_eq!(event["block_bytes"], block.raw.len());
        }
    }
    assert_eq!(blocks.len(), 0, "all were told");
    println!("followed {count} blocks of {address} in {:.1} s", start.elapsed().as_secs_f64());
}
