//! What an operator says about peers: how they are named and reached, who this node is, and which peers it was
//! told of while it ran.
//!
//! It opens no connection: that is the network's. What is configured is not kept here a second time.

pub mod address;
pub mod book;
pub mod key_file;

pub use address::{Listen, Named};
pub use book::Book;
