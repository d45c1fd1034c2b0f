//! The configuration of peers and links in the words of the network and the link.

use std::io;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use link::inbound::Rules;
use link::session::{self, Security};
use link::{channel, inbound, outbound, ping, strikes};
use rand::rngs::SysRng;
use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha20Rng;

use crate::config::{self, Config};
use crate::network::socket::{self, pace};
use crate::network::{self, Caps, Dial, Tries};
use crate::network_id::NetworkId;

/// All of it, for this network's links.
///
/// # Errors
/// When the channels cannot be used. (A configuration that was validated has others.)
pub(super) fn network(config: &Config, network: &NetworkId) -> Result<network::Config, channel::Error> {
    let (peers, link) = (&config.peers, &config.link);
    Ok(network::Config {
        link: Arc::new(one_link(config, network)?),
        socket: socket(link),
        budget_bytes: link.max_held_bytes,
        floor_bytes: link.floor_bytes,
        caps: Caps {
            connections: size(peers.max_connections),
            reserved: peers.reserved as usize,
            inbound: peers.max_inbound as usize,
            outbound: peers.max_outbound as usize,
            per_address: size(peers.max_per_address),
            handshakes: size(peers.max_handshakes),
            silent_after: Duration::from_millis(peers.silent_after_ms),
        },
        tries: Tries {
            address_interval: Duration::from_millis(peers.try_interval_ms),
            per_prefix: peers.tries_per_prefix,
        },
        dial: Dial {
            timeout: ms(peers.dial_timeout_ms),
            first_pause: ms(peers.first_pause_ms),
            longest_pause: ms(peers.longest_pause_ms),
            settled_after: Duration::from_millis(peers.settled_after_ms),
            give_up_after: peers.give_up_after,
        },
        max_requests: size(peers.max_requests),
        cool_off: Duration::from_millis(peers.cool_off_ms),
        drain: Duration::from_millis(peers.drain_ms),
    })
}

/// The generator that a process draws from, seeded by the system.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn generator() -> io::Result<ChaCha20Rng> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(ChaCha20Rng::from_seed(seed))
}

fn one_link(config: &Config, network: &NetworkId) -> Result<link::link::Config, channel::Error> {
    let (peers, link) = (&config.peers, &config.link);
    let rules = Rules::new(inbound(link))?;
    Ok(link::link::Config {
        outbound: outbound(link),
        dial_timeout: ms(peers.dial_timeout_ms),
        handshake_timeout: ms(link.handshake_timeout_ms),
        ..link::link::Config::new(session(link, network), rules)
    })
}

fn socket(link: &config::Link) -> socket::Config {
    socket::Config {
        read_bytes: link.read_bytes,
        pace: pace::Config {
            min_bytes: link.min_unsent_bytes,
            max_bytes: link.max_unsent_bytes,
            ahead: Duration::from_micros(link.unsent_us.get().into()),
        },
        write_stall: ms(link.write_stall_ms),
    }
}

fn session(link: &config::Link, network: &NetworkId) -> session::Config {
    let cipher = match link.cipher {
        config::Cipher::Aes256Gcm => session::Cipher::Aes256Gcm,
        config::Cipher::ChaChaPoly => session::Cipher::ChaChaPoly,
    };
    session::Config { network_id: network.format.chain_id().0, security: Security::Noise(cipher) }
}

fn inbound(link: &config::Link) -> inbound::Config {
    inbound::Config {
        channels: link.channels(),
        strikes: strikes::Config { limit: NonZeroU32::new(link.strikes), window: ms(link.strikes_within_ms) },
        frame_deadline: ms(link.frame_timeout_ms),
        silence: ms(link.dead_after_ms),
    }
}

fn outbound(link: &config::Link) -> outbound::Config {
    outbound::Config {
        queue_bytes: link.queue_bytes,
        queue_messages: link.queue_messages,
        ping: ping::Config {
            every: ms(link.ping_interval_ms),
            burst: link.ping_burst,
            refill: ms(link.ping_refill_ms),
        },
        closing_timeout: ms(link.close_timeout_ms),
    }
}

fn ms(ms: NonZeroU64) -> Duration {
    Duration::from_millis(ms.get())
}

fn size(number: NonZeroU32) -> NonZeroUsize {
    NonZeroUsize::try_from(number).unwrap_or(NonZeroUsize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A default is written down where operators see it and where embedders do: it must be the same.
    #[test]
    fn a_default_configuration_gives_the_defaults_of_network_and_link() {
        let (config, id) = (Config::default(), NetworkId::find("preview").expect("built in"));
        let ours = network(&config, &id).expect("sound");
        let theirs = network::Config::new(id.format.chain_id().0);
        let (ours, theirs) = (format!("{ours:#?}"), format!("{theirs:#?}"));
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.len(), theirs.len());
    }
}
