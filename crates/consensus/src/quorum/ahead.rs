//! Messages that came before their height: bounded, and only what its sender signed.
//!
//! A message that waits is verified when it comes, so that nobody takes another validator's place; each validator
//! has a few places for each height. What finds no place is lost and comes again: votes are repeated.

use std::collections::BTreeMap;

use chain::{Hash, Height};

use super::message::{Key, Message};

/// How many heights ahead messages are kept: who is further ahead sends finality first.
const HEIGHTS: u64 = 2;

/// How many messages of a validator wait for a height: a proposal and two votes in each of a few rounds. A guess.
const PER_VALIDATOR: usize = 12;

/// Messages of later heights.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    waiting: BTreeMap<(Height, Key), Vec<Message>>,
}

impl Ahead {
    /// Keeps a message above `height`, if there is a place for it. The caller knows that its sender is a validator.
    pub(super) fn keep(&mut self, height: Height, chain: &Hash, message: Message) -> Kept {
        let validator = match &message {
            Message::Vote(vote) => vote.validator,
            Message::Proposal(proposal) => proposal.validator,
            // They repeat votes, which come by themselves.
            Message::Polka(_) | Message::Entry(_) => return Kept::No,
        };
        let at = message.height();
        if at.0 > height.0.saturating_add(HEIGHTS) {
            return Kept::No;
        }
        let waiting = self.waiting.get(&(at, validator)).map_or(&[][..], Vec::as_slice);
        if waiting.len() >= PER_VALIDATOR || waiting.contains(&message) {
            return Kept::No;
        }
        let is_signed = match &message {
            Message::Vote(vote) => vote.is_signed(chain),
            Message::Proposal(proposal) => proposal.is_signed(chain),
            Message::Polka(_) | Message::Entry(_) => false,
        };
        if !is_signed {
            return Kept::Forged;
        }
        self.waiting.entry((at, validator)).or_default().push(message);
        Kept::Yes
    }

    /// Takes what waited for a height, and forgets what is below it.
    pub(super) fn take(&mut self, height: Height) -> Vec<Message> {
        self.waiting = self.waiting.split_off(&(height, [0; 32]));
        let later = self.waiting.split_off(&(Height(height.0.saturating_add(1)), [0; 32]));
        std::mem::replace(&mut self.waiting, later).into_values().flatten().collect()
    }

    /// Whether anything waits for a height.
    pub(super) fn has(&self, height: Height) -> bool {
        self.waiting.range((height, [0; 32])..=(height, [255; 32])).next().is_some()
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }
}

/// What became of a message that came early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It waits.
    Yes,
    /// It does not, and nobody is to blame.
    No,
    /// Its signature is not its sender's.
    Forged,
}
