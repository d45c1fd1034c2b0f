//! The network: who this node is connected to, and what is said to whom.
//!
//! It listens, dials, owns the pool of sockets with its caps, sends to one peer or to all, matches answers to
//! questions, and hands what is not its own upwards through a bounded sink. Links themselves are the crate
//! [`link`]; here are the sockets under them and the tasks around them.
//!
//! It does not know what a message means, keeps none for peers that are not connected, and routes nothing over more
//! than one hop.
//!
//! # What is where
//!
//! - [`Network`] is the handle: send, ask, broadcast; add, pin, drop and ban peers; status; stop.
//! - [`Sink`] is where messages come out: urgent channels first, then each peer in turn; and which links opened and
//!   closed, and how much they take, for who wants to know.
//! - The pool decides who has a place, which of two connections with a peer stays, and when to dial whom. It waits for
//!   nothing and is tested without sockets.
//! - A socket is two tasks, one that reads and one that writes, and a listener is one. Handshakes, dials and the
//!   pauses between them are tasks that are counted apart ([`Totals`]).
//!
//! **Invariant:** with n peers there are 2n + 1 long-running tasks for each network that listens at one place.
//!
//! **Invariant:** nothing waits for a slow application or a slow peer but that channel of that peer: not another
//! peer, not a broadcast, not a stop.
//!
//! **Invariant:** everything that a peer can make grow has a bound: places, tries, tasks, messages that came in (a
//! window for each channel, a budget for all links), messages that wait to be sent, questions, what is remembered.
//!
//! # An example
//!
//! Two networks in one process. Instead of the pipe, [`Listener::bind`] listens at a port or at a Unix socket.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use anabranch::link::{Identity, channel};
//! use anabranch::network::{Address, Config, Listener, Network, Open, PeerAddress};
//! use rand::SeedableRng;
//! use rand_chacha::ChaCha20Rng;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Peers talk only where they mean the same network.
//! let config = || Config::new([7; 32]);
//! // In production: an identity from its file, a generator that the system has seeded.
//! let (alice, bob) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
//! let rng = ChaCha20Rng::seed_from_u64;
//!
//! let (listener, pipe) = Listener::pipe();
//! let (bob, mut from_alice) = Network::start(config(), bob, Arc::new(Open), vec![listener], rng(2))?;
//! let (alice, _from_bob) = Network::start(config(), alice, Arc::new(Open), vec![], rng(1))?;
//!
//! // Dialled until it is connected, and again whenever that ends.
//! alice.add(PeerAddress { key: bob.peer_id(), address: Address::Pipe(pipe) })?;
//! let mut changes = alice.changes();
//! while !alice.is_connected(bob.peer_id()) {
//!     changes.changed().await?;
//! }
//!
//! let serve = async {
//!     let question = from_alice.next().await.expect("it runs");
//!     assert_eq!(&question.body[..], b"how high is your chain?");
//!     // What is taken makes room in its channel's window when it is dropped, or answered.
//!     question.into_asker().expect("a question").reply("one block".into()).await
//! };
//! let ask = alice.request(
//!     bob.peer_id(),
//!     channel::SYNC,
//!     "how high is your chain?".into(),
//!     Duration::from_secs(5),
//! );
//! let (answer, served) = tokio::join!(ask, serve);
//! served?;
//! assert_eq!(&answer?.body[..], b"one block");
//!
//! // A broadcast never waits: it says how many had room.
//! assert_eq!(bob.broadcast(channel::CONSENSUS, &"a vote".into()), 1);
//!
//! alice.stop().await;
//! bob.stop().await;
//! # Ok(())
//! # }
//! ```

mod address;
mod clock;
mod config;
mod dial;
mod error;
mod fair;
mod handle;
mod heap;
mod line;
mod link_handle;
mod listen;
mod mail;
mod pool;
pub mod probe;
mod requests;
mod shared;
mod sink;
pub mod socket;
mod status;
#[cfg(test)]
mod tests;

pub use address::{Address, PeerAddress, Remote};
pub use clock::Clock;
pub use config::{Caps, Config, Dial, Invalid, Tries};
pub use error::{Error, PeerError, RequestError, SendError};
pub use handle::Network;
pub use link_handle::LinkHandle;
pub use listen::{BindError, Listener};
pub use pool::{Everybody as Open, Full, Gate, Lists, Refused, TooMany};
pub use sink::{Asker, Delivery, Event, Reply, Sink};
pub use socket::{Bearer, Permit, PipeAddress};
pub use status::{
    ChannelStatus, Departed, DepartedPeers, Direction, KnownPeer, LinkStatus, PeerStatus, PingStatus, Totals,
};
