//! Keys, peers' names and places: what the program makes of right ones, and what it says to wrong ones.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Running, run, text};
use serde_json::Value;

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

#[test]
fn a_key_is_made_once_and_shown_as_often_as_one_likes() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("my.key");
    let made = run(&["key", "generate", "--identity", text(&file)]).expect_code(0);
    assert_eq!(made.stdout.trim().len(), 64, "{}", made.stdout);
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o600);
    let shown = run(&["key", "show", "--json", "--identity", text(&file)]).expect_code(0).json();
    assert_eq!(shown["key"], made.stdout.trim());
    assert_eq!(shown["file"], text(&file));
    let secret = std::fs::read_to_string(&file).expect("there");
    assert_ne!(secret.trim(), made.stdout.trim(), "the secret is not what is shown");
    run(&["key", "generate", "--identity", text(&file)]).expect_code(3).expect_stderr("already");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), secret, "and it is as it was");
}

#[test]
fn a_key_is_in_the_data_directory_where_nothing_else_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("new");
    run(&["key", "show", "--data-dir", text(&data)]).expect_code(3).expect_stderr("anabranch key generate");
    let made = run(&["key", "generate", "--data-dir", text(&data)]).expect_code(0);
    assert!(data.join("peer.key").is_file());
    // It is not in the way of a first start.
    let args = ["run", "--network", "preview", "--data-dir", text(&data), "--downstream", "127.0.0.1:0"];
    let mut node = Running::spawn(&args);
    node.until("started");
    node.interrupt();
    node.wait().expect_code(0);
    let shown = run(&["key", "show", "--data-dir", text(&data)]).expect_code(0);
    assert_eq!(shown.stdout, made.stdout);
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("my.key");
    run(&["key", "generate", "--identity", text(&file)]).expect_code(0);
    set_mode(&file, 0o644);
    let mend = format!("chmod 600 {}", text(&file));
    run(&["key", "show", "--identity", text(&file)]).expect_code(9).expect_stderr(&mend);
    set_mode(&file, 0o600);
    run(&["key", "show", "--identity", text(&file)]).expect_code(0);
}

#[test]
fn a_file_that_is_no_key_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("my.key");
    std::fs::write(&file, "not a key").expect("written");
    set_mode(&file, 0o600);
    run(&["key", "show", "--identity", text(&file)]).expect_code(3).expect_stderr("64 hexadecimal digits");
    run(&["key", "show", "--identity", text(dir.path())]).expect_code(3).expect_stderr("no plain file");
}

#[test]
fn a_peer_that_does_not_parse_says_which_part_is_wrong() {
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    for (peer, part) in [
        ("relay:4001", "KEY@HOST:PORT"),
        ("1234@relay:4001", "64 hexadecimal digits"),
        (&format!("01{}@relay:4001", "00".repeat(31)), "no Ed25519 public key"),
        (&format!("{key}@relay"), "HOST:PORT"),
        (&format!("{key}@relay:0"), "HOST:PORT"),
        (&format!("{key}@unix:"), "unix:PATH"),
    ] {
        run(&["run", "--network", "preview", "--peer", peer]).expect_code(2).expect_stderr(part);
    }
    run(&["run", "--network", "preview", "--listen", "relay:1"]).expect_code(2).expect_stderr("to listen at");
}

/// A node that listens for peers and does nothing else, its key, and where it listens.
fn node(dir: &Path, more: &[&str]) -> (Running, String, String) {
    let args = ["run", "--network", "preview", "--data-dir", text(dir), "--listen", "127.0.0.1:0"];
    let mut node = Running::spawn(&[&args[..], more].concat());
    let started = node.until("started");
    let part = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned();
    let (key, listen) = (part(&started["peer"]), part(&started["listen"][0]));
    (node, key, listen)
}

fn ping(peer: &str, more: &[&str]) -> common::Finished {
    run(&[&["ping", peer, "--network", "preview", "--json"], more].concat())
}

/// The JSON object that an error is.
fn error(finished: &common::Finished) -> Value {
    let last = finished.stderr.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", finished.stderr))
}

#[test]
fn a_first_start_makes_the_key_that_peers_are_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let (node, key, _) = node(&data, &[]);
    let shown = run(&["key", "show", "--data-dir", text(&data)]).expect_code(0);
    assert_eq!(shown.stdout.trim(), key);
    node.interrupt();
    node.wait().expect_code(0);
    let absent = dir.path().join("absent.key");
    let args = ["run", "--network", "preview", "--data-dir", text(&data), "--listen", "127.0.0.1:0"];
    let named = run(&[&args[..], &["--identity", text(&absent)]].concat());
    named.expect_code(3).expect_stderr("anabranch key generate");
    assert!(!absent.exists(), "a key that was named is not made up");
    set_mode(&data.join("peer.key"), 0o640);
    run(&args).expect_code(9).expect_stderr("chmod 600");
}

