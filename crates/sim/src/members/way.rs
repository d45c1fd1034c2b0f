//! One direction of a modelled link: whole messages, lanes by priority, channels in their order, windows.
//!
//! It does what a link does as far as nodes can tell, at one event a message: what is sent takes its turn among the
//! lanes in pieces of a segment, takes as long as its bytes, and arrives later. Windows are the real ones: credit is
//! taken when a message is sent and comes back in lumps of a quarter, once the receiver is done with what it got.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use link::Protocol;
use link::channel::{self, BODIES, CONSENSUS, Channel, ROUTING, SNAPSHOTS, SYNC, TRANSACTIONS};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::config::Windows;
use crate::pipe::Link;

/// The channels that nodes use, in the order of their lanes.
pub(super) const CHANNELS: [Protocol; 6] = [CONSENSUS, ROUTING, SYNC, TRANSACTIONS, BODIES, SNAPSHOTS];

/// How much of a message goes before others get their turn: about a segment.
const PIECE_BYTES: u64 = 12_288;

/// What a message costs on the wire beside its body: its head, its segment's and frame's.
const WIRE_BYTES: u64 = 9 + 8 + 18;

/// The place of a channel among [`CHANNELS`].
pub(super) fn place(channel: Protocol) -> Option<usize> {
    CHANNELS.iter().position(|known| *known == channel)
}

/// What one channel of all links is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) window_bytes: u64,
    pub(super) max_message_bytes: usize,
    share: u64,
}

/// The bounds of [`CHANNELS`].
pub(super) fn bounds(windows: Windows) -> [Bounds; CHANNELS.len()] {
    let all = channels(windows);
    CHANNELS.map(|number| {
        let Channel { share, max_message_bytes, window_bytes, .. } =
            all.iter().find(|channel| channel.number == number).expect("a channel of all links");
        Bounds {
            window_bytes: u64::from(*window_bytes),
            max_message_bytes: *max_message_bytes as usize,
            share: u64::from(*share),
        }
    })
}

/// The channels of links with such windows.
pub(super) fn channels(windows: Windows) -> Vec<Channel> {
    let mut all = channel::defaults();
    all.retain(|channel| CHANNELS.contains(&channel.number));
    if windows == Windows::Small {
        for channel in &mut all {
            // The largest messages of these worlds: a block, or a header with a change of validators.
            channel.max_message_bytes = if channel.number == BODIES { 96 << 10 } else { 40 << 10 };
            channel.window_bytes = channel::least_window_bytes(channel.max_message_bytes) as u32 + 8_000;
        }
    }
    all
}

/// What arrives.
#[derive(Debug)]
pub(super) enum Item {
    /// A message on the channel at this place.
    Letter { channel: usize, body: Bytes },
    /// The end: nothing comes after it.
    End,
}

#[derive(Debug)]
struct Waiting {
    body: Bytes,
    /// Bytes that have not gone.
    left: u64,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    link: Link,
    bounds: [Bounds; CHANNELS.len()],
    /// Until then the line is taken.
    busy_until: Duration,
    /// When the last thing sent arrives.
    last: Duration,
    waiting: [VecDeque<Waiting>; CHANNELS.len()],
    /// What each channel was given of the line, in relation to its share.
    served: [u64; CHANNELS.len()],
    under_way: VecDeque<Item>,
    /// What may be sent.
    credit: [u64; CHANNELS.len()],
    /// What arrived and is not done with, message by message.
    untaken: [VecDeque<u32>; CHANNELS.len()],
    /// What is done with and not granted back.
    returned: [u64; CHANNELS.len()],
    /// What is granted back and did not come yet.
    coming_back: [u64; CHANNELS.len()],
}

impl Way {
    pub(super) fn new(link: Link, bounds: [Bounds; CHANNELS.len()]) -> Self {
        Self {
            link,
            bounds,
            busy_until: Duration::ZERO,
            last: Duration::ZERO,
            waiting: Default::default(),
            served: Default::default(),
            under_way: VecDeque::new(),
            credit: bounds.map(|bounds| bounds.window_bytes),
            untaken: Default::default(),
            returned: Default::default(),
            coming_back: Default::default(),
        }
    }

    /// The line as new.
    pub(super) fn renew(&mut self) {
        *self = Self::new(self.link, self.bounds);
    }

    pub(super) fn latency(&self) -> Duration {
        self.link.latency
    }

    pub(super) fn credit(&self, channel: usize) -> u64 {
        self.credit[channel]
    }

