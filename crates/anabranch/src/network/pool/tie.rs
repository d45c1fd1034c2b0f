//! Which of two connections with one peer stays.
//!
//! Two nodes that dial each other at once keep the connection that the smaller key dialled, and both come to
//! that alone. But a peer that lost its connection and comes back must not be locked out by the old one that
//! this side still believes in: where the newer was dialled by the peer and the older is no longer young, the peer
//! would not have dialled had it still held the older.

use std::time::Duration;

use link::PeerId;

use crate::network::status::Direction;

/// A connection with the peer whose key is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) direction: Direction,
    /// For how long its key has been proven.
    pub(super) age: Duration,
}

/// Whether a connection, now that its key is proven, goes on to take the place of one that is there.
pub(super) fn replaces(
    us: PeerId,
    peer: PeerId,
    new: Direction,
    held: Held,
    handshake_deadline: Duration,
) -> bool {
    if new == held.direction {
        return true;
    }
    if new == Direction::Accepted && held.age > handshake_deadline {
        return true;
    }
    let dialler = match new {
        Direction::Dialled => us,
        Direction::Accepted => peer,
    };
    dialler == us.min(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Accepted, Dialled};

    const DEADLINE: Duration = Duration::from_secs(5);
    const SMALL: PeerId = PeerId([1; 32]);
    const LARGE: PeerId = PeerId([2; 32]);

    /// Whether the second connection wins at one side; `by_small` says who dialled it, the other did the first.
    fn second_wins(us: PeerId, by_small: bool, age: Duration) -> bool {
        let peer = if us == SMALL { LARGE } else { SMALL };
        let of = |by_us: bool| if by_us { Dialled } else { Accepted };
        let new = of((us == SMALL) == by_small);
        let held = of((us == SMALL) != by_small);
        replaces(us, peer, new, Held { direction: held, age }, DEADLINE)
    }

    #[test]
    fn at_once_the_smaller_keys_stays_whatever_comes_first_and_whoever_decides() {
        for age in [Duration::ZERO, DEADLINE] {
            for us in [SMALL, LARGE] {
                assert!(second_wins(us, true, age));
                assert!(!second_wins(us, false, age));
            }
        }
    }

    #[test]
    fn a_peer_that_comes_back_is_not_locked_out_by_its_old_connection() {
        let late = DEADLINE + Duration::from_millis(1);
        // The peer with the larger key dials anew: the side with the smaller still holds what it dialled.
        assert!(second_wins(SMALL, false, late));
        assert!(second_wins(LARGE, true, late));
        // But nobody who holds a connection goes against the rule by dialling.
        assert!(!second_wins(LARGE, false, late));
        for direction in [Dialled, Accepted] {
            for age in [Duration::ZERO, late] {
                assert!(replaces(SMALL, LARGE, direction, Held { direction, age }, DEADLINE));
            }
        }
    }
}
