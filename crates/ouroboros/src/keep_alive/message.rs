//! The messages of keep-alive (`keep-alive.cddl`).

use crate::codec::{self, Error, Reader};

/// A message of keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Are you there?
    KeepAlive {
        /// What the answer repeats.
        cookie: u16,
    },
    /// Yes.
    Response {
        /// What was asked with.
        cookie: u16,
    },
    /// The initiator ends the protocol.
    Done,
}

impl Message {
    /// Reads the message that these bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let message = match reader.message()? {
            (2, 0) => Self::KeepAlive { cookie: reader.u16("cookie")? },
            (2, 1) => Self::Response { cookie: reader.u16("cookie")? },
            (1, 2) => Self::Done,
            (fields, number) => return Err(Error::Unknown { number, fields }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeepAlive { cookie } => {
                codec::put_message(out, 2, 0);
                codec::put_uint(out, u64::from(*cookie));
            }
            Self::Response { cookie } => {
                codec::put_message(out, 2, 1);
                codec::put_uint(out, u64::from(*cookie));
            }
            Self::Done => codec::put_message(out, 1, 2),
        }
    }

    /// What the CDDL calls it, less the prefix.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeepAlive { .. } => "KeepAlive",
            Self::Response { .. } => "KeepAliveResponse",
            Self::Done => "Done",
        }
    }
}
