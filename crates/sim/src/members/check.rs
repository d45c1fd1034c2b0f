//! The checkers: what must hold in every world of members, whatever goes wrong.
//!
//! They see what nodes say, store, show, ask of their applications and blame each other for. Each has a test that
//! breaks its rule on purpose and sees it fire.

use std::collections::{BTreeMap, BTreeSet};

use chain::native::ballot::Kind;
use chain::native::{Certificate, Faults};
use chain::{Hash, Header, Height, State, View};
use consensus::quorum;
use node::member::Violation;
use store::Recovered;

/// What was found broken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Broken {
    /// Two nodes that keep to the rules settled different blocks at one height.
    #[error("agreement: node {node} settles {found:.8} at {position}, another has {expected:.8} there")]
    Disagreed {
        /// Who came second.
        node: u32,
        /// Where.
        position: u64,
        /// Its block.
        found: Hash,
        /// The other one.
        expected: Hash,
    },
    /// A block was settled that no quorum signed for.
    #[error("node {node} settles a block without a proof: {what}")]
    Unproven {
        /// Who.
        node: u32,
        /// What is wrong with the proof.
        what: String,
    },
    /// A block was settled that no application accepts.
    #[error("node {node} settles {id:.8}, which the application rejects")]
    Wrong {
        /// Who.
        node: u32,
        /// Which block.
        id: Hash,
    },
    /// A block of a validator that keeps to the rules holds a transaction that the chain had before.
    #[error("node {node} settles {id:.8}, in which transaction {tx:.8} is in the chain again")]
    Again {
        /// Who.
        node: u32,
        /// Which block.
        id: Hash,
        /// Which transaction.
        tx: Hash,
    },
    /// A key of a validator that keeps to the rules signed two things of which an honest one signs one.
    #[error("node {node} signed two things: {what}")]
    SignedTwice {
        /// Who.
        node: u32,
        /// What.
        what: String,
    },
    /// What was acknowledged or shown did not come back.
    #[error("node {node} lost something: {what}")]
    Lost {
        /// Who.
        node: u32,
        /// What.
        what: String,
    },
    /// P1, P5: a node that keeps to the rules was blamed by another that does.
    #[error("node {node} blames {peer}, which keeps to the rules: {violation}")]
    Slandered {
        /// Who blames.
        node: u32,
        /// Whom.
        peer: u32,
        /// For what.
        violation: Box<Violation>,
    },
    /// The application was not given each block once, in the order of the chain.
    #[error("the application of node {node} was given {found}, after {expected}")]
    Delivered {
        /// Whose.
        node: u32,
        /// The block.
        found: String,
        /// The one that it was given before.
        expected: String,
    },
    /// A node sends more than the link takes, or takes what did not come.
    #[error("node {node} breaks the rules of its links: {what}")]
    Overrun {
        /// Who.
        node: u32,
        /// How.
        what: String,
    },
    /// Something grows beyond its bound.
    #[error("node {node}: {what}: {found}, at most {bound} are allowed")]
    Unbounded {
        /// Whose.
        node: u32,
        /// What.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        bound: u64,
    },
    /// A node failed or stopped voting, though its disk did not fail.
    #[error("node {node} gave up: {what}")]
    GaveUp {
        /// Who.
        node: u32,
        /// In its own words.
        what: String,
    },
    /// P2, P3, B1: all is quiet, and linked nodes differ or lack something.
    #[error("at rest {what}")]
    AtRest {
        /// What is not as it should be.
        what: String,
    },
    /// The faults have ended long ago, and there is no progress.
    #[error("no progress: {what}")]
    Stuck {
        /// Who stands where.
        what: String,
    },
    /// Time does not go on.
    #[error("{count} things happen at one moment")]
    NoTime {
        /// How many.
        count: u64,
    },
}

/// What was signed where: the signer, the height, the round, and which of a round's three words.
type Place = (u32, Height, u32, u8);

/// What the checkers remember.
#[derive(Debug)]
pub(super) struct Checker {
    /// What is irreversible, by position: the first word of any node that keeps to the rules.
    chain: Vec<Hash>,
    /// How many blocks each node showed, over all its lives.
    shown: Vec<u64>,
    said: BTreeMap<Place, Option<Hash>>,
    /// The transactions of the chain.
    included: BTreeSet<Hash>,
}

impl Checker {
    pub(super) fn new(nodes: u32) -> Self {
        Self {
            chain: Vec::new(),
            shown: vec![0; nodes as usize],
            said: BTreeMap::new(),
            included: BTreeSet::new(),
        }
    }

    /// Blocks are durable in a node's log, the first at this position.
    pub(super) fn on_settled(
        &mut self,
        node: u32,
        position: u64,
        blocks: impl IntoIterator<Item = Hash>,
    ) -> Result<(), Broken> {
        for (position, found) in (position..).zip(blocks) {
            match self.chain.get(position as usize) {
                Some(&expected) if expected != found => {
                    return Err(Broken::Disagreed { node, position, found, expected });
                }
                Some(_) => {}
                None if position == self.chain.len() as u64 => self.chain.push(found),
                None => {
                    let what = format!("its blocks begin at {position}, all have {}", self.chain.len());
                    return Err(Broken::Lost { node, what });
                }
            }
        }
        Ok(())
    }

