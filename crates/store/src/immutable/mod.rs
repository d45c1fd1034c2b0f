//! The `immutable` directory of a Cardano node: reading one ([`import()`]) and writing one ([`export()`]).
//!
//! Three files a chunk, `NNNNN.chunk`, `.secondary` and `.primary`, each for a fixed number of slots. The
//! blocks in the chunk files are the truth; the other two are indices that a node can make again. A block is
//! taken as it is when the secondary file confirms it (its CRC32 and its hash); one that it does not confirm
//! is taken only if its header passes every check. Nothing is ever written into a directory that is read.
//!
//! The layout is the reference node's: `ouroboros-consensus`, `Storage/ImmutableDB/Impl/Index`.

mod chunk;
pub mod export;
pub mod import;
mod source;

pub use chunk::{Fault, Stop, Warning};
pub use export::export;
pub use import::{Error, Import, Progress, Report, import};

/// Bytes in an entry of a secondary file.
const SECONDARY_BYTES: usize = 56;
/// The version that a primary file begins with.
const PRIMARY_VERSION: u8 = 1;
