//! Format `native`: our own header and block.
//!
//! A header names its chain, its place (height, slot, previous hash), its producer with term and round, the
//! Merkle root of its transactions, the hash of the validators in force, perhaps a change of validators that
//! takes effect later, and the application's state root of an *earlier* block, so that a slow application
//! does not hold headers up; it is signed by its producer. Whoever holds the genesis can follow the validators
//! from headers alone.
//!
//! Every header and block has exactly one encoding: what decodes but would be encoded otherwise is refused,
//! so that nobody can give one block two hashes. The drawing:
//!
//! ```text
//! block  = [100, [header, [transaction, …]]]
//! wire   = [100, tag24(header)]                         ; inside a RollForward
//! header = [body, signature]                            ; its Blake2b-256 is the block's id
//! body   = [version, chain, height, slot, prev / null, producer, term, round,
//!           root, count, size, validators, [height, [[key, weight], …]] / null,
//!           [height, state root] / null, extension]
//! ```
//!
//! The producer of a header is the one whose turn its height and round are ([`Validators::proposer`]). A block is
//! irreversible with a [`Certificate`] of the validators in force at its height.
//!
//! It deliberately knows no transaction's meaning, and nothing of how validators come to agree. Which of two
//! headers ends the better chain: (term, height, id).

pub mod ballot;
pub mod certificate;
pub mod merkle;

mod block;
mod build;
mod faults;
mod header;
mod params;
mod state;
mod validators;

#[cfg(test)]
mod tests;

pub use ballot::is_signed;
pub use block::{check_body, decode_block, transaction_id, transactions};
pub use build::{Builder, Full, Key, max_transaction_bytes};
pub use certificate::{Certificate, MAX_CERTIFICATE_BYTES};
pub use faults::Faults;
pub use header::{Change, Fields, Produced, StateRoot, decode_fields, decode_header, read_fields};
pub use params::{Invalid, Params};
pub use state::{Checks, Reason, State, prefer};
pub use validators::{MAX_VALIDATORS, MAX_WEIGHT, Validator, Validators};

/// The era number of native headers and blocks: far above Cardano's, so that neither is taken for the other.
pub const NATIVE_ERA: u64 = 100;

/// The version of headers that this code makes and takes.
pub const VERSION: u64 = 1;

/// The most bytes of a header's extension. A guess: room for a certificate's digest and signer bits.
pub const MAX_EXTENSION_BYTES: usize = 1_024;

/// The most bytes of a header: all validators changed at once, with the largest extension, and some air;
/// well below the 65,535 B of a chain-sync message.
pub const MAX_HEADER_BYTES: usize = 16 * 1_024;

/// The most bytes of a header in its wire form: a list of two, a two-byte era, a two-byte tag, a byte string.
pub const MAX_WIRE_BYTES: usize = 1 + 2 + 2 + 3 + MAX_HEADER_BYTES;

/// The most bytes that a genesis may allow for a block's transactions: with its header, a block fits the
/// 2,500,000 B of a block-fetch message.
pub const MAX_BODY_BYTES: u64 = 2_400_000;

/// The most bytes of a block: its own frame, the largest header, the largest body.
pub const MAX_BLOCK_BYTES: usize = 4 + MAX_HEADER_BYTES + MAX_BODY_BYTES as usize;

/// The most transactions of a block: their lengths alone fill the largest body.
pub const MAX_TRANSACTIONS: u64 = MAX_BODY_BYTES;

/// A Blake2b-256 hash.
pub fn blake2b(bytes: &[u8]) -> crate::Hash {
    crate::Hash(*pallas_crypto::hash::Hasher::<256>::hash(bytes))
}
