//! Transactions: those given to this node, and those that peers offer; all wait in `relay` until they are in a block.
//!
//! Each is shown to the application first. Where that does not answer in time, the sender is told that its transaction
//! was taken; it waits for its verdict, bounded, with nothing else behind it. While this node is far behind, or its
//! application is, nothing is asked of peers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chain::{Block, Entry, Hash, Position, native};
use diffusion::relay::{self, Name, Stage, TRANSACTION};
use link::{PeerId, channel};

use super::Member;
use super::state::Ask;
use crate::application::{Question, Verdict};
use crate::pool::{self, Refusal};
use crate::{Output, Ticket};

/// Who waits for word of a transaction.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// By the relay's count.
    submitting: BTreeMap<u64, Ticket>,
    waiting: BTreeMap<Hash, Ticket>,
    last: u64,
    /// Why the application refuses what relay is being told of.
    reason: Option<String>,
    /// Whether relay asks peers for what they offer.
    pub(super) is_pulling: Option<bool>,
}

impl Senders {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.submitting.len() + self.waiting.len()
    }
}

/// The settings of relay: transactions within the pool's bounds.
pub(super) fn config(relay: relay::Config, pool: &pool::Config, max_bytes: usize) -> relay::Config {
    let rules = relay::Rules {
        max_count: pool.max_count,
        max_bytes: pool.max_bytes,
        // What fits no block would wait for ever.
        ..relay::Rules::transactions(pool.max_tx_bytes.min(max_bytes))
    };
    relay::Config { kinds: BTreeMap::from([(TRANSACTION, rules)]), ..relay }
}

impl Member {
    /// Somebody gives this node a transaction.
    pub(super) fn on_submit(&mut self, sender: Ticket, tx: Bytes, out: &mut Vec<Output>) {
        if self.failed.is_some() {
            return out.push(Output::Submitted { ticket: sender, result: Err(Refusal::Failed) });
        }
        self.senders.last += 1;
        let ticket = self.senders.last;
        self.senders.submitting.insert(ticket, sender);
        let ticket = relay::Ticket(ticket);
        self.tell_relay(relay::Input::Submit { ticket, kind: TRANSACTION, bytes: tx }, out);
    }

    /// Tells relay, and does what it says.
    pub(super) fn tell_relay(&mut self, input: relay::Input<PeerId>, out: &mut Vec<Output>) {
        let mut said = Vec::new();
        self.relay.handle(self.now.mono, input, &mut said);
        for output in said {
            self.perform_relay(output, out);
        }
    }

    fn perform_relay(&mut self, output: relay::Output<PeerId>, out: &mut Vec<Output>) {
        match output {
            relay::Output::Send { peer, message } => {
                self.send(peer, channel::TRANSACTIONS, message.to_bytes(), None, out);
            }
            relay::Output::Judge { name, bytes, .. } => self.ask_tx(name, bytes, out),
            relay::Output::Submitted { ticket, result } => {
                let sender = self.senders.submitting.remove(&ticket.0).expect("it is answered once");
                match result {
                    Ok(name) => drop(self.senders.waiting.insert(name.id, sender)),
                    Err(refusal) => {
                        let result = Err(refused(&refusal));
                        out.push(Output::Submitted { ticket: sender, result });
                    }
                }
            }
            relay::Output::Progressed { name, stage } => self.on_progress(name, stage, out),
            relay::Output::Misbehaved { peer, violation } => self.blame(peer, violation.into(), out),
        }
    }

    fn ask_tx(&mut self, name: Name, tx: Bytes, out: &mut Vec<Output>) {
        if self.applying.is_none() {
            return self.on_tx_judged(name, Verdict::Accept, out);
        }
        let ticket = self.next_ticket();
        self.asks.insert(ticket, Ask::Tx(name));
        out.push(Output::Ask { ticket, question: Question::CheckTx { tx } });
    }

    /// The application has judged a transaction.
    pub(super) fn on_tx_judged(&mut self, name: Name, verdict: Verdict, out: &mut Vec<Output>) {
        let verdict = match verdict {
            Verdict::Accept => relay::Verdict::Accept,
            Verdict::Ignore => relay::Verdict::Ignore,
            Verdict::Reject { reason } => {
                self.senders.reason = Some(reason);
                relay::Verdict::Reject
            }
        };
        self.tell_relay(relay::Input::Judged { name, verdict }, out);
        self.senders.reason = None;
        if verdict == relay::Verdict::Accept && self.relay.get(&name).is_some() {
            self.tell_quorum(consensus::quorum::Input::Work, out);
        }
    }

