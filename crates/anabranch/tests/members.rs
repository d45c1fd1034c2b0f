//! Members of one chain in this process: real sockets, real stores, a tiny application; one of them goes and comes back.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anabranch::chain::native::ballot::{self, Kind};
use anabranch::chain::native::{Key, Params, Validator, transactions};
use anabranch::chain::{Block, Format, Hash, Height, Tip};
use anabranch::config::Config;
use anabranch::link::Identity;
use anabranch::link::channel::CONSENSUS;
use anabranch::logic::{Applied, Failed, Logic, Verdict};
use anabranch::network::{self, Network, PeerAddress};
use anabranch::network_id::NetworkId;
use anabranch::runtime::{self, Role, Running, Submission};
use anabranch::status::{Progress, Stage};
use consensus::quorum::{Message, Vote};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tempfile::TempDir;
use tokio::sync::watch;

/// Far above what anything here takes; only a fault waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

const NODES: u8 = 4;

/// The blocks of a chain by height: what each is called, and its transactions.
type Blocks = BTreeMap<Height, (Hash, Vec<Vec<u8>>)>;

/// What a chain says, block by block. It forgets all of it when its node goes.
#[derive(Debug)]
struct Tally {
    blocks: watch::Sender<Blocks>,
    applied: Mutex<Applied>,
}

impl Tally {
    fn new() -> Arc<Self> {
        let applied = Applied { tip: Tip::default(), root: None, validators: None };
        Arc::new(Self { blocks: watch::Sender::new(BTreeMap::new()), applied: Mutex::new(applied) })
    }
}

impl Logic for Tally {
    fn check_tx(&self, tx: &[u8]) -> Verdict {
        match tx.first() {
            Some(b'!') => Verdict::Reject { reason: "it shouts".into() },
            _ => Verdict::Accept,
        }
    }

    fn applied(&self) -> Result<Applied, Failed> {
        Ok(self.applied.lock().expect("whole").clone())
    }

    fn deliver(&self, block: &Block) -> Result<Applied, Failed> {
        let said = transactions(block)?.iter().map(|tx| tx.to_vec()).collect();
        let header = &block.header;
        self.blocks.send_modify(|blocks| {
            let before = blocks.insert(header.height, (header.id, said));
            assert!(before.is_none(), "each block is delivered once");
        });
        let mut applied = self.applied.lock().expect("whole");
        applied.tip = header.tip();
        Ok(applied.clone())
    }
}

/// One of the nodes, where it keeps its things, and what its application heard.
struct Node {
    running: Running,
    tally: Arc<Tally>,
}

struct Members {
    network: NetworkId,
    dirs: Vec<TempDir>,
    nodes: Vec<Option<Node>>,
}

fn key(number: u8) -> Key {
    Key::from_seed(&[number + 1; 32])
}

fn genesis() -> NetworkId {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let mut params = Params::solo("members", 77, now.as_millis() as u64, key(0).public());
    params.slot_length_ms = 20.try_into().expect("not zero");
    let validator = |number| Validator { key: key(number).public(), weight: NonZeroU64::MIN };
    params.validators = (0..NODES).map(validator).collect();
    params.validate().expect("sound");
    NetworkId::native(params)
}

fn config() -> Config {
    let mut config = Config::default();
    config.peers.listen = vec!["127.0.0.1:0".parse().expect("a place")];
    config.consensus.rest_ms = 200;
    config
}

impl Members {
    async fn new() -> Self {
        let dirs = (0..NODES).map(|_| tempfile::tempdir().expect("a directory")).collect();
        let mut members = Self { network: genesis(), dirs, nodes: Vec::new() };
        for number in 0..NODES {
            members.nodes.push(None);
            members.start(number).await;
        }
        members
    }

    /// Starts a node; it dials all that are there.
    async fn start(&mut self, number: u8) {
        let node = self.starts(self.dir(number), key(number)).await;
        self.nodes[usize::from(number)] = Some(node);
    }

    async fn starts(&self, dir: &Path, key: Key) -> Node {
        let mut config = config();
        config.peers.dial = self.here().map(|node| address(&node.running)).collect();
        let tally = Tally::new();
        let role = Role::Member { key: Some(key), logic: Some(tally.clone().into()) };
        let running = runtime::start(config, self.network.clone(), dir.to_owned(), role).await;
        Node { running: running.expect("it starts"), tally }
    }

    fn dir(&self, number: u8) -> &Path {
        self.dirs[usize::from(number)].path()
    }

