//! Who may connect, asked once a key is proven and before anything else is believed.

use link::PeerId;

use crate::network::address::Remote;
use crate::network::status::Direction;

/// Allows or refuses a key. It is asked in the task of that connection's handshake and must answer at once.
pub trait Gate: Send + Sync + 'static {
    /// Whether this peer may have a connection.
    fn allows(&self, peer: PeerId, remote: &Remote, direction: Direction) -> bool;
}

/// Allows everybody who is not banned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Gate for Open {
    fn allows(&self, _: PeerId, _: &Remote, _: Direction) -> bool {
        true
    }
}

/// Lists of keys: who is on the one for refusing is refused; where the one for allowing has keys, nobody
/// else is allowed.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// The only ones allowed; empty for everybody.
    pub allow: std::collections::BTreeSet<PeerId>,
    /// Those who are refused.
    pub deny: std::collections::BTreeSet<PeerId>,
}

impl Gate for Lists {
    fn allows(&self, peer: PeerId, _: &Remote, _: Direction) -> bool {
        !self.deny.contains(&peer) && (self.allow.is_empty() || self.allow.contains(&peer))
    }
}
