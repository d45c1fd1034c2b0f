//! What was verified is not verified again: signatures simulated, as far as a verdict goes.
//!
//! A thousand nodes verify the same header. What [`Work::run`] says depends on the work alone, so the first verdict is
//! everybody's; it is production's own, and no lie passes that would not pass there. What is left out is time: of the
//! machine that simulates. In the world, each node still waits for its answer.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};

use chain::Counts;
use node::work::{Fault, Work};

use super::config::Verify;

/// How many verdicts are kept: far more than are asked for within the time in which a block goes round.
const KEPT: usize = 65_536;

/// The verdicts so far.
#[derive(Debug, Default)]
pub(super) struct Memo {
    verdicts: BTreeMap<u128, Result<Counts, Fault>>,
    order: VecDeque<u128>,
    /// How many times something was verified, and how many times that was known.
    pub(super) run: u64,
    pub(super) known: u64,
}

impl Memo {
    /// What the work comes to.
    pub(super) fn verdict(&mut self, work: &Work, verify: Verify) -> Result<Counts, Fault> {
        if verify == Verify::Each {
            self.run += 1;
            return work.run();
        }
        let key = digest(work);
        if let Some(verdict) = self.verdicts.get(&key) {
            self.known += 1;
            return verdict.clone();
        }
        self.run += 1;
        let verdict = work.run();
        self.verdicts.insert(key, verdict.clone());
        self.order.push_back(key);
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.verdicts.remove(&oldest);
        }
        verdict
    }
}

/// 128 bits over all that the work says of itself: nobody here looks for two with the same.
fn digest(work: &Work) -> u128 {
    let mut hash = Hash([DefaultHasher::new(), DefaultHasher::new()]);
    hash.0[1].write_u8(1);
    write!(hash, "{work:?}").expect("hashing does not fail");
    u128::from(hash.0[0].finish()) << 64 | u128::from(hash.0[1].finish())
}

struct Hash([DefaultHasher; 2]);

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.iter_mut().for_each(|hasher| hasher.write(text.as_bytes()));
        Ok(())
    }
}
