//! How often others may try to connect, before anything is spent on them.
//!
//! The tables are bounded. When one is full of what is still young, newcomers are let through: the caps hold
//! all the same, and a table that refuses when full would be a way to lock everybody out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::seats::network_of;
use crate::network::config::Tries;

/// Addresses, and prefixes, that are remembered: 1 MB at most. A guess.
const MAX_REMEMBERED: usize = 16_384;

/// The time over which tries of a prefix are counted.
const PREFIX_WINDOW: Duration = Duration::from_secs(1);

/// How often a full table is rid of what is old. A guess.
const SWEEP: Duration = Duration::from_secs(1);

/// Too many tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::network) enum TooMany {
    /// From one address.
    #[error("too many tries from this address")]
    Address,
    /// From one prefix.
    #[error("too many tries from this network")]
    Prefix,
}

/// The tries of late.
#[derive(Debug, Default)]
pub(super) struct Recent {
    addresses: BTreeMap<IpAddr, Duration>,
    prefixes: BTreeMap<IpAddr, (Duration, u32)>,
    /// When what is old was last looked for: looking is long work, and is not to be had for a try.
    swept: Duration,
}

impl Recent {
    /// Whether a try would be taken now.
    pub(super) fn check(&self, config: &Tries, ip: IpAddr, now: Duration) -> Result<(), TooMany> {
        let ip = ip.to_canonical();
        if ip.is_loopback() {
            return Ok(());
        }
        let last = self.addresses.get(&network_of(ip));
        if last.is_some_and(|at| now.saturating_sub(*at) < config.address_interval) {
            return Err(TooMany::Address);
        }
        if self.of_prefix(prefix_of(ip), now).1 >= config.per_prefix.get() {
            return Err(TooMany::Prefix);
        }
        Ok(())
    }

    /// Notes a try, or refuses it. One that is refused does not put off the next.
    pub(super) fn note(&mut self, config: &Tries, ip: IpAddr, now: Duration) -> Result<(), TooMany> {
        self.check(config, ip, now)?;
        let ip = ip.to_canonical();
        if ip.is_loopback() {
            return Ok(());
        }
        let (address, prefix) = (network_of(ip), prefix_of(ip));
        let (since, count) = self.of_prefix(prefix, now);
        let is_fresh = |at: Duration| now.saturating_sub(at) < config.address_interval;
        let is_full = self.addresses.len().max(self.prefixes.len()) >= MAX_REMEMBERED;
        if is_full && now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.addresses.retain(|_, at| is_fresh(*at));
            self.prefixes.retain(|_, (since, _)| now.saturating_sub(*since) < PREFIX_WINDOW);
        }
        if self.addresses.len() < MAX_REMEMBERED {
            self.addresses.insert(address, now);
        }
        if self.prefixes.len() < MAX_REMEMBERED {
            self.prefixes.insert(prefix, (since, count + 1));
        }
        Ok(())
    }

    /// Since when the tries of a prefix are counted, and how many there were.
    fn of_prefix(&self, prefix: IpAddr, now: Duration) -> (Duration, u32) {
        match self.prefixes.get(&prefix) {
            Some((since, count)) if now.saturating_sub(*since) < PREFIX_WINDOW => (*since, *count),
            _ => (now, 0),
        }
    }
}

/// The IPv4 /24 or IPv6 /48 of an address.
fn prefix_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_try_in_five_seconds_from_one_address_and_refused_ones_do_not_count() {
        let (mut recent, config) = (Recent::default(), Tries::default());
        let mut note = |ip: [u8; 4], ms| recent.note(&config, ip.into(), at(ms));
        assert_eq!(note([10, 0, 0, 1], 0), Ok(()));
        assert_eq!(note([10, 0, 0, 2], 1), Ok(()));
        assert_eq!(note([10, 0, 0, 1], 4_999), Err(TooMany::Address));
        assert_eq!(note([10, 0, 0, 1], 5_000), Ok(()));
    }

    #[test]
    fn a_prefix_has_64_tries_a_second() {
        let (mut recent, config) = (Recent::default(), Tries::default());
        for host in 0..64 {
            assert_eq!(recent.note(&config, [10, 0, 0, host].into(), at(10)), Ok(()));
        }
        assert_eq!(recent.note(&config, [10, 0, 0, 64].into(), at(900)), Err(TooMany::Prefix));
        assert_eq!(recent.note(&config, [10, 0, 1, 64].into(), at(900)), Ok(()));
        assert_eq!(recent.note(&config, [10, 0, 0, 64].into(), at(1_010)), Ok(()));
        let (a, b) = ("2001:db8:0:1::1".parse().unwrap(), "2001:db8:0:2::1".parse().unwrap());
        assert_eq!(prefix_of(a), prefix_of(b));
    }

    #[test]
    fn loopback_is_exempt_and_the_memory_bounded() {
        let (mut recent, config) = (Recent::default(), Tries::default());
        for _ in 0..1_000 {
            assert_eq!(recent.note(&config, [127, 0, 0, 1].into(), at(1)), Ok(()));
            assert_eq!(recent.note(&config, Ipv6Addr::LOCALHOST.into(), at(1)), Ok(()));
        }
        for host in 0..40_000_u32 {
            let ip = Ipv6Addr::from_bits(u128::from(host + 1) << 80);
            assert_eq!(recent.note(&config, ip.into(), at(1)), Ok(()));
        }
        assert_eq!((recent.addresses.len(), recent.prefixes.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        // They are forgotten once they are old.
        assert_eq!(recent.note(&config, [10, 0, 0, 1].into(), at(6_000)), Ok(()));
        assert_eq!((recent.addresses.len(), recent.prefixes.len()), (1, 1));
    }
}
