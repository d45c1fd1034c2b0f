//! Everything between peers, as machines without IO.
//!
//! [`sync`] keeps nodes in step: headers over every connection, finality after them, bodies along one tree per
//! producer. Its machines are handed decoded messages and a view of the fork tree, and hand back what is to be sent,
//! inserted, asked for or committed. [`routing`] brings messages to producers over several hops, by routes that they
//! signed. [`pieces`] takes snapshots of an application's state from many peers. [`relay`] passes items on that everybody should have, transactions first of all, and pools them.
//!
//! It never validates a transaction, opens a database, a socket or a clock.

pub(crate) mod cbor;
pub mod pieces;
pub mod relay;
pub mod routing;
pub mod sync;
