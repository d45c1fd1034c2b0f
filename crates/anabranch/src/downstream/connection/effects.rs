//! What a client's machine wants done, and what a turn leaves for the next.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::task::Context;

use chain::Point;
use ouroboros::server::{Input, Output};
use store::Files;
use tokio_util::task::AbortOnDropHandle;

use super::{BLOCKS, HEADERS, Socket, Turn};
use crate::downstream::jobs::{self, Answer};
use crate::downstream::place::Ended;

/// A client that holds no more than this is not blamed where memory is short.
const FAIR_HELD_BYTES: usize = 64 * 1024;

/// Of the memory for clients, this part may hold what was read ahead for them: so there is always room for what
/// they sent or would not take.
const READ_AHEAD_SHARE: usize = 2;

/// A search for more points than this waits for its turn: each point costs a binary search on disk, so that a list
/// as long as a message may be is some 20 ms of work. Clients list about twenty. A guess.
const FEW_POINTS: usize = 64;

impl<F: Files> Turn<'_, F> {
    /// Performs what the machine wants, and what it wants upon that.
    pub(super) fn perform(&mut self) {
        while !self.scratch.outputs.is_empty() {
            let output = self.scratch.outputs.remove(0);
            if let Some(answer) = self.on_output(output) {
                self.seen.client.handle(self.now, answer, self.view, &mut self.scratch.outputs);
            }
        }
    }

    /// Performs one output; the answer, if it is at hand.
    fn on_output(&mut self, output: Output) -> Option<Answer> {
        let shared = self.shared;
        let log = &shared.log;
        let peer: SocketAddr = self.place.peer;
        match output {
            Output::Opened { version, .. } => tracing::debug!(%peer, %version, "a client is connected"),
            Output::FirstInLog(points) if points.len() > FEW_POINTS => self.search(points),
            Output::FirstInLog(points) => self.ask(HEADERS, move |log| jobs::first_in_log(log, &points)),
            Output::Chunk(position) => match log.cached_chunk(position) {
                Some(chunk) => return Some(Input::Chunk(chunk)),
                None => self.shared.loads.load(log, position, self.place),
            },
            Output::Check(position, point) => {
                self.ask(HEADERS, move |log| jobs::check(log, position, point));
            }
            Output::Range(from, to) => self.ask(BLOCKS, move |log| jobs::range(log, &from, &to)),
            Output::Blocks(from, to) => self.ask(BLOCKS, move |log| jobs::blocks(log, from, to)),
            Output::Peers(amount) => {
                let peers = shared.config.shared_peers.iter().take(usize::from(amount));
                return Some(Input::Peers(peers.copied().collect()));
            }
            // Where there is none, the sweep looks again.
            Output::InboxRoom => return shared.inbox.has_room().then_some(Input::InboxRoom),
            Output::Offered(offers) => return Some(Input::Wanted(shared.inbox.wanted(&offers))),
            Output::Transactions(txs) => shared.inbox.put(peer, txs),
            Output::Closed(reason) => self.socket.ending = Some(reason.into()),
        }
        None
    }

    /// Has a question answered on another thread, which wakes this task.
    fn ask(&mut self, slot: usize, job: impl FnOnce(&store::Reader<F>) -> Answer + Send + 'static) {
        let log = self.shared.log.clone();
        self.await_answer(slot, tokio::task::spawn_blocking(move || job(&log)));
    }

    /// Looks for many points, one client's after the other's: together they could take all processors.
    fn search(&mut self, points: Vec<Point>) {
        let (log, turns) = (self.shared.log.clone(), self.shared.searches.clone());
        let search = async move {
            let turn = turns.acquire_owned().await;
            let found = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                jobs::first_in_log(&log, &points)
            });
            found.await.unwrap_or(Input::LogFailed)
        };
        self.await_answer(HEADERS, tokio::spawn(search));
    }

    fn await_answer(&mut self, slot: usize, answer: tokio::task::JoinHandle<Answer>) {
        assert!(self.socket.jobs[slot].is_none(), "the machine asks one question at a time");
        self.socket.jobs[slot] = Some(AbortOnDropHandle::new(answer));
        self.asked = true;
    }

    /// Leaves everything so that whatever comes next wakes the task.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) {
        let (shared, place) = (self.shared, self.place);
        let own = self.seen.client.held_bytes() + self.socket.unsent.len();
        let held = own + self.read_ahead(own);
        let Socket { unsent, ending, .. } = &mut *self.socket;
        let before = std::mem::replace(&mut self.seen.held, held);
        if held != before {
            let grew = held.saturating_sub(before);
            let all = shared.places.held.fetch_add(grew, Ordering::Relaxed) + grew;
            shared.places.held.fetch_sub(before.saturating_sub(held), Ordering::Relaxed);
            if grew > 0 && all > shared.config.max_held_bytes && own > FAIR_HELD_BYTES {
                *ending = Some(Ended::Memory);
                *unsent = Vec::new();
                cx.waker().wake_by_ref();
            }
        }
        let waits = self.seen.client.waits_for_view();
        if waits || place.waits.load(Ordering::Relaxed) {
            place.waits.store(waits, Ordering::SeqCst);
        }
        // A view may have come while this turn worked with an older one.
        if waits && shared.epoch.load(Ordering::SeqCst) != self.view.epoch {
            cx.waker().wake_by_ref();
        }
    }

    /// How many bytes read ahead the client may keep beside its `own`: all of them, or none where memory is short.
    /// They are read again when there is room to send them; a client at a place of its own is served faster with
    /// them, and nothing else depends on them.
    fn read_ahead(&mut self, own: usize) -> usize {
        let ahead = self.seen.client.read_ahead_bytes();
        if ahead == 0 {
            return 0;
        }
        let others = self.shared.places.held.load(Ordering::Relaxed).saturating_sub(self.seen.held);
        if others + own + ahead <= self.shared.config.max_held_bytes / READ_AHEAD_SHARE {
            return ahead;
        }
        self.seen.client.relax();
        0
    }
}
