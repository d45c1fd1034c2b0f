//! What one Cardano network differs in from another: the numbers of its genesis files that headers are
//! judged by.
//!
//! Built in for mainnet, preprod and preview; any other comes from a TOML file with the same field names.
//! Sources: the networks' published genesis files; the eras' rules in ouroboros-consensus.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::era::Era;
use crate::{Hash, Slot};

/// How many Byron slots make k blocks' worth of an epoch: a Byron epoch has 10k slots.
const BYRON_EPOCH_FACTOR: u64 = 10;

/// One network's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What people call it.
    pub name: String,
    /// What its handshakes and Byron signatures carry.
    pub magic: u32,
    /// When slot 0 began, in seconds since the Unix epoch.
    pub system_start_s: u64,
    /// k: a block with this many blocks on top of it is settled.
    pub security: u64,
    /// f = numerator / denominator: how many slots have a leader.
    pub active_slots_numerator: u64,
    /// See [`Params::active_slots_numerator`].
    pub active_slots_denominator: u64,
    /// How long a slot lasts from Shelley on.
    pub slot_length_ms: u64,
    /// Slots per epoch from Shelley on.
    pub epoch_length: u64,
    /// Slots per KES period.
    pub slots_per_kes_period: u64,
    /// For how many KES periods an operational certificate is good.
    pub max_kes_evolutions: u64,
    /// The hash of the Shelley genesis file: the first nonce.
    #[serde(with = "text")]
    pub shelley_genesis: Hash,
    /// The Byron years, if the network had any.
    #[serde(default)]
    pub byron: Option<Byron>,
    /// When each era began, Byron aside, in order. Two eras may share their header's shape, and the number
    /// that tells them apart is not signed: so a network whose eras are not listed here can be fed headers
    /// of the wrong one.
    #[serde(default)]
    pub eras: Vec<EraStart>,
    /// Epochs whose nonce took entropy from outside (a protocol parameter that headers do not show).
    #[serde(default)]
    pub extra_entropy: Vec<ExtraEntropy>,
}

/// The Byron years of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Byron {
    /// The hash of the Byron genesis: what the first block names as its previous.
    #[serde(with = "text")]
    pub genesis: Hash,
    /// How long a Byron slot lasts.
    pub slot_length_ms: u64,
    /// The first slot that is not Byron's.
    pub end_slot: u64,
    /// The federation's keys (64 bytes each): only they may delegate the right to make blocks. When empty,
    /// any delegation that its issuer signed is taken.
    #[serde(default, with = "keys")]
    pub issuers: Vec<[u8; 64]>,
}

/// The begin of an era.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraStart {
    /// The era.
    pub era: Era,
    /// Its first epoch.
    pub epoch: u64,
}

/// Entropy that an epoch's nonce took from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraEntropy {
    /// The epoch whose nonce it went into.
    pub epoch: u64,
    /// The entropy.
    #[serde(with = "text")]
    pub nonce: Hash,
}

/// Parameters that make no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Not the TOML that is expected.
    #[error("the network file does not read as one: {text}")]
    Toml {
        /// What the reader said.
        text: String,
    },
    /// A number that must not be zero.
    #[error("`{field}` is 0 in the network file: give the number from the network's genesis")]
    Zero {
        /// Which.
        field: &'static str,
    },
    /// Eras out of order.
    #[error("`eras` in the network file must name each era after Byron once, in order, with rising epochs")]
    Eras,
    /// f is over 1.
    #[error("the network file says that more than every slot is active: give f as numerator / denominator")]
    ActiveSlots,
    /// Byron does not end at the end of one of its epochs.
    #[error("`byron.end_slot` is no multiple of {epoch_length}, the length of a Byron epoch (10 k)")]
    ByronEnd {
        /// The length of a Byron epoch.
        epoch_length: u64,
    },
    /// A number so large that slots, epochs or times would overflow.
    #[error("`{field}` is too large in the network file: give the number from the network's genesis")]
    TooLarge {
        /// Which.
        field: &'static str,
    },
}

/// No real parameter comes near it, and no product of two below it overflows.
const LARGEST: u64 = u32::MAX as u64;

impl Params {
    /// The network of that name, if it is built in.
    pub fn built_in(name: &str) -> Option<Self> {
        match name {
            "mainnet" => Some(super::networks::mainnet()),
            "preprod" => Some(super::networks::preprod()),
            "preview" => Some(super::networks::preview()),
            _ => None,
        }
    }

    /// Reads a network file.
    pub fn from_toml(text: &str) -> Result<Self, ParamsError> {
        let params: Self =
            toml::from_str(text).map_err(|error| ParamsError::Toml { text: error.to_string() })?;
        params.validate()?;
        Ok(params)
    }

