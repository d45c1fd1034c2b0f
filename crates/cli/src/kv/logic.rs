//! The application as the node sees it.

use anabranch::chain::native::{StateRoot, transactions};
use anabranch::chain::{Block, Hash, Tip};
use anabranch::logic::{Applied, Failed, Logic, TRANSACTION_HEAD_BYTES, Taken, Verdict};
use bytes::Bytes;

use super::{Answer, Electorate, Kv, Question, Refusal};
use crate::transaction::Transaction;

impl Logic for Kv {
    fn check_tx(&self, tx: &[u8]) -> Verdict {
        match self.judge(&mut self.electorate(), tx) {
            Ok(()) => Verdict::Accept,
            Err(verdict) => verdict,
        }
    }

    /// A block is refused for a transaction that could do nothing where it stands.
    fn check_block(&self, block: &Block) -> Verdict {
        let Ok(transactions) = transactions(block) else {
            return Verdict::Reject { reason: "its transactions cannot be read".into() };
        };
        let newest = self.newest();
        if block.header.prev != newest.tip.point.hash() {
            return Verdict::Ignore;
        }
        let mut electorate = newest.electorate.clone();
        for tx in transactions {
            match self.judge(&mut electorate, &tx) {
                Ok(()) => {}
                Err(Verdict::Reject { reason }) => return Verdict::Reject { reason },
                // Where it stands, it is not early or late but wrong.
                Err(_) => {
                    return Verdict::Reject { reason: "a change of validators that is not the next".into() };
                }
            }
        }
        Verdict::Accept
    }

    fn build(&self, _parent: Tip, max_bytes: u64, candidates: &[(Hash, Bytes)]) -> Vec<Hash> {
        let mut electorate = self.electorate();
        let mut left = max_bytes;
        let mut ids = Vec::new();
        for (id, tx) in candidates {
            let bytes = tx.len() as u64 + TRANSACTION_HEAD_BYTES;
            if bytes <= left && self.judge(&mut electorate, tx).is_ok() {
                left -= bytes;
                ids.push(*id);
            }
        }
        ids
    }

    fn applied(&self) -> Result<Applied, Failed> {
        let newest = self.newest();
        Ok(applied(newest.tip, newest.root, newest.electorate.clone()))
    }

    fn deliver(&self, block: &Block) -> Result<Applied, Failed> {
        let mut after = self.deliver_all(std::slice::from_ref(block))?;
        after.pop().ok_or_else(|| Failed::new("one block leads to one state"))
    }

    fn deliver_all(&self, blocks: &[Block]) -> Result<Vec<Applied>, Failed> {
        let mut parent = self.newest().tip.point.hash();
        for block in blocks {
            if block.header.prev != parent {
                let height = block.header.height;
                return Err(Failed::new(format!("block {height} does not follow on the last one taken in")));
            }
            parent = Some(block.header.id);
        }
        let mut after = Vec::with_capacity(blocks.len());
        // A state is one that can be kept where a transaction ends.
        for blocks in blocks.split_inclusive(|block| self.is_for_newcomers(&block.header.tip())) {
            after.extend(self.take_in(blocks)?);
        }
        Ok(after.into_iter().map(|(tip, root, electorate)| applied(tip, root, electorate)).collect())
    }

    fn snapshots(&self) -> Vec<StateRoot> {
        let snapshots = self.kept_snapshots();
        snapshots.iter().rev().map(|it| StateRoot { height: it.tip.height, root: it.root }).collect()
    }

    fn piece(&self, of: &StateRoot, name: &[u8]) -> Result<Option<Bytes>, Failed> {
        let snapshots = self.kept_snapshots();
        let found = snapshots.iter().find(|it| (it.tip.height, it.root) == (of.height, of.root));
        let Some(snapshot) = found else { return Ok(None) };
        let piece = self.guarded(|| snapshot.piece(name, self.piece_bytes))?;
        Ok(piece.map(|piece| piece.encode().into()))
    }

    fn restore(&self, to: &StateRoot) -> Result<Option<Vec<Bytes>>, Failed> {
        Ok(Some(self.begin_restoring(*to)?.into_iter().map(Bytes::from).collect()))
    }

    fn restore_piece(&self, name: &[u8], piece: &[u8]) -> Result<Taken, Failed> {
        Ok(self.take_piece(name, piece)?)
    }

    fn restored(&self, tip: Tip) -> Result<Applied, Failed> {
        match self.end_restoring(tip)? {
            true => self.applied(),
            false => Err(Failed::new("pieces of the state are missing, or it is another block's")),
        }
    }

    fn forget_restore(&self) -> Result<(), Failed> {
        Ok(self.drop_restoring()?)
    }

    fn query(&self, question: &[u8]) -> Result<Bytes, Failed> {
        let answer = match Question::decode(question)? {
            Question::Get { key, height } => match self.get(&key, height)? {
                Some(found) => Answer::Found(found),
                None => Answer::Gone { newest: self.newest().tip.height },
            },
            Question::Validators => Answer::Validators(self.electorate()),
        };
        Ok(answer.encode().into())
    }
}

impl Kv {
    /// Whether a transaction does something when these validators are asked for; if so, they become what it makes of
    /// them.
    fn judge(&self, electorate: &mut Electorate, tx: &[u8]) -> Result<(), Verdict> {
        let reject = |reason: String| Verdict::Reject { reason };
        let transaction = Transaction::decode(tx).map_err(|invalid| reject(invalid.to_string()))?;
        transaction.check_size().map_err(|invalid| reject(invalid.to_string()))?;
        let Transaction::Validator(change) = transaction else { return Ok(()) };
        match electorate.after(&change, &self.params) {
            Ok(after) => {
                *electorate = after;
                Ok(())
            }
            Err(Refusal::OutOfTurn { .. }) => Err(Verdict::Ignore),
            Err(refusal) => Err(reject(refusal.to_string())),
        }
    }
}

fn applied(tip: Tip, root: Hash, electorate: Electorate) -> Applied {
    Applied { tip, root: Some(root), validators: Some(electorate.validators) }
}
