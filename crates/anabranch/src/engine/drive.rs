//! The loop: wait for one thing, hand it to the node, perform what comes out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chain::Cursor;
use node::{Input, Load, Node, Notice, Output, Ticket, UpstreamId, member};
use ouroboros::upstream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connected::Task;
use super::peers::Peers;
use super::submissions::Submissions;
use super::{Ask, Dial, Event, MAX_EVENTS, Parts, Report, checks, echo, persist, storage};
use crate::clock::Clock;
use crate::connection::{self, Connection};
use crate::logic::{self, Logic};
use crate::network::{self, Sink};
use crate::peers::Book;
use crate::status::Progress;

/// Commands that may wait for a connection. The node's windows keep them to a few; a connection that leaves
/// so many lying is closed.
const MAX_COMMANDS: usize = 1_024;

/// The task that owns the node.
pub(crate) struct Engine {
    node: Node,
    format: chain::Format,
    clock: Clock,
    upstreams: Vec<Upstream>,
    speech: connection::Config,
    views: watch::Sender<Arc<chain::View>>,
    reader: store::Reader,
    store: persist::Handle,
    book: Arc<Book>,
    checks: checks::Pool,
    logic: Option<logic::Pool>,
    peers: Peers,
    /// Nothing once the network has stopped.
    sink: Option<Sink>,
    submissions: Submissions,
    ordered: BTreeMap<Ticket, oneshot::Sender<Result<String, String>>>,
    /// Those who asked the node for something so far.
    asked: u64,
    /// What the node is to be told once what it says is done.
    untold: VecDeque<Input>,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    asks: mpsc::Receiver<Ask>,
    tasks: JoinSet<()>,
    /// What is being written into the book: never cut short.
    keeping: JoinSet<()>,
    out: Vec<Output>,
}

/// One configured upstream.
#[derive(Debug)]
struct Upstream {
    address: String,
    dial: Dial,
    line: Option<Line>,
}

/// The way to the task of a connection; the task ends when it is dropped.
#[derive(Debug)]
struct Line {
    commands: mpsc::Sender<upstream::Command>,
    _hang_up: tokio_util::sync::DropGuard,
}

/// What the engine woke up for.
enum Wake {
    Event(Event),
    Network(Option<network::Event>),
    Ask(Ask),
    Deadline,
    Stop,
}

impl Engine {
    pub(super) fn new(parts: Parts, asks: mpsc::Receiver<Ask>) -> std::io::Result<Self> {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let upstreams = parts.upstreams.into_iter();
        Ok(Self {
            node: parts.node,
            format: parts.format,
            clock: parts.clock,
            upstreams: upstreams
                .map(|address| Upstream { address, dial: Dial::default(), line: None })
                .collect(),
            speech: parts.speech,
            views: parts.views,
            reader: parts.reader,
            store: persist::start(parts.store, sender.clone())?,
            book: parts.book,
            checks: checks::Pool::start(parts.check_threads, &sender)?,
            logic: parts.logic.map(|(logic, config)| application(logic, config, &sender)).transpose()?,
            peers: Peers::default(),
            sink: Some(parts.sink),
            submissions: Submissions::default(),
            ordered: BTreeMap::new(),
            asked: 0,
            untold: VecDeque::new(),
            events,
            sender,
            asks,
            tasks: JoinSet::new(),
            keeping: JoinSet::new(),
            out: Vec::new(),
        })
    }

