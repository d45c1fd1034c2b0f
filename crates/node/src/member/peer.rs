//! What is kept of one peer, all of it dropped when its link closes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use chain::format::Reason;
use chain::native::StateRoot;
use chain::{Header, Point};
use consensus::quorum;
use diffusion::sync::{self, Fin};
use link::{Protocol, channel};

use crate::Ticket;

/// How many bytes of messages may wait for the room of one channel, bodies apart. A guess: what a peer may ask for in a
/// round trip, and far more than consensus says.
const MAX_WAITING_BYTES: u64 = 4 << 20;

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) sync: sync::State,
    /// Whether both hellos have come, and the machines of bodies know it.
    pub(super) is_joined: bool,
    pub(super) is_pinned: bool,
    /// Whether it broke a rule that costs the link: nothing more of it is looked at.
    pub(super) is_condemned: bool,
    pub(super) rtt: Option<Duration>,
    /// What came on the sync channel and waits for what came before it; bounded by the link's window.
    pub(super) inbox: VecDeque<Arrived>,
    /// The finality among that, in its order; `None` where it was taken before its turn.
    pub(super) inbox_fins: VecDeque<Option<Fin>>,
    /// A header that was not admitted: kept for when its child or its finality says that it counts.
    pub(super) held: Option<Header>,
    /// Headers beyond its share or their producers', oldest first.
    pub(super) refused: VecDeque<Header>,
    /// Finality whose certificate was not verified yet: at most one for each set of validators, the newest.
    pub(super) fins: VecDeque<Fin>,
    /// Whether the first of them is being verified.
    pub(super) is_proving: bool,
    /// How many ranges it was asked for and has not ended.
    pub(super) open_ranges: u32,
    /// The highest block of a range that it is known to have, by its count.
    pub(super) told_has: u64,
    /// The ranges that it asked for and did not get, oldest first.
    pub(super) asked: VecDeque<(Point, Point)>,
    /// Whether the log is asked for the first of them.
    pub(super) is_loading: bool,
    /// The pieces of snapshots that it asked for and did not get, oldest first.
    pub(super) pieces: VecDeque<(StateRoot, Bytes)>,
    /// Whether the application is asked for the first of them.
    pub(super) is_given: bool,
    /// Whether it wants to know of which states pieces are given.
    pub(super) wishes: bool,
    /// Whether it was told that this node does.
    pub(super) is_wished: bool,
    /// The validator at the other end, as it has proven.
    pub(super) validator: Option<quorum::Key>,
    pub(super) outboxes: BTreeMap<Protocol, Outbox>,
}

/// Something that came on the sync channel.
#[derive(Debug)]
pub(super) enum Arrived {
    /// A message without anything to check.
    Message(sync::Message),
    /// Finality: the next in the peer's line of it.
    Fin,
    /// A header, whose own checks may be under way.
    Header {
        /// The header.
        header: Header,
        /// How far they are.
        check: Check,
    },
}

/// How far the checks of a header are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// Not begun: too much is before it.
    Later,
    /// Under way.
    Waiting,
    /// Passed.
    Passed,
    /// Failed.
    Failed(Reason),
}

/// What one channel still takes, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    room: u64,
    waiting: VecDeque<(Bytes, Option<Ticket>)>,
    waiting_bytes: u64,
}

/// What became of something that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// It can go now.
    Now(Bytes),
    /// It waits for room.
    Waits,
    /// There is no place for it.
    Full,
}

impl Peer {
    /// A peer whose link just opened.
    pub(super) fn new(config: sync::Config, rtt: Option<Duration>, is_pinned: bool) -> Self {
        Self {
            sync: sync::State::new(config),
            is_joined: false,
            is_pinned,
            is_condemned: false,
            rtt,
            inbox: VecDeque::new(),
            inbox_fins: VecDeque::new(),
            held: None,
            refused: VecDeque::new(),
            fins: VecDeque::new(),
            is_proving: false,
            open_ranges: 0,
            told_has: 0,
            asked: VecDeque::new(),
            is_loading: false,
            pieces: VecDeque::new(),
            is_given: false,
            wishes: false,
            is_wished: false,
            validator: None,
            outboxes: BTreeMap::new(),
        }
    }

    /// Puts finality that came behind what waits.
    pub(super) fn wait_fin(&mut self, fin: Fin) {
        self.inbox.push_back(Arrived::Fin);
        self.inbox_fins.push_back(Some(fin));
    }

    /// The next finality, before its turn, if it is this kind.
    pub(super) fn take_fin(&mut self, is_it: impl FnOnce(&Fin) -> bool) -> Option<Fin> {
        let next = self.inbox_fins.iter_mut().find(|fin| fin.is_some())?;
        next.take_if(|fin| is_it(fin))
    }

    /// What may still go out on a channel.
    pub(super) fn room(&self, channel: Protocol) -> u64 {
        self.outboxes.get(&channel).map_or(0, |outbox| outbox.room)
    }

    /// Whether something waits for the room of a channel.
    pub(super) fn is_waiting(&self, channel: Protocol) -> bool {
        self.outboxes.get(&channel).is_some_and(|outbox| !outbox.waiting.is_empty())
    }

    /// Puts a message in line for a channel.
    pub(super) fn post(&mut self, channel: Protocol, body: Bytes, after: Option<Ticket>) -> Posted {
        let outbox = self.outboxes.entry(channel).or_default();
        let cost = cost(&body);
        if outbox.waiting.is_empty() && cost <= outbox.room {
            outbox.room -= cost;
            return Posted::Now(body);
        }
        if outbox.waiting_bytes + cost > MAX_WAITING_BYTES && channel != channel::BODIES {
            return Posted::Full;
        }
        outbox.waiting_bytes += cost;
        outbox.waiting.push_back((body, after));
        Posted::Waits
    }

    /// A channel takes so much now: what waited and can go.
    pub(super) fn on_room(&mut self, channel: Protocol, bytes: u64) -> Vec<(Bytes, Option<Ticket>)> {
        let outbox = self.outboxes.entry(channel).or_default();
        outbox.room = bytes;
        let mut out = Vec::new();
        while let Some((body, _)) = outbox.waiting.front() {
            let cost = cost(body);
            if cost > outbox.room {
                break;
            }
            outbox.room -= cost;
            outbox.waiting_bytes -= cost;
            out.extend(outbox.waiting.pop_front());
        }
        out
    }

    /// How many bodies wait for room.
    pub(super) fn waiting_bodies(&self) -> usize {
        self.outboxes.get(&channel::BODIES).map_or(0, |outbox| outbox.waiting.len())
    }

    /// Panics where the books do not balance.
    pub(super) fn check_invariants(&self) {
        let fins = self.inbox.iter().filter(|arrived| matches!(arrived, Arrived::Fin)).count();
        assert_eq!(fins, self.inbox_fins.len(), "each finality that came waits in its line");
        for (channel, outbox) in &self.outboxes {
            let is_bounded = outbox.waiting_bytes <= MAX_WAITING_BYTES || *channel == channel::BODIES;
            assert!(is_bounded, "what waits for room is bounded");
            let bytes: u64 = outbox.waiting.iter().map(|(body, _)| cost(body)).sum();
            assert_eq!(bytes, outbox.waiting_bytes, "what waits is counted");
            let first = outbox.waiting.front().map(|(body, _)| cost(body));
            assert!(first.is_none_or(|first| first > outbox.room), "nothing waits that has room");
        }
    }
}

/// What a message takes of its channel.
fn cost(body: &Bytes) -> u64 {
    channel::cost(u32::try_from(body.len()).unwrap_or(u32::MAX))
}
