//! Evidence: two signatures of one validator, of which an honest one gives one.

use chain::{Hash, Height};

use super::message::{Key, Message, Proposal, Vote};

/// The most pieces of evidence that are kept: a guess, a few for each of the liars that a chain can live with.
pub const MAX_EVIDENCE: usize = 64;

/// Proof that a validator lied, for whoever knows the validators of its height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// It voted for two things in one round.
    Votes(Box<[Vote; 2]>),
    /// It proposed two things in one round.
    Proposals(Box<[Proposal; 2]>),
}

impl Evidence {
    pub(super) fn votes(first: Vote, second: Vote) -> Self {
        Self::Votes(Box::new([first, second]))
    }

    pub(super) fn proposals(first: Proposal, second: Proposal) -> Self {
        Self::Proposals(Box::new([first, second]))
    }

    /// What was said, as messages of validators: how it is kept.
    pub fn messages(&self) -> [Message; 2] {
        match self {
            Self::Votes(pair) => pair.clone().map(Message::Vote),
            Self::Proposals(pair) => pair.clone().map(|offer| Message::Proposal(Box::new(offer))),
        }
    }

    /// The evidence that these two messages are; `None` where they are not of one kind. What it proves, if anything, says
    /// [`is_proof`](Self::is_proof).
    pub fn from_messages(messages: [Message; 2]) -> Option<Self> {
        match messages {
            [Message::Vote(a), Message::Vote(b)] => Some(Self::votes(a, b)),
            [Message::Proposal(a), Message::Proposal(b)] => Some(Self::proposals(*a, *b)),
            _ => None,
        }
    }

    /// Who lied.
    pub fn validator(&self) -> Key {
        match self {
            Self::Votes(pair) => pair[0].validator,
            Self::Proposals(pair) => pair[0].validator,
        }
    }

    /// At which height.
    pub fn height(&self) -> Height {
        match self {
            Self::Votes(pair) => pair[0].vote.height,
            Self::Proposals(pair) => pair[0].header.height,
        }
    }

    /// In which round.
    pub fn round(&self) -> u32 {
        match self {
            Self::Votes(pair) => pair[0].vote.round,
            Self::Proposals(pair) => pair[0].round,
        }
    }

    /// What is lied about: of one place in one height one piece is as good as another.
    pub(super) fn place(&self) -> (Key, Height, u32, bool) {
        (self.validator(), self.height(), self.round(), matches!(self, Self::Votes(_)))
    }

    /// Whether it proves anything: both signatures hold, and an honest validator would have given one of them.
    pub fn is_proof(&self, chain: &Hash) -> bool {
        match self {
            Self::Votes(pair) => {
                let [a, b] = &**pair;
                let place = |vote: &Vote| (vote.validator, vote.vote.kind, vote.vote.height, vote.vote.round);
                place(a) == place(b)
                    && a.vote.block != b.vote.block
                    && a.is_signed(chain)
                    && b.is_signed(chain)
            }
            Self::Proposals(pair) => {
                let [a, b] = &**pair;
                let place = |offer: &Proposal| (offer.validator, offer.header.height, offer.round);
                place(a) == place(b) && a.ballot() != b.ballot() && a.is_signed(chain) && b.is_signed(chain)
            }
        }
    }
}
