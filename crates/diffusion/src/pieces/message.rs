//! The messages about snapshots, and their one encoding.
//!
//! ```text
//! [0, [state, …]]       ; offer: of these states pieces are given, newest first; it takes the place of the one before
//! [1, state, name]      ; ask: send this piece
//! [2, piece]            ; piece: the answer to the oldest ask; of no bytes where it is not given, or not any more
//! [3]                   ; wish: say which states you give, now and whenever that changes
//! state = [height, root]
//! ```

use bytes::Bytes;
use chain::Height;
use chain::native::StateRoot;

use crate::cbor::{self, Error, Reader};

/// The most states that one peer offers.
pub const MAX_OFFERED: usize = 8;

/// The most bytes of a piece's name.
pub const MAX_NAME_BYTES: usize = 64;

/// The most bytes of a piece.
pub const MAX_PIECE_BYTES: usize = 1 << 20;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Of these states its sender gives pieces, newest first.
    Offer(Vec<StateRoot>),
    /// Send a piece.
    Ask {
        /// Of which state.
        of: StateRoot,
        /// The piece's name.
        name: Bytes,
    },
    /// The answer to the oldest ask: the piece, or nothing.
    Piece(Bytes),
    /// Offers are wanted, from now on.
    Wish,
}

impl Message {
    /// Reads the message that these bytes are. Shares the buffer.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let fields = reader.array("message")?;
        let message = match (reader.uint(u64::MAX, "message number")?, fields) {
            (0, 2) => Self::Offer(reader.list(MAX_OFFERED, "states", read_state)?),
            (1, 3) => Self::Ask {
                of: read_state(&mut reader)?,
                name: reader.bytes(MAX_NAME_BYTES, "piece's name")?,
            },
            (2, 2) => Self::Piece(reader.bytes(MAX_PIECE_BYTES, "piece")?),
            (3, 1) => Self::Wish,
            (0..=3, _) => return Err(Error::Expected { what: "message of its own length", at: 0 }),
            (number, _) => return Err(Error::Unknown { number }),
        };
        reader.end()?;
        Ok(message)
    }

    /// The message as the body of a note.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Offer(states) => {
                cbor::put_message(&mut out, 2, 0);
                cbor::put_array(&mut out, states.len());
                states.iter().for_each(|state| put_state(&mut out, state));
            }
            Self::Ask { of, name } => {
                cbor::put_message(&mut out, 3, 1);
                put_state(&mut out, of);
                cbor::put_bytes(&mut out, name);
            }
            Self::Piece(piece) => {
                cbor::put_message(&mut out, 2, 2);
                cbor::put_bytes(&mut out, piece);
            }
            Self::Wish => cbor::put_message(&mut out, 1, 3),
        }
        out.into()
    }
}

fn read_state(reader: &mut Reader<'_>) -> Result<StateRoot, Error> {
    match reader.array("state")? {
        2 => Ok(StateRoot { height: Height(reader.uint(u64::MAX, "height")?), root: reader.hash("root")? }),
        _ => Err(Error::Expected { what: "state of two fields", at: 0 }),
    }
}

fn put_state(out: &mut Vec<u8>, state: &StateRoot) {
    cbor::put_array(out, 2);
    cbor::put_uint(out, state.height.0);
    cbor::put_bytes(out, &state.root.0);
}