    /// A transaction of our own has come to another stage: its sender is answered at the first that says something.
    fn on_progress(&mut self, name: Name, stage: Stage, out: &mut Vec<Output>) {
        let cannot_tell = || "it cannot be judged now".to_owned();
        let result = match stage {
            Stage::Judging => return,
            Stage::Late | Stage::Pooled | Stage::Included => Ok(name.id),
            Stage::Rejected => {
                Err(Refusal::Rejected { reason: self.senders.reason.clone().unwrap_or_default() })
            }
            Stage::Ignored | Stage::Expired => Err(Refusal::Rejected { reason: cannot_tell() }),
        };
        if let Some(ticket) = self.senders.waiting.remove(&name.id) {
            out.push(Output::Submitted { ticket, result });
        }
    }

    /// Whether transactions wait for a block, others than the application left out of the last one of ours. Those wait
    /// for what it knows to change, and are no reason for blocks with nothing in them.
    pub(super) fn has_transactions(&self) -> bool {
        self.relay.has_other(TRANSACTION, &self.left_out)
    }

    /// What is in an irreversible block waits no more, and what was left out may fit after it.
    pub(super) fn forget_transactions(&mut self, entry: &Entry, out: &mut Vec<Output>) {
        let ids = transactions(entry);
        if !ids.is_empty() {
            self.left_out.clear();
            self.tell_relay(relay::Input::Included { kind: TRANSACTION, ids }, out);
        }
    }

    /// What an earlier life saw in blocks waits no more in this one: a peer that is behind may offer it still.
    pub(super) fn recall_transactions(&mut self) {
        let ids = self.recent.from(Position(0)).flat_map(|entry| transactions(entry)).collect();
        let mut said = Vec::new();
        let included = relay::Input::Included { kind: TRANSACTION, ids };
        self.relay.handle(self.now.mono, included, &mut said);
        assert!(said.is_empty(), "nothing was here, and nobody is linked yet");
    }

    /// What waits here may be in blocks that became bare, and nobody here can tell: none of it is kept. Whatever of it is new
    /// was offered to peers meanwhile.
    pub(super) fn drop_all_transactions(&mut self, out: &mut Vec<Output>) {
        for (id, _) in self.relay.candidates(TRANSACTION, u64::MAX, &BTreeSet::new()) {
            self.tell_relay(relay::Input::Judged { name: name(id), verdict: relay::Verdict::Reject }, out);
        }
    }

    /// Our application refused a block: what was in it does not go into another of this height, however right each
    /// transaction looked alone. Otherwise everybody who has them would propose what everybody refuses.
    pub(super) fn set_aside(&mut self, id: &Hash) {
        let ids = self.tree.block(id).map(|entry| transactions(entry)).unwrap_or_default();
        self.set_aside.extend(ids.into_iter().filter(|id| self.relay.get(&name(*id)).is_some()));
    }

    /// An operator gave a block up: its transactions would bring the next one to the same end.
    pub(super) fn drop_transactions(&mut self, id: &Hash, out: &mut Vec<Output>) {
        for id in self.tree.block(id).map(|entry| transactions(entry)).unwrap_or_default() {
            self.tell_relay(relay::Input::Judged { name: name(id), verdict: relay::Verdict::Reject }, out);
        }
    }

    /// Asks peers for nothing while there is enough to do, nor right above bare blocks: a peer that is behind offers what is
    /// in them, and it would get into the chain a second time.
    pub(super) fn set_pulling(&mut self, out: &mut Vec<Output>) {
        let is_awake = self.applying.as_ref().is_none_or(|applying| applying.is_near(&self.config));
        let is_busy = self.ranged.is_some() || self.is_holding() || !is_awake;
        let is_informed = self.tree.root().settled == 0 || self.recent.reaches_back();
        let pulling = self.failed.is_none() && !is_busy && is_informed;
        if self.senders.is_pulling != Some(pulling) {
            self.senders.is_pulling = Some(pulling);
            self.tell_relay(relay::Input::Pulling(pulling), out);
        }
    }

    /// How far a transaction came, as long as it is remembered.
    pub fn transaction(&self, id: &Hash) -> Option<relay::Progress> {
        self.relay.progress(&name(*id))
    }
}

fn name(id: Hash) -> Name {
    Name { kind: TRANSACTION, id }
}

/// The transactions of a block.
fn transactions(entry: &Entry) -> Vec<Hash> {
    let block = Block { header: entry.header.clone(), raw: entry.block.clone() };
    let transactions = native::transactions(&block).unwrap_or_default();
    transactions.iter().map(|tx| native::transaction_id(tx)).collect()
}

fn refused(refusal: &relay::Refusal) -> Refusal {
    match *refusal {
        relay::Refusal::Unknown { .. } => unreachable!("transactions are relayed"),
        relay::Refusal::Empty => Refusal::Empty,
        relay::Refusal::TooLarge { bytes, max_bytes } => Refusal::TooLarge { bytes, max_bytes },
        relay::Refusal::Waits => Refusal::Duplicate,
        relay::Refusal::Included => Refusal::Included,
        relay::Refusal::Full => Refusal::Full,
    }
}
