//! Keeping a link alive and measuring it.
//!
//! A ping goes out every so often, whether or not anything else does, and comes back as a pong. The round trip is
//! measured on our monotonic clock. One-way figures need the offset between both wall clocks: it is taken from the
//! quickest round trip seen, for which half the way each is the best guess. They are therefore an estimate, and
//! the peer can lie about its clock; nothing is decided by them.
//!
//! Deliberately not here: noticing that a peer is dead. That is decided by who hears, the inbound half.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::Time;
use crate::control::Message;

/// How many of our pings may be unanswered; older ones are forgotten. More than fit between two keep-alives and the
/// end of a dead link, and enough for an operator who pings in a hurry.
const MAX_UNANSWERED: usize = 8;

/// Settings of pings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often we ping. The specification's 30 s.
    pub every: Duration,
    /// How many pings of the peer in a row we answer. A guess: an operator who pings by hand needs a few.
    pub burst: NonZeroU32,
    /// How long it takes until one more of the peer's pings is answered. A guess: four in a second.
    pub refill: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            burst: NonZeroU32::new(16).expect("not zero"),
            refill: Duration::from_millis(250),
        }
    }
}

/// What pings tell of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// The last round trip.
    pub last: Duration,
    /// The quickest.
    pub least: Duration,
    /// Smoothed: seven eighths of what it was and one eighth of the last.
    pub smoothed: Duration,
    /// To the peer, by both wall clocks and the offset of the quickest round trip.
    pub out: Duration,
    /// Back from the peer, likewise.
    pub back: Duration,
    /// How many pongs came.
    pub pongs: u64,
}

/// A ping that waits for its pong.
#[derive(Debug, Clone, Copy)]
struct Sent {
    id: u32,
    mono: Duration,
    wall_us: u64,
}

/// Pings of one link, in both directions.
#[derive(Debug, Clone)]
pub(crate) struct Ping {
    config: Config,
    next_id: u32,
    next_at: Duration,
    unanswered: VecDeque<Sent>,
    /// By how much the peer's wall clock is ahead of ours, in µs.
    offset_us: i128,
    figures: Figures,
    tokens: u32,
    refilled: Duration,
    owed: VecDeque<Message>,
}

impl Ping {
    /// For a link that opens now: the first ping is due at once, so that there are figures.
    pub(crate) fn new(config: Config, now: Time) -> Self {
        let tokens = config.burst.get();
        Self {
            config,
            next_id: 0,
            next_at: now.mono,
            unanswered: VecDeque::new(),
            offset_us: 0,
            figures: Figures::default(),
            tokens,
            refilled: now.mono,
            owed: VecDeque::new(),
        }
    }

    /// When the next ping is due.
    pub(crate) fn next_deadline(&self) -> Duration {
        self.next_at
    }

    /// Makes the next ping due at once.
    pub(crate) fn hurry(&mut self, now: Time) {
        self.next_at = self.next_at.min(now.mono);
    }

    /// Whether there is a ping or a pong to send.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        !self.owed.is_empty() || self.next_at <= now.mono
    }

    /// The next message to send: pongs first, since a peer measures with them.
    pub(crate) fn transmit(&mut self, now: Time) -> Option<Message> {
        if let Some(pong) = self.owed.pop_front() {
            if self.owed.is_empty() {
                self.owed = VecDeque::new();
            }
            return Some(pong);
        }
        if self.next_at > now.mono {
            return None;
        }
        self.next_at = now.mono.saturating_add(self.config.every);
        let sent = Sent { id: self.next_id, mono: now.mono, wall_us: wall_us(now) };
        self.next_id = self.next_id.wrapping_add(1);
        if self.unanswered.len() == MAX_UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(sent);
        Some(Message::Ping { id: sent.id, sent_us: sent.wall_us })
    }

    /// Whether the peer's ping will be answered; no where it pings too often.
    #[must_use]
    pub(crate) fn on_ping(&mut self, now: Time, id: u32, sent_us: u64) -> bool {
        self.refill(now);
        // What is owed counts as well: a peer that does not read must not make us keep its pongs.
        if self.tokens == 0 || self.owed.len() >= self.config.burst.get() as usize {
            return false;
        }
        self.tokens -= 1;
        self.owed.push_back(Message::Pong { id, sent_us, received_us: wall_us(now) });
        true
    }

    /// Measures, where the pong answers a ping of ours. One that comes late, twice or unasked tells nothing and
    /// harms nobody: false.
    pub(crate) fn on_pong(&mut self, now: Time, id: u32, sent_us: u64, received_us: u64) -> bool {
        let found = self.unanswered.iter().position(|sent| (sent.id, sent.wall_us) == (id, sent_us));
        let Some(sent) = found.and_then(|at| self.unanswered.remove(at)) else { return false };
        if self.unanswered.is_empty() {
            // Nothing is held between one ping and the next.
            self.unanswered = VecDeque::new();
        }
        let trip = now.mono.saturating_sub(sent.mono);
        let figures = &mut self.figures;
        let first = figures.pongs == 0;
        let apart = i128::from(received_us) - i128::from(sent.wall_us);
        if first || trip < figures.least {
            figures.least = trip;
            self.offset_us = apart - trip.as_micros() as i128 / 2;
        }
        figures.smoothed = if first { trip } else { (figures.smoothed * 7 + trip) / 8 };
        figures.last = trip;
        figures.pongs += 1;
        let out_us = (apart - self.offset_us).clamp(0, trip.as_micros() as i128);
        figures.out = Duration::from_micros(out_us as u64);
        figures.back = trip.saturating_sub(figures.out);
        true
    }

    /// What is known; nothing before the first pong.
    pub(crate) fn figures(&self) -> Option<Figures> {
        (self.figures.pongs > 0).then_some(self.figures)
    }

    /// Asserts what must always hold.
    pub(crate) fn check_invariants(&self) {
        assert!(self.unanswered.len() <= MAX_UNANSWERED, "too many pings are remembered");
        assert!(self.owed.len() <= self.config.burst.get() as usize, "too many pongs are owed");
        assert!(self.tokens <= self.config.burst.get(), "more pings are allowed than ever are");
    }

    fn refill(&mut self, now: Time) {
        let burst = self.config.burst.get();
        let passed = now.mono.saturating_sub(self.refilled);
        let refill = self.config.refill.max(Duration::from_micros(1));
        let more = passed.as_micros() / refill.as_micros();
        if more >= u128::from(burst - self.tokens) {
            self.tokens = burst;
            self.refilled = now.mono;
        } else {
            self.tokens += more as u32;
            self.refilled += refill * more as u32;
        }
    }
}

