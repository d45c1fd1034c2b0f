//! The peers that this node was told of: whom to dial and when, who is pinned, who is banned or cooled off.
//!
//! It knows nothing of connections but whether a peer has one. Nothing that a peer says gets in here.

use std::collections::BTreeMap;
use std::time::Duration;

use link::PeerId;
use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use tokio_util::sync::CancellationToken;

use crate::network::address::Address;
use crate::network::config::Dial;

/// Peers that may be known, banned or cooled off, each. Operators add the first two; the last are those that
/// proved a key and broke rules with it, and keys cost nothing, so there the oldest makes room. A guess.
const MAX_PEERS: usize = 8_192;

/// One peer that this node was told of.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Where to dial it; a peer without an address is waited for.
    pub(super) address: Option<Address>,
    /// Whether it has a reserved place, and is never given up.
    pub(super) pinned: bool,
    /// Dials that failed since the last success.
    pub(super) failures: u32,
    /// Before this moment it is not dialled.
    pub(super) not_before: Duration,
    /// Why the last dial failed.
    pub(super) last_failure: Option<String>,
    /// Cancels the task that dials it, where there is one.
    pub(super) dialling: Option<CancellationToken>,
}

/// There is room for no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_PEERS} peers are known already: drop some")]
pub struct TooMany;

/// Why a peer may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwelcome {
    /// An operator said so.
    Banned,
    /// It broke too many rules of late.
    CooledOff,
}

/// All peers that this node was told of.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<PeerId, Known>,
    banned: BTreeMap<PeerId, ()>,
    cooled: BTreeMap<PeerId, Duration>,
}

impl Peers {
    /// Adds a peer, or gives it another address; either way it is dialled anew and at once.
    pub(super) fn add(&mut self, peer: PeerId, address: Option<Address>) -> Result<&mut Known, TooMany> {
        if !self.known.contains_key(&peer) && self.known.len() >= MAX_PEERS {
            return Err(TooMany);
        }
        let known = self.known.entry(peer).or_default();
        if address.is_some() {
            known.address = address;
        }
        known.failures = 0;
        known.not_before = Duration::ZERO;
        if let Some(token) = known.dialling.take() {
            token.cancel();
        }
        Ok(known)
    }

    /// Forgets a peer, and cancels its dialling.
    pub(super) fn forget(&mut self, peer: PeerId) -> bool {
        let known = self.known.remove(&peer);
        if let Some(token) = known.as_ref().and_then(|known| known.dialling.as_ref()) {
            token.cancel();
        }
        known.is_some()
    }

    /// A peer that this node was told of.
    pub(super) fn get(&self, peer: PeerId) -> Option<&Known> {
        self.known.get(&peer)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Known> {
        self.known.get_mut(&peer)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Known)> {
        self.known.iter().map(|(peer, known)| (*peer, known))
    }

    /// Whether a peer has a reserved place.
    pub(super) fn is_pinned(&self, peer: PeerId) -> bool {
        self.get(peer).is_some_and(|known| known.pinned)
    }

    /// Bans a peer; whether it was not banned before.
    pub(super) fn ban(&mut self, peer: PeerId) -> Result<bool, TooMany> {
        if !self.banned.contains_key(&peer) && self.banned.len() >= MAX_PEERS {
            return Err(TooMany);
        }
        Ok(self.banned.insert(peer, ()).is_none())
    }

    /// Lifts a ban, and a cooling off; whether there was one.
    pub(super) fn unban(&mut self, peer: PeerId) -> bool {
        let cooled = self.cooled.remove(&peer).is_some();
        self.banned.remove(&peer).is_some() || cooled
    }

    /// Whether a peer is banned.
    pub(super) fn is_banned(&self, peer: PeerId) -> bool {
        self.banned.contains_key(&peer)
    }

    /// Those who are banned.
    pub(super) fn banned(&self) -> Vec<PeerId> {
        self.banned.keys().copied().collect()
    }

    /// Refuses a peer until a moment.
    pub(super) fn cool_off(&mut self, peer: PeerId, until: Duration) {
        if self.cooled.len() >= MAX_PEERS
            && let Some(first) = self.cooled.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer)
        {
            self.cooled.remove(&first);
        }
        self.cooled.insert(peer, until);
    }

    /// Until when a peer is refused for its strikes.
    pub(super) fn cooled_until(&self, peer: PeerId) -> Option<Duration> {
        self.cooled.get(&peer).copied()
    }

