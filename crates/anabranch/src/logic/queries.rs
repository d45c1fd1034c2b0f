//! What readers ask of the application's state: a question and an answer, both in the application's own encoding.
//!
//! **Invariant:** nobody waits longer than they want to, and no more wait than the bound: the application may take as
//! long as it likes, and delays other readers alone.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::queue::Queues;

/// A question that waits, and where its answer goes.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) question: Bytes,
    pub(super) answer: oneshot::Sender<Result<Bytes, Unanswered>>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The application does not answer it.
    #[error("{reason}")]
    Refused {
        /// Why not, in its words.
        reason: String,
    },
    /// Too many ask at once, it takes too long, or it is stopping.
    #[error("the application is busy or stopping")]
    Busy,
    /// There is no application.
    #[error("this node has no application")]
    None,
}

/// The way for readers to ask an application.
#[derive(Debug, Clone)]
pub struct Queries {
    queues: Arc<Queues>,
    max: usize,
}

impl Queries {
    pub(super) fn new(queues: Arc<Queues>, max: usize) -> Self {
        Self { queues, max }
    }

    /// Asks. Who drops this before there is an answer has taken the question back, unless it is just being answered.
    ///
    /// # Errors
    /// When the application refuses, or its queue is full or closed.
    pub async fn ask(&self, question: Bytes) -> Result<Bytes, Unanswered> {
        let (answer, answered) = oneshot::channel();
        match self.queues.push_query(Query { question, answer }, self.max) {
            None => answered.await.unwrap_or(Err(Unanswered::Busy)),
            Some(_) => Err(Unanswered::Busy),
        }
    }
}
