//! The front door of the library: what an application embeds.
//!
//! It puts sockets, files and clocks under the machines: [`runtime`] runs a whole node with its store, its
//! engine, its server for clients ([`downstream`]) and its admin API; [`follow`] looks at any server; [`logic`] is what
//! a chain of one's own implements.
//!
//! It holds no protocol logic: what to say to whom is decided in the crates below, which it hands out again so
//! that an embedder needs this one alone.
//!
//! # An example
//!
//! Following a server, and running a node that follows two and serves others:
//!
//! ```no_run
//! use anabranch::config::Config;
//! use anabranch::follow::{self, Event, Follower};
//! use anabranch::network_id::NetworkId;
//! use anabranch::runtime::{self, Role};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let network = NetworkId::find("preview")?;
//! let mut follower = Follower::connect(follow::Config {
//!     server: "relay.example.org:3001".into(),
//!     speech: follow::Speech::of(&network),
//!     start: follow::Start::Tip,
//!     blocks: true,
//! })
//! .await?;
//! if let Event::Forward { header, .. } = follower.next().await? {
//!     println!("block {} in slot {}", header.id, header.slot);
//! }
//!
//! let mut config = Config::default();
//! config.upstream.addresses = vec!["a.example.org:3001".into(), "b.example.net:3001".into()];
//! config.downstream.listen = vec!["127.0.0.1:3002".parse()?];
//! let node = runtime::start(config, network, "preview-data".into(), Role::Follow).await?;
//! let mut views = node.views();
//! views.changed().await?;
//! println!("the head is {}", views.borrow().head.point);
//! # Ok(())
//! # }
//! ```

mod admin;
pub mod clock;
pub mod config;
pub mod connection;
pub mod downstream;
mod engine;
pub mod follow;
pub mod founding;
pub mod logic;
pub mod network;
pub mod network_id;
pub mod peers;
pub mod runtime;
pub mod status;
mod unix_socket;

pub use {chain, link, node, ouroboros, store};