/// The wall clock in µs.
fn wall_us(now: Time) -> u64 {
    u64::try_from(now.wall.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64, wall_ms: u64) -> Time {
        Time { mono: Duration::from_millis(mono_ms), wall: Duration::from_millis(wall_ms) }
    }

    /// One round trip: sent at `mono`, the peer's clock says `there_ms` on arrival, back after `trip_ms`.
    fn trip(ping: &mut Ping, mono: u64, there_ms: u64, trip_ms: u64) -> Figures {
        ping.hurry(at(mono, mono));
        let Some(Message::Ping { id, sent_us }) = ping.transmit(at(mono, mono)) else {
            panic!("no ping is due")
        };
        let back = at(mono + trip_ms, mono + trip_ms);
        assert!(ping.on_pong(back, id, sent_us, there_ms * 1_000));
        ping.figures().unwrap()
    }

    #[test]
    fn pings_at_once_and_then_every_so_often() {
        let mut ping = Ping::new(Config::default(), at(1_000, 0));
        assert!(matches!(ping.transmit(at(1_000, 0)), Some(Message::Ping { id: 0, .. })));
        assert_eq!(ping.transmit(at(30_999, 0)), None);
        assert_eq!(ping.next_deadline(), Duration::from_secs(31));
        assert!(matches!(ping.transmit(at(31_000, 0)), Some(Message::Ping { id: 1, .. })));
    }

    #[test]
    fn measures_each_way_against_the_quickest_trip() {
        let mut ping = Ping::new(Config::default(), at(0, 0));
        // The peer's clock is 5 s ahead; 10 ms there, 10 ms back.
        let first = trip(&mut ping, 1_000, 6_010, 20);
        assert_eq!((first.out, first.back), (Duration::from_millis(10), Duration::from_millis(10)));
        // The way there is congested: 70 ms there, 10 ms back.
        let second = trip(&mut ping, 2_000, 7_070, 80);
        assert_eq!((second.out, second.back), (Duration::from_millis(70), Duration::from_millis(10)));
        assert_eq!((second.last, second.least), (Duration::from_millis(80), Duration::from_millis(20)));
        assert_eq!(second.smoothed, Duration::from_micros(27_500));
    }

    #[test]
    fn a_clock_that_lies_changes_no_round_trip() {
        let mut ping = Ping::new(Config::default(), at(0, 0));
        for there in [u64::MAX / 1_000, 0, u64::MAX / 1_000] {
            let figures = trip(&mut ping, 1_000, there, 20);
            assert_eq!(figures.last, Duration::from_millis(20));
            assert_eq!(figures.out + figures.back, figures.last);
        }
    }

    #[test]
    fn pongs_that_nobody_asked_for_tell_nothing() {
        let mut ping = Ping::new(Config::default(), at(0, 0));
        assert!(!ping.on_pong(at(5, 5), 0, 0, 0), "before any ping");
        let Some(Message::Ping { id, sent_us }) = ping.transmit(at(10, 10)) else { panic!("no ping is due") };
        assert!(!ping.on_pong(at(20, 20), id + 1, sent_us, 0), "another number");
        assert!(!ping.on_pong(at(20, 20), id, sent_us + 1, 0), "another time");
        assert!(ping.on_pong(at(20, 20), id, sent_us, 0));
        assert!(!ping.on_pong(at(20, 20), id, sent_us, 0), "twice");
        assert_eq!(ping.figures().unwrap().pongs, 1);
    }

    #[test]
    fn remembers_few_of_its_pings() {
        let mut ping = Ping::new(Config::default(), at(0, 0));
        for n in 0..1_000 {
            ping.hurry(at(n, n));
            assert!(ping.transmit(at(n, n)).is_some());
        }
        assert_eq!(ping.unanswered.len(), MAX_UNANSWERED);
    }

    #[test]
    fn answers_a_burst_and_then_so_many_in_a_second() {
        let config = Config::default();
        let mut ping = Ping::new(config.clone(), at(0, 0));
        ping.next_at = Duration::MAX;
        let mut answered = 0;
        for ms in 0..10_000 {
            answered += u32::from(ping.on_ping(at(ms, ms), 1, 1));
            while ping.transmit(at(ms, ms)).is_some() {}
        }
        assert_eq!(answered, config.burst.get() + 39, "the burst, and one more in each quarter of a second");
    }

    #[test]
    fn owes_a_bounded_number_of_pongs_to_a_peer_that_does_not_read() {
        let mut ping = Ping::new(Config::default(), at(0, 0));
        for second in 0..1_000 {
            let _ = ping.on_ping(at(second * 1_000, 0), 1, 1);
        }
        assert_eq!(ping.owed.len(), 16);
    }
}
