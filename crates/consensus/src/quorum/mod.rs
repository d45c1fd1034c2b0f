//! Irreversible by votes: validators agree on one block after another, whatever a minority of them does.
//!
//! Around an existing engine, Malachite, which is Tendermint (Buchman, Kwon, Milosevic, 2018) with certificates for
//! rounds: in each round of a height one validator proposes a header, all vote twice, and a quorum of second
//! votes is a certificate. The machine here says what must be durable before what, feeds the engine what blocks
//! turn out to be, times its steps, keeps evidence, and says why there is no progress. `spec/consensus.md`.
//!
//! It deliberately fetches no body, judges no block, reads no disk, and relays nothing: these are outputs, and come
//! back as inputs. Validators that lag behind are served by the chain's own sync, not here.
//!
//! **Invariants** (see [`Quorum::check_invariants`] and the tests):
//! - No message of this validator goes out before the journal durably holds what led to it: whatever the moment of
//!   a crash, the journal leads to the same votes again.
//! - A block is voted for when it is durable and was judged right, never before.
//! - Where it cannot be known how this key voted, it does not vote.
//! - All that others can make it keep is bounded.

mod ahead;
mod boundary;
mod codec;
mod context;
mod engine;
mod evidence;
mod message;
mod pace;
mod record;
mod state;
mod status;
mod voting;
mod words;

#[cfg(test)]
mod tests;

pub use boundary::{Halt, Input, Output, Start, Ticket, Violation, Watch};
pub use engine::{Fault, Step, Timer};
pub use evidence::{Evidence, MAX_EVIDENCE};
pub use message::{
    Enters, Entry, Key, MAX_MESSAGE_BYTES, Message, Polka, Proposal, RoundVote, Signature, Vote,
};
pub use pace::{Bounds, Config, Invalid};
pub use record::{Journal, Record};
pub use state::Quorum;
pub use status::{Status, Waiting};
