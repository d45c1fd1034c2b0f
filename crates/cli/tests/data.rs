//! A data directory of a chain with validators: its certificates verified, its journal given up or refused.

mod common;

use std::path::{Path, PathBuf};

use anabranch::chain::native::ballot::{Kind, Vote};
use anabranch::chain::native::{Builder, Certificate, Key, Params};
use anabranch::chain::{Hash, Slot};
use anabranch::network_id::NetworkId;
use anabranch::store::files::disk;
use anabranch::store::{Config, Store};
use bytes::Bytes;
use common::{run, text};

/// What was made for a test.
struct Made {
    _dir: tempfile::TempDir,
    network: PathBuf,
    data: PathBuf,
}

impl Made {
    fn run(&self, command: &[&str], more: &[&str]) -> common::Finished {
        let place = ["--network", text(&self.network), "--data-dir", text(&self.data)];
        run(&[command, &place, more].concat())
    }
}

/// Five blocks of one validator, each with its certificate, which `bend` may change.
fn made(journal: &[u8], bend: impl Fn(usize, Bytes) -> Bytes) -> Made {
    let key = Key::from_seed(&[1; 32]);
    let params = Params::solo("mine", 77, 1_000, key.public());
    let network = NetworkId::native(params.clone());
    let dir = tempfile::tempdir().expect("a directory");
    let (file, data) = (dir.path().join("network.toml"), dir.path().join("data"));
    std::fs::write(&file, network.to_toml()).expect("writes");
    let opened = Store::open(disk::Files::new(&data), &network.format, &Config::default());
    let (mut store, mut state) = opened.map(|(store, found)| (store, found.state)).expect("opens");
    for number in 0..5 {
        let native = state.native().expect("a native chain");
        let block = Builder::start(&params, &state.tip, native, Slot(number as u64 + 1)).finish(&key);
        let header = &block.header;
        let vote = Vote { kind: Kind::Precommit, height: header.height, round: 0, block: Some(header.id) };
        let signature = key.sign(&vote.signed_bytes(&params.chain()));
        let validators = native.validators.clone();
        let signed = [(&key.public(), signature)];
        let certificate = Certificate::new(header.height, 0, header.id, &validators, signed).encode();
        state = network.format.next(&state, header).expect("our own");
        store.settle(std::slice::from_ref(&block)).expect("settles");
        store.note_state(&state);
        store.certify(&state, &bend(number, certificate)).and_then(|()| store.sync()).expect("settles");
    }
    if !journal.is_empty() {
        store.begin_journal(journal).and_then(|()| store.checkpoint()).expect("begins");
    }
    Made { _dir: dir, network: file, data }
}

#[test]
fn finality_is_verified_from_genesis() {
    let made = made(b"", |_, certificate| certificate);
    let verified = made.run(&["db", "verify"], &["--json"]).expect_code(0).json();
    // The first is kept for good, the last is the newest.
    assert_eq!(verified["finality"], serde_json::json!({ "certificates": 2, "height": 4, "gap": null }));
    let said = made.run(&["db", "verify"], &[]).expect_code(0).stdout;
    assert!(said.contains("2 certificates hold: finality is shown up to height 4"), "{said}");
}

#[test]
fn a_certificate_that_shows_nothing_is_an_error_that_says_what_to_do() {
    let bend = |number, certificate: Bytes| match number {
        4 => Bytes::from([&certificate[..certificate.len() - 1], &[0xff]].concat()),
        _ => certificate,
    };
    let made = made(b"", bend);
    let failed = made.run(&["db", "verify"], &[]).expect_code(6);
    failed.expect_stderr("position 4 shows nothing").expect_stderr("another node's `certificates` directory");
}

/// What a journal begins with, as consensus writes it.
fn height(chain: &Hash) -> Vec<u8> {
    let mut record = Vec::new();
    let mut out = minicbor::Encoder::new(&mut record);
    let written = out.array(5).and_then(|out| out.u8(0)?.u8(1)?.bytes(&chain.0)?.u8(5)?.null());
    written.expect("memory takes all");
    record
}

#[test]
fn a_journal_of_another_chain_is_refused_and_can_be_given_up() {
    let made = made(&height(&Hash([9; 32])), |_, certificate| certificate);
    let run = || made.run(&["run"], &["--upstream", "127.0.0.1:1", "--json"]);
    run().expect_code(4).expect_stderr("the consensus journal").expect_stderr("db forget-journal");
    let asked = made.run(&["db", "forget-journal"], &[]).expect_code(1);
    asked.expect_stderr("may vote twice").expect_stderr("--yes");
    run().expect_code(4);
    let given_up = made.run(&["db", "forget-journal"], &["--yes", "--json"]).expect_code(0).json();
    assert_eq!(given_up["forgotten"], true);
    let again = made.run(&["db", "forget-journal"], &["--json"]).expect_code(0).json();
    assert_eq!(again["forgotten"], false);
    assert!(!Path::new(&made.data).join("journal/0").exists());
}

#[test]
fn a_damaged_journal_is_told() {
    let made = made(b"a record", |_, certificate| certificate);
    std::fs::write(made.data.join("journal/1"), b"").expect("writes");
    let said = made.run(&["db", "verify"], &[]).expect_code(0).stdout;
    assert!(said.contains("the consensus journal is damaged"), "{said}");
    let asked = made.run(&["db", "forget-journal"], &[]).expect_code(1);
    asked.expect_stderr("damage");
}
