//! What can be set about the network, and its bounds.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// The settings of the network.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many connections there may be.
    pub caps: Caps,
    /// How often others may try to connect.
    pub tries: Tries,
    /// When and for how long this node dials.
    pub dial: Dial,
    /// Questions that one peer may owe an answer to at a time. A guess: a window of small requests.
    pub max_requests: NonZeroUsize,
    /// How long a peer that was disconnected for its strikes is refused. A guess: as long as strikes count.
    pub cool_off: Duration,
    /// How long a stop lets sockets send what is queued, and the reason.
    pub drain: Duration,
}

/// How many connections there may be at a time; those in their handshake count.
#[derive(Debug, Clone)]
pub struct Caps {
    /// All together. A guess: what a node of hundreds of peers needs; 5 KB of kernel memory each.
    pub connections: NonZeroUsize,
    /// Of these, places that only pinned peers get.
    pub reserved: usize,
    /// Those that others made, without the reserved ones.
    pub inbound: usize,
    /// Those that this node made, without the reserved ones.
    pub outbound: usize,
    /// From or to one IPv4 address or IPv6 /64. A guess: some nodes behind one router.
    pub per_address: NonZeroUsize,
    /// Handshakes at once, of both directions.
    pub handshakes: NonZeroUsize,
}

/// How often others may try to connect. Loopback is exempt.
#[derive(Debug, Clone)]
pub struct Tries {
    /// One try from one IPv4 address or IPv6 /64 in this time; zero means always.
    pub address_interval: Duration,
    /// Tries a second from one IPv4 /24 or IPv6 /48.
    pub per_prefix: NonZeroU32,
}

/// When and for how long this node dials.
#[derive(Debug, Clone)]
pub struct Dial {
    /// How long making the bearer may take, the look-up of a name included.
    pub timeout: Duration,
    /// The pause after a first failure; it doubles.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A connection that lasted so long was a success: the next pause is the first one again. A guess.
    pub settled_after: Duration,
    /// A peer that is not pinned is given up after so many failures in a row. With the pauses above, 40 are
    /// about two and a half hours: a guess.
    pub give_up_after: NonZeroU32,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// More places are reserved than there are.
    #[error("{reserved} places are reserved for pinned peers, but there are {connections} in all")]
    Reserved {
        /// The reserved ones.
        reserved: usize,
        /// All of them.
        connections: usize,
    },
    /// The first pause is zero, or longer than the longest.
    #[error("the first pause between dials must be above zero and at most the longest")]
    Pauses,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            caps: Caps::default(),
            tries: Tries::default(),
            dial: Dial::default(),
            max_requests: at_least_one(1_024),
            cool_off: Duration::from_secs(600),
            drain: Duration::from_secs(1),
        }
    }
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            connections: at_least_one(512),
            reserved: 32,
            inbound: 384,
            outbound: 96,
            per_address: at_least_one(16),
            handshakes: at_least_one(512),
        }
    }
}

impl Default for Tries {
    fn default() -> Self {
        Self { address_interval: Duration::from_secs(5), per_prefix: NonZeroU32::new(64).expect("not zero") }
    }
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(300),
            settled_after: Duration::from_secs(60),
            give_up_after: NonZeroU32::new(40).expect("not zero"),
        }
    }
}

impl Config {
    /// Looks for settings that contradict each other.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), Invalid> {
        let (reserved, connections) = (self.caps.reserved, self.caps.connections.get());
        if reserved > connections {
            return Err(Invalid::Reserved { reserved, connections });
        }
        if self.dial.first_pause.is_zero() || self.dial.first_pause > self.dial.longest_pause {
            return Err(Invalid::Pauses);
        }
        Ok(())
    }
}

fn at_least_one(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_contradicts_itself() {
        assert_eq!(Config::default().validate(), Ok(()));
        let mut config = Config::default();
        config.caps.reserved = 513;
        assert_eq!(config.validate(), Err(Invalid::Reserved { reserved: 513, connections: 512 }));
        let mut config = Config::default();
        config.dial.first_pause = Duration::ZERO;
        assert_eq!(config.validate(), Err(Invalid::Pauses));
        config.dial.first_pause = Duration::from_secs(301);
        assert_eq!(config.validate(), Err(Invalid::Pauses));
    }
}
