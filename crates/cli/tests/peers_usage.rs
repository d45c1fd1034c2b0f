//! Keys, peers' names and places: what the program makes of right ones, and what it says to wrong ones.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{run, text};

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
    run(&["devnet", "--data-dir", text(&data), "--downstream", "127.0.0.1:0", "--for", "1ms"]).expect_code(0);
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