#[test]
fn a_peer_is_pinged() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_node, key, listen) = node(dir.path(), &[]);
    let pinged = ping(&format!("{key}@{listen}"), &["--count", "3", "--size", "4096"]).expect_code(0);
    let lines: Vec<Value> =
        pinged.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("connected").len(), 1, "{lines:?}");
    assert_eq!(of("connected")[0]["peer"], key.as_str());
    assert!(of("connected")[0]["handshake_ms"].as_f64().expect("a number") > 0.0);
    assert!(of("connected")[0]["channels"].as_array().expect("a list").len() >= 7);
    assert_eq!(of("pong").len(), 3, "{lines:?}");
    assert!(of("pong").iter().all(|pong| pong["round_trip_ms"].as_f64().expect("a number") > 0.0));
    assert!(of("echo")[0]["mb_per_s"].as_f64().expect("a number") > 0.0, "{lines:?}");
}

#[test]
fn a_wrong_key_is_a_matter_of_security() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_node, key, listen) = node(dir.path(), &[]);
    let other = run(&["key", "generate", "--identity", text(&dir.path().join("other.key"))]).expect_code(0);
    let wrong = ping(&format!("{}@{listen}", other.stdout.trim()), &[]).expect_code(9);
    let error = error(&wrong);
    assert_eq!(error["kind"], "security");
    let message = error["error"].as_str().expect("text");
    assert!(message.contains(&key) && message.contains(other.stdout.trim()), "{message}");
    assert!(error["hint"].as_str().expect("text").contains("key show"));
}

#[test]
fn pinging_oneself_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_node, key, listen) = node(dir.path(), &[]);
    let file = dir.path().join("peer.key");
    let own = ping(&format!("{key}@{listen}"), &["--identity", text(&file)]);
    own.expect_code(3).expect_stderr("own key");
}

#[test]
fn a_node_that_is_told_to_dial_itself_does_not_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = run(&["key", "generate", "--data-dir", text(dir.path())]).expect_code(0);
    let peer = format!("{}@127.0.0.1:4001", made.stdout.trim());
    let args = ["run", "--network", "preview", "--data-dir", text(dir.path()), "--peer", &peer];
    run(&args).expect_code(3).expect_stderr("own key");
}

#[test]
fn nobody_there_and_no_such_host_are_told_apart() {
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let free = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    ping(&format!("{key}@{free}"), &[]).expect_code(5).expect_stderr("refused");
    ping(&format!("{key}@no-such-host.invalid:4001"), &[])
        .expect_code(5)
        .expect_stderr("no-such-host.invalid");
}

#[test]
fn what_is_no_node_is_no_matter_of_security() {
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it dials");
        stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").expect("sent");
        // Until the program has gone away.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    ping(&format!("{key}@{address}"), &[]).expect_code(5).expect_stderr("an Anabranch node");
    other.join().expect("no panic");
}

#[test]
fn a_port_in_use_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    let data = text(dir.path());
    let args = ["run", "--network", "preview", "--data-dir", data, "--listen", &address];
    run(&args).expect_code(5).expect_stderr("--listen").expect_stderr(&address);
}

#[test]
fn a_peer_of_another_network_or_cipher_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_node, key, listen) = node(dir.path(), &[]);
    let peer = format!("{key}@{listen}");
    let other = run(&["ping", &peer, "--network", "preprod"]);
    other.expect_code(5).expect_stderr("another network").expect_stderr("--network");
    let file = dir.path().join("other.toml");
    std::fs::write(&file, "[link]\ncipher = 'chachapoly'\n").expect("written");
    let cipher = ping(&peer, &["--config", text(&file)]);
    cipher.expect_code(5).expect_stderr("cipher");
}

#[test]
fn who_is_denied_or_not_allowed_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = |name: &str| {
        let file = dir.path().join(name);
        let made = run(&["key", "generate", "--identity", text(&file)]).expect_code(0);
        (made.stdout.trim().to_owned(), text(&file).to_owned())
    };
    let ((friend, friends), (foe, foes)) = (key("friend"), key("foe"));
    let config = dir.path().join("peers.toml");
    std::fs::write(&config, format!("[peers]\nallow = ['{friend}']\n")).expect("written");
    let (_allows, key, listen) = node(&dir.path().join("allows"), &["--config", text(&config)]);
    let peer = format!("{key}@{listen}");
    ping(&peer, &["--identity", &friends, "--count", "1"]).expect_code(0);
    ping(&peer, &["--identity", &foes, "--count", "1"]).expect_code(5).expect_stderr("not allowed");
    std::fs::write(&config, format!("[peers]\ndeny = ['{foe}']\n")).expect("written");
    let (_denies, key, listen) = node(&dir.path().join("denies"), &["--config", text(&config)]);
    let peer = format!("{key}@{listen}");
    ping(&peer, &["--identity", &friends, "--count", "1"]).expect_code(0);
    ping(&peer, &["--identity", &foes, "--count", "1"]).expect_code(5).expect_stderr("not allowed");
}

