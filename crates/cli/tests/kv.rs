//! Four validators in this process that agree on `kv`, and a node that follows them: over real sockets and stores, with
//! its proofs, changes of validators by a transaction, and a restart. What people type, the program itself is told.

mod common;

use std::fs::Permissions;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anabranch::chain::native::{Fields, Key, Params, Validator, read_fields};
use anabranch::chain::{Block, Hash, Height, Tip};
use anabranch::config::Config;
use anabranch::logic::{Applied, Failed, Logic, Verdict};
use anabranch::network::PeerAddress;
use anabranch::network_id::NetworkId;
use anabranch::runtime::{self, Role, Running};
use anabranch_cli::kv::Kv;
use anabranch_cli::transaction::{Change, Transaction};
use bytes::Bytes;
use common::{run, text};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// Far above what anything here takes; only a fault waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

const NODES: u8 = 4;

/// The node without a key.
const FOLLOWER: u8 = NODES;

/// The application, and the headers of the blocks that it was delivered since it was opened.
struct Heard {
    kv: Kv,
    headers: watch::Sender<Vec<Fields>>,
}

impl Logic for Heard {
    fn check_tx(&self, tx: &[u8]) -> Verdict {
        self.kv.check_tx(tx)
    }

    fn check_block(&self, block: &Block) -> Verdict {
        self.kv.check_block(block)
    }

    fn query(&self, question: &[u8]) -> Result<Bytes, Failed> {
        self.kv.query(question)
    }

    fn build(&self, parent: Tip, max_bytes: u64, candidates: &[(Hash, Bytes)]) -> Vec<Hash> {
        self.kv.build(parent, max_bytes, candidates)
    }

    fn applied(&self) -> Result<Applied, Failed> {
        self.kv.applied()
    }

    fn deliver(&self, block: &Block) -> Result<Applied, Failed> {
        let applied = self.kv.deliver(block)?;
        let fields = read_fields(&block.header)?;
        self.headers.send_modify(|headers| headers.push(fields));
        Ok(applied)
    }
}

struct Node {
    running: Running,
    heard: Arc<Heard>,
}

struct Chain {
    params: Params,
    dirs: Vec<TempDir>,
    nodes: Vec<Option<Node>>,
}

fn key(number: u8) -> Key {
    Key::from_seed(&[number + 1; 32])
}

/// Writes down the key that a validator votes with, as `key generate --validator` does.
fn key_file(number: u8, dir: &Path) {
    if number < NODES {
        let file = dir.join("validator.key");
        std::fs::write(&file, hex::encode([number + 1; 32])).expect("written");
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
    }
}

