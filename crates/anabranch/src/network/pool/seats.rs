//! The caps: who may have a place, counted from before the handshake.
//!
//! A place is an ordinary one or a reserved one. Who accepts does not know who is there before the handshake:
//! when the ordinary places are taken, a newcomer may try for a reserved one, and loses it unless the
//! key that it proves is a pinned peer's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::network::config::Caps;
use crate::network::status::Direction;

/// Which kind of place somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// One of those for everybody.
    Ordinary,
    /// One of those for pinned peers.
    Reserved,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Full {
    /// All are taken.
    #[error("all places are taken")]
    Connections,
    /// Those of this direction are taken.
    #[error("all places for connections of this direction are taken")]
    Direction,
    /// Those of its address are taken.
    #[error("too many connections with this address")]
    Address,
    /// Too many handshakes are under way.
    #[error("too many handshakes at once")]
    Handshakes,
}

impl Full {
    /// A name that stays the same.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "full",
            Self::Direction => "full_direction",
            Self::Address => "full_address",
            Self::Handshakes => "full_handshakes",
        }
    }
}

/// All places.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// Of those that came in, and of those that were dialled.
    ordinary: [usize; 2],
    reserved: usize,
    /// Handshakes under way, of those that came in and of those that were dialled.
    shaking: [usize; 2],
    addresses: BTreeMap<IpAddr, usize>,
}

impl Seats {
    /// Takes a place. `is_pinned` is known for those that this node dials; of those that come in it is not.
    pub(super) fn take(
        &mut self,
        caps: &Caps,
        direction: Direction,
        ip: Option<IpAddr>,
        is_pinned: Option<bool>,
    ) -> Result<Seat, Full> {
        // Those who come in must not keep this node from dialling: the dials have a cap of their own.
        if direction == Direction::Accepted && self.shaking[0] >= caps.handshakes.get() {
            return Err(Full::Handshakes);
        }
        let address = ip.map(network_of);
        let near = address.and_then(|address| self.addresses.get(&address)).copied().unwrap_or(0);
        if near >= caps.per_address.get() && is_pinned != Some(true) {
            return Err(Full::Address);
        }
        let seat = self.choose(caps, direction, is_pinned)?;
        *self.count(seat, direction) += 1;
        self.shaking[index(direction)] += 1;
        if let Some(address) = address {
            *self.addresses.entry(address).or_default() += 1;
        }
        Ok(seat)
    }

    fn choose(&self, caps: &Caps, direction: Direction, is_pinned: Option<bool>) -> Result<Seat, Full> {
        let ordinary = match direction {
            _ if self.ordinary.iter().sum::<usize>() >= caps.connections.get() - caps.reserved => {
                Err(Full::Connections)
            }
            Direction::Accepted if self.ordinary[0] >= caps.inbound => Err(Full::Direction),
            Direction::Dialled if self.ordinary[1] >= caps.outbound => Err(Full::Direction),
            Direction::Accepted | Direction::Dialled => Ok(Seat::Ordinary),
        };
        let reserved = self.reserved < caps.reserved;
        match is_pinned {
            Some(true) if reserved => Ok(Seat::Reserved),
            None if reserved => ordinary.or(Ok(Seat::Reserved)),
            Some(_) | None => ordinary,
        }
    }

    /// Notes who has a place, now that it is known: whether it may keep it, and which it has now.
    pub(super) fn prove(
        &mut self,
        caps: &Caps,
        seat: Seat,
        direction: Direction,
        is_pinned: bool,
    ) -> Result<Seat, Full> {
        let now = match (seat, is_pinned) {
            (Seat::Reserved, false) => self.choose(caps, direction, Some(false))?,
            (Seat::Ordinary, true) if self.reserved < caps.reserved => Seat::Reserved,
            (Seat::Reserved, true) | (Seat::Ordinary, _) => seat,
        };
        *self.count(seat, direction) -= 1;
        *self.count(now, direction) += 1;
        Ok(now)
    }

    /// A handshake is over.
    pub(super) fn shaken(&mut self, direction: Direction) {
        self.shaking[index(direction)] -= 1;
    }

    /// Gives a place back.
    pub(super) fn release(&mut self, seat: Seat, direction: Direction, ip: Option<IpAddr>) {
        *self.count(seat, direction) -= 1;
        let Some(address) = ip.map(network_of) else { return };
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.ordinary.iter().sum::<usize>() + self.reserved
    }

    /// How many handshakes are under way.
    pub(super) fn handshakes(&self) -> usize {
        self.shaking.iter().sum()
    }

    fn count(&mut self, seat: Seat, direction: Direction) -> &mut usize {
        match (seat, direction) {
            (Seat::Reserved, _) => &mut self.reserved,
            (Seat::Ordinary, direction) => &mut self.ordinary[index(direction)],
        }
    }
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Accepted => 0,
        Direction::Dialled => 1,
    }
}

