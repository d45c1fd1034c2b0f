//! Who gets a place: caps before the handshake, fairness between addresses, and no locking out.
//!
//! A place is always found for an address that has fewer than others, if need be that of a connection which
//! has been silent for a while; within one address, the newest connection wins over one that went silent.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Config;
use super::place::{Departed, EVICT, Ended, Place, Totals};

/// How many departures are remembered for operators.
const MAX_DEPARTED: usize = 128;

/// Whether a connection gets a place.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It does.
    Admitted(Arc<Place>),
    /// Not now: all that could make room for it have been heard of lately.
    Full,
}

/// All places.
#[derive(Debug, Default)]
pub(super) struct Places {
    inner: Mutex<Inner>,
    /// Bytes that count towards [`Config::max_held_bytes`].
    pub(super) held: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    next_id: u64,
    places: BTreeMap<u64, Arc<Place>>,
    /// The ids of each address's connections, oldest first.
    addresses: BTreeMap<IpAddr, Vec<u64>>,
    departed: VecDeque<Gone>,
    totals: Totals,
}

#[derive(Debug)]
struct Gone {
    id: u64,
    peer: SocketAddr,
    lasted: Duration,
    at: Duration,
    why: Ended,
}

impl Places {
    /// Finds a place for a connection; `make` makes it, given its number.
    pub(super) fn admit(
        &self,
        config: &Config,
        peer: SocketAddr,
        now: Duration,
        make: impl FnOnce(u64) -> Place,
    ) -> Verdict {
        let mut inner = self.lock();
        let address = network_of(peer.ip());
        let mine = inner.addresses.get(&address).map_or(0, Vec::len);
        let victim = if mine >= config.max_clients_per_address {
            Some(inner.silent_of(&address, now, config.silent_after))
        } else if inner.places.len() >= config.max_clients {
            Some(inner.silent_of_any(&address, mine, now, config.silent_after))
        } else {
            None
        };
        match victim {
            Some(None) => return Verdict::Full,
            Some(Some(victim)) => inner.evict(victim),
            None => {}
        }
        let id = inner.next_id;
        inner.next_id += 1;
        inner.totals.admitted += 1;
        let place = Arc::new(make(id));
        inner.places.insert(id, place.clone());
        inner.addresses.entry(address).or_default().push(id);
        Verdict::Admitted(place)
    }

    /// Notes that a connection found no place.
    pub(super) fn refuse(&self) {
        self.lock().totals.refused += 1;
    }

    /// Notes that a client is gone.
    pub(super) fn leave(&self, place: &Place, now: Duration, why: Ended) {
        let (received, sent) = {
            let mut seen = place.lock();
            self.held.fetch_sub(std::mem::take(&mut seen.held), Ordering::Relaxed);
            (seen.received, seen.sent)
        };
        let mut inner = self.lock();
        inner.remove(place.id);
        inner.totals.received_bytes += received;
        inner.totals.sent_bytes += sent;
        inner.totals.violations += u64::from(why.is_violation());
        if inner.departed.len() == MAX_DEPARTED {
            inner.departed.pop_front();
        }
        let lasted = now.saturating_sub(place.since);
        inner.departed.push_back(Gone { id: place.id, peer: place.peer, lasted, at: now, why });
    }

    /// Looks at every place in turn.
    pub(super) fn each(&self, mut look: impl FnMut(&Arc<Place>)) {
        self.lock().places.values().for_each(&mut look);
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// The clients that went last, the last one first.
    pub(super) fn departed(&self, now: Duration) -> Vec<Departed> {
        let gone = |gone: &Gone| Departed {
            id: gone.id,
            address: gone.peer,
            connected_s: gone.lasted.as_secs(),
            ago_s: now.saturating_sub(gone.at).as_secs(),
            reason: gone.why.to_string(),
        };
        self.lock().departed.iter().rev().map(gone).collect()
    }

    /// What has happened so far.
    pub(super) fn totals(&self) -> Totals {
        self.lock().totals
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing between two changes of the maps can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The connection of this address that has been silent for longest, if that is long enough.
    fn silent_of(&self, address: &IpAddr, now: Duration, after: Duration) -> Option<u64> {
        let ids = self.addresses.get(address)?.iter();
        ids.filter_map(|id| self.places.get(id))
            .filter(|place| now.saturating_sub(place.heard()) >= after)
            .min_by_key(|place| place.heard())
            .map(|place| place.id)
    }

    /// The same, of the address that has most connections, if those are more than this one would then have.
    fn silent_of_any(&self, mine: &IpAddr, count: usize, now: Duration, after: Duration) -> Option<u64> {
        let (most, ids) = self.addresses.iter().max_by_key(|(_, ids)| ids.len())?;
        // With as many each, the newer connection would only be the next to be evicted.
        if most != mine && ids.len() > count + 1 { self.silent_of(most, now, after) } else { None }
            .or_else(|| self.silent_of(mine, now, after))
    }

    fn evict(&mut self, id: u64) {
        if let Some(place) = self.remove(id) {
            self.totals.evicted += 1;
            place.tell(EVICT);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Place>> {
        let place = self.places.remove(&id)?;
        let address = network_of(place.peer.ip());
        if let Some(ids) = self.addresses.get_mut(&address) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.addresses.remove(&address);
            }
        }
        Some(place)
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 /64, which is what one customer gets.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}
