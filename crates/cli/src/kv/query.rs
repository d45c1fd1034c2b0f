//! What readers ask of the application, and its answers, as CBOR:
//!
//! ```text
//! get        = [0, key, height / null]       ; the state after the block at that height, or the newest
//! validators = [1]
//!
//! found      = [0, value / null, proof, root, tip]       ; proof: bytes
//! gone       = [1, newest]                               ; that state cannot be read; the height of the newest
//! electorate = [2, bytes]
//! ```
//!
//! Who asks trusts nothing of an answer but what a header shows ([`Found::is_shown_by`]).

use anabranch::chain::codec::{decode_tip, encode_tip};
use anabranch::chain::{Hash, Height};
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use super::{Electorate, Found, Malformed, Proof};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// What a key has in the state after the block at this height, or in the newest.
    Get {
        /// The key.
        key: String,
        /// The block's height.
        height: Option<Height>,
    },
    /// Which validators the application asks for.
    Validators,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the key has.
    Found(Found),
    /// That state is not kept, or not there yet.
    Gone {
        /// The height of the block after which the newest state is.
        newest: Height,
    },
    /// The validators.
    Validators(Electorate),
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

impl Question {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        written(|out| match self {
            Self::Get { key, height } => {
                out.array(3)?.u8(0)?.str(key)?;
                match height {
                    Some(height) => out.u64(height.0)?.ok(),
                    None => out.null()?.ok(),
                }
            }
            Self::Validators => out.array(1)?.u8(1)?.ok(),
        })
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        read(bytes, |from| match (from.array().ok()??, from.u8().ok()?) {
            (3, 0) => {
                let key = from.str().ok()?.to_owned();
                Some(Self::Get { key, height: optional(from, |from| from.u64().ok().map(Height))? })
            }
            (1, 1) => Some(Self::Validators),
            _ => None,
        })
    }
}

impl Answer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        written(|out| match self {
            Self::Found(Found { value, proof, root, tip }) => {
                out.array(5)?.u8(0)?;
                match value {
                    Some(value) => out.str(value)?,
                    None => out.null()?,
                };
                let mut place = Vec::new();
                encode_tip(tip, &mut place);
                out.bytes(&proof.encode())?.bytes(&root.0)?.bytes(&place)?.ok()
            }
            Self::Gone { newest } => out.array(2)?.u8(1)?.u64(newest.0)?.ok(),
            Self::Validators(electorate) => out.array(2)?.u8(2)?.bytes(&electorate.encode())?.ok(),
        })
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        read(bytes, |from| match (from.array().ok()??, from.u8().ok()?) {
            (5, 0) => {
                let value = optional(from, |from| from.str().ok().map(str::to_owned))?;
                let proof = Proof::decode(from.bytes().ok()?).ok()?;
                let root = Hash::from_slice(from.bytes().ok()?)?;
                let tip = decode_tip(from.bytes().ok()?).ok()?;
                Some(Self::Found(Found { value, proof, root, tip }))
            }
            (2, 1) => Some(Self::Gone { newest: Height(from.u64().ok()?) }),
            (2, 2) => Electorate::decode(from.bytes().ok()?).map(Self::Validators),
            _ => None,
        })
    }
}

fn written(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(()) = write(&mut Encoder::new(&mut bytes)) else { unreachable!("memory takes what it is given") };
    bytes
}

/// Reads one thing and nothing after it.
fn read<T>(bytes: &[u8], read: impl FnOnce(&mut Decoder<'_>) -> Option<T>) -> Result<T, Malformed> {
    let mut from = Decoder::new(bytes);
    let found = read(&mut from).ok_or(Malformed)?;
    if from.position() == bytes.len() { Ok(found) } else { Err(Malformed) }
}

fn optional<T>(
    from: &mut Decoder<'_>,
    read: impl FnOnce(&mut Decoder<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match from.datatype().ok()? {
        Type::Null => from.null().ok().map(|()| None),
        _ => read(from).map(Some),
    }
}
