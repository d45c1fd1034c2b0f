//! What can be set about the network, and its bounds.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use link::budget::MIN_FLOOR_BYTES;
use link::channel::{self, Channel};
use link::inbound::Rules;
use link::{inbound, session};

use super::socket;

/// The settings of the network.
#[derive(Debug, Clone)]
pub struct Config {
    /// One link: its session, channels, deadlines, strikes, pings.
    pub link: Arc<link::link::Config>,
    /// One socket: how much is written at once, and how long a peer may take nothing.
    pub socket: socket::Config,
    /// What all links together may hold of messages that came in, unfinished or not yet taken. A guess: half a
    /// megabyte for each connection; an idle one holds nothing but its floor.
    pub budget_bytes: NonZeroU64,
    /// What each link may hold of that, whatever the others hold. A guess: some messages of consensus.
    pub floor_bytes: NonZeroU32,
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
    /// Handshakes at once of those that others made. (Those of this node are bounded by `outbound`.)
    pub handshakes: NonZeroUsize,
    /// A connection that has proven no key for so long may lose its place to a newcomer that finds none, so that those
    /// who say nothing do not hold places until the handshake's deadline. A guess: a few round trips.
    pub silent_after: Duration,
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
    /// A floor into which not even an unfinished frame and a control message fit.
    #[error(
        "each connection needs at least {least} bytes of its own, for an unfinished frame and a control message; \
         {floor} are set"
    )]
    Floor {
        /// What each has at least.
        floor: u32,
        /// What it needs.
        least: u32,
    },
    /// The floors of all connections together are more than the budget.
    #[error(
        "{connections} connections with {floor} bytes each need more than the {budget} bytes of all links"
    )]
    Budget {
        /// The most connections.
        connections: usize,
        /// What each has at least.
        floor: u32,
        /// What there is.
        budget: u64,
    },
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
            silent_after: Duration::from_secs(1),
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
    /// The settings that are best for most, for a network id, with the channels that there are.
    pub fn new(network_id: [u8; 32]) -> Self {
        Self::with_channels(network_id, channel::defaults()).expect("the defaults fit each other")
    }

    /// The same with other channels.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn with_channels(network_id: [u8; 32], channels: Vec<Channel>) -> Result<Self, channel::Error> {
        let rules = Rules::new(inbound::Config::new(channels))?;
        let security = session::Security::Noise(session::Cipher::Aes256Gcm);
        let session = session::Config { network_id, security };
        Ok(Self::of(link::link::Config::new(session, rules)))
    }

    /// The settings that are best for most, for links that are set already.
    pub fn of(link: link::link::Config) -> Self {
        Self {
            link: Arc::new(link),
            socket: socket::Config::default(),
            budget_bytes: NonZeroU64::new(256 << 20).expect("not zero"),
            floor_bytes: NonZeroU32::new(64 << 10).expect("not zero"),
            caps: Caps::default(),
            tries: Tries::default(),
            dial: Dial::default(),
            max_requests: at_least_one(1_024),
            cool_off: Duration::from_secs(600),
            drain: Duration::from_secs(1),
        }
    }

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
        let (floor, budget) = (self.floor_bytes.get(), self.budget_bytes.get());
        if floor < MIN_FLOOR_BYTES {
            return Err(Invalid::Floor { floor, least: MIN_FLOOR_BYTES });
        }
        if (connections as u64).saturating_mul(floor.into()) > budget {
            return Err(Invalid::Budget { connections, floor, budget });
        }
        Ok(())
    }

    /// What is set apart of the budget, so that each connection that there may be finds its part of it: half of the
    /// budget at most, since messages need more than floors.
    pub(super) fn floors_bytes(&self) -> u64 {
        let floors = (self.caps.connections.get() as u64).saturating_mul(self.floor_bytes.get().into());
        floors.min(self.budget_bytes.get() / 2)
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
        assert_eq!(Config::new([0; 32]).validate(), Ok(()));
        let mut config = Config::new([0; 32]);
        config.caps.reserved = 513;
        assert_eq!(config.validate(), Err(Invalid::Reserved { reserved: 513, connections: 512 }));
        let mut config = Config::new([0; 32]);
        config.dial.first_pause = Duration::ZERO;
        assert_eq!(config.validate(), Err(Invalid::Pauses));
        config.dial.first_pause = Duration::from_secs(301);
        assert_eq!(config.validate(), Err(Invalid::Pauses));
        let mut config = Config::new([0; 32]);
        config.floor_bytes = NonZeroU32::new(1 << 20).unwrap();
        assert!(matches!(config.validate(), Err(Invalid::Budget { .. })));
        config.floor_bytes = NonZeroU32::new(13_335).unwrap();
        assert_eq!(config.validate(), Err(Invalid::Floor { floor: 13_335, least: 13_336 }));
    }
}
