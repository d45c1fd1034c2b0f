//! The machine's part that waits for the application: what came or was submitted, and what becomes of it.

use std::time::Duration;

use bytes::Bytes;
use chain::Hash;

use super::pool::Own;
use super::slots::{Slot, Slots};
use super::state::State;
use super::{Kind, Name, Output, Refusal, Stage, Ticket, Verdict, Violation};

/// An item before the application.
#[derive(Debug, Clone)]
pub(super) struct Judging<P> {
    pub(super) bytes: Bytes,
    /// Who brought it.
    from: Option<P>,
    /// Who offers it.
    pub(super) known: Slots,
    pub(super) own: Option<Box<Own>>,
    /// The application should have answered by now.
    pub(super) late: bool,
    due: Duration,
}

/// How an item ended that is not here any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Included,
    /// It may be tried again from then on.
    Ignored(Duration),
    Expired,
}

impl End {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Included => Stage::Included,
            Self::Ignored(_) => Stage::Ignored,
            Self::Expired => Stage::Expired,
        }
    }
}

impl<P: Copy + Ord> State<P> {
    pub(super) fn on_submit(
        &mut self,
        now: Duration,
        ticket: Ticket,
        kind: Kind,
        bytes: Bytes,
        out: &mut Vec<Output<P>>,
    ) {
        let name = Name::of(kind, &bytes);
        let result = self.may_submit(name, &bytes);
        out.push(Output::Submitted { ticket, result });
        if result.is_err() {
            return;
        }
        let offerers = self.unwant(&name);
        let own = Own::new(offerers.count() > 0);
        self.books.take(kind, bytes.len());
        self.judge(now, name, bytes, None, offerers, Some(Box::new(own)), out);
    }

    /// Whoever submits an item that was wrong or stale before may be right now: it is judged again.
    fn may_submit(&self, name: Name, bytes: &Bytes) -> Result<Name, Refusal> {
        let kind = name.kind;
        let Some(rules) = self.config.kinds.get(&kind) else {
            return Err(Refusal::Unknown { kind });
        };
        let (bytes, max_bytes) = (bytes.len(), rules.max_item_bytes);
        let here = self.pool.get(&name).is_some() || self.judging.contains_key(&name);
        if bytes == 0 {
            Err(Refusal::Empty)
        } else if bytes > max_bytes {
            Err(Refusal::TooLarge { bytes, max_bytes })
        } else if here {
            Err(Refusal::Waits)
        } else if self.seen.get(&name) == Some(&End::Included) {
            Err(Refusal::Included)
        } else if !self.books.has_room(&self.config, kind, bytes) {
            Err(Refusal::Full)
        } else {
            Ok(name)
        }
    }

    /// Shows an item to the application. Its place is reserved.
    #[expect(clippy::too_many_arguments, reason = "the fields of one item")]
    pub(super) fn judge(
        &mut self,
        now: Duration,
        name: Name,
        bytes: Bytes,
        from: Option<P>,
        known: Slots,
        own: Option<Box<Own>>,
        out: &mut Vec<Output<P>>,
    ) {
        self.seen.remove(&name);
        self.bad.remove(&name);
        let due = now.saturating_add(self.config.judge_timeout);
        self.judging_due.insert((due, name));
        out.push(Output::Judge { name, bytes: bytes.clone(), from });
        let judging = Judging { bytes, from, known, own, late: false, due };
        assert!(self.judging.insert(name, judging).is_none(), "an item is judged once at a time");
    }

    pub(super) fn on_judged(
        &mut self,
        now: Duration,
        name: Name,
        verdict: Verdict,
        out: &mut Vec<Output<P>>,
    ) {
        let Some(Judging { bytes, from, known, own, .. }) = self.take_judging(&name) else {
            if verdict == Verdict::Reject && self.pool.get(&name).is_some() {
                self.counts.rejected += 1;
                self.leave_pool_for_bad(name, out);
            }
            return; // Given up, or included meanwhile.
        };
        let is_own = own.is_some();
        let stage = match verdict {
            Verdict::Accept => {
                self.counts.accepted += 1;
                self.books.pool(bytes.len());
                self.pool.insert(now, &self.config, name, bytes, known, own);
                Stage::Pooled
            }
            Verdict::Ignore => {
                self.counts.ignored += 1;
                self.books.give_back(name.kind, bytes.len());
                self.seen.insert(name, End::Ignored(now.saturating_add(self.config.ignored_for)));
                Stage::Ignored
            }
            Verdict::Reject => {
                self.counts.rejected += 1;
                self.books.give_back(name.kind, bytes.len());
                self.bad.insert(name, ());
                if let Some(from) = from {
                    self.blame(now, from, name, out);
                }
                Stage::Rejected
            }
        };
        if is_own {
            out.push(Output::Progressed { name, stage });
        }
    }