#[test]
fn a_ban_holds_over_a_restart_until_it_is_lifted() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let file = dir.path().join("foe.key");
    let foe = run(&["key", "generate", "--identity", text(&file)]).expect_code(0).stdout;
    let peer = |command: &str, key: &str| run(&["peer", command, key.trim(), "--data-dir", text(&data)]);
    let foe_pings = |at: &str| ping(at, &["--identity", text(&file), "--count", "1"]);
    let (first, key, listen) = node(&data, &[]);
    foe_pings(&format!("{key}@{listen}")).expect_code(0);
    peer("ban", &foe).expect_code(0);
    foe_pings(&format!("{key}@{listen}")).expect_code(5).expect_stderr("banned");
    first.interrupt();
    first.wait().expect_code(0);
    let (_second, key, listen) = node(&data, &[]);
    foe_pings(&format!("{key}@{listen}")).expect_code(5).expect_stderr("banned");
    let listed = run(&["peers", "--data-dir", text(&data), "--json"]).expect_code(0).json();
    assert_eq!(listed["banned"][0], foe.trim());
    peer("pin", &foe).expect_code(1).expect_stderr("is banned").expect_stderr("peer unban");
    peer("unban", &foe).expect_code(0);
    foe_pings(&format!("{key}@{listen}")).expect_code(0);
    // What cannot be is refused with what to do.
    peer("ban", &key).expect_code(1).expect_stderr("own key");
    peer("ban", "1234").expect_code(2).expect_stderr("64 hexadecimal digits");
}

#[test]
fn what_was_said_of_peers_is_there_after_a_restart_and_a_damaged_file_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let at = format!("{key}@127.0.0.1:9");
    let peer = |command: &str, name: &str| run(&["peer", command, name, "--data-dir", text(&data)]);
    let known =
        || run(&["peers", "--data-dir", text(&data), "--json"]).expect_code(0).json()["known"].clone();
    let (first, ..) = node(&data, &[]);
    peer("add", key).expect_code(2);
    peer("add", &at).expect_code(0);
    peer("pin", key).expect_code(0);
    first.interrupt();
    first.wait().expect_code(0);
    let (mut second, ..) = node(&data, &[]);
    assert_eq!(known()[0]["peer"], key);
    assert_eq!((&known()[0]["address"], &known()[0]["pinned"]), (&"127.0.0.1:9".into(), &true.into()));
    peer("drop", key).expect_code(0);
    assert_eq!(known().as_array().map(Vec::len), Some(0));
    second.kill();
    let book = data.join("peers.redb");
    std::fs::write(&book, "not what it was").expect("written");
    let args = ["run", "--network", "preview", "--data-dir", text(&data), "--listen", "127.0.0.1:0"];
    run(&args).expect_code(6).expect_stderr("peers.redb").expect_stderr("remove it");
    assert_eq!(std::fs::read_to_string(&book).expect("there"), "not what it was");
}

#[test]
fn a_wrong_key_is_told_in_the_log_and_in_the_list_of_peers() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_other, found, listen) = node(&dir.path().join("other"), &[]);
    let expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let data = dir.path().join("data");
    let (node, ..) = node(&data, &["--peer", &format!("{expected}@{listen}")]);
    let mut watched = Running::spawn(&["peers", "--data-dir", text(&data), "--watch", "50ms"]);
    let failure = loop {
        let known = watched.next()["known"][0].clone();
        assert_eq!(known["peer"], expected);
        if let Some(failure) = known["last_failure"].as_str() {
            break failure.to_owned();
        }
    };
    assert!(failure.contains(&found), "{failure}");
    node.interrupt();
    let stopped = node.wait().expect_code(0);
    assert!(stopped.stderr.contains("ERROR") && stopped.stderr.contains("security"), "{}", stopped.stderr);
}

#[test]
fn asking_about_peers_of_a_node_that_does_not_run_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = text(dir.path());
    run(&["peers", "--data-dir", data]).expect_code(7).expect_stderr("anabranch run");
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    run(&["peer", "ban", key, "--data-dir", data]).expect_code(7);
}

#[test]
fn a_configuration_of_peers_that_makes_no_sense_says_where() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("anabranch.toml");
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    for (toml, part) in [
        ("[peers]\ndial = ['relay:4001']\n".to_owned(), "line 2"),
        (format!("[peers]\ndial = ['{key}@a:1']\ndeny = ['{key}']\n"), "peers.deny"),
        ("[peers]\nreserved = 1000\n".into(), "peers.reserved"),
        ("[link]\nping_interval_ms = 80000\n".into(), "link.dead_after_ms"),
        ("[link.channels.blocks]\nshare = 2\n".into(), "bodies"),
    ] {
        std::fs::write(&file, toml).expect("written");
        run(&["config", "check", "--config", text(&file)]).expect_code(3).expect_stderr(part);
    }
}
