//! From a mini-protocol's bytes to its messages: each message is one CBOR item.
//!
//! [`Scanner`] finds where an item ends, in any cut of the bytes, and never looks at a byte twice; it does not
//! say what the item means. [`Framer`] keeps what has arrived of an incomplete message, and nothing between
//! messages. *Incomplete* and *malformed* are different answers, so that nobody waits for the end of an item
//! that has none; and a message that announces more than its limit is refused at the announcement.
//!
//! Well-formedness is RFC 8949's (appendix C). Whether text is UTF-8 is left to the message decoders.

mod framer;
mod scanner;
#[cfg(test)]
mod tests;

pub use framer::{Framer, Item};
pub use scanner::{Error, MAX_NESTING, Scanner, item_len};