    /// Whoever brings many wrong items breaks a rule; with one it does not.
    fn blame(&mut self, now: Duration, from: P, name: Name, out: &mut Vec<Output<P>>) {
        if let Some(peer) = self.peers.get_mut(&from)
            && peer.wrong(now, &self.config)
        {
            out.push(Output::Misbehaved { peer: from, violation: Violation::WrongItems { name } });
        }
    }

    pub(super) fn on_included(&mut self, kind: Kind, ids: Vec<Hash>, out: &mut Vec<Output<P>>) {
        for id in ids {
            let name = Name { kind, id };
            if self.pool.get(&name).is_some() {
                self.counts.included += 1;
                self.leave_pool(name, End::Included, out);
                continue;
            }
            self.unwant(&name);
            if let Some(judging) = self.take_judging(&name) {
                self.counts.included += 1;
                self.books.give_back(kind, judging.bytes.len());
                if judging.own.is_some() {
                    out.push(Output::Progressed { name, stage: Stage::Included });
                }
            }
            self.bad.remove(&name);
            self.seen.insert(name, End::Included);
        }
    }

    /// What the application should have answered by now, and what it will not answer any more.
    pub(super) fn on_judging_due(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        while let Some(&(due, name)) = self.judging_due.first().filter(|(due, _)| *due <= now) {
            self.judging_due.remove(&(due, name));
            let judging = self.judging.get_mut(&name).expect("what is due is judged");
            let is_own = judging.own.is_some();
            let stage = if judging.late {
                let gone = self.take_judging(&name).expect("it is there");
                self.counts.unjudged += 1;
                self.books.give_back(name.kind, gone.bytes.len());
                self.seen.insert(name, End::Ignored(now.saturating_add(self.config.ignored_for)));
                Stage::Ignored
            } else {
                judging.late = true;
                judging.due = now.saturating_add(self.config.patience);
                self.judging_due.insert((judging.due, name));
                self.late += 1;
                Stage::Late
            };
            if is_own {
                out.push(Output::Progressed { name, stage });
            }
        }
    }

    fn take_judging(&mut self, name: &Name) -> Option<Judging<P>> {
        let judging = self.judging.remove(name)?;
        self.judging_due.remove(&(judging.due, *name));
        self.late -= usize::from(judging.late);
        Some(judging)
    }

    /// Whether an offered item is before the application; then it is known who offers it.
    pub(super) fn is_judged_already(&mut self, name: &Name, slot: Slot) -> bool {
        let Some(judging) = self.judging.get_mut(name) else { return false };
        judging.known.insert(slot);
        if let Some(own) = &mut judging.own {
            own.seen_back = true;
        }
        true
    }

    /// Whether an offered item was here already and is not to come again.
    pub(super) fn is_past(&self, now: Duration, name: &Name) -> bool {
        self.bad.get(name).is_some()
            || match self.seen.get(name) {
                Some(End::Included | End::Expired) => true,
                Some(End::Ignored(until)) => now < *until,
                None => false,
            }
    }

    /// An item leaves the pool. It is remembered, so that it is not asked for again.
    pub(super) fn leave_pool(&mut self, name: Name, end: End, out: &mut Vec<Output<P>>) {
        self.drop_pooled(name, end.stage(), out);
        self.seen.insert(name, end);
    }

    /// The application thinks otherwise of what it accepted.
    fn leave_pool_for_bad(&mut self, name: Name, out: &mut Vec<Output<P>>) {
        self.drop_pooled(name, Stage::Rejected, out);
        self.bad.insert(name, ());
    }

    fn drop_pooled(&mut self, name: Name, stage: Stage, out: &mut Vec<Output<P>>) {
        let entry = self.pool.remove(&name).expect("it is pooled");
        self.books.drop_pooled(name.kind, entry.bytes.len());
        if entry.own.is_some() {
            out.push(Output::Progressed { name, stage });
        }
    }

    pub(super) fn check_judging(&self) {
        assert_eq!(self.judging.len(), self.judging_due.len(), "each has its deadline");
        for (name, judging) in &self.judging {
            assert!(self.judging_due.contains(&(judging.due, *name)), "each has its deadline");
            assert!(self.pool.get(name).is_none(), "what is judged is not pooled yet");
            assert!(judging.known.is_within(&self.slots), "who left is forgotten");
        }
        assert_eq!(self.judging.values().filter(|judging| judging.late).count(), self.late);
    }
}
