//! What waits to be sent on one channel.
//!
//! **Invariant:** a message's whole cost is taken from the credit before its first byte goes, so that a message that
//! is under way never waits for credit.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::{Batch, Config, Traffic};
use crate::Protocol;
use crate::agreement::AgreedChannel;
use crate::channel::cost;
use crate::message::{HEAD_BYTES, Head, Kind};

/// In so many lumps room is told of. Whoever waits for it is woken that often while a full queue drains, instead of
/// once a message: on a fast line waking is what costs.
const LUMPS: u64 = 4;

/// A message that waits, or is under way.
#[derive(Debug, Clone)]
struct Waiting {
    head: [u8; HEAD_BYTES],
    /// How much of the head went.
    head_sent: u8,
    /// What has not gone of the body.
    body: Bytes,
    /// Of the whole message.
    cost: u64,
}

/// The messages of one channel.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) channel: Protocol,
    /// The longest message that the peer takes.
    pub(super) max_message_bytes: u32,
    window_bytes: u32,
    /// How much we let the peer have under way: as much may wait for it, and no more, so that what it can make us
    /// keep by asking and not reading is bounded by that twice.
    own_window_bytes: u32,
    /// How much is under way to the peer and not yet granted back.
    used_bytes: u32,
    waiting: VecDeque<Waiting>,
    /// The cost of all that waits.
    waiting_bytes: u64,
    pub(super) sent: Traffic,
    told: Option<Told>,
}

/// What somebody who asked for it knows of the room.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// What there was when it last looked, without what was queued since.
    room_bytes: u64,
    /// It was told that there is more, and has not looked yet.
    has_grown: bool,
    /// Its last message found no place.
    was_refused: bool,
}

impl Queue {
    pub(super) fn new(agreed: &AgreedChannel) -> Self {
        Self {
            channel: agreed.channel.number,
            max_message_bytes: agreed.peer_max_message_bytes,
            window_bytes: agreed.peer_window_bytes,
            own_window_bytes: agreed.channel.window_bytes,
            used_bytes: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent: Traffic::default(),
            told: None,
        }
    }

    /// Whether a message of this length may be added now. One always may where nothing waits.
    pub(super) fn has_room(&self, body_bytes: u32, config: &Config) -> bool {
        self.waiting.is_empty()
            || self.waiting.len() < config.queue_messages.get() as usize
                && self.waiting_bytes.saturating_add(cost(body_bytes)) <= self.most_bytes(config)
    }

    /// How much may be added and go without waiting for credit: enough for the longest message, where nothing waits and
    /// there is credit. Of a channel whose longest message is longer than what may wait, what comes behind a first
    /// message may find no place yet; it will when half of what may wait is gone.
    pub(super) fn room_bytes(&self, config: &Config) -> u64 {
        let place = self.all_bytes(config).saturating_sub(self.waiting_bytes);
        let charged = self.waiting.front().filter(|front| front.head_sent > 0).map_or(0, |front| front.cost);
        place.min(self.credit_bytes().saturating_sub(self.waiting_bytes - charged))
    }

    /// The same, for somebody who is to be told from now on when it grows.
    pub(super) fn look(&mut self, config: &Config) -> u64 {
        let room_bytes = self.room_bytes(config);
        let was_refused = self.told.is_some_and(|told| told.was_refused);
        self.told = Some(Told { room_bytes, has_grown: false, was_refused });
        room_bytes
    }

    /// Whether somebody was told that there is more room, and has not looked.
    pub(super) fn has_grown(&self) -> bool {
        self.told.is_some_and(|told| told.has_grown)
    }

    /// Whether there is now so much more room than was seen that it is worth telling; once until somebody looks.
    ///
    /// That is an eighth of what there can be, since credit comes back in quarters, or all of it: so who waits for room
    /// for one message hears of it at last, whatever the message's length.
    #[must_use]
    pub(super) fn grows(&mut self, config: &Config) -> bool {
        if self.told.is_none_or(|told| told.has_grown) {
            return false;
        }
        let (room, all) = (self.room_bytes(config), self.all_bytes(config));
        let lump = self.most_bytes(config).min(self.window_bytes.into()) / 8;
        let is_short = self.waiting.len() <= config.queue_messages.get() as usize / 2
            && self.waiting_bytes <= self.most_bytes(config) / 2;
        let Some(told) = &mut self.told else { return false };
        let more = room.saturating_sub(told.room_bytes);
        told.has_grown = more >= lump.max(1) || more > 0 && room >= all || told.was_refused && is_short;
        told.has_grown
    }

    /// A message found no place: its sender waits until half of what may wait is gone.
    pub(super) fn refused(&mut self) {
        if let Some(told) = &mut self.told {
            told.was_refused = true;
        }
    }

