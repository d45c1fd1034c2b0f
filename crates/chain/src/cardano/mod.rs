//! The format `cardano`: headers and blocks of Byron, Shelley to Alonzo (TPraos), Babbage and Conway (Praos),
//! kept as their original bytes.
//!
//! Judged from headers alone: links, eras, KES signature and period, operational certificate and counter,
//! VRF proofs against nonces evolved from the headers. Deliberately not judged, since only the ledger knows:
//! whether the stake sufficed to lead a slot, which VRF key a pool registered, and what transactions do. So
//! a chain that passes is well-formed, not honest: see `consensus::Depth`.

mod block;
mod body;
mod byron;
mod checks;
mod counters;
mod era;
pub mod forge;
mod header;
mod kes;
mod networks;
mod nonces;
mod params;
mod prefer;
mod state;
#[cfg(test)]
mod tests;
mod vrf;

pub use block::MAX_BLOCK_BYTES;
pub use body::MAX_BODY_BYTES;
pub use checks::Checks;
pub use era::{Era, Protocol};
pub use header::MAX_HEADER_BYTES;
pub use nonces::{Nonce, Nonces};
pub use params::{Byron, EraStart, ExtraEntropy, Params, ParamsError};
pub use state::{Reason, State};

pub(crate) use block::{decode_block, decode_header};
pub(crate) use body::check as check_body;
pub(crate) use prefer::prefer;