    /// The network as a network file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("parameters are plain numbers and texts")
    }

    /// Refuses numbers that no network can have.
    pub fn validate(&self) -> Result<(), ParamsError> {
        let mut numbers = vec![
            ("security", self.security),
            ("active_slots_numerator", self.active_slots_numerator),
            ("active_slots_denominator", self.active_slots_denominator),
            ("slot_length_ms", self.slot_length_ms),
            ("epoch_length", self.epoch_length),
            ("slots_per_kes_period", self.slots_per_kes_period),
            ("max_kes_evolutions", self.max_kes_evolutions),
        ];
        if let Some(byron) = &self.byron {
            numbers.push(("byron.slot_length_ms", byron.slot_length_ms));
            numbers.push(("byron.end_slot", byron.end_slot));
        }
        if let Some((field, _)) = numbers.iter().find(|(_, number)| *number == 0) {
            return Err(ParamsError::Zero { field });
        }
        numbers.push(("system_start_s", self.system_start_s));
        if let Some((field, _)) = numbers.iter().find(|(_, number)| *number > LARGEST) {
            return Err(ParamsError::TooLarge { field });
        }
        if self.active_slots_numerator > self.active_slots_denominator {
            return Err(ParamsError::ActiveSlots);
        }
        if !self.eras.is_sorted_by(|a, b| a.era < b.era && a.epoch < b.epoch)
            || self.eras.iter().any(|start| start.era == Era::Byron)
        {
            return Err(ParamsError::Eras);
        }
        match &self.byron {
            Some(byron) if byron.end_slot % self.byron_epoch_length() != 0 => {
                Err(ParamsError::ByronEnd { epoch_length: self.byron_epoch_length() })
            }
            _ => Ok(()),
        }
    }

    /// Slots per Byron epoch.
    pub fn byron_epoch_length(&self) -> u64 {
        BYRON_EPOCH_FACTOR * self.security
    }

    /// The first slot of Shelley or what came first after Byron.
    pub fn shelley_start(&self) -> Slot {
        Slot(self.byron.as_ref().map_or(0, |byron| byron.end_slot))
    }

    /// The epoch of a slot.
    pub fn epoch(&self, slot: Slot) -> u64 {
        let start = self.shelley_start().0;
        match slot.0.checked_sub(start) {
            None => slot.0 / self.byron_epoch_length(),
            Some(since) => start / self.byron_epoch_length() + since / self.epoch_length,
        }
    }

    /// The first slot of the epoch after the one of this slot; the last slot there is, if none follows.
    pub fn next_epoch_start(&self, slot: Slot) -> Slot {
        let start = self.shelley_start().0;
        let (base, length) = match slot.0.checked_sub(start) {
            None => (0, self.byron_epoch_length()),
            Some(_) => (start, self.epoch_length),
        };
        let next = ((slot.0 - base) / length + 1).saturating_mul(length);
        Slot(base.saturating_add(next))
    }

    /// When a slot begins, since the Unix epoch.
    pub fn slot_start(&self, slot: Slot) -> Duration {
        let start = self.shelley_start().0;
        let byron_ms = self.byron.as_ref().map_or(0, |byron| slot.0.min(start) * byron.slot_length_ms);
        let later_ms = slot.0.saturating_sub(start).saturating_mul(self.slot_length_ms);
        Duration::from_secs(self.system_start_s) + Duration::from_millis(later_ms.saturating_add(byron_ms))
    }

    /// The slot at a time since the Unix epoch; slot 0 before the network's start.
    pub fn slot_at(&self, wall: Duration) -> Slot {
        let since = wall.saturating_sub(Duration::from_secs(self.system_start_s)).as_millis();
        let since_ms = u64::try_from(since).unwrap_or(u64::MAX);
        let Some(byron) = &self.byron else { return Slot(since_ms / self.slot_length_ms) };
        let byron_ms = byron.end_slot * byron.slot_length_ms;
        match since_ms.checked_sub(byron_ms) {
            None => Slot(since_ms / byron.slot_length_ms),
            Some(later_ms) => Slot(byron.end_slot + later_ms / self.slot_length_ms),
        }
    }

    /// 3k/f: what TPraos and Babbage keep a nonce's candidate still for at an epoch's end.
    pub fn stability_window(&self) -> u64 {
        self.blocks_in_slots(3 * self.security)
    }

    /// 4k/f: the same from Conway on.
    pub fn randomness_window(&self) -> u64 {
        self.blocks_in_slots(4 * self.security)
    }

    /// Whether a block in this slot can be of this era, as far as is listed: the last era listed may have
    /// been followed by others since.
    pub fn allows(&self, era: Era, slot: Slot) -> bool {
        if slot < self.shelley_start() || era == Era::Byron {
            return slot < self.shelley_start() && era == Era::Byron;
        }
        let epoch = self.epoch(slot);
        let begun = self.eras.partition_point(|start| start.epoch <= epoch);
        match begun.checked_sub(1).map(|last| self.eras[last]) {
            None => self.eras.first().is_none_or(|first| era < first.era),
            Some(last) if era > last.era => begun == self.eras.len() && epoch > last.epoch,
            Some(last) => era == last.era,
        }
    }

    /// The entropy that the nonce of an epoch took from outside.
    pub fn entropy_of(&self, epoch: u64) -> Option<Hash> {
        self.extra_entropy.iter().find(|entropy| entropy.epoch == epoch).map(|entropy| entropy.nonce)
    }

    /// In how many slots that many blocks are expected, rounded up.
    fn blocks_in_slots(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.active_slots_denominator).div_ceil(self.active_slots_numerator)
    }
}

/// Hashes as hexadecimal text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::Hash;

    pub(super) fn serialize<S: Serializer>(hash: &Hash, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(hash)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Byron keys as a list of hexadecimal texts.
mod keys {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(keys: &[[u8; 64]], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(keys.iter().map(hex::encode))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u8; 64]>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let key = |text: String| {
            let mut key = [0; 64];
            hex::decode_to_slice(&text, &mut key).map_err(|_| {
                D::Error::custom(format!("`{text}` is not a Byron key: give 128 hexadecimal digits"))
            })?;
            Ok(key)
        };
        texts.into_iter().map(key).collect()
    }
}
