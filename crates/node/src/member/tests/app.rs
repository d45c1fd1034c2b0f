//! An application: a hash over all blocks, and the validators that transactions ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use chain::native::{self, StateRoot, transactions};
use chain::{Block, Hash, Tip};

use super::world::{WRONG, ms, validators};
use crate::Ticket;
use crate::application::{Answer, Applied, Question, Snapshot, Taken};

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
    /// After every so many blocks it keeps its state for newcomers; 0 for never.
    pub(super) every: u64,
    /// The states that it keeps, oldest first.
    snapshots: Vec<StateRoot>,
    /// The state that it puts together, and the pieces that it wants.
    restoring: Option<(StateRoot, BTreeSet<Bytes>)>,
    /// How many pieces it was shown.
    pub(super) shown: u32,
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
            every: 0,
            snapshots: Vec::new(),
            restoring: None,
            shown: 0,
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
        let height = block.header.height;
        if self.every > 0 && (height.0 + 1).is_multiple_of(self.every) {
            self.snapshots.push(StateRoot { height, root });
            let old = self.snapshots.len().saturating_sub(2);
            self.snapshots.drain(..old);
        }
        self.applied.clone()
    }

    /// Answers what it is asked about snapshots.
    pub(super) fn answer(&mut self, about: Snapshot) -> Answer {
        match about {
            Snapshot::Offered => Answer::Snapshots(self.snapshots.iter().rev().copied().collect()),
            Snapshot::Piece { of, name } => {
                Answer::Piece(self.snapshots.contains(&of).then(|| piece(&of, &name)))
            }
            Snapshot::Restore { .. } if self.every == 0 => Answer::Restoring(None),
            Snapshot::Restore { to } => {
                let first = Bytes::from_static(&[0]);
                self.restoring = Some((to, BTreeSet::from([first.clone()])));
                Answer::Restoring(Some(vec![first]))
            }
            Snapshot::Forget => {
                self.restoring = None;
                Answer::Restoring(None)
            }
            Snapshot::Take { name, piece } => Answer::Taken(self.take(&name, &piece)),
            Snapshot::Restored { tip } => match self.restoring.take() {
                Some((to, wanted)) if wanted.is_empty() && to.height == tip.height => {
                    self.applied = Applied { tip, root: Some(to.root), validators: None };
                    Answer::Applied(self.applied.clone())
                }
                _ => Answer::Failed { reason: "it is not whole".into() },
            },
        }
    }

    fn take(&mut self, name: &Bytes, found: &Bytes) -> Taken {
        self.shown += 1;
        let Some((to, wanted)) = &mut self.restoring else { return Taken::Unasked };
        if !wanted.contains(name) {
            return Taken::Unasked;
        }
        if *found != piece(to, name) {
            return Taken::Wrong { reason: "it is made up".into() };
        }
        wanted.remove(name);
        let more: Vec<Bytes> = match name[0] {
            0 => (1..9).map(|at| vec![at].into()).collect(),
            _ => Vec::new(),
        };
        wanted.extend(more.iter().cloned());
        Taken::Right { more }
    }
}

/// A piece of a state.
fn piece(of: &StateRoot, name: &[u8]) -> Bytes {
    [b"piece", name, &of.root.0].concat().into()
}
