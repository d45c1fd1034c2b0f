//! The engine: one task owns the [`Node`](node::Node), feeds it and performs what it asks for.
//!
//! ```text
//!   connections ──┐                        ┌─ Connect, Upstream, Disconnect → a task per connection
//!   checks ───────┼→ Event → Node::handle ─┼─ Verify  → a small pool of threads
//!   store ────────┤    (one at a time)     ├─ Persist → the store's thread: one sync per batch
//!   application ──┤                        ├─ Load    → the blocking pool
//!   peers' links ─┘                        ├─ Ask     → the application's own threads
//!                                          ├─ Send, Took, Blame, Part → the links, without waiting
//!                                          └─ Publish → a watch, for the readers
//! ```
//!
//! It decides nothing. It never waits for what it has asked for: whoever performs an effect sends an event.
//!
//! **Invariant:** no event of a connection reaches the node after its `Disconnect`: each carries the number of
//! the dial that it belongs to.

mod checks;
mod connected;
mod drive;
mod echo;
mod peers;
mod persist;
mod storage;
mod submissions;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::{Cursor, Hash, View};
use node::{Command, Input, UpstreamId, pool};
use ouroboros::upstream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::connection;
use crate::logic::{self, Logic, Queries, Unanswered};
use crate::network::Sink;
use crate::peers::Book;
use crate::runtime::Owned;
use crate::status::Progress;
use drive::Engine;
pub(crate) use storage::start as start_from;
use submissions::Asker;
pub use submissions::Submission;

/// Events that may wait for the engine; who sends more waits, which is backpressure down to the socket.
const MAX_EVENTS: usize = 256;

/// Questions that may wait for the engine; who asks more is told that it does not answer.
const MAX_ASKS: usize = 64;

/// How long the engine may take to answer a question: it answers from memory between two inputs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What an engine is made of.
pub(crate) struct Parts {
    /// The core.
    pub(crate) node: node::Node,
    /// The chain's format.
    pub(crate) format: chain::Format,
    /// The store, held alone.
    pub(crate) store: store::Store,
    /// The reading side of the store.
    pub(crate) reader: store::Reader,
    /// Where lies that are seen are kept.
    pub(crate) book: Arc<Book>,
    /// The clocks.
    pub(crate) clock: Clock,
    /// The upstreams' addresses; the place of each is its [`UpstreamId`].
    pub(crate) upstreams: Vec<String>,
    /// How to speak with them.
    pub(crate) speech: connection::Config,
    /// Threads that check signatures.
    pub(crate) check_threads: NonZeroUsize,
    /// Where views go.
    pub(crate) views: watch::Sender<Arc<View>>,
    /// What happens on the links with peers.
    pub(crate) sink: Sink,
    /// The application, where the node has one, and how it is asked.
    pub(crate) logic: Option<(Arc<dyn Logic>, logic::Config)>,
}

/// What reaches the engine from those who perform its effects.
#[derive(Debug)]
enum Event {
    /// An answer of the store, the checks or the blocking pool.
    Answer(Input),
    /// A connection says something.
    Upstream { id: UpstreamId, dial: u64, events: Vec<upstream::Event> },
    /// A dial came to nothing, or the connection is gone.
    Lost { id: UpstreamId, dial: u64, error: String },
}

/// A question to the engine.
#[derive(Debug)]
enum Ask {
    Status(oneshot::Sender<Report>),
    Submit(Bytes, Asker),
    Transaction(Hash, oneshot::Sender<Option<Progress>>),
    Command(Command, oneshot::Sender<Result<String, String>>),
}

/// What the engine says about its node.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// The core's own words.
    pub(crate) node: node::Status,
    /// For each upstream, what its connection is.
    pub(crate) dials: Vec<Dial>,
}

/// What the engine knows of an upstream's connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dial {
    /// How often it was dialled.
    pub(crate) count: u64,
    /// The version agreed on, while connected.
    pub(crate) version: Option<u64>,
}

/// How the rest of the process reaches a running engine.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    asks: mpsc::Sender<Ask>,
    queries: Option<Queries>,
}

impl Handle {
    /// The node's status; `None` where the engine does not answer.
    pub(crate) async fn report(&self) -> Option<Report> {
        self.ask(Ask::Status).await
    }

    /// Hands a transaction to the pool and gives its id; `None` where the engine does not answer.
    pub(crate) async fn submit(&self, tx: Bytes) -> Option<Result<Hash, pool::Refusal>> {
        self.ask(|answer| Ask::Submit(tx, Asker::Once(answer))).await
    }

    /// The same, and how far it comes.
    pub(crate) async fn watch(&self, tx: Bytes) -> Option<Result<Submission, pool::Refusal>> {
        self.ask(|answer| Ask::Submit(tx, Asker::Watches(answer))).await
    }

    /// How far a transaction came, where that is remembered; `None` where the engine does not answer.
    pub(crate) async fn transaction(&self, id: Hash) -> Option<Option<Progress>> {
        self.ask(|answer| Ask::Transaction(id, answer)).await
    }

    /// Has the node carry out an operator's order; what it did, or why it did not. `None` where the engine does not
    /// answer.
    pub(crate) async fn command(&self, command: Command) -> Option<Result<String, String>> {
        self.ask(|answer| Ask::Command(command, answer)).await
    }

    /// Has the application answer a question in its own encoding.
    pub(crate) async fn query(&self, question: Bytes) -> Result<Bytes, Unanswered> {
        let queries = self.queries.as_ref().ok_or(Unanswered::None)?;
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, queries.ask(question)).await;
        answered.unwrap_or(Err(Unanswered::Busy))
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(ask(answer)).ok()?;
        tokio::time::timeout(ANSWER_TIMEOUT, answered).await.ok()?.ok()
    }
}

/// Publishes what there is, and goes on from there on a task of its own; gives also where what there was ends.
pub(crate) fn start(parts: Parts) -> std::io::Result<(Owned<()>, Handle, Cursor)> {
    let (asks, asked) = mpsc::channel(MAX_ASKS);
    let mut engine = Engine::new(parts, asked)?;
    engine.step(Input::Tick);
    // Before the task runs: from then on blocks may come at any time.
    let found = engine.published();
    let handle = Handle { asks, queries: engine.queries() };
    Ok((Owned::spawn(|stop| engine.run(stop)), handle, found))
}
