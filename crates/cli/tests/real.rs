//! All blocks of the real data: imported, verified, exported, served, followed, synced from one node to another.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Running, run, text};
use serde_json::Value;
use testdata::PREVIEW_BLOCKS;

/// The last block of the data.
const LAST: &str = "f47eb039637ba8da866d5a400e81abe468833a158802a6edd708c0559240fc48";

fn import(immutable: &Path, data_dir: &Path) -> Value {
    let args =
        ["import", "--immutable", text(immutable), "--network", "preview", "--data-dir", text(data_dir)];
    run(&[&args[..], &["--json"]].concat()).expect_code(0).json()
}

fn serve(data_dir: &Path, more: &[&str]) -> (Running, String) {
    let args = ["run", "--network", "preview", "--data-dir", text(data_dir), "--downstream", "127.0.0.1:0"];
    let mut node = Running::spawn(&[&args[..], more].concat());
    let started = node.until("started");
    (node, started["downstream"][0].as_str().expect("an address").to_owned())
}

fn follow_all(address: &str, more: &[&str]) -> Vec<Value> {
    let count = PREVIEW_BLOCKS.to_string();
    let args = ["follow", address, "--network", "preview", "--from", "origin", "--count", &count, "--json"];
    let followed = run(&[&args[..], more].concat()).expect_code(0);
    followed.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// The first chunks of the data, in a directory of their own.
fn some_chunks(from: &Path, count: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for number in 0..count {
        for extension in ["chunk", "primary", "secondary"] {
            let name = format!("{number:05}.{extension}");
            fs::copy(from.join(&name), dir.path().join(&name)).expect("copied");
        }
    }
    dir
}

#[test]
fn imports_serves_and_syncs_every_block() {
    let Some(blocks) = testdata::preview() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let imported = import(&blocks, &first);
    assert_eq!(imported["imported"], PREVIEW_BLOCKS);
    assert!(imported["tip"]["point"].as_str().expect("text").ends_with(LAST));
    let again = import(&blocks, &first);
    assert_eq!((&again["imported"], &again["found"]), (&0.into(), &PREVIEW_BLOCKS.into()));

    let (node, address) = serve(&first, &[]);
    let headers = follow_all(&address, &[]);
    assert_eq!(headers.len() as u64, PREVIEW_BLOCKS + 1, "a roll-back to origin, then every header");
    assert_eq!(headers.last().expect("many")["hash"], LAST);

    let (copy, copied) = serve(&second, &["--upstream", &address]);
    let synced = follow_all(&copied, &["--blocks"]);
    assert_eq!(synced.len(), headers.len());
    for (ours, theirs) in synced[1..].iter().zip(&headers[1..]) {
        assert_eq!(ours["hash"], theirs["hash"]);
        assert!(ours["block_bytes"].is_u64(), "the block came with it");
    }
    let status = run(&["status", "--data-dir", text(&second), "--json"]).expect_code(0).json();
    let checks = &status["checks"];
    println!("checks while syncing: {checks}");
    assert_eq!(checks["headers"], PREVIEW_BLOCKS);
    assert_eq!(checks["signatures"], PREVIEW_BLOCKS);
    assert_eq!(checks["certificates"], PREVIEW_BLOCKS);
    assert_eq!(checks["nonces_unknown"], 0);
    for node in [copy, node] {
        node.interrupt();
        node.wait().expect_code(0);
    }
    let verified = run(&["db", "verify", "--network", "preview", "--data-dir", text(&second), "--json"]);
    let verified = verified.expect_code(0).json();
    assert_eq!(verified["blocks"], verified["settled"]);
}

#[test]
fn verifies_and_exports_what_it_imported() {
    let Some(blocks) = testdata::preview() else { return };
    let blocks = some_chunks(&blocks, 8);
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("store");
    let imported = import(blocks.path(), &store);
    let place = ["--network", "preview", "--data-dir", text(&store)];
    let verify = ["db", "verify", "--check", "headers", "--json"];
    let verified = run(&[&verify[..], &place].concat()).expect_code(0).json();
    assert_eq!(verified["blocks"], imported["imported"]);
    assert_eq!(verified["checks"]["kes"], imported["imported"]);
    assert_eq!(verified["checks"]["nonces_unknown"], 0);

    let file = dir.path().join("blocks.cbor");
    let export = ["db", "export", "--output", text(&file), "--json"];
    run(&[&export[..], &place].concat()).expect_code(0);
    let whole: Vec<u8> = (0..8).flat_map(|number| read(blocks.path(), number)).collect();
    assert!(fs::read(&file).expect("there") == whole, "the same bytes as the chunk files");
    run(&[&export[..], &place].concat()).expect_code(1).expect_stderr("does not exist yet");

    let again = dir.path().join("immutable");
    run(&[&["db", "export", "--immutable", text(&again)], &place[..]].concat()).expect_code(0);
    let reimported = import(&again, &dir.path().join("other"));
    assert_eq!(reimported["imported"], imported["imported"]);
}

fn read(dir: &Path, number: usize) -> Vec<u8> {
    fs::read(dir.join(format!("{number:05}.chunk"))).expect("there")
}

#[test]
fn stops_at_damage_keeps_what_is_whole_and_goes_on_when_it_is_mended() {
    let Some(blocks) = testdata::preview() else { return };
    let damaged = some_chunks(&blocks, 4);
    let dir = tempfile::tempdir().expect("a directory");
    let chunk = damaged.path().join("00002.chunk");
    let sound = fs::read(&chunk).expect("there");
    // Inside a block: the blocks here are of one size, and half of them end where one ends.
    fs::write(&chunk, &sound[..sound.len() / 2 + 7]).expect("cut");
    let args = ["import", "--immutable", text(damaged.path()), "--network", "preview"];
    let args = [&args[..], &["--data-dir", text(dir.path()), "--json"]].concat();
    let stopped = run(&args).expect_code(6).expect_stderr("00002.chunk");
    assert!(stopped.json()["stop"].as_str().expect("text").contains("at byte"));
    let kept = stopped.json()["imported"].as_u64().expect("a number");
    assert!(kept > 0);
    fs::write(&chunk, &sound).expect("mended");
    let mended = run(&args).expect_code(0).json();
    assert_eq!(mended["found"], kept);
    let whole = run(&["db", "verify", "--network", "preview", "--data-dir", text(dir.path()), "--json"]);
    assert_eq!(whole.expect_code(0).json()["blocks"], kept + mended["imported"].as_u64().expect("a number"));
}

#[test]
fn asks_for_the_network_when_not_even_the_first_block_fits() {
    let Some(blocks) = testdata::preview() else { return };
    let blocks = some_chunks(&blocks, 1);
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["import", "--immutable", text(blocks.path()), "--network", "preprod", "--data-dir"];
    let args = [&args[..], &[text(dir.path())]].concat();
    run(&args).expect_code(6).expect_stderr("are these blocks of the network `preprod`?");
}

#[test]
fn refuses_to_mix_networks_in_one_directory() {
    let Some(blocks) = testdata::preview() else { return };
    let blocks = some_chunks(&blocks, 1);
    let dir = tempfile::tempdir().expect("a directory");
    import(blocks.path(), dir.path());
    let files = || -> Vec<PathBuf> {
        fs::read_dir(dir.path()).expect("there").map(|entry| entry.expect("read").path()).collect()
    };
    let before = files();
    for command in ["run", "db verify"] {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.extend(["--network", "preprod", "--data-dir", text(dir.path())]);
        if command == "run" {
            args.extend(["--downstream", "127.0.0.1:0"]);
        }
        run(&args).expect_code(4).expect_stderr("preview");
    }
    assert_eq!(files(), before, "nothing was touched");
}

#[test]
fn a_directory_without_chunks_is_no_immutable_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let (empty, store) = (dir.path().join("empty"), dir.path().join("store"));
    fs::create_dir(&empty).expect("made");
    for wrong in [empty, dir.path().join("absent")] {
        let args =
            ["import", "--immutable", text(&wrong), "--network", "preview", "--data-dir", text(&store)];
        run(&args).expect_code(1).expect_stderr("immutable");
        assert!(!store.exists(), "nothing was made");
    }
}

#[test]
fn a_node_that_is_killed_while_it_syncs_goes_on() {
    let Some(blocks) = testdata::preview() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    import(&blocks, &first);
    let (_node, address) = serve(&first, &[]);
    for count in [500, 5_000] {
        let (mut copy, copied) = serve(&second, &["--upstream", &address]);
        let count = count.to_string();
        let args = ["follow", &copied, "--network", "preview", "--from", "origin", "--count", &count];
        run(&args).expect_code(0);
        copy.kill();
    }
    let (_copy, copied) = serve(&second, &["--upstream", &address]);
    assert_eq!(follow_all(&copied, &[]).last().expect("many")["hash"], LAST);
}
