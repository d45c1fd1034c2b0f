//! What operators see.

use std::collections::BTreeMap;

use link::PeerId;
use link::state::State;
use serde::{Serialize, Serializer};

use super::address::{Address, Remote};
use super::pool::Refused;

/// Who made a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// This node.
    Dialled,
    /// The other one.
    Accepted,
}

/// A peer that this node was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownPeer {
    /// Who.
    #[serde(serialize_with = "as_text")]
    pub peer: PeerId,
    /// Where to dial it, if anywhere.
    pub address: Option<Address>,
    /// Whether it has a reserved place and is never given up.
    pub pinned: bool,
    /// Whether a connection with it is open.
    pub connected: bool,
    /// Dials that failed since the last success.
    pub failures: u32,
    /// In how many milliseconds it is dialled again; 0 while it is being dialled.
    pub next_dial_ms: Option<u64>,
    /// Whether it is not dialled any more: too many dials failed in a row.
    pub given_up: bool,
    /// Why the last dial failed.
    pub last_failure: Option<String>,
}

/// A connection that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Departed {
    /// Its number, never used again.
    pub id: u64,
    /// Whose key was proven, if any was.
    #[serde(serialize_with = "maybe_text")]
    pub peer: Option<PeerId>,
    /// The other end.
    pub address: Remote,
    /// Who made it.
    pub direction: Direction,
    /// The last state before its end began.
    #[serde(serialize_with = "as_text")]
    pub state: State,
    /// Why it ended, in a word that stays the same.
    pub reason: &'static str,
    /// Why it ended, for people.
    pub text: String,
    /// How long it was there.
    pub lasted_ms: u64,
    /// How long ago it ended.
    pub ago_ms: u64,
    /// The peer's faults that counted at its end.
    pub strikes: u64,
}

/// The connections that are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DepartedPeers {
    /// The last ones, the newest first.
    pub recent: Vec<Departed>,
    /// How many ended for which reason since the start.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many did not even get a place.
    pub refused: Refused,
}

/// Serialises something as its text.
pub(super) fn as_text<S: Serializer>(value: &impl std::fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Serialises something as its text, or null.
pub(super) fn maybe_text<S: Serializer>(
    value: &Option<impl std::fmt::Display>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}