/// What counts as one address: an IPv4 address or an IPv6 /64, which one host gets whole.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use proptest::prelude::*;

    use super::*;
    use Direction::{Accepted, Dialled};

    fn caps() -> Caps {
        Caps {
            connections: NonZeroUsize::new(6).unwrap(),
            reserved: 2,
            inbound: 3,
            outbound: 2,
            per_address: NonZeroUsize::new(2).unwrap(),
            handshakes: NonZeroUsize::new(5).unwrap(),
            ..Caps::default()
        }
    }

    #[test]
    fn each_cap_holds_and_a_place_given_back_is_free() {
        let (mut seats, mut caps) = (Seats::default(), caps());
        caps.handshakes = NonZeroUsize::new(3).unwrap();
        let take = |seats: &mut Seats, direction| seats.take(&caps, direction, None, Some(false));
        assert_eq!(take(&mut seats, Dialled), Ok(Seat::Ordinary));
        assert_eq!(take(&mut seats, Dialled), Ok(Seat::Ordinary));
        assert_eq!(take(&mut seats, Dialled), Err(Full::Direction));
        assert_eq!(take(&mut seats, Accepted), Ok(Seat::Ordinary));
        assert_eq!(take(&mut seats, Accepted), Ok(Seat::Ordinary));
        assert_eq!(take(&mut seats, Accepted), Err(Full::Connections));
        seats.release(Seat::Ordinary, Dialled, None);
        assert_eq!(take(&mut seats, Accepted), Ok(Seat::Ordinary));
        assert_eq!(take(&mut seats, Accepted), Err(Full::Handshakes));
        assert_eq!(take(&mut seats, Dialled), Err(Full::Connections));
        seats.shaken(Accepted);
        assert_eq!(take(&mut seats, Accepted), Err(Full::Connections));
    }

    #[test]
    fn a_stranger_loses_the_reserved_place_that_it_tried_for() {
        let (mut seats, mut caps) = (Seats::default(), caps());
        caps.inbound = 1;
        assert_eq!(seats.take(&caps, Accepted, None, None), Ok(Seat::Ordinary));
        assert_eq!(seats.take(&caps, Accepted, None, None), Ok(Seat::Reserved));
        assert_eq!(seats.prove(&caps, Seat::Reserved, Accepted, false), Err(Full::Direction));
        assert_eq!(seats.prove(&caps, Seat::Reserved, Accepted, true), Ok(Seat::Reserved));
        // A pinned peer in an ordinary place moves to a reserved one, and makes room.
        assert_eq!(seats.prove(&caps, Seat::Ordinary, Accepted, true), Ok(Seat::Reserved));
        assert_eq!(seats.take(&caps, Accepted, None, None), Ok(Seat::Ordinary));
        assert_eq!(seats.take(&caps, Accepted, None, None), Err(Full::Direction));
    }

    #[test]
    fn one_address_does_not_take_all_places_and_a_64_is_one_address() {
        let (mut seats, caps) = (Seats::default(), caps());
        let ip = |text: &str| Some(text.parse().unwrap());
        assert!(seats.take(&caps, Accepted, ip("2001:db8::1"), None).is_ok());
        assert!(seats.take(&caps, Accepted, ip("2001:db8::2"), None).is_ok());
        assert_eq!(seats.take(&caps, Accepted, ip("2001:db8::3"), None), Err(Full::Address));
        assert!(seats.take(&caps, Accepted, ip("2001:db8:0:1::3"), None).is_ok());
        seats.release(Seat::Ordinary, Accepted, ip("2001:db8::1"));
        assert!(seats.take(&caps, Accepted, ip("2001:db8::3"), None).is_ok());
    }

    proptest! {
        #[test]
        fn no_order_of_coming_and_going_breaks_a_cap(
            steps in prop::collection::vec((0u8..4, any::<bool>(), 0u8..3, any::<bool>()), 1..200),
        ) {
            let (mut seats, caps) = (Seats::default(), caps());
            let mut held: Vec<(Seat, Direction, Option<IpAddr>, bool)> = Vec::new();
            for (step, dialled, host, pinned) in steps {
                let direction = if dialled { Dialled } else { Accepted };
                let ip = Some(IpAddr::from([10, 0, 0, host]));
                match step {
                    0 | 1 => {
                        let known = dialled.then_some(pinned);
                        if let Ok(seat) = seats.take(&caps, direction, ip, known) {
                            held.push((seat, direction, ip, false));
                        }
                    }
                    2 => if let Some((seat, direction, _, shaken)) = held.iter_mut().find(|one| !one.3) {
                        *shaken = true;
                        seats.shaken(*direction);
                        if let Ok(now) = seats.prove(&caps, *seat, *direction, pinned) {
                            *seat = now;
                        }
                    },
                    _ => if let Some((seat, direction, ip, shaken)) = held.pop() {
                        if !shaken {
                            seats.shaken(direction);
                        }
                        seats.release(seat, direction, ip);
                    },
                }
                prop_assert_eq!(seats.taken(), held.len());
                prop_assert!(seats.taken() <= caps.connections.get());
                prop_assert!(seats.reserved <= caps.reserved && seats.shaking[0] <= caps.handshakes.get());
                prop_assert!(seats.ordinary[0] <= caps.inbound && seats.ordinary[1] <= caps.outbound);
            }
            for (seat, direction, ip, shaken) in held {
                if !shaken {
                    seats.shaken(direction);
                }
                seats.release(seat, direction, ip);
            }
            prop_assert!(seats.taken() == 0 && seats.addresses.is_empty() && seats.handshakes() == 0);
        }
    }
}
