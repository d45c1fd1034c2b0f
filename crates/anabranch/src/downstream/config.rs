//! What can be set about the server, and its bounds.

use std::net::SocketAddr;
use std::time::Duration;

/// The settings of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The network that is served.
    pub magic: u32,
    /// The addresses that clients may be told of; where there are none, peer-sharing is not offered.
    pub shared_peers: Vec<SocketAddr>,
    /// Connections at a time, those in their handshake included. An idle follower costs 2 KB: a guess at what
    /// file descriptors usually allow.
    pub max_clients: usize,
    /// Connections at a time from one IPv4 address or one IPv6 /64. A guess at what one application host opens.
    pub max_clients_per_address: usize,
    /// A connection that said nothing for so long may lose its place to a newer one of its address, or, where
    /// all places are taken, of an address that has fewer. So a client that comes back is not locked out by
    /// its own dying connection. Until then the newer one waits. A guess: a few round trips.
    pub silent_after: Duration,
    /// A client that takes nothing for so long is disconnected. The reference gives a reader 30 s for a
    /// segment; this is four times that.
    pub stalled_after: Duration,
    /// Bytes that clients may have sent without their having been dealt with, or not taken though sent, or that
    /// were read ahead for them, in all together. Above half of it, nothing is read ahead; above all of it, a
    /// client that adds to its own 64 KiB and more is disconnected.
    pub max_held_bytes: usize,
    /// How long a drain lets clients finish what was asked for.
    pub drain: Duration,
}

impl Config {
    /// The settings that are best for most, for a network.
    pub fn new(magic: u32) -> Self {
        Self {
            magic,
            shared_peers: Vec::new(),
            max_clients: 16_384,
            max_clients_per_address: 4_096,
            silent_after: Duration::from_secs(2),
            stalled_after: Duration::from_secs(120),
            max_held_bytes: 256 << 20,
            drain: Duration::from_secs(5),
        }
    }
}