    /// Whether a peer may not connect, and why.
    pub(super) fn unwelcome(&mut self, peer: PeerId, now: Duration) -> Option<Unwelcome> {
        if self.banned.contains_key(&peer) {
            return Some(Unwelcome::Banned);
        }
        match self.cooled.get(&peer) {
            Some(until) if *until > now => Some(Unwelcome::CooledOff),
            Some(_) => {
                self.cooled.remove(&peer);
                None
            }
            None => None,
        }
    }
}

impl Known {
    /// Whether it is still worth dialling.
    pub(super) fn is_wanted(&self, config: &Dial) -> bool {
        self.address.is_some() && (self.pinned || self.failures < config.give_up_after.get())
    }

    /// A connection was not made, or did not last.
    pub(super) fn failed(&mut self, config: &Dial, now: Duration, rng: &mut ChaCha20Rng) {
        let pause = pause(config, self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause);
    }

    /// A connection lasted.
    pub(super) fn lasted(&mut self, config: &Dial, now: Duration, rng: &mut ChaCha20Rng) {
        self.failures = 0;
        self.last_failure = None;
        self.not_before = now.saturating_add(pause(config, 0, rng));
    }
}

/// The pause after so many failures before: doubled for each, and then somewhere in its upper half, so that peers
/// that lost each other at once do not come back at once.
fn pause(config: &Dial, failures: u32, rng: &mut ChaCha20Rng) -> Duration {
    let doubled = config.first_pause.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    let full = doubled.min(config.longest_pause);
    let part = full.as_secs_f64() * rng.random_range(0.5..=1.0);
    Duration::try_from_secs_f64(part).unwrap_or(full)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const PEER: PeerId = PeerId([1; 32]);

    #[test]
    fn the_pause_doubles_to_its_longest_with_jitter_and_starts_anew_after_a_success() {
        let (config, mut rng) = (Dial::default(), ChaCha20Rng::seed_from_u64(7));
        let mut known = Known::default();
        let mut pauses = Vec::new();
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            known.failed(&config, Duration::ZERO, &mut rng);
            let (pause, full) = (known.not_before, Duration::from_secs(expected));
            assert!(pause >= full / 2 && pause <= full, "{pause:?} for {full:?}");
            pauses.push(pause.as_secs_f64() / full.as_secs_f64());
        }
        assert!(pauses.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.05), "there is no jitter");
        known.failures = u32::MAX;
        known.failed(&config, Duration::ZERO, &mut rng);
        assert!(known.not_before <= config.longest_pause && known.failures == u32::MAX);
        known.lasted(&config, Duration::from_secs(9), &mut rng);
        assert!(known.not_before <= Duration::from_secs(10) && known.failures == 0);
    }

    #[test]
    fn a_pinned_peer_is_never_given_up() {
        let config = Dial::default();
        let address = Some(Address::Unix("peer".into()));
        let mut known = Known { address, failures: config.give_up_after.get(), ..Known::default() };
        assert!(!known.is_wanted(&config));
        known.pinned = true;
        assert!(known.is_wanted(&config));
        known.address = None;
        assert!(!known.is_wanted(&config));
    }

    #[test]
    fn who_is_banned_or_cooled_off_is_unwelcome_until_it_is_over() {
        let (mut peers, at) = (Peers::default(), Duration::from_secs);
        peers.cool_off(PEER, at(10));
        assert_eq!(peers.unwelcome(PEER, at(9)), Some(Unwelcome::CooledOff));
        assert_eq!(peers.unwelcome(PEER, at(10)), None);
        assert_eq!(peers.ban(PEER), Ok(true));
        assert_eq!(peers.ban(PEER), Ok(false));
        assert_eq!(peers.unwelcome(PEER, at(99)), Some(Unwelcome::Banned));
        assert!(peers.unban(PEER) && !peers.unban(PEER));
        assert_eq!(peers.unwelcome(PEER, at(99)), None);
    }

    #[test]
    fn keys_that_cost_nothing_fill_no_memory() {
        let mut peers = Peers::default();
        for number in 0..MAX_PEERS as u64 + 5 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            peers.cool_off(PeerId(key), Duration::from_secs(number + 1));
        }
        assert_eq!(peers.cooled.len(), MAX_PEERS);
        assert!(peers.cooled_until(PeerId([0; 32])).is_none(), "the oldest made room");
    }
}