    /// Runs until `stop`; then what was handed to the store is made durable and the rest is let go.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut was_deadline = false;
        loop {
            let wake = self.wait(&stop, was_deadline).await;
            was_deadline = matches!(wake, Wake::Deadline);
            match wake {
                Wake::Event(event) => self.on_event(event),
                Wake::Network(event) => self.on_network(event),
                Wake::Ask(ask) => self.on_ask(ask),
                Wake::Deadline => self.on_deadline(),
                Wake::Stop => break,
            }
            while let Some(ended) = self.tasks.try_join_next().or_else(|| self.keeping.try_join_next()) {
                ended.expect("a task of the engine panicked, and has said why");
            }
        }
        self.events.close();
        while self.events.try_recv().is_ok() {}
        self.tasks.shutdown().await;
        while let Some(kept) = self.keeping.join_next().await {
            kept.expect("writing into the book does not panic");
        }
        let (store, logic) = (self.store, self.logic);
        // Waits for an application that is at work, in bounds, and for a thread that is at most one sync away from its
        // end.
        tokio::task::spawn_blocking(move || {
            drop(logic);
            drop(store);
        })
        .await
        .expect("the store's thread has not panicked");
    }

    async fn wait(&mut self, stop: &CancellationToken, was_deadline: bool) -> Wake {
        let deadlines = [self.node.next_deadline(), self.submissions.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min().unwrap_or(Duration::MAX);
        // However much comes in, time passes.
        if !was_deadline && deadline <= self.clock.now().mono {
            return Wake::Deadline;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => Wake::Stop,
            Some(ask) = self.asks.recv() => Wake::Ask(ask),
            Some(event) = self.events.recv() => Wake::Event(event),
            event = next_of(&mut self.sink) => Wake::Network(event),
            () = tokio::time::sleep_until(self.clock.instant(deadline)) => Wake::Deadline,
        }
    }

    fn on_deadline(&mut self) {
        let now = self.clock.now().mono;
        self.submissions.look(now, &self.node);
        if self.node.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.tell_unread();
            self.step(Input::Tick);
        }
    }

    /// Nobody is to be late with what lies here.
    fn tell_unread(&mut self) {
        let Some(sink) = self.sink.as_ref().filter(|_| matches!(self.node, Node::Member(_))) else { return };
        for id in sink.unread() {
            if self.peers.is_open(id) {
                self.step(Input::Peer { id, event: member::Event::Unread });
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Answer(input) => {
                if let Input::Persisted { ticket } = input {
                    self.peers.on_durable(ticket);
                }
                self.step(input);
            }
            Event::Upstream { id, dial, events } => {
                for event in events {
                    // A `Disconnect` that one event causes makes the next ones stale.
                    if self.is_current(id, dial) {
                        self.on_upstream(id, event);
                    }
                }
            }
            Event::Lost { id, dial, error } => {
                if self.is_current(id, dial) {
                    let upstream = &mut self.upstreams[id.0 as usize];
                    upstream.line = None;
                    let what =
                        if upstream.dial.version.is_some() { "connection lost" } else { "not connected" };
                    tracing::warn!(upstream = upstream.address, error, "{what}");
                    self.step(Input::ConnectFailed { id, error });
                }
            }
        }
    }

    /// Something happened on a link. A follower of upstreams has none of its chain to say to peers.
    fn on_network(&mut self, event: Option<network::Event>) {
        let Some(event) = event else { return self.sink = None };
        let is_member = matches!(self.node, Node::Member(_));
        match event {
            network::Event::Message(delivery) => {
                let Some(delivery) = echo::answer(delivery).filter(|_| is_member) else { return };
                let id = delivery.peer;
                if let Some(event) = self.peers.on_message(delivery) {
                    self.step(Input::Peer { id, event });
                }
            }
            _ if !is_member => {}
            network::Event::Joined(link) => {
                let (id, event) = (link.peer(), self.peers.on_joined(link));
                self.step(Input::Peer { id, event });
            }
            network::Event::Changed { peer: id, rtt, pinned, room } => {
                if let Some(pinned) = pinned {
                    self.step(Input::Peer { id, event: member::Event::Pinned(pinned) });
                }
                if let Some(rtt) = rtt {
                    self.step(Input::Peer { id, event: member::Event::Rtt(rtt) });
                }
                for channel in room {
                    if let Some(event) = self.peers.on_room(id, channel) {
                        self.step(Input::Peer { id, event });
                    }
                }
            }
            network::Event::Left(id) => {
                let event = self.peers.on_left(id);
                self.step(Input::Peer { id, event });
            }
        }
    }

    fn on_upstream(&mut self, id: UpstreamId, event: upstream::Event) {
        let upstream = &mut self.upstreams[id.0 as usize];
        match &event {
            upstream::Event::Ready { version } => {
                upstream.dial.version = Some(version.0);
                tracing::info!(upstream = upstream.address, version = version.0, "connected");
            }
            upstream::Event::Closed { reason } => {
                tracing::warn!(upstream = upstream.address, %reason, "closed");
                upstream.line = None;
            }
            _ => {}
        }
        self.step(Input::Upstream { id, event });
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Status(answer) => {
                let dials = self.upstreams.iter().map(|upstream| upstream.dial);
                let report = Report { node: self.node.status(self.clock.now()), dials: dials.collect() };
                // Who asked may have gone.
                let _ = answer.send(report);
            }
            Ask::Submit(tx, answer) => {
                let ticket = self.next_asked();
                self.submissions.ask(ticket, answer);
                self.step(Input::Submit { ticket, tx });
            }
            Ask::Transaction(id, answer) => {
                let _ = answer.send(self.node.transaction(&id).map(Progress::from));
            }
            Ask::Command(command, answer) => {
                let ticket = self.next_asked();
                self.ordered.insert(ticket, answer);
                self.step(Input::Command { ticket, command });
            }
        }
    }

    fn next_asked(&mut self) -> Ticket {
        self.asked += 1;
        Ticket(self.asked)
    }

    fn is_current(&self, id: UpstreamId, dial: u64) -> bool {
        let upstream = &self.upstreams[id.0 as usize];
        upstream.dial.count == dial && upstream.line.is_some()
    }

    /// Tells the node something and does what it says; then, what it is told because of that.
    pub(super) fn step(&mut self, input: Input) {
        self.untold.push_back(input);
        while let Some(input) = self.untold.pop_front() {
            let mut out = std::mem::take(&mut self.out);
            self.node.handle(self.clock.now(), input, &mut out);
            for output in out.drain(..) {
                self.perform(output);
            }
            self.out = out;
        }
        self.submissions.look_soon(self.clock.now().mono);
    }

    /// Where the newest view ends.
    pub(super) fn published(&self) -> Cursor {
        self.views.borrow().tip_cursor()
    }

    /// The way for readers to ask the application.
    pub(super) fn queries(&self) -> Option<logic::Queries> {
        self.logic.as_ref().map(logic::Pool::queries)
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Connect { id } => self.connect(id),
            Output::Upstream { id, command } => self.command(id, command),
            Output::Disconnect { id, closing } => {
                let upstream = &mut self.upstreams[id.0 as usize];
                upstream.line = None;
                tracing::warn!(upstream = upstream.address, reason = %closing.cause, "disconnected");
            }
            Output::Verify { ticket, work } => self.checks.run(ticket, work),
            Output::Persist { ticket, record } => self.store.append(ticket, record),
            Output::Load { ticket, load } => self.load(ticket, load),
            Output::Publish(view) => {
                self.submissions.on_view(&view);
                // Nobody may be reading, then the newest view waits for the first reader.
                drop(self.views.send_replace(view));
            }
            Output::Submitted { ticket, result } => self.submissions.answer(ticket, result),
            Output::Obeyed { ticket, result } => {
                if let Some(answer) = self.ordered.remove(&ticket) {
                    let _ = answer.send(result);
                }
            }
            Output::Notice(notice) => self.notice(&notice),
            Output::Send { peer, channel, body, after } => self.peers.send(peer, channel, body, after),
            Output::Took { peer, channel, messages } => self.peers.took(peer, channel, messages),
            Output::Blame { peer, violation } => self.peers.blame(peer, &violation),
            Output::Part { peer } => self.peers.part(peer),
            Output::Ask { ticket, question } => {
                let logic = self.logic.as_ref().expect("who asks an application has one");
                let at_once = logic.ask(ticket, question);
                self.untold.extend(at_once.map(|answer| Input::Answered { ticket, answer }));
            }
        }
    }

    fn notice(&mut self, notice: &Notice) {
        tracing::warn!("{notice}");
        let Notice::Evidence(evidence) = notice else { return };
        let (book, evidence) = (self.book.clone(), evidence.clone());
        self.keeping.spawn_blocking(move || {
            if let Err(error) = book.keep_evidence(&evidence) {
                tracing::warn!("a validator's lie will be forgotten with the next start: {error}");
            }
        });
    }

    fn connect(&mut self, id: UpstreamId) {
        let upstream = &mut self.upstreams[id.0 as usize];
        upstream.dial = Dial { count: upstream.dial.count + 1, version: None };
        let (commands, received) = mpsc::channel(MAX_COMMANDS);
        let hang_up = CancellationToken::new();
        upstream.line = Some(Line { commands, _hang_up: hang_up.clone().drop_guard() });
        let task = Task { id, dial: upstream.dial.count, events: self.sender.clone(), commands: received };
        let dialled = Connection::dial(upstream.address.clone(), self.speech.clone(), self.clock);
        self.tasks.spawn(async move {
            tokio::select! {
                () = hang_up.cancelled() => {}
                () = task.run(dialled) => {}
            }
        });
    }

    fn command(&mut self, id: UpstreamId, command: upstream::Command) {
        let upstream = &mut self.upstreams[id.0 as usize];
        let Some(line) = &upstream.line else { return };
        if line.commands.try_send(command).is_err() {
            upstream.line = None;
            let error = "its connection left too many commands lying".to_owned();
            self.untold.push_back(Input::ConnectFailed { id, error });
        }
    }

    fn load(&mut self, ticket: Ticket, load: Load) {
        let (reader, format, events) = (self.reader.clone(), self.format.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            let read = move || storage::load(&reader, &format, &load);
            let answer = match tokio::task::spawn_blocking(read).await.expect("reading does not panic") {
                Ok(found) => Input::Loaded { ticket, found },
                Err(error) => Input::LoadFailed { ticket, error: error.to_string() },
            };
            // Fails when the engine is stopping.
            let _ = events.send(Event::Answer(answer)).await;
        });
    }
}

/// What happens next on the links; never, once the network has stopped.
async fn next_of(sink: &mut Option<Sink>) -> Option<network::Event> {
    match sink {
        Some(sink) => sink.next_event().await,
        None => std::future::pending().await,
    }
}

/// The application's threads.
fn application(
    logic: Arc<dyn Logic>,
    config: logic::Config,
    events: &mpsc::Sender<Event>,
) -> std::io::Result<logic::Pool> {
    let events = events.clone();
    logic::Pool::start(logic, config, move |ticket, answer| {
        // Fails when the engine is gone; then the pool is about to be dropped.
        let _ = events.blocking_send(Event::Answer(Input::Answered { ticket, answer }));
    })
}
