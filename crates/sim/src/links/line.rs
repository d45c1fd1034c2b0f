//! One direction of a connection: bytes under way, cut anywhere, broken off anywhere, changed on purpose.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::pipe::{Link, Pipe};

/// What arrives next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Bytes: some of a frame, or of many.
    Bytes(Vec<u8>),
    /// The end: nothing comes after it.
    End,
}

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It arrives.
    Intact,
    /// It goes nowhere, and nobody is told.
    Silent,
    /// It goes nowhere; the other end was told, or will be.
    Ended,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Line {
    pipe: Pipe,
    under_way: VecDeque<Item>,
    health: Health,
    bytes_per_s: u64,
}

impl Line {
    pub(super) fn new(link: Link) -> Self {
        let (pipe, under_way) = (Pipe::new(link), VecDeque::new());
        Self { pipe, under_way, health: Health::Intact, bytes_per_s: link.bytes_per_s }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    /// When the bearer takes more, if more than this waits in it.
    pub(super) fn full_until(&self, now: Duration, waiting: usize) -> Option<Duration> {
        let backlog = Duration::from_secs_f64(waiting as f64 / self.bytes_per_s as f64);
        self.pipe.full_until(now, backlog)
    }

    /// Takes bytes; when each piece of them arrives, if any does.
    pub(super) fn send(&mut self, now: Duration, bytes: &[u8], rng: &mut ChaCha12Rng) -> Vec<Duration> {
        if self.health != Health::Intact {
            return Vec::new();
        }
        let mut arrivals = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            // Now and then a few bytes, else large pieces.
            let most = if rng.random_bool(0.2) { 40 } else { rest.len() };
            let (piece, others) = rest.split_at(rng.random_range(1..=most.min(rest.len())));
            rest = others;
            arrivals.push(self.pipe.arrival(now, piece.len(), rng));
            self.under_way.push_back(Item::Bytes(piece.to_vec()));
        }
        arrivals
    }

    /// Ends it behind what is under way; when the end arrives.
    pub(super) fn end(&mut self, now: Duration, rng: &mut ChaCha12Rng) -> Option<Duration> {
        if self.health != Health::Intact {
            return None;
        }
        self.health = Health::Ended;
        self.under_way.push_back(Item::End);
        Some(self.pipe.arrival(now, 0, rng))
    }

    /// Breaks it off at some byte of what is under way; when the end arrives.
    pub(super) fn break_off(&mut self, now: Duration, rng: &mut ChaCha12Rng) -> Option<Duration> {
        self.under_way.truncate(rng.random_range(0..=self.under_way.len()));
        if let Some(Item::Bytes(bytes)) = self.under_way.back_mut() {
            bytes.truncate(rng.random_range(0..=bytes.len()));
        }
        self.end(now, rng)
    }

    /// From now on nothing arrives.
    pub(super) fn silence(&mut self) {
        self.under_way.clear();
        self.health = Health::Silent;
    }

    /// What arrives now: nothing where what should have was lost.
    pub(super) fn arrive(&mut self) -> Option<Item> {
        self.under_way.pop_front()
    }
}

/// Changes bytes on their way, somewhere.
pub(super) fn tamper(bytes: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
    let from = rng.random_range(0..bytes.len());
    let to = rng.random_range(from..=bytes.len().min(from + 2_000));
    match rng.random_range(0..4) {
        0 => bytes[from] ^= 1 << rng.random_range(0..8),
        1 => {
            bytes.drain(from..to);
        }
        2 => {
            let twice = bytes[from..to].to_vec();
            bytes.splice(from..from, twice);
        }
        _ => {
            let made_up: Vec<u8> = (from..to).map(|_| rng.random()).collect();
            bytes.splice(from..from, made_up);
        }
    }
}