impl Chain {
    async fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut params = Params::solo("kv", 78, now.as_millis() as u64, key(0).public());
        params.slot_length_ms = 20.try_into().expect("not zero");
        let validator = |number| Validator { key: key(number).public(), weight: NonZeroU64::MIN };
        params.validators = (0..NODES).map(validator).collect();
        let dirs = (0..=FOLLOWER).map(|_| tempfile::tempdir().expect("a directory")).collect();
        let mut chain = Self { params, dirs, nodes: (0..=FOLLOWER).map(|_| None).collect() };
        let genesis = NetworkId::native(chain.params.clone()).to_toml();
        for (dir, number) in chain.dirs.iter().zip(0..) {
            std::fs::write(dir.path().join("network.toml"), &genesis).expect("written");
            key_file(number, dir.path());
        }
        for number in 0..NODES {
            chain.start(number).await;
        }
        chain
    }

    /// Starts a node, which dials all that are there.
    async fn start(&mut self, number: u8) {
        let mut config = Config::default();
        config.peers.listen = vec!["127.0.0.1:0".parse().expect("a place")];
        let here = self.nodes.iter().flatten().map(|node| &node.running);
        config.peers.dial =
            here.map(|it| PeerAddress { key: it.peer_id(), address: it.listens()[0].clone() }).collect();
        config.consensus.rest_ms = 200;
        let dir = self.dirs[usize::from(number)].path().to_owned();
        let kv = Kv::open_in(&dir, Arc::new(self.params.clone())).expect("opened");
        let heard = Arc::new(Heard { kv, headers: watch::Sender::new(Vec::new()) });
        let key = (number < NODES).then(|| key(number));
        let role = Role::Member { key, logic: Some(heard.clone().into()) };
        let network = NetworkId::native(self.params.clone());
        let running = runtime::start(config, network, dir, role).await.expect("it starts");
        self.nodes[usize::from(number)] = Some(Node { running, heard });
    }

    fn node(&self, number: u8) -> &Node {
        self.nodes[usize::from(number)].as_ref().expect("it runs")
    }

    async fn submit(&self, number: u8, transaction: &Transaction) {
        let taken = self.node(number).running.insight().submit(transaction.encode().into()).await;
        taken.expect("it answers").expect("it is taken");
    }

    /// Waits until this holds at a node, looked at after each block.
    async fn until(&self, number: u8, what: &str, holds: impl Fn(&Kv, &[Fields]) -> bool) {
        let node = self.node(number);
        let mut headers = node.heard.headers.subscribe();
        let seen = headers.wait_for(|headers| holds(&node.heard.kv, headers));
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            let insight = node.running.insight();
            panic!("{what}, at {number}: {:#?} {:#?}", insight.status().await, insight.consensus().await);
        }
    }

    async fn all_until(&self, what: &str, holds: impl Fn(&Kv, &[Fields]) -> bool) {
        for number in 0..NODES {
            self.until(number, what, &holds).await;
        }
    }

    /// What the program says about a node when it is told this.
    fn told(&self, number: u8, command: &[&str]) -> common::Finished {
        let place = ["--json", "--data-dir", text(self.dirs[usize::from(number)].path())];
        // The node goes on meanwhile.
        tokio::task::block_in_place(|| run(&[command, &place].concat()))
    }

    fn answer(&self, number: u8, command: &[&str]) -> Value {
        self.told(number, command).expect_code(0).json()
    }

    /// Stops a node, and gives what it had said its state was.
    async fn stop(&mut self, number: u8) -> Applied {
        let Node { running, heard } = self.nodes[usize::from(number)].take().expect("it runs");
        running.stop_token().cancel();
        running.stopped().await.expect("it has not failed");
        heard.applied().expect("said")
    }
}

