//! Durable files: block log, headers file, index, fork tree, certificates, consensus journal, snapshots; and the ways in and out of them.
//!
//! The files are drawn in `docs/store-format.md`. One [`Store`] writes, any number of [`Reader`]s read what is
//! durable, over a [`files::Files`]: the disk, or a memory that loses and tears what was not synced.
//! [`immutable`] reads and writes the database of a Cardano node, [`verify`] checks everything.
//!
//! It decides nothing: which blocks are kept, and which are irreversible, its callers say.
//!
//! **Invariant:** nothing is acknowledged before it is durable, and nothing is handed out whose checksum was
//! not compared.

mod cache;
pub mod certificates;
pub mod config;
pub mod error;
pub mod files;
pub mod finality;
mod forks;
mod held;
pub mod immutable;
pub mod index;
pub mod journal;
mod judge;
mod log;
pub mod meta;
mod mirror;
mod parallel;
pub mod reader;
pub mod recovery;
pub mod segment;
pub mod snapshot;
mod store;
pub mod verify;

pub use certificates::Certified;
pub use config::{Config, Scan};
pub use error::{Damage, Error};
pub use files::{File, Files};
pub use finality::Finality;
pub use held::Held;
pub use journal::Journal;
pub use judge::Check;
pub use meta::{Identity, identity};
pub use reader::{Reader, Run};
pub use recovery::{Cut, Recovered};
pub use store::Store;
