//! Proposed blocks: got, checked, and judged by the application before consensus may vote for them.
//!
//! A proposed header enters the tree whatever peers know of it. A block is shown to the application when it is durable
//! and everything before it was delivered; what its header says of the application's state and of the validators is
//! compared with what our own application said at that height, and waits until that is known.

use std::time::Duration;

use chain::native::{Fields, StateRoot, read_fields};
use chain::{Block, Hash, Header, Height, Tip};
use consensus::quorum;
use link::PeerId;

use super::Member;
use super::applying::Known;
use super::peer::Check;
use super::state::Ask;
use crate::application::{Question, Verdict};
use crate::{Notice, Output};

/// After how long an application that could not tell is asked again. A guess.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How many proposals that pass by are fetched at one height by a node that does not vote. A guess: those of many rounds.
const MAX_PASSING: usize = 64;

/// A proposed block of the present height.
#[derive(Debug)]
pub(super) struct Proposed {
    header: Header,
    fields: Fields,
    /// Who told us of it.
    from: Option<PeerId>,
    step: Step,
}

/// How far a proposed block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Its header is being checked.
    Checking,
    /// Its header may enter the tree once its time has come.
    Header,
    /// Its body is wanted, or is being written.
    Body,
    /// It is durable: it waits for the application to be as far, not before this.
    Judging { not_before: Duration },
    /// The application was asked.
    Asked,
    /// Consensus knows what it is worth.
    Done,
}

impl Member {
    /// Consensus wants a block that was proposed.
    pub(super) fn on_proposed(&mut self, header: Header, out: &mut Vec<Output>) {
        let id = header.id;
        if self.blacklist.contains(&id) {
            return self.tell_quorum(quorum::Input::Judged { block: id, is_right: false }, out);
        }
        let fields = read_fields(&header).expect("consensus read it");
        let step = match self.check(&header, out) {
            Check::Passed => Step::Header,
            Check::Later | Check::Waiting | Check::Failed(_) => Step::Checking,
        };
        let from = self.speaking.heard_from;
        self.proposed.insert(id, Proposed { header, fields, from, step });
    }

    /// A proposal passes by that has nothing to do with us: validators behind us will ask for its body, whatever the best
    /// chain is.
    pub(super) fn on_passing(&mut self, from: PeerId, header: &Header, out: &mut Vec<Output>) {
        let is_next = header.height.0 == self.tree.root().settled && !self.proposed.contains_key(&header.id);
        if self.quorum.is_voting() || !is_next || self.proposed.len() >= MAX_PASSING {
            return;
        }
        self.speaking.heard_from = Some(from);
        self.on_proposed(header.clone(), out);
        self.speaking.heard_from = None;
    }

    /// The checks of a header that may have been proposed are done.
    pub(super) fn on_proposal_checked(&mut self, id: Hash, passed: bool, out: &mut Vec<Output>) {
        let Some(proposed) = self.proposed.get_mut(&id).filter(|it| it.step == Step::Checking) else {
            return;
        };
        proposed.step = Step::Header;
        if !passed {
            self.judge(id, false, out);
        }
    }

    /// What was proposed up to this height is decided: it is wanted no more, though the next height to vote on may be far.
    pub(super) fn forget_proposed(&mut self, settled: Height) {
        self.proposed.retain(|_, proposed| proposed.header.height > settled);
    }

    fn judge(&mut self, id: Hash, is_right: bool, out: &mut Vec<Output>) {
        if let Some(proposed) = self.proposed.get_mut(&id) {
            proposed.step = Step::Done;
        }
        self.tell_quorum(quorum::Input::Judged { block: id, is_right }, out);
    }

    /// Brings proposed blocks as far as they can go now.
    pub(super) fn judge_due(&mut self, out: &mut Vec<Output>) {
        for id in self.proposed.keys().copied().collect::<Vec<_>>() {
            while self.judge_step(id, out) {}
        }
    }

    /// One step of one block; says whether another may follow.
    fn judge_step(&mut self, id: Hash, out: &mut Vec<Output>) -> bool {
        let Some(Proposed { header, from, step, .. }) = self.proposed.get(&id) else { return false };
        let (header, from, step) = (header.clone(), *from, *step);
        let next = match step {
            Step::Checking | Step::Asked | Step::Done => return false,
            Step::Header if !self.is_known(&id) && !self.is_time(&header) => return false,
            Step::Header => {
                if !self.insert(None, header.clone(), out) {
                    // It does not follow by its format's rules; or it is of a height that has passed.
                    self.judge(id, false, out);
                    return false;
                }
                self.want(&header, from, out);
                Step::Body
            }
            Step::Body if self.tree.block(&id).is_none() => {
                self.want(&header, from, out);
                return false;
            }
            Step::Body => {
                self.tell_quorum(quorum::Input::Stored(id), out);
                if self.mine.contains(&id) || !self.quorum.is_voting() {
                    self.judge(id, true, out);
                    return false;
                }
                Step::Judging { not_before: Duration::ZERO }
            }
            Step::Judging { not_before } if not_before > self.now.mono => return false,
            Step::Judging { .. } => match self.ask_verdict(id, out) {
                Some(next) => next,
                None => return false,
            },
        };
        if let Some(proposed) = self.proposed.get_mut(&id) {
            proposed.step = next;
        }
        true
    }

