//! `[link]`: one link with one peer: its cipher, its deadlines, its buffers. Both ends need not agree, but for the
//! cipher.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use std::time::Duration;

use link::channel;
use serde::{Deserialize, Serialize};

use super::{Error, nonzero, nonzero32};

/// The longest outer frame, and so the least that one read should bring.
const FRAME_BYTES: u32 = 12_312;

/// What one read brings at most where nothing else is set: sixteen of the longest frames with their lengths. The
/// fewer system calls, the cheaper the byte; beyond it nothing is gained (measured).
const READ_BYTES: u32 = 16 * (FRAME_BYTES + 2);

/// The most that one read may bring. A guess: far beyond where anything is gained, and every thread keeps as much.
const MAX_READ_BYTES: u32 = 16 << 20;

/// The most strikes, and the most pings in a row. A guess: for each of them a peer can make this node remember
/// something.
const MAX_REMEMBERED: u32 = 4_096;

/// One link with one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// The cipher of all links; peers must have the same.
    pub cipher: Cipher,
    /// How long a handshake may take, and the agreement after it.
    pub handshake_timeout_ms: NonZeroU64,
    /// How often a ping is sent.
    pub ping_interval_ms: NonZeroU64,
    /// How many pings of a peer in a row are answered,
    pub ping_burst: NonZeroU32,
    /// and how long it takes until one more is.
    pub ping_refill_ms: NonZeroU64,
    /// A peer that said nothing for so long is taken for dead.
    pub dead_after_ms: NonZeroU64,
    /// How long one frame may take from its first byte to its last.
    pub frame_timeout_ms: NonZeroU64,
    /// A peer that takes nothing for so long, though there is something for it, is disconnected.
    pub write_stall_ms: NonZeroU64,
    /// How long a link that closes may take to send the reason.
    pub close_timeout_ms: NonZeroU64,
    /// So many faults within `strikes_within_ms` disconnect a peer; 0: none ever do.
    pub strikes: u32,
    /// For how long a fault counts.
    pub strikes_within_ms: NonZeroU64,
    /// How much is read at once, at most; a buffer of this size belongs to each thread, not to each link.
    pub read_bytes: NonZeroU32,
    /// What all links together may hold of messages that came in, unfinished or not yet taken.
    pub max_held_bytes: NonZeroU64,
    /// What each link may hold of that whatever the others hold.
    pub floor_bytes: NonZeroU32,
    /// How much may wait to be sent on one channel of one link,
    pub queue_bytes: NonZeroU32,
    /// and how many messages.
    pub queue_messages: NonZeroU32,
    /// The least that the kernel is given to send ahead.
    pub min_unsent_bytes: NonZeroU32,
    /// The most that the kernel is given to send ahead: what an urgent message may have to wait behind.
    pub max_unsent_bytes: NonZeroU32,
    /// Between these two: what the line takes in this time.
    pub unsent_us: NonZeroU32,
    /// What differs from the defaults in single channels, by their names.
    pub channels: BTreeMap<String, Channel>,
}

/// What may be set about one channel; what is not set keeps its default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channel {
    /// The longest message that is taken, without its head.
    pub max_message_bytes: Option<NonZeroU32>,
    /// How much a peer may have under way, unfinished or not yet taken.
    pub window_bytes: Option<NonZeroU32>,
    /// Its part of the line beside other bulk channels.
    pub share: Option<NonZeroU8>,
    /// How long one message may take from its first byte to its last.
    pub message_timeout_ms: Option<NonZeroU64>,
}

/// What encrypts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cipher {
    /// AES-256-GCM: for processors with instructions for it.
    #[default]
    Aes256Gcm,
    /// ChaCha20-Poly1305: for others.
    ChaChaPoly,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            cipher: Cipher::default(),
            // link.md's table, "Limits".
            handshake_timeout_ms: nonzero(5_000),
            ping_interval_ms: nonzero(30_000),
            // Guesses: an operator who pings by hand needs some; four a second.
            ping_burst: nonzero32(16),
            ping_refill_ms: nonzero(250),
            dead_after_ms: nonzero(75_000),
            // What Cardano gives a segment.
            frame_timeout_ms: nonzero(30_000),
            write_stall_ms: nonzero(20_000),
            close_timeout_ms: nonzero(1_000),
            strikes: 16,
            strikes_within_ms: nonzero(600_000),
            read_bytes: nonzero32(READ_BYTES),
            // A guess: 512 connections of half a megabyte; an idle one holds nothing.
            max_held_bytes: nonzero(256 << 20),
            // A guess: some messages of consensus.
            floor_bytes: nonzero32(64 << 10),
            // Guesses: a quarter of a second of 100 Mbit/s is 3 MB.
            queue_bytes: nonzero32(4 << 20),
            queue_messages: nonzero32(4_096),
            // link.md, "Lanes": measured.
            min_unsent_bytes: nonzero32(16 << 10),
            max_unsent_bytes: nonzero32(128 << 10),
            unsent_us: nonzero32(2_000),
            channels: BTreeMap::new(),
        }
    }
}

impl Link {
    pub(super) fn validate(&self) -> Result<(), Error> {
        if self.ping_interval_ms >= self.dead_after_ms {
            return Err(Error::Order { less: "link.ping_interval_ms", more: "link.dead_after_ms" });
        }
        if self.min_unsent_bytes > self.max_unsent_bytes {
            return Err(Error::Order { less: "link.min_unsent_bytes", more: "link.max_unsent_bytes" });
        }
        if self.read_bytes.get() < FRAME_BYTES {
            return Err(Error::ReadBytes { found: self.read_bytes.get() });
        }
        for (key, found, most) in [
            ("link.read_bytes", self.read_bytes.get(), MAX_READ_BYTES),
            ("link.strikes", self.strikes, MAX_REMEMBERED),
            ("link.ping_burst", self.ping_burst.get(), MAX_REMEMBERED),
        ] {
            if found > most {
                return Err(Error::TooMuch { key, found, most });
            }
        }
        if let Some(name) = self.channels.keys().find(|name| !known(name)) {
            let known = channel::defaults().iter().map(|channel| channel.name).collect::<Vec<_>>().join(", ");
            return Err(Error::Channel { name: name.clone(), known });
        }
        Ok(channel::validate(&self.channels())?)
    }

    /// The channels as they are to be.
    pub fn channels(&self) -> Vec<channel::Channel> {
        let mut channels = channel::defaults();
        for channel in &mut channels {
            if let Some(set) = self.channels.get(channel.name) {
                set.over(channel);
            }
        }
        channels
    }
}

impl Channel {
    fn over(&self, channel: &mut channel::Channel) {
        if let Some(bytes) = self.max_message_bytes {
            channel.max_message_bytes = bytes.get();
        }
        if let Some(bytes) = self.window_bytes {
            channel.window_bytes = bytes.get();
        }
        if let Some(share) = self.share {
            channel.share = share.get();
        }
        if let Some(ms) = self.message_timeout_ms {
            channel.deadline = Duration::from_millis(ms.get());
        }
    }
}

fn known(name: &str) -> bool {
    channel::defaults().iter().any(|channel| channel.name == name)
}