    fn here(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    fn node(&self, number: u8) -> &Node {
        self.nodes[usize::from(number)].as_ref().expect("it runs")
    }

    async fn submit(&self, number: u8, tx: &str) -> Submission {
        let taken = self.node(number).running.submit(tx.to_owned().into()).await.expect("it answers");
        taken.expect("there is room")
    }

    /// Waits until every node that is here was delivered this, in the same block; which.
    async fn all_have(&self, tx: &str) -> Height {
        let mut places = Vec::new();
        for node in self.here() {
            let mut blocks = node.tally.blocks.subscribe();
            let holds = |(_, said): &(Hash, Vec<Vec<u8>>)| said.iter().any(|one| one == tx.as_bytes());
            let seen = tokio::time::timeout(PATIENCE, blocks.wait_for(|blocks| blocks.values().any(holds)));
            let Ok(seen) = seen.await else {
                let status = node.running.insight().status().await;
                panic!("{tx} never came: {status:#?} {:#?}", node.running.insight().consensus().await);
            };
            let seen = seen.expect("it runs");
            let (height, (id, _)) = seen.iter().find(|(_, block)| holds(block)).expect("it is there");
            places.push((*height, *id));
        }
        assert!(places.windows(2).all(|pair| pair[0] == pair[1]), "{places:?}");
        places[0].0
    }

    /// Every two nodes that are here were delivered the same blocks, as far as both were.
    fn agree(&self) {
        let blocks: Vec<_> = self.here().map(|node| node.tally.blocks.borrow().clone()).collect();
        for other in &blocks[1..] {
            for (height, block) in other {
                assert_eq!(blocks[0].get(height).unwrap_or(block), block, "at height {height}");
            }
        }
    }

    async fn stop(self) {
        for node in self.nodes.into_iter().flatten() {
            node.running.stop_token().cancel();
            node.running.stopped().await.expect("it has not failed");
        }
    }
}

fn address(running: &Running) -> PeerAddress {
    PeerAddress { key: running.peer_id(), address: running.listens()[0].clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_agree_though_one_of_them_is_killed_and_comes_back() {
    let mut members = Members::new().await;
    for number in 0..NODES {
        members.submit(number, &format!("from {number}")).await;
    }
    for number in 0..NODES {
        members.all_have(&format!("from {number}")).await;
    }
    let refused = members.node(0).running.submit("!".into()).await.expect("it answers");
    refused.expect_err("the application says no");

    let gone = members.nodes[2].take().expect("it runs");
    gone.running.kill().await;
    let mut submission = members.submit(0, "without 2").await;
    let height = members.all_have("without 2").await;
    let is_final = submission.progress.wait_for(|progress| progress.stage == Stage::Final);
    let seen =
        tokio::time::timeout(PATIENCE, is_final).await.expect("it is told").expect("the last word stays");
    assert_eq!(seen.block, Some(height.0));
    drop(seen);
    let known = members.node(0).running.insight().transaction(submission.id).await.expect("it answers");
    assert!(matches!(known, Some(Progress { stage: Stage::Final, .. })), "{known:?}");

    members.start(2).await;
    members.submit(2, "2 is back").await;
    let later = members.all_have("2 is back").await;
    assert!(later > height);
    let blocks = members.node(2).tally.blocks.borrow().len() as u64;
    assert!(blocks > later.0, "it was delivered all of them again: its application had forgotten");
    members.agree();
    members.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_with_a_validators_key_harms_nobody_and_is_told_of() {
    let members = Members::new().await;
    members.submit(1, "before").await;
    members.all_have("before").await;
    let dir = tempfile::tempdir().expect("a directory");
    let twin = members.starts(dir.path(), key(0)).await;
    let first = &members.node(0).running;
    // Blocks come all the time, and with each it is looked again.
    let mut views = first.views();
    let told = async {
        while !first.insight().status().await.expect("it answers").member.expect("a member").key_elsewhere {
            views.changed().await.expect("it runs");
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("it is noticed");
    members.submit(2, "beside the twin").await;
    members.all_have("beside the twin").await;
    members.agree();
    twin.running.kill().await;
    members.submit(3, "after the twin").await;
    members.all_have("after the twin").await;
    members.agree();
    members.stop().await;
}

/// A vote for no block, and one for a block that nobody knows: an honest validator gives one of them.
fn two_votes(chain: &Hash, key: &Key) -> [Message; 2] {
    [None, Some(Hash([9; 32]))].map(|block| {
        let vote = ballot::Vote { kind: Kind::Prevote, height: Height(0), round: 0, block };
        let signature = key.sign(&vote.signed_bytes(chain));
        Message::Vote(Vote { vote, validator: key.public(), signature })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_evidence_of_a_lie_outlasts_a_restart() {
    let dirs = vec![tempfile::tempdir().expect("a directory")];
    let mut members = Members { network: genesis(), dirs, nodes: vec![None] };
    members.start(0).await;
    let chain = members.network.format.chain_id();
    // Whoever it is that brings what another validator signed.
    let identity = Identity::from_seed(&[77; 32]);
    let settings = network::Config::new(chain.0);
    let gate = Arc::new(network::Open);
    let rng = ChaCha20Rng::seed_from_u64(7);
    let (liar, _sink) = Network::start(settings, identity, gate, Vec::new(), rng).expect("it starts");
    let node = members.node(0).running.peer_id();
    liar.add(address(&members.node(0).running)).expect("it is known");
    let mut changes = liar.changes();
    while !liar.is_connected(node) {
        tokio::time::timeout(PATIENCE, changes.changed()).await.expect("it links").expect("it runs");
    }
    for vote in two_votes(&chain, &key(1)) {
        liar.send(node, CONSENSUS, vote.encode()).await.expect("it is sent");
    }
    let evidence = async |members: &Members| {
        let consensus = members.node(0).running.insight().consensus().await.expect("it answers");
        consensus.expect("a member").evidence
    };
    let seen = async {
        loop {
            match evidence(&members).await {
                seen if seen.is_empty() => tokio::task::yield_now().await,
                seen => return seen,
            }
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await.expect("it is noticed");
    assert_eq!((seen.len(), &*seen[0].of, seen[0].height), (1, "votes", 0));
    assert_eq!(seen[0].validator, Hash(key(1).public()).to_string());
    liar.stop().await;
    members.nodes[0].take().expect("it runs").running.kill().await;
    // Without its journal only the book can tell.
    std::fs::remove_dir_all(members.dir(0).join("journal")).expect("it was there");
    members.start(0).await;
    assert_eq!(evidence(&members).await, seen);
    members.stop().await;
}

async fn refused(network: NetworkId, dir: &Path, role: Role) -> runtime::Error {
    match runtime::start(config(), network, dir.to_owned(), role).await {
        Ok(_) => panic!("it started"),
        Err(why) => why,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_at_the_start_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let role = || Role::Member { key: Some(key(0)), logic: Some(Tally::new().into()) };
    let changed = |change: fn(&mut Params)| {
        let Format::Native(mut params) = genesis().format else { unreachable!("it is native") };
        change(Arc::make_mut(&mut params));
        NetworkId::native(Arc::unwrap_or_clone(params))
    };
    let early = changed(|params| params.start_unix_ms += 600_000);
    let why = refused(early, dir.path(), role()).await;
    assert!(matches!(why, runtime::Error::Clock { .. }), "{why}");
    assert!(why.to_string().contains("behind the beginning of this chain: set it"), "{why}");
    let cardano = NetworkId::find("preview").expect("built in");
    let dir = tempfile::tempdir().expect("a directory");
    let why = refused(cardano, dir.path(), role()).await;
    assert!(matches!(why, runtime::Error::Role(_)), "{why}");
    // A chain that a single validator decides on, and then another genesis with the same name and magic.
    let alone = changed(|params| params.validators.truncate(1));
    let dir = tempfile::tempdir().expect("a directory");
    let running = runtime::start(config(), alone.clone(), dir.path().to_owned(), role()).await;
    let running = running.expect("it starts");
    let mut views = running.views();
    let decided = views.wait_for(|view| view.settled >= 2);
    tokio::time::timeout(PATIENCE, decided).await.expect("it decides").expect("it runs");
    let busy = refused(alone, dir.path(), role()).await;
    assert!(matches!(busy, runtime::Error::Store(_)), "{busy}");
    running.stop_token().cancel();
    running.stopped().await.expect("it has not failed");
    let why = refused(genesis(), dir.path(), role()).await;
    assert!(matches!(why, runtime::Error::OtherChain { .. }), "{why}");
}

/// It lost what it had, and says so.
#[derive(Debug)]
struct Broken;

impl Logic for Broken {
    fn check_tx(&self, _: &[u8]) -> Verdict {
        Verdict::Ignore
    }

    fn applied(&self) -> Result<Applied, Failed> {
        Err(Failed::new("its file is gone"))
    }

    fn deliver(&self, _: &Block) -> Result<Applied, Failed> {
        Err(Failed::new("its file is gone"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_cannot_say_where_it_stands_is_not_started_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let role = Role::Member { key: None, logic: Some(Arc::new(Broken).into()) };
    let why = refused(genesis(), dir.path(), role).await;
    assert_eq!(why.to_string(), "the application cannot start: its file is gone");
}
