//! Transactions that are given to this node, and the operator's orders.
//!
//! A transaction is shown to the application before it may wait for a block. Where the application does not answer in
//! time, its sender is told that it was taken, and it waits for its verdict, bounded, with nothing else behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chain::{Hash, native};
use diffusion::sync::bodies::{self, Mode};
use link::PeerId;

use super::Member;
use super::state::Ask;
use crate::application::{Question, Verdict};
use crate::pool::{self, Pool, Refusal};
use crate::{Command, Output, Ticket};

/// Transactions that the application has not judged.
#[derive(Debug)]
pub(super) struct Unjudged {
    waiting: Pool,
    /// Who is to be answered, by when.
    senders: BTreeMap<Hash, (Ticket, Duration)>,
    deadlines: BTreeSet<(Duration, Hash)>,
}

impl Unjudged {
    pub(super) fn new(config: pool::Config) -> Self {
        Self { waiting: Pool::new(config), senders: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    /// Lets a transaction go, and says who waits for word of it.
    pub(super) fn remove(&mut self, id: &Hash) -> Option<Ticket> {
        self.waiting.remove(id);
        let (sender, until) = self.senders.remove(id)?;
        self.deadlines.remove(&(until, *id));
        Some(sender)
    }

    /// When the next sender is to be answered.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self) {
        self.waiting.check_invariants();
        assert_eq!(self.senders.len(), self.deadlines.len(), "who is to be answered has a deadline");
        assert!(self.senders.keys().all(|id| self.waiting.contains(id)), "who waits for word gave something");
    }
}

impl Member {
    pub(super) fn on_submit(&mut self, sender: Ticket, tx: Bytes, out: &mut Vec<Output>) {
        let id = native::transaction_id(&tx);
        let fits = match self.failed {
            Some(_) => Err(Refusal::Failed),
            None if self.unjudged.waiting.contains(&id) => Err(Refusal::Duplicate),
            None => self.pool.admits(&id, &tx).and_then(|()| self.unjudged.waiting.admits(&id, &tx)),
        };
        if let Err(refusal) = fits {
            return out.push(Output::Submitted { ticket: sender, result: Err(refusal) });
        }
        if self.applying.is_none() {
            let result = self.admit(id, tx, out);
            return out.push(Output::Submitted { ticket: sender, result });
        }
        self.unjudged.waiting.submit(id, tx.clone()).expect("there is a place");
        let until = self.now.mono + self.config.check_timeout;
        self.unjudged.senders.insert(id, (sender, until));
        self.unjudged.deadlines.insert((until, id));
        let ticket = self.next_ticket();
        self.asks.insert(ticket, Ask::Tx(id));
        out.push(Output::Ask { ticket, question: Question::CheckTx { tx } });
    }

    /// The application has judged a transaction. What it cannot tell waits no longer: nobody could.
    pub(super) fn on_tx_judged(&mut self, id: Hash, verdict: Verdict, out: &mut Vec<Output>) {
        let Some(tx) = self.unjudged.waiting.get(&id).cloned() else { return };
        let sender = self.unjudged.remove(&id);
        let result = match verdict {
            Verdict::Accept => self.admit(id, tx, out),
            Verdict::Ignore => Err(Refusal::Rejected { reason: "it cannot be judged now".to_owned() }),
            Verdict::Reject { reason } => Err(Refusal::Rejected { reason }),
        };
        out.extend(sender.map(|ticket| Output::Submitted { ticket, result }));
    }

    fn admit(&mut self, id: Hash, tx: Bytes, out: &mut Vec<Output>) -> Result<Hash, Refusal> {
        let result = self.pool.submit(id, tx);
        if result.is_ok() {
            self.tell_quorum(consensus::quorum::Input::Work, out);
        }
        result
    }

    /// Answers senders for whom the application took too long: their transactions wait on.
    pub(super) fn answer_unjudged(&mut self, out: &mut Vec<Output>) {
        while let Some((until, id)) = self.unjudged.deadlines.first().copied()
            && until <= self.now.mono
        {
            self.unjudged.deadlines.pop_first();
            if let Some((ticket, _)) = self.unjudged.senders.remove(&id) {
                out.push(Output::Submitted { ticket, result: Ok(id) });
            }
        }
    }

    pub(super) fn on_command(&mut self, ticket: Ticket, command: Command, out: &mut Vec<Output>) {
        let result = match command {
            Command::Blacklist(id) => self.give_up(id, out),
            Command::Mode(peer, mode) => Ok(self.set_mode(peer, mode, out)),
        };
        out.push(Output::Obeyed { ticket, result });
    }

    fn set_mode(&mut self, peer: PeerId, mode: Mode, out: &mut Vec<Output>) -> String {
        match mode {
            Mode::Auto => self.modes.remove(&peer),
            Mode::Active | Mode::Backup | Mode::Off => self.modes.insert(peer, mode),
        };
        self.tell_bodies(bodies::Input::Mode { peer, mode }, out);
        self.is_lacking = true;
        let name = format!("{mode:?}").to_lowercase();
        match self.peers.contains_key(&peer) {
            true => format!("bodies to and from {peer:.16} are {name} now"),
            false => format!("bodies to and from {peer:.16} will be {name} when it is connected"),
        }
    }
}
