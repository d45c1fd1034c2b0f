//! Lists of peers' keys, written as a person writes them.

use link::PeerId;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(keys: &[PeerId], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(keys.iter().map(PeerId::to_string))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PeerId>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let parse = |text: &String| {
        text.parse().map_err(|error| D::Error::custom(format!("`{text}` is no key: {error}")))
    };
    texts.iter().map(parse).collect()
}