    /// Takes a message to be sent; no where it has no credit for it, or it is too long.
    #[must_use]
    pub(super) fn queue(&mut self, channel: usize, body: Bytes) -> bool {
        let cost = channel::cost(body.len() as u32);
        if body.len() > self.bounds[channel].max_message_bytes || cost > self.credit[channel] {
            return false;
        }
        self.credit[channel] -= cost;
        if self.waiting[channel].is_empty() {
            // Who had nothing to send has saved up nothing.
            let busy = (0..CHANNELS.len()).filter(|at| !self.waiting[*at].is_empty());
            let least = busy.map(|at| self.served[at]).min().unwrap_or(0);
            self.served[channel] = self.served[channel].max(least);
        }
        let left = body.len() as u64 + WIRE_BYTES;
        self.waiting[channel].push_back(Waiting { body, left });
        true
    }

    /// Sends what waits while the line is free: when each message arrives, and when the line is free again if
    /// something waits.
    pub(super) fn pump(
        &mut self,
        now: Duration,
        rng: &mut ChaCha12Rng,
        mut arrives: impl FnMut(Duration),
    ) -> Option<Duration> {
        loop {
            let channel = self.next()?;
            if self.busy_until > now {
                return Some(self.busy_until);
            }
            let front = self.waiting[channel].front_mut()?;
            let piece = front.left.min(PIECE_BYTES);
            front.left -= piece;
            self.served[channel] += piece / self.bounds[channel].share.max(1);
            let begins = self.busy_until.max(now);
            self.busy_until =
                begins + Duration::from_nanos(piece.saturating_mul(1_000_000_000) / self.link.bytes_per_s);
            if front.left > 0 {
                continue;
            }
            let Waiting { body, .. } = self.waiting[channel].pop_front()?;
            self.under_way.push_back(Item::Letter { channel, body });
            arrives(self.arrival(rng));
        }
    }

    /// The channel whose turn it is.
    fn next(&self) -> Option<usize> {
        let has = |channel: &usize| !self.waiting[*channel].is_empty();
        // Consensus, then routing, then whoever had the least of the rest.
        (0..2)
            .find(has)
            .or_else(|| (2..CHANNELS.len()).filter(has).min_by_key(|channel| self.served[*channel]))
    }

    fn arrival(&mut self, rng: &mut ChaCha12Rng) -> Duration {
        let jitter = match self.link.jitter.as_nanos() as u64 {
            0 => Duration::ZERO,
            most => Duration::from_nanos(rng.random_range(0..=most)),
        };
        self.last = self.last.max(self.busy_until + self.link.latency + jitter);
        self.last
    }

    /// Breaks off: of what is under way some arrives, then the end; when that does.
    pub(super) fn break_off(&mut self, now: Duration, rng: &mut ChaCha12Rng) -> Duration {
        self.drop_waiting();
        self.under_way.truncate(rng.random_range(0..=self.under_way.len()));
        self.under_way.push_back(Item::End);
        self.busy_until = self.busy_until.max(now);
        self.arrival(rng)
    }

    /// From now on nothing arrives.
    pub(super) fn silence(&mut self) {
        self.drop_waiting();
        self.under_way.clear();
    }

