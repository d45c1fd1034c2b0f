//! What heads a message on a channel.
//!
//! A channel is a stream of messages; segments cut it anywhere. Nine big-endian bytes head each message: `u8` kind,
//! `u32` number of the request (0 where there is none), `u32` length of the body that follows.

/// The length of a message's head.
pub const HEAD_BYTES: usize = 9;

/// Whether a message is part of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It stands alone.
    Note,
    /// A question; the number is the asker's and comes back with the answer.
    Request(u32),
    /// The answer to the receiver's question with this number.
    Reply(u32),
}

/// What heads a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whether it is part of a question.
    pub kind: Kind,
    /// The length of its body in bytes.
    pub length: u32,
}

/// A head of no known kind, or a note with a number. Its length still says how much to skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of the unknown kind {kind}, {length} bytes long")]
pub struct Unknown {
    /// What stood in its place.
    pub kind: u8,
    /// The length of the body.
    pub length: u32,
}

impl Head {
    /// The head as bytes.
    pub fn encode(self) -> [u8; HEAD_BYTES] {
        let (kind, number) = match self.kind {
            Kind::Note => (0, 0),
            Kind::Request(number) => (1, number),
            Kind::Reply(number) => (2, number),
        };
        let [n0, n1, n2, n3] = number.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [kind, n0, n1, n2, n3, l0, l1, l2, l3]
    }

    /// Reads a head.
    ///
    /// # Errors
    /// When its kind is unknown.
    pub fn decode(bytes: [u8; HEAD_BYTES]) -> Result<Self, Unknown> {
        let [kind, n0, n1, n2, n3, l0, l1, l2, l3] = bytes;
        let number = u32::from_be_bytes([n0, n1, n2, n3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let kind = match (kind, number) {
            (0, 0) => Kind::Note,
            (1, number) => Kind::Request(number),
            (2, number) => Kind::Reply(number),
            (kind, _) => return Err(Unknown { kind, length }),
        };
        Ok(Self { kind, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_nine_big_endian_bytes() {
        let head = Head { kind: Kind::Request(0x0102_0304), length: 0x0506_0708 };
        assert_eq!(head.encode(), [1, 1, 2, 3, 4, 5, 6, 7, 8]);
        for kind in [Kind::Note, Kind::Request(7), Kind::Reply(u32::MAX)] {
            let head = Head { kind, length: 9 };
            assert_eq!(Head::decode(head.encode()), Ok(head));
        }
    }

    #[test]
    fn refuses_unknown_kinds_and_numbered_notes() {
        assert_eq!(Head::decode([3, 0, 0, 0, 0, 0, 0, 0, 5]), Err(Unknown { kind: 3, length: 5 }));
        assert_eq!(Head::decode([0, 0, 0, 0, 1, 0, 0, 0, 5]), Err(Unknown { kind: 0, length: 5 }));
    }
}
