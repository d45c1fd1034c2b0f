//! What is searched: who votes, how far, what goes wrong; and all that was ever said.

use std::collections::BTreeMap;

use bytes::Bytes;
use chain::native::{Builder, Faults, Params, State};
use chain::{Hash, Header, Slot, Tip};

use super::super::world::{key, ms, validator};
use super::node::{MessageId, Messages, REPEAT};
use crate::quorum::{Bounds, Config, Message, Quorum};

/// A set-up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) params: Params,
    /// How many validators there are.
    pub(super) validators: usize,
    /// Nobody goes on beyond this round.
    pub(super) rounds: u32,
    /// How many timers run out, of all together.
    pub(super) ticks: u32,
    /// Whether one of them loses power, once.
    pub(super) crashes: bool,
    /// Whether its journal is lost with it: a rule that is broken on purpose.
    pub(super) forgets: bool,
}

impl Setup {
    pub(super) fn new(validators: u8, faults: Faults, rounds: u32, ticks: u32) -> Self {
        let params = Params {
            validators: (1..=validators).map(validator).collect(),
            faults,
            ..Params::solo("orders", 9, 0, key(1).public())
        };
        let validators = validators.into();
        Self { params, validators, rounds, ticks, crashes: false, forgets: false }
    }

    pub(super) fn quorum(&self, node: usize) -> Quorum {
        let bounds = Bounds { least: ms(100), most: ms(100_000) };
        let config =
            Config { propose: bounds, vote: bounds, growth_percent: 150, repeat: 2 * REPEAT, rest: ms(0) };
        Quorum::new(self.params.chain(), self.params.faults, Some(key(node as u8 + 1)), config)
    }

    /// The block that a node makes in a round.
    pub(super) fn block(&self, node: usize, round: u32) -> Header {
        let state = State::genesis(&self.params);
        let mut builder = Builder::start(&self.params, &Tip::default(), &state, Slot(u64::from(round) + 1));
        builder.add(Bytes::new()).expect("it fits");
        builder.round(0, round.into()).finish(&key(node as u8 + 1)).header
    }
}

/// All messages that anybody said in any run.
#[derive(Debug, Default)]
pub(super) struct Pool {
    messages: Vec<Message>,
    by_text: BTreeMap<String, MessageId>,
}

impl Pool {
    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[usize::from(id)]
    }

    /// The number of a message; votes put together in another order are the same.
    pub(super) fn id(&mut self, message: &Message) -> MessageId {
        let mut sorted = message.clone();
        match &mut sorted {
            Message::Polka(polka) => polka.votes.sort_unstable(),
            Message::Entry(entry) => entry.votes.sort_unstable_by_key(|vote| (vote.kind, vote.validator)),
            Message::Vote(_) | Message::Proposal(_) => {}
        }
        let text = format!("{sorted:?}");
        let next = MessageId::try_from(self.messages.len()).expect("few messages");
        assert!(u32::from(next) < Messages::BITS, "a bit for each message");
        let id = *self.by_text.entry(text).or_insert(next);
        if id == next {
            self.messages.push(sorted);
        }
        id
    }

    /// A message for a person.
    pub(super) fn show(&self, id: MessageId) -> String {
        let message = self.message(id);
        let of = |key: &[u8; 32], block: Option<Hash>| format!("{:.4} {block:.4?}", Hash(*key));
        match message {
            Message::Vote(vote) => {
                format!("{} {} of {}", message.name(), message.round(), of(&vote.validator, vote.vote.block))
            }
            Message::Proposal(offer) => {
                format!("proposal {} of {}", message.round(), of(&offer.validator, Some(offer.header.id)))
            }
            Message::Polka(_) | Message::Entry(_) => format!("{} {}", message.name(), message.round()),
        }
    }
}
