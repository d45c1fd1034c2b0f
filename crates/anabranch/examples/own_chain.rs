//! A chain of one's own: a ledger on which whoever has coins can send them on.
//!
//! `cargo run -p anabranch --example own_chain` starts a validator in this process, hands it some transfers, shows what
//! the ledger says then, and starts the node once more to show that it is still so. With more validators in the genesis,
//! each in a process of its own that dials the others (`peers.dial`), the same ledger is agreed on by all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anabranch::chain::native::{Key, Params, blake2b, is_signed, transactions};
use anabranch::chain::{Block, Hash, Tip};
use anabranch::config::Config;
use anabranch::logic::{Applied, Failed, Logic, Verdict};
use anabranch::network_id::NetworkId;
use anabranch::runtime::{self, Role, Running};
use tokio::sync::watch;

/// Who has an account: a public key.
type Owner = [u8; 32];

/// What one owner sends to another, and in which place among all that it sends: so that nothing is sent twice.
struct Transfer {
    from: Owner,
    to: Owner,
    coins: u64,
    place: u64,
}

impl Transfer {
    /// from, to, coins, place, and the sender's signature over these.
    fn signed(from: &Key, to: Owner, coins: u64, place: u64) -> Vec<u8> {
        let body = [from.public(), to].concat();
        let body = [body.as_slice(), &coins.to_be_bytes(), &place.to_be_bytes()].concat();
        let signature = from.sign(&body);
        [body.as_slice(), &signature].concat()
    }

    fn read(tx: &[u8]) -> Option<Self> {
        let (body, signature) = tx.split_last_chunk()?;
        let (from, rest) = body.split_first_chunk()?;
        let (to, rest) = rest.split_first_chunk()?;
        let (coins, place) = rest.split_first_chunk()?;
        let (coins, place) = (u64::from_be_bytes(*coins), u64::from_be_bytes(place.try_into().ok()?));
        is_signed(body, from, signature).then_some(Self { from: *from, to: *to, coins, place })
    }
}

/// The ledger after a block: what each owner has, and how many transfers it made.
#[derive(Clone)]
struct Accounts {
    tip: Tip,
    accounts: BTreeMap<Owner, (u64, u64)>,
}

impl Accounts {
    /// Makes a transfer, if it can be made now.
    fn make(&mut self, transfer: &Transfer) -> Option<()> {
        let (has, made) = self.accounts.get_mut(&transfer.from)?;
        if transfer.place != *made {
            return None;
        }
        (*has, *made) = (has.checked_sub(transfer.coins)?, *made + 1);
        self.accounts.entry(transfer.to).or_default().0 += transfer.coins;
        Some(())
    }

    /// Names the whole ledger: headers hold it, so that validators notice where they differ.
    fn root(&self) -> Hash {
        let all = self
            .accounts
            .iter()
            .map(|(owner, (has, made))| [owner.as_slice(), &has.to_be_bytes(), &made.to_be_bytes()].concat());
        blake2b(&all.collect::<Vec<_>>().concat())
    }

    fn applied(&self) -> Applied {
        Applied { tip: self.tip, root: Some(self.root()), validators: None }
    }
}

/// The application. It keeps nothing on disk: it stands at the origin at each start, and is handed all blocks again.
struct Ledger(watch::Sender<Accounts>);

impl Logic for Ledger {
    fn check_tx(&self, tx: &[u8]) -> Verdict {
        match Transfer::read(tx) {
            None => Verdict::Reject { reason: "it is no signed transfer".into() },
            // Its time may come, or have been: that is nobody's fault.
            Some(transfer) if self.0.borrow().clone().make(&transfer).is_none() => Verdict::Ignore,
            Some(_) => Verdict::Accept,
        }
    }

    fn applied(&self) -> Result<Applied, Failed> {
        Ok(self.0.borrow().applied())
    }

    fn deliver(&self, block: &Block) -> Result<Applied, Failed> {
        let transfers = transactions(block)?;
        self.0.send_modify(|ledger| {
            for transfer in transfers.iter().filter_map(|tx| Transfer::read(tx)) {
                let _ = ledger.make(&transfer); // What cannot be made does nothing, at every node alike.
            }
            ledger.tip = block.header.tip();
        });
        self.applied()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (alice, bob) = (Key::from_seed(&[1; 32]), Key::from_seed(&[2; 32]));
    let validator = Key::from_seed(&[3; 32]); // Whoever knows the seed is the validator: a real one is drawn at random.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let genesis = NetworkId::native(Params::solo("ledger", 4242, now.as_millis() as u64, validator.public()));
    let dir = tempfile::tempdir()?;
    let first = Accounts { tip: Tip::default(), accounts: BTreeMap::from([(alice.public(), (100, 0))]) };
    let start = async || -> Result<(Running, Arc<Ledger>), runtime::Error> {
        let ledger = Arc::new(Ledger(watch::Sender::new(first.clone())));
        let role = Role::Member { key: Some(validator.clone()), logic: Some(ledger.clone().into()) };
        let node = runtime::start(Config::default(), genesis.clone(), dir.path().to_owned(), role).await?;
        Ok((node, ledger))
    };
    let shows = |ledger: &Accounts| {
        let has = |who: &Key| ledger.accounts.get(&who.public()).map_or(0, |(has, _)| *has);
        println!("block {}: alice has {}, bob has {}", ledger.tip.height, has(&alice), has(&bob));
    };

    let (node, ledger) = start().await?;
    let there = Transfer::signed(&alice, bob.public(), 70, 0);
    let back = Transfer::signed(&bob, alice.public(), 15, 0);
    for (transfer, has) in [(there, 70), (back, 55)] {
        node.insight().submit(transfer.into()).await.ok_or("the node has stopped")??;
        let bobs = |ledger: &Accounts| ledger.accounts.get(&bob.public()).is_some_and(|(it, _)| *it == has);
        shows(&*tokio::time::timeout(Duration::from_secs(60), ledger.0.subscribe().wait_for(bobs)).await??);
    }
    let too_much = node.insight().submit(Transfer::signed(&bob, alice.public(), 900, 1).into()).await;
    println!("bob cannot send 900: {}", too_much.ok_or("the node has stopped")?.is_err());
    node.stop_token().cancel();
    node.stopped().await?;

    let root = ledger.0.borrow().root();
    let (node, again) = start().await?;
    shows(&*again.0.subscribe().wait_for(|ledger| ledger.root() == root).await?);
    node.stop_token().cancel();
    Ok(node.stopped().await?)
}
