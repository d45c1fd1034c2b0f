//! The genesis of a native chain: what all its nodes must agree on before the first block.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Faults, MAX_BODY_BYTES, Validator, Validators};
use crate::codec::encode;
use crate::{Hash, Slot};

/// The longest name of a chain in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The genesis. As text it is TOML; the chain's id is the hash of its one CBOR encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What people call the chain.
    pub name: String,
    /// The network magic that its nodes greet each other with.
    pub magic: u32,
    /// How long a slot lasts.
    pub slot_length_ms: NonZeroU32,
    /// When slot 0 begins, in milliseconds since the Unix epoch.
    pub start_unix_ms: u64,
    /// The most bytes of a block's transactions, as encoded in the block.
    pub max_body_bytes: NonZeroU64,
    /// With this many blocks on top, a block is deep enough for those who follow without voting. One on a
    /// chain of one producer, which never rolls back.
    pub security: NonZeroU64,
    /// What its validators may do wrong without harm.
    #[serde(default)]
    pub faults: Faults,
    /// The validators of the first blocks.
    pub validators: Vec<Validator>,
}

/// A genesis that no chain can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The name is empty or too long.
    #[error("`name` must have 1 to {max} bytes", max = MAX_NAME_BYTES)]
    Name,
    /// Blocks would not fit a block-fetch message.
    #[error("`max_body_bytes` is {found}: give at most {max}", max = MAX_BODY_BYTES)]
    MaxBody {
        /// What was given.
        found: u64,
    },
    /// No validator, too many, one twice, or weights beyond counting.
    #[error("`validators` must name 1 to {max} different keys", max = super::validators::MAX_VALIDATORS)]
    Validators,
}

impl Params {
    /// A chain of one producer, as a development network has it: a slot a second, 1 MiB of transactions.
    pub fn solo(name: &str, magic: u32, start_unix_ms: u64, producer: [u8; 32]) -> Self {
        let second = NonZeroU32::new(1_000).expect("a second is not zero");
        let mebibyte = NonZeroU64::new(1 << 20).expect("a mebibyte is not zero");
        let validators = vec![Validator { key: producer, weight: NonZeroU64::MIN }];
        Self {
            name: name.to_owned(),
            magic,
            slot_length_ms: second,
            start_unix_ms,
            max_body_bytes: mebibyte,
            security: NonZeroU64::MIN,
            faults: Faults::default(),
            validators,
        }
    }

    /// Says what is wrong, if anything. Every other function here expects a valid genesis.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES {
            return Err(Invalid::Name);
        }
        if self.max_body_bytes.get() > MAX_BODY_BYTES {
            return Err(Invalid::MaxBody { found: self.max_body_bytes.get() });
        }
        if self.validator_set().is_none() {
            return Err(Invalid::Validators);
        }
        Ok(())
    }

    /// The chain's id: every header names it. The fault model is an item of its own only where it is not the
    /// usual one.
    pub fn chain(&self) -> Hash {
        let mut bytes = Vec::new();
        encode(&mut bytes, |out| {
            match self.faults {
                Faults::Byzantine => out.array(7)?,
                Faults::Crash => out.array(8)?.str(self.faults.name())?,
            };
            out.str(&self.name)?.u32(self.magic)?.u32(self.slot_length_ms.get())?;
            out.u64(self.start_unix_ms)?.u64(self.max_body_bytes.get())?.u64(self.security.get())?.ok()
        });
        if let Some(validators) = self.validator_set() {
            validators.encode(&mut bytes);
        }
        super::blake2b(&bytes)
    }

    /// The validators of the first blocks; `None` for an invalid genesis.
    pub fn validator_set(&self) -> Option<Validators> {
        Validators::new(self.validators.iter().copied())
    }

    /// How long a slot lasts.
    pub fn slot_length(&self) -> Duration {
        Duration::from_millis(self.slot_length_ms.get().into())
    }

    /// The slot of a moment since the Unix epoch; slot 0 before that begins.
    pub fn slot_at(&self, wall: Duration) -> Slot {
        let since = wall.saturating_sub(Duration::from_millis(self.start_unix_ms));
        let slot = since.as_millis() / u128::from(self.slot_length_ms.get());
        Slot(u64::try_from(slot).unwrap_or(u64::MAX))
    }

    /// When a slot begins, since the Unix epoch.
    pub fn slot_start(&self, slot: Slot) -> Duration {
        let since_ms = slot.0.saturating_mul(self.slot_length_ms.get().into());
        Duration::from_millis(self.start_unix_ms.saturating_add(since_ms))
    }
}