    /// How much room there is at most.
    fn all_bytes(&self, config: &Config) -> u64 {
        self.most_bytes(config).max(cost(self.max_message_bytes)).min(self.window_bytes.into())
    }

    pub(super) fn push(&mut self, kind: Kind, length: u32, body: Bytes) {
        let head = Head { kind, length }.encode();
        let cost = cost(length);
        if let Some(told) = &mut self.told {
            told.room_bytes = told.room_bytes.saturating_sub(cost);
            told.was_refused = false;
        }
        self.waiting.push_back(Waiting { head, head_sent: 0, body, cost });
        self.waiting_bytes += cost;
    }

    /// Whether something may go now.
    pub(super) fn is_ready(&self) -> bool {
        self.waiting.front().is_some_and(|front| self.may_go(front))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many messages wait, and what they cost.
    pub(super) fn len(&self) -> (usize, u64) {
        (self.waiting.len(), self.waiting_bytes)
    }

    /// How much may still be sent before the peer grants more.
    pub(super) fn credit_bytes(&self) -> u64 {
        u64::from(self.window_bytes - self.used_bytes)
    }

    /// Gives credit back; no where that is more than was used. What was used is back then all the same.
    #[must_use]
    pub(super) fn grant(&mut self, bytes: u32) -> bool {
        let fits = bytes <= self.used_bytes;
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        fits
    }

    /// Writes at most `room` bytes; whether there is a lump more of room, or nothing left that waits.
    pub(super) fn fill(&mut self, mut room: usize, config: &Config, batch: &mut Batch) -> bool {
        let lumps = self.lumps(config);
        while room > 0 {
            let Some(front) = self.waiting.front() else { break };
            if !self.may_go(front) {
                break;
            }
            room -= self.send(room, batch);
            self.end_of_message();
        }
        self.lumps(config) < lumps
    }

    /// How many lumps of room are taken, begun ones included: a quarter of the queue's bound each, in bytes or in
    /// messages.
    fn lumps(&self, config: &Config) -> usize {
        let bytes = self.most_bytes(config).div_ceil(LUMPS).max(1);
        let messages = (config.queue_messages.get() as usize).div_ceil(LUMPS as usize);
        let by_bytes = usize::try_from(self.waiting_bytes.div_ceil(bytes)).unwrap_or(usize::MAX);
        by_bytes.max(self.waiting.len().div_ceil(messages))
    }

    /// How many bytes may wait.
    fn most_bytes(&self, config: &Config) -> u64 {
        config.queue_bytes.get().min(self.own_window_bytes).into()
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.waiting_bytes = 0;
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.used_bytes <= self.window_bytes, "channel {} is over its window", self.channel);
        let waiting: u64 = self.waiting.iter().map(|message| message.cost).sum();
        assert_eq!(waiting, self.waiting_bytes, "channel {} miscounts what waits", self.channel);
        assert!(self.waiting_bytes >= self.waiting.front().map_or(0, |front| front.cost));
        let begun = self.waiting.iter().skip(1).any(|message| message.head_sent > 0);
        assert!(!begun, "channel {} began a message before the one ahead ended", self.channel);
    }

    fn may_go(&self, message: &Waiting) -> bool {
        message.head_sent > 0 || message.cost <= self.credit_bytes()
    }

    /// A part of the first message; how many bytes.
    fn send(&mut self, room: usize, batch: &mut Batch) -> usize {
        let Some(front) = self.waiting.front_mut() else { return 0 };
        if front.head_sent == 0 {
            // It was looked at before whether there is credit for it, and a window has 32 bits.
            self.used_bytes += front.cost as u32;
        }
        let head = &front.head[usize::from(front.head_sent)..];
        let head = &head[..head.len().min(room)];
        if !head.is_empty() {
            batch.copy(head);
            front.head_sent += head.len() as u8;
        }
        let take = front.body.len().min(room - head.len());
        let bytes = head.len() + take;
        if take == front.body.len() && take > 0 {
            batch.share(std::mem::take(&mut front.body));
        } else if take > 0 {
            batch.share(front.body.slice(..take));
            front.body.advance(take);
        }
        self.sent.bytes += bytes as u64;
        bytes
    }

    /// Takes the first message out if all of it went.
    fn end_of_message(&mut self) {
        let is_sent = |front: &Waiting| usize::from(front.head_sent) == HEAD_BYTES && front.body.is_empty();
        let Some(front) = self.waiting.pop_front_if(|front| is_sent(front)) else { return };
        self.waiting_bytes -= front.cost;
        self.sent.messages += 1;
        if self.waiting.is_empty() {
            // Nothing is held while nothing is under way.
            self.waiting = VecDeque::new();
        }
    }
}
