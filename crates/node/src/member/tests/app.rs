//! An application: a hash over all blocks, and the validators that transactions ask for.

use std::time::Duration;

use chain::native::{self, transactions};
use chain::{Block, Hash, Tip};

use super::world::{WRONG, ms, validators};
use crate::Ticket;
use crate::application::{Applied, Question};

/// The application: its state outlasts every crash.
#[derive(Debug)]
pub(super) struct App {
    pub(super) applied: Applied,
    pub(super) delay: Duration,
    pub(super) is_asleep: bool,
    /// Whether it takes transactions that are wrong.
    pub(super) is_careless: bool,
    pub(super) busy: Duration,
    pub(super) sleeping: Vec<(Ticket, Question)>,
    pub(super) delivered: Vec<Hash>,
}

impl App {
    /// One that knows nothing.
    pub(super) fn new() -> Self {
        Self {
            applied: Applied { tip: Tip::default(), root: None, validators: None },
            delay: ms(1),
            is_asleep: false,
            is_careless: false,
            busy: Duration::ZERO,
            sleeping: Vec::new(),
            delivered: Vec::new(),
        }
    }

    /// Takes a block in.
    pub(super) fn apply(&mut self, block: &Block) -> Applied {
        let before = self.applied.tip.point.hash();
        assert_eq!(block.header.prev, before, "deliveries come in the order of the chain, each once");
        let mut validators = self.applied.validators.clone();
        for tx in transactions(block).expect("a block") {
            assert_ne!(&tx[..], WRONG, "a wrong block was decided");
            if let Some(keys) = tx.strip_prefix(b"validators:") {
                validators = Some(self::validators(keys));
            }
        }
        let root = self.applied.root.unwrap_or_default();
        let root = native::blake2b(&[&root.0[..], &block.header.id.0].concat());
        self.delivered.push(block.header.id);
        self.applied = Applied { tip: block.header.tip(), root: Some(root), validators };
        self.applied.clone()
    }
}