    /// What waits will not be sent.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting.iter_mut().for_each(VecDeque::clear);
    }

    /// What arrives now: nothing where what should have was lost.
    pub(super) fn arrive(&mut self) -> Option<Item> {
        let item = self.under_way.pop_front()?;
        if let Item::Letter { channel, body } = &item {
            self.untaken[*channel].push_back(channel::cost(body.len() as u32) as u32);
        }
        Some(item)
    }

    /// The receiver is done with so many messages: what is granted back now, if anything. `None` where it never got
    /// as many.
    pub(super) fn take(&mut self, channel: usize, messages: u32) -> Option<u64> {
        let untaken = &mut self.untaken[channel];
        if untaken.len() < messages as usize {
            return None;
        }
        self.returned[channel] += untaken.drain(..messages as usize).map(u64::from).sum::<u64>();
        let is_lump = self.returned[channel] * 4 >= self.bounds[channel].window_bytes;
        Some(if is_lump { std::mem::take(&mut self.returned[channel]) } else { 0 })
    }

    /// Credit is on its way back to the sender.
    pub(super) fn send_back(&mut self, channel: usize, bytes: u64) {
        self.coming_back[channel] += bytes;
    }

    /// The sender gets credit back.
    pub(super) fn grant(&mut self, channel: usize, bytes: u64) {
        self.coming_back[channel] -= bytes;
        self.credit[channel] += bytes;
    }

    /// How many messages the receiver got and is not done with.
    pub(super) fn untaken(&self) -> usize {
        self.untaken.iter().map(VecDeque::len).sum()
    }

    /// A channel whose credit did not come back and is not on its way, nor taken by what is: more than a lump of it.
    pub(super) fn short_of(&self) -> Option<usize> {
        let cost = |at: usize, item: &Item| match item {
            Item::Letter { channel, body } if *channel == at => channel::cost(body.len() as u32),
            Item::Letter { .. } | Item::End => 0,
        };
        let under_way = |at: usize| self.under_way.iter().map(|item| cost(at, item)).sum::<u64>();
        let there = |at: usize| self.credit[at] + self.coming_back[at] + under_way(at);
        (0..CHANNELS.len()).find(|at| there(*at) * 4 < self.bounds[*at].window_bytes * 3)
    }

    /// Whether nothing waits and nothing is under way but of routing, which never rests.
    pub(super) fn is_idle(&self) -> bool {
        let is_routing = |item: &Item| matches!(item, Item::Letter { channel: 1, .. });
        let rests = |(at, waiting): (usize, &VecDeque<Waiting>)| at == 1 || waiting.is_empty();
        self.under_way.iter().all(is_routing) && self.waiting.iter().enumerate().all(rests)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn way(bytes_per_s: u64) -> (Way, ChaCha12Rng) {
        let link = Link { latency: Duration::from_millis(10), jitter: Duration::ZERO, bytes_per_s };
        (Way::new(link, bounds(Windows::Default)), ChaCha12Rng::seed_from_u64(1))
    }

    /// Sends it all; what arrives, and when.
    fn drain(way: &mut Way, rng: &mut ChaCha12Rng) -> Vec<(u128, usize, usize)> {
        let (mut now, mut arrivals) = (Duration::ZERO, Vec::new());
        while let Some(at) = way.pump(now, rng, |at| arrivals.push(at)) {
            now = at;
        }
        let items = std::iter::from_fn(|| way.arrive());
        let shown = arrivals.into_iter().zip(items).map(|(at, item)| match item {
            Item::Letter { channel, body } => (at.as_millis(), channel, body.len()),
            Item::End => panic!("it was not broken off"),
        });
        shown.collect()
    }

    fn letter(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    #[test]
    fn what_is_urgent_waits_for_a_piece_and_no_more() {
        let (mut way, mut rng) = way(1_228_800);
        assert!(way.queue(4, letter(122_880 - 35)));
        assert_eq!(way.pump(Duration::ZERO, &mut rng, |_| ()), Some(Duration::from_millis(10)));
        assert!(way.queue(0, letter(100)));
        assert_eq!(drain(&mut way, &mut rng), [(20, 0, 100), (110, 4, 122_845)]);
    }

    #[test]
    fn bulk_channels_share_the_line() {
        let (mut way, mut rng) = way(12_288_000);
        for _ in 0..10 {
            assert!(way.queue(3, letter(12_253)) && way.queue(4, letter(12_253)));
        }
        let order: Vec<usize> =
            drain(&mut way, &mut rng).into_iter().map(|(_, channel, _)| channel).collect();
        let first = &order[..10];
        assert!(first.iter().filter(|channel| **channel == 4).count() >= 7, "shares of 1 and 4: {order:?}");
    }

    #[test]
    fn credit_is_taken_when_sent_and_comes_back_in_lumps() {
        let (mut way, mut rng) = way(u64::MAX / 1_000_000_000);
        let window = way.credit(0);
        assert!(!way.queue(0, letter((1 << 20) + 1)), "too long");
        let mut sent = 0;
        while way.queue(0, letter(100_000)) {
            sent += 1;
        }
        assert_eq!(way.credit(0), window - sent * channel::cost(100_000));
        assert_eq!(drain(&mut way, &mut rng).len() as u64, sent);
        assert_eq!(way.take(0, sent as u32 + 1), None, "more than came");
        let granted: Vec<u64> = (0..sent).filter_map(|_| way.take(0, 1)).collect();
        let lumps: Vec<u64> = granted.into_iter().filter(|bytes| *bytes > 0).collect();
        assert!(lumps.len() == 3 && lumps.iter().all(|bytes| bytes * 4 >= window), "{lumps:?}");
    }

    #[test]
    fn credit_on_its_way_back_is_not_lacked() {
        let (mut way, mut rng) = way(1_000_000);
        let window = way.bounds[1].window_bytes;
        let mut sent = 0;
        // All but a lump is not done with.
        while way.credit(1) * 4 >= window * 3 {
            assert!(way.queue(1, vec![0; 4_000].into()));
            sent += 1;
        }
        drain(&mut way, &mut rng);
        assert_eq!(way.short_of(), Some(1));
        let bytes = way.take(1, sent).expect("so many came");
        assert!(bytes > 0);
        way.send_back(1, bytes);
        assert_eq!(way.short_of(), None);
        way.grant(1, bytes);
        assert_eq!((way.short_of(), way.credit(1)), (None, window));
    }
}
