//! A link from a place in the pool until it is open: dial, handshake, hello; or until it failed on the way.
//!
//! Bytes go in through [`Link::handle`], which stops at the frame after which the link is open: what it leaves of the
//! input is for [`Inbound`]. Bytes come out through [`Link::transmit`]. When the peer's key is proven the machine
//! says so and waits for [`Input::Allowed`] or [`Input::Close`]: whoever knows bans, places and other connections with
//! the same peer decides. Then each side sends its hello; a side that has sent its own and read the other's is open
//! and [splits](Link::split).
//!
//! Before a link is open every fault ends it: nothing has been agreed that would be worth keeping.
//!
//! Deliberately not here: making the bearer, waiting, and everything that happens on an open link.
//!
//! **Invariant:** nothing is told to anybody about a peer, and nothing of it is kept but one hello, before its key is
//! proven and allowed.
//! **Invariant:** from the moment the bearer is being made until the link is split there is a deadline.
//!
//! `spec/link.md`, "States", "Session".

mod hello;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use state::Link;

use crate::PeerId;
use crate::agreement::Agreed;
use crate::inbound::{Inbound, Rules};
use crate::outbound::{self, Outbound};
use crate::reason::Reason;
use crate::session::{self, Sealer};

/// Settings of a link.
#[derive(Debug, Clone)]
pub struct Config {
    /// The network id and how the link is guarded.
    pub session: session::Config,
    /// The channels, and the settings of the half that receives.
    pub rules: Arc<Rules>,
    /// The settings of the half that sends.
    pub outbound: outbound::Config,
    /// How we name our program; see [`crate::control::is_agent`].
    pub agent: String,
    /// How long making the bearer may take. The specification's 10 s.
    pub dial_timeout: Duration,
    /// How long everything from a bearer to an open link may take. The specification's 5 s.
    pub handshake_timeout: Duration,
}

impl Config {
    /// The defaults, for this network and these channels.
    pub fn new(session: session::Config, rules: Arc<Rules>) -> Self {
        Self {
            session,
            rules,
            outbound: outbound::Config::default(),
            agent: concat!("anabranch ", env!("CARGO_PKG_VERSION")).to_owned(),
            dial_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a, 'b> {
    /// The bearer is being made.
    Dialling,
    /// The bearer is there.
    BearerUp,
    /// Bytes arrived. They are opened where they lie; what is left when the link is open is for its inbound half.
    Received(&'a mut &'b mut [u8]),
    /// To [`Output::Authenticated`]: the peer is welcome.
    Allowed,
    /// End it: the peer is not welcome, nobody wants the link any more, or the bearer failed.
    Close(Reason),
    /// All that was transmitted has been written.
    Flushed,
    /// The time may have passed [`Link::next_deadline`].
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// This peer proved its key. Is it welcome?
    Authenticated {
        /// Who it is.
        peer: PeerId,
    },
    /// The link is open: transmit what is left, and split it.
    Open,
    /// It is over, and why. Nothing comes after it.
    Closed(Reason),
}

/// An open link, taken apart.
#[derive(Debug)]
pub struct Halves {
    /// Who is at the other end.
    pub peer: PeerId,
    /// What both sides agreed on.
    pub agreed: Agreed,
    /// For the routine that reads.
    pub inbound: Inbound,
    /// To stand behind a short lock.
    pub outbound: Outbound,
    /// For the routine that writes.
    pub sealer: Sealer,
}