fn value(kv: &Kv, key: &str) -> Option<String> {
    kv.get(key, None).expect("read").expect("the newest is kept").value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validators_agree_on_texts_prove_them_and_change_themselves() {
    let mut chain = Chain::new().await;
    chain.submit(0, &Transaction::put("river", "anabranch")).await;
    chain.all_until("the put", |kv, _| value(kv, "river").is_some()).await;

    // A node is asked; a header that validators agreed on, as another node was given it, shows that it does not lie.
    let (present, absent) = {
        let kv = &chain.node(1).heard.kv;
        let height = kv.stand().0.height;
        let get = |key| kv.get(key, Some(height)).expect("read").expect("kept");
        (get("river"), get("sea"))
    };
    chain.submit(2, &Transaction::put("lake", "oxbow")).await;
    let names = |header: &Fields| {
        header.state.is_some_and(|state| (state.height, state.root) == (present.tip.height, present.root))
    };
    chain.until(3, "a header that names the state", |_, headers| headers.iter().any(names)).await;
    assert!(present.proof.is_valid(&present.root, b"river", Some(b"anabranch")));
    assert!(absent.proof.is_valid(&absent.root, b"sea", None));
    assert_eq!(present.root, absent.root);

    // Three of four put the last one out.
    let mut change = Change { key: key(3).public(), weight: 0, sequence: 0, signatures: Vec::new() };
    (0..3).for_each(|number| change.sign(&chain.params.chain(), &key(number)));
    chain.submit(3, &Transaction::Validator(change)).await;
    let three = |fields: &Fields| {
        let set = chain.node(0).heard.kv.electorate().validators;
        set.members().len() == 3 && fields.validators == set.hash()
    };
    chain.all_until("the change in force", |_, headers| headers.iter().any(three)).await;
    chain.submit(2, &Transaction::Delete { key: "lake".into(), salt: None }).await;
    chain.all_until("the delete", |kv, headers| headers.len() > 3 && value(kv, "lake").is_none()).await;

    // One that comes back goes on where it was, from its own files.
    let before = chain.stop(1).await;
    assert!(before.tip.height > Height(3));
    chain.start(1).await;
    let again = chain.node(1).heard.kv.stand();
    assert_eq!((again.0, Some(again.1)), (before.tip, before.root));
    chain.submit(1, &Transaction::put("lake", "tarn")).await;
    chain.all_until("the last put", |kv, _| value(kv, "lake").as_deref() == Some("tarn")).await;
    for number in 0..NODES {
        chain.node(number).heard.kv.check().expect("sound");
        chain.stop(number).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_type_reads_proves_deletes_and_changes_validators_through_a_follower() {
    let mut chain = Chain::new().await;
    chain.start(FOLLOWER).await;
    chain.answer(FOLLOWER, &["tx", "put", "river", "anabranch"]);
    chain.until(FOLLOWER, "the put", |kv, _| value(kv, "river").is_some()).await;

    let plain = chain.answer(FOLLOWER, &["kv", "get", "river"]);
    assert_eq!((&plain["value"], &plain["proof"]), (&"anabranch".into(), &Value::Null), "{plain}");
    assert!(plain["state"]["height"].is_u64() && plain["state"]["root"].is_string(), "{plain}");
    let present = proven_once(&chain, "river", &"anabranch".into());
    let absent = proven_once(&chain, "sea", &Value::Null);
    let of = |got: &Value| got["proof"]["of"].clone();
    assert_eq!((of(&present), of(&absent)), ("inclusion".into(), "absence".into()));
    for got in [&present, &absent] {
        assert_eq!(got["proof"]["certificate"], "verified", "{got}");
        assert!(got["proof"]["header"]["height"].as_u64() > got["state"]["height"].as_u64(), "{got}");
    }

    chain.answer(FOLLOWER, &["tx", "delete", "river"]);
    chain.all_until("the delete", |kv, _| kv.stand().0.height.0 > 0 && value(kv, "river").is_none()).await;
    chain.until(FOLLOWER, "the delete", |kv, _| value(kv, "river").is_none()).await;
    let gone = proven_once(&chain, "river", &Value::Null);
    assert_eq!((of(&gone), &gone["proof"]["certificate"]), ("absence".into(), &"verified".into()));

    change_validators(&chain).await;
    for number in 0..=FOLLOWER {
        chain.stop(number).await;
    }
    chain.told(FOLLOWER, &["kv", "get", "river"]).expect_code(7);
}

/// Asks until a header names the state that has this: the put is in a state before it is in one that a header names.
fn proven_once(chain: &Chain, key: &str, wanted: &Value) -> Value {
    let began = Instant::now();
    loop {
        let got = chain.answer(FOLLOWER, &["kv", "get", key, "--proof"]);
        if got["value"] == *wanted {
            return got;
        }
        assert!(began.elapsed() < PATIENCE, "{got}");
    }
}

/// Three of four make the last one weigh more: proposed at one, signed by each, sent through the follower.
async fn change_validators(chain: &Chain) {
    let letter = chain.dirs[0].path().join("change.json");
    let (letter, last) = (text(&letter), hex::encode(key(3).public()));
    let before = chain.answer(FOLLOWER, &["kv", "validators"]);
    assert_eq!((&before["changes"], before["validators"].as_array().map(Vec::len)), (&0.into(), Some(4)));
    chain.answer(0, &["tx", "validators", "propose", &last, "2", "--output", letter]);
    for number in 0..2 {
        chain.answer(number, &["tx", "validators", "sign", letter]);
    }
    chain.told(FOLLOWER, &["tx", "validators", "send", letter]).expect_code(1).expect_stderr("no quorum");
    let signed = chain.answer(2, &["tx", "validators", "sign", letter]);
    assert_eq!(signed["signatures"].as_array().map(Vec::len), Some(3), "{signed}");
    chain.answer(FOLLOWER, &["tx", "validators", "send", letter]);
    chain.all_until("the change", |kv, _| kv.electorate().sequence == 1).await;
    chain.until(FOLLOWER, "the change", |kv, _| kv.electorate().sequence == 1).await;
    let after = chain.answer(FOLLOWER, &["kv", "validators"]);
    let changed =
        after["validators"].as_array().expect("a list").iter().find(|it| it["key"] == last.as_str());
    assert_eq!((&after["changes"], changed.map(|it| &it["weight"])), (&1.into(), Some(&2.into())), "{after}");
    chain.told(FOLLOWER, &["tx", "validators", "sign", letter]).expect_code(3).expect_stderr("validator.key");
    let in_force = |kv: &Kv, headers: &[Fields]| {
        let set = kv.electorate().validators.hash();
        headers.iter().any(|fields| fields.validators == set)
    };
    chain.until(FOLLOWER, "the change in force", in_force).await;
    // The node shows the change, from the genesis on.
    let shown = chain.answer(FOLLOWER, &["kv", "get", "river", "--proof"])["proof"]["certificate"].clone();
    assert_eq!(shown, "verified");
}
