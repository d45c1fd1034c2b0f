//! One link as routing sees it: what the hop costs, what may still be sent, what the peer was told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::Config;
use super::destination::Distance;
use super::message::{MAX_METRIC, MAX_ROUTES, Message, Route};
use crate::sync::bodies::Producer;

/// What a message costs of the link's window besides its body: its head, and the link's flat charge.
const OVERHEAD_BYTES: u64 = 9 + 64;

/// What a hop costs whose round trip is not known. A guess: half of the world.
const UNKNOWN_COST: u32 = 100;

/// How many signatures one peer may have us check at once: a claim of each producer, and as many receipts.
const MAX_CHECKS: usize = 256;

/// One link.
#[derive(Debug)]
pub(super) struct Neighbour {
    cost: u32,
    room: u64,
    waiting: VecDeque<Message>,
    waiting_bytes: u64,
    /// What the peer was told last: producers to whom it may think that there is a route through us.
    told: BTreeMap<Producer, Distance>,
    /// What it may have to be told anew.
    unsaid: BTreeSet<Producer>,
    /// Up to when its messages are paid for.
    paid: Duration,
    checks: usize,
}

impl Neighbour {
    /// A link that opened.
    pub(super) fn new(rtt: Option<Duration>, room: u64) -> Self {
        Self {
            cost: rtt.map_or(UNKNOWN_COST, cost),
            room,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            told: BTreeMap::new(),
            unsaid: BTreeSet::new(),
            paid: Duration::ZERO,
            checks: 0,
        }
    }

    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    /// A round trip was measured. Small changes are no news: true where routes must be chosen anew.
    pub(super) fn on_rtt(&mut self, rtt: Duration) -> bool {
        let new = cost(rtt);
        let changed = new.abs_diff(self.cost) > self.cost / 4;
        if changed {
            self.cost = new;
        }
        changed
    }

    pub(super) fn on_room(&mut self, bytes: u64) {
        self.room = bytes;
    }

    /// Whether one more message of the peer is within its pace.
    pub(super) fn is_paced(&mut self, now: Duration, config: &Config) -> bool {
        let paid = self.paid.max(now);
        let within = paid.saturating_sub(now) < config.pace * config.burst;
        if within {
            self.paid = paid + config.pace;
        }
        within
    }

    /// Whether one more of its signatures may be checked.
    pub(super) fn begin_check(&mut self) -> bool {
        let may = self.checks < MAX_CHECKS;
        self.checks += usize::from(may);
        may
    }

    /// One was checked; it may have been brought over an earlier link of the same peer.
    pub(super) fn end_check(&mut self) {
        self.checks = self.checks.saturating_sub(1);
    }

    /// What the peer is told of a producer may have changed.
    pub(super) fn mark(&mut self, producer: Producer) {
        self.unsaid.insert(producer);
    }

    /// The peer is told again, whether it changed or not.
    pub(super) fn repeat(&mut self, producer: Producer) {
        self.told.remove(&producer);
        self.unsaid.insert(producer);
    }

    /// Puts a message in line; false where the line is too long.
    pub(super) fn queue(&mut self, message: Message, config: &Config) -> bool {
        let bytes = message.max_bytes() + OVERHEAD_BYTES;
        let fits = self.waiting_bytes + bytes <= config.outbox_bytes;
        if fits {
            self.waiting_bytes += bytes;
            self.waiting.push_back(message);
        }
        fits
    }

    /// Gives what the link has room for: routes first, since what waits travels along them. `reach` says what we tell
    /// of a producer.
    pub(super) fn flush(
        &mut self,
        reach: impl Fn(&Producer) -> Option<(Distance, super::Signature)>,
        mut send: impl FnMut(Message),
    ) {
        while let Some(message) = self.news(&reach) {
            send(message);
        }
        while self.unsaid.is_empty()
            && let Some(message) = self.waiting.front()
        {
            let bytes = message.max_bytes() + OVERHEAD_BYTES;
            if bytes > self.room {
                return;
            }
            self.room -= bytes;
            self.waiting_bytes -= bytes;
            send(self.waiting.pop_front().expect("it was there"));
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// The next message with routes that changed.
    fn news(
        &mut self,
        reach: &impl Fn(&Producer) -> Option<(Distance, super::Signature)>,
    ) -> Option<Message> {
        let mut routes = Vec::new();
        let room = self.room.checked_sub(Message::Routes(Vec::new()).max_bytes() + OVERHEAD_BYTES)?;
        let each = Message::Routes(vec![Route::Lost { producer: Producer::default() }]).max_bytes()
            - Message::Routes(Vec::new()).max_bytes();
        let most = usize::try_from(room / each).unwrap_or(usize::MAX).min(MAX_ROUTES);
        while routes.len() < most
            && let Some(producer) = self.unsaid.pop_first()
        {
            routes.extend(self.route(producer, reach(&producer)));
        }
        if routes.is_empty() {
            return None;
        }
        let message = Message::Routes(routes);
        self.room -= message.max_bytes() + OVERHEAD_BYTES;
        Some(message)
    }

    /// What to say of a producer, if it is anything new.
    fn route(&mut self, producer: Producer, reach: Option<(Distance, super::Signature)>) -> Option<Route> {
        let told = self.told.get(&producer).copied();
        match reach {
            None => {
                told?;
                self.told.remove(&producer);
                Some(Route::Lost { producer })
            }
            Some((Distance { seq, metric }, signature)) => {
                let news =
                    told.is_none_or(|told| told.seq != seq || metric.abs_diff(told.metric) > told.metric / 8);
                self.told.insert(producer, if news { Distance { seq, metric } } else { told? });
                news.then_some(Route::Reach { producer, seq, metric, signature })
            }
        }
    }

    /// Panics where the books do not balance. `bound` is the best distance that we ever had.
    pub(super) fn check_invariants(&self, config: &Config, bound: impl Fn(&Producer) -> Option<Distance>) {
        let bytes: u64 = self.waiting.iter().map(|message| message.max_bytes() + OVERHEAD_BYTES).sum();
        assert_eq!(bytes, self.waiting_bytes, "what waits is counted");
        assert!(self.waiting_bytes <= config.outbox_bytes, "what waits is bounded");
        assert!(self.checks <= MAX_CHECKS, "signatures under way are bounded");
        for (producer, told) in &self.told {
            let better = bound(producer).is_some_and(|bound| told.beats(bound));
            assert!(!better, "nobody was told of a way that is better than the bound");
        }
    }
}

/// What a hop costs: one, so that every hop is further, and its round trip in milliseconds.
fn cost(rtt: Duration) -> u32 {
    u32::try_from(rtt.as_millis()).unwrap_or(MAX_METRIC).min(MAX_METRIC - 1) + 1
}