    /// Asks the application, if everything before the block was delivered; `None` when the block has to wait, or is
    /// judged already.
    fn ask_verdict(&mut self, id: Hash, out: &mut Vec<Output>) -> Option<Step> {
        let Some(applying) = &self.applying else {
            // Without an application there is nothing more to judge by.
            self.judge(id, true, out);
            return None;
        };
        if !applying.has_delivered(self.tree.root().settled) {
            return None;
        }
        let fields = &self.proposed.get(&id)?.fields;
        match self.is_due(fields) {
            None => return None,
            Some(true) => {}
            Some(false) => {
                self.judge(id, false, out);
                return None;
            }
        }
        let entry = self.tree.block(&id)?;
        let block = Block { header: entry.header.clone(), raw: entry.block.clone() };
        let ticket = self.next_ticket();
        self.asks.insert(ticket, Ask::Block(id));
        out.push(Output::Ask { ticket, question: Question::CheckBlock { block } });
        Some(Step::Asked)
    }

    /// Whether a header says of the application's state and of the validators what our own application leads to;
    /// `None` while our application is not that far.
    fn is_due(&self, fields: &Fields) -> Option<bool> {
        let applying = self.applying.as_ref()?;
        let Some(StateRoot { height, root }) = fields.state else {
            return Some(fields.change.is_none());
        };
        match applying.at(height) {
            Known::NotYet => None,
            // So long ago that it cannot be known: nothing is voted for on trust.
            Known::Forgotten => Some(false),
            Known::Applied(applied) => {
                let is_root = applied.state_root().is_some_and(|state| state.root == root);
                Some(is_root && self.change_due(applied, fields.height) == fields.change)
            }
        }
    }

    /// The application has judged a block.
    pub(super) fn on_verdict(&mut self, id: Hash, verdict: &Verdict, out: &mut Vec<Output>) {
        let again = self.now.mono + ASK_AGAIN;
        let Some(proposed) = self.proposed.get_mut(&id).filter(|it| it.step == Step::Asked) else { return };
        match verdict {
            Verdict::Accept => self.judge(id, true, out),
            Verdict::Reject { reason } => {
                let tip = proposed.header.tip();
                out.push(Output::Notice(Notice::BlockRejected { block: tip, reason: reason.clone() }));
                self.set_aside(&id);
                self.judge(id, false, out);
            }
            Verdict::Ignore => proposed.step = Step::Judging { not_before: again },
        }
    }

    /// When a proposed block is worth another look.
    pub(super) fn judging_deadline(&self) -> Option<Duration> {
        let times = self.proposed.values().filter_map(|proposed| match proposed.step {
            Step::Header if !self.is_time(&proposed.header) => Some(self.time_of(&proposed.header)),
            Step::Judging { not_before } if not_before > self.now.mono => Some(not_before),
            _ => None,
        });
        times.min()
    }

    /// Where a block stands that consensus decided on: its header enters the tree if it is not there yet.
    pub(super) fn decided_tip(&mut self, id: &Hash, out: &mut Vec<Output>) -> Option<Tip> {
        if let Some(header) = self.tree.header(id) {
            return Some(header.tip());
        }
        let header = self.proposed.get(id)?.header.clone();
        let tip = header.tip();
        self.insert(None, header, out).then_some(tip)
    }

    /// An operator gives a block up that never gets a verdict.
    pub(super) fn give_up(&mut self, id: Hash, out: &mut Vec<Output>) -> Result<String, String> {
        if self.is_settled(&id) {
            return Err(format!("block {id:.16} is irreversible: nothing can be given up any more"));
        }
        self.blacklist.insert(id);
        self.drop_transactions(&id, out);
        match self.proposed.get(&id).map(|it| it.step) {
            Some(Step::Done) => Ok(format!(
                "block {id:.16} has had its verdict, which stays; after a restart this validator does not vote for it"
            )),
            Some(_) => {
                self.judge(id, false, out);
                Ok(format!("block {id:.16} is judged wrong here: this validator does not vote for it"))
            }
            None => Ok(format!(
                "block {id:.16} is not proposed now; when it is, this validator does not vote for it"
            )),
        }
    }

    /// An operator takes that back.
    pub(super) fn allow(&mut self, id: Hash) -> Result<String, String> {
        match self.blacklist.remove(&id) {
            true => Ok(format!("block {id:.16} is judged as any other when it is proposed again")),
            false => Err(format!("block {id:.16} was not given up here")),
        }
    }

    fn is_settled(&self, id: &Hash) -> bool {
        self.recent.get(id).is_some() || self.tree.root().tip.point.hash() == Some(*id)
    }
}