    /// A transaction is in the next block of the chain, which a liar may have made.
    pub(super) fn on_included(
        &mut self,
        node: u32,
        id: Hash,
        tx: Hash,
        is_liars: bool,
    ) -> Result<(), Broken> {
        if self.included.insert(tx) || is_liars { Ok(()) } else { Err(Broken::Again { node, id, tx }) }
    }

    /// What shows that the last of settled blocks is irreversible; `state` is the one after it.
    pub(super) fn on_proof(
        &self,
        node: u32,
        block: &Header,
        state: &State,
        certificate: Option<&[u8]>,
        faults: Faults,
        verify: impl FnOnce(Certificate) -> Result<(), String>,
    ) -> Result<(), Broken> {
        let unproven = |what: String| Err(Broken::Unproven { node, what });
        let Some(bytes) = certificate else { return unproven("there is no certificate".into()) };
        let certificate = match Certificate::decode(bytes) {
            Ok(certificate) => certificate,
            Err(error) => return unproven(error.to_string()),
        };
        let (id, height) = (block.id, block.height);
        if certificate.block() != id || certificate.height() != height {
            return unproven(format!("it is for {:.8}, not for {id:.8}", certificate.block()));
        }
        let Some(native) = state.native() else { return unproven("the chain is not native".into()) };
        let weight = certificate.signers().filter_map(|place| native.validators.members().get(place));
        let weight = weight.map(|member| member.weight.get()).sum();
        if !faults.is_quorum(weight, native.validators.weight()) {
            return unproven(format!("weight {weight} signed"));
        }
        match verify(certificate) {
            Ok(()) => Ok(()),
            Err(what) => unproven(what),
        }
    }

    /// A node shows a view; so much of its log is durable. Says how many blocks it had shown before.
    pub(super) fn on_view(&mut self, node: u32, view: &View, durable: u64) -> Result<u64, Broken> {
        let shown = self.shown[node as usize];
        if view.settled < shown {
            let what = format!("it shows {} blocks after {shown}", view.settled);
            return Err(Broken::Lost { node, what });
        }
        if view.settled > durable {
            let what = format!("it shows {} blocks, {durable} are durable", view.settled);
            return Err(Broken::Lost { node, what });
        }
        self.check_tip(node, view.settled, view.irreversible.point.hash())?;
        self.shown[node as usize] = view.settled;
        Ok(shown)
    }

    /// A node starts again with what its store recovered.
    pub(super) fn on_restart(&self, node: u32, recovered: &Recovered) -> Result<(), Broken> {
        let shown = self.shown[node as usize];
        if recovered.settled < shown {
            let what = format!("{} of {shown} blocks that it showed came back", recovered.settled);
            return Err(Broken::Lost { node, what });
        }
        self.check_tip(node, recovered.settled, recovered.irreversible.point.hash())
    }

    fn check_tip(&self, node: u32, settled: u64, tip: Option<Hash>) -> Result<(), Broken> {
        let expected = settled.checked_sub(1).and_then(|at| self.chain.get(at as usize)).copied();
        if tip != expected {
            let what = format!("block {settled} is {tip:.8?} there, {expected:.8?} elsewhere");
            return Err(Broken::Lost { node, what });
        }
        Ok(())
    }

    /// A validator that keeps to the rules said something.
    pub(super) fn on_said(
        &mut self,
        node: u32,
        key: &[u8; 32],
        message: &quorum::Message,
    ) -> Result<(), Broken> {
        let (word, block) = match message {
            quorum::Message::Vote(vote) if vote.validator == *key => match vote.vote.kind {
                Kind::Prevote => (0, vote.vote.block),
                Kind::Precommit => (1, vote.vote.block),
            },
            quorum::Message::Proposal(proposal) if proposal.validator == *key => {
                (2, Some(proposal.header.id))
            }
            // Of others, passed on; or put together of votes that were checked when they were said.
            _ => return Ok(()),
        };
        let (height, round) = (message.height(), message.round());
        let before = *self.said.entry((node, height, round, word)).or_insert(block);
        if before != block {
            let what = format!("{} {height}/{round}: {before:.8?} and {block:.8?}", message.name());
            return Err(Broken::SignedTwice { node, what });
        }
        Ok(())
    }

    /// Something is compared with its bound.
    pub(super) fn bound(&self, node: u32, what: &'static str, found: u64, bound: u64) -> Result<(), Broken> {
        if found > bound { Err(Broken::Unbounded { node, what, found, bound }) } else { Ok(()) }
    }

    /// The block at a position.
    pub(super) fn block(&self, position: u64) -> Option<Hash> {
        self.chain.get(position as usize).copied()
    }

    /// How many blocks are irreversible anywhere.
    pub(super) fn settled(&self) -> u64 {
        self.chain.len() as u64
    }
}
