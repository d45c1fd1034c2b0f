//! Random values for property tests, and what every message codec is tested for.

use chain::{Hash, Height, Point, Slot, Tip};
use proptest::prelude::*;

/// The bytes that this text is in hexadecimal; blanks are for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub(crate) fn point() -> impl Strategy<Value = Point> {
    prop_oneof![
        1 => Just(Point::Origin),
        4 => (any::<u64>(), any::<[u8; 32]>()).prop_map(|(slot, hash)| Point::Block(Slot(slot), Hash(hash))),
    ]
}

pub(crate) fn tip() -> impl Strategy<Value = Tip> {
    (point(), any::<u64>()).prop_map(|(point, height)| Tip { point, height: Height(height) })
}

/// Any one CBOR item.
pub(crate) fn item() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|value| minicbor::to_vec(value).unwrap()),
        ".{0,9}".prop_map(|text| minicbor::to_vec(text).unwrap()),
        any::<bool>().prop_map(|value| minicbor::to_vec(value).unwrap()),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let mut item = vec![0xd8, 24, 0x58, bytes.len() as u8];
            item.extend_from_slice(&bytes);
            item
        }),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        (any::<bool>(), prop::collection::vec(inner, 0..4)).prop_map(|(definite, items)| {
            if definite {
                [vec![0x80 | items.len() as u8], items.concat()].concat()
            } else {
                [vec![0x9f], items.concat(), vec![0xff]].concat()
            }
        })
    })
}

/// A message's bytes with a few of them changed, dropped or added.
pub(crate) fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0u8..3);
    (bytes, prop::collection::vec(change, 0..4)).prop_map(|(mut bytes, changes)| {
        for (at, byte, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// Encodes a message and reads it back: the same, and one CBOR item from end to end.
macro_rules! assert_round_trip {
    ($message:expr) => {{
        let message = $message;
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
        prop_assert_eq!(crate::framing::item_len(&bytes, usize::MAX), Ok(Some(bytes.len())));
        bytes.push(0);
        prop_assert!(Message::decode(&bytes).is_err());
    }};
}

/// Reads bytes that may be damaged: if they are a message, its encoding is the same message.
macro_rules! assert_canonical {
    ($bytes:expr) => {{
        let bytes = $bytes;
        if let Ok(message) = Message::decode(&bytes) {
            let mut again = Vec::new();
            message.encode(&mut again);
            prop_assert_eq!(Message::decode(&again), Ok(message));
        }
    }};
}

pub(crate) use {assert_canonical, assert_round_trip};
