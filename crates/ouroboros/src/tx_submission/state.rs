//! The states of tx-submission 2, and what each allows.

use link::Mode;

use super::Message;
use crate::limits::{LARGE_BYTES, Limits, SHORT, SMALL_BYTES, Wait};

/// The state of one conversation, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The initiator says that it is ready.
    Init,
    /// The responder may ask.
    Idle,
    /// The initiator answers with ids, however long that takes.
    BlockingIds,
    /// The initiator answers with the ids that it has now.
    NonBlockingIds,
    /// The initiator answers with transactions.
    Txs,
    /// It is over.
    Done,
}

impl State {
    /// Whose turn it is.
    pub fn agency(self) -> Option<Mode> {
        match self {
            Self::Init | Self::BlockingIds | Self::NonBlockingIds | Self::Txs => Some(Mode::Initiator),
            Self::Idle => Some(Mode::Responder),
            Self::Done => None,
        }
    }

    /// What the side whose turn it is must keep to.
    pub fn limits(self) -> Limits {
        match self {
            Self::Init | Self::Idle | Self::Done => Limits { time: Wait::Forever, bytes: SMALL_BYTES },
            Self::BlockingIds => Limits { time: Wait::Forever, bytes: LARGE_BYTES },
            Self::NonBlockingIds | Self::Txs => Limits { time: SHORT, bytes: LARGE_BYTES },
        }
    }

    /// The state after a message; none when it may not be sent here.
    pub fn after(self, message: &Message<'_>) -> Option<Self> {
        use Message as M;
        match (self, message) {
            (Self::Init, M::Init) => Some(Self::Idle),
            (Self::Idle, M::RequestTxIds { blocking: true, .. }) => Some(Self::BlockingIds),
            (Self::Idle, M::RequestTxIds { blocking: false, .. }) => Some(Self::NonBlockingIds),
            (Self::Idle, M::RequestTxs { .. }) => Some(Self::Txs),
            // Waiting for ids ends with at least one.
            (Self::BlockingIds, M::ReplyTxIds { ids }) if !ids.is_empty() => Some(Self::Idle),
            (Self::BlockingIds, M::Done) => Some(Self::Done),
            (Self::NonBlockingIds, M::ReplyTxIds { .. }) => Some(Self::Idle),
            (Self::Txs, M::ReplyTxs { .. }) => Some(Self::Idle),
            (
                Self::Init | Self::Idle | Self::BlockingIds | Self::NonBlockingIds | Self::Txs | Self::Done,
                _,
            ) => None,
        }
    }

    /// Its name, for those who read of a violation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "Init",
            Self::Idle => "Idle",
            Self::BlockingIds => "TxIds(blocking)",
            Self::NonBlockingIds => "TxIds(non-blocking)",
            Self::Txs => "Txs",
            Self::Done => "Done",
        }
    }
}

/// What a peer did wrong with the window of unacknowledged ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More ids acknowledged than there are.
    #[error("{acknowledged} ids acknowledged of {unacknowledged}")]
    AcknowledgedTooMany {
        /// How many it acknowledged.
        acknowledged: u16,
        /// How many there were.
        unacknowledged: u16,
    },
    /// More ids asked for than the window has room for.
    #[error("{requested} ids asked for with {unacknowledged} unacknowledged")]
    RequestedTooMany {
        /// How many it asked for.
        requested: u16,
        /// How many were unacknowledged then.
        unacknowledged: u16,
    },
    /// A request for nothing.
    #[error("a request for nothing")]
    RequestedNothing,
    /// A blocking request with ids unacknowledged, or another one without.
    #[error("a request of the wrong kind: blocking is {blocking} with {unacknowledged} ids unacknowledged")]
    WrongKind {
        /// Whether it was blocking.
        blocking: bool,
        /// How many ids were unacknowledged then.
        unacknowledged: u16,
    },
    /// A transaction asked for that was not offered, or twice in one request.
    #[error("a transaction asked for that is not on offer")]
    NotOffered,
    /// More ids than were asked for.
    #[error("{got} ids in answer to a request for {requested}")]
    TooManyIds {
        /// How many were asked for.
        requested: u16,
        /// How many came.
        got: usize,
    },
    /// An id that is longer than any.
    #[error("an id of {bytes} bytes")]
    IdTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A transaction that is longer than was to be asked for.
    #[error("a transaction of {bytes} bytes")]
    TxTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// More transactions than were asked for.
    #[error("{got} transactions in answer to a request for {requested}")]
    TooManyTxs {
        /// How many were asked for.
        requested: usize,
        /// How many came.
        got: usize,
    },
}
