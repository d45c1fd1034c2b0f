//! The way in: from the bytes of a connection to parts of segments.

use super::Lane;
use crate::segment::{HEADER_BYTES, Header};
use crate::{Mode, Protocol};

/// How many protocols one connection may carry: Cardano's node-to-node needs five at a time.
pub const MAX_LANES: usize = 8;

/// What a peer did wrong in the mux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A segment for a protocol that does not run on this connection (now).
    #[error("a segment for protocol {protocol}, which does not run here")]
    UnknownProtocol {
        /// The number in its header.
        protocol: Protocol,
    },
    /// A segment that claims to come from our side of the protocol.
    #[error("a segment of protocol {protocol} with the wrong mode bit")]
    WrongMode {
        /// The protocol.
        protocol: Protocol,
    },
    /// A segment without payload.
    #[error("an empty segment of protocol {protocol}")]
    Empty {
        /// The protocol.
        protocol: Protocol,
    },
    /// More has arrived for a protocol than it may have waiting.
    #[error("more than {limit} bytes wait for protocol {protocol}")]
    Overrun {
        /// The protocol.
        protocol: Protocol,
        /// Its limit in bytes.
        limit: u32,
    },
}

/// A piece of one segment's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// For which protocol.
    pub protocol: Protocol,
    /// The bytes, never empty: all that has arrived of the segment.
    pub bytes: &'a [u8],
}

/// Cuts a connection's bytes into parts, in any cut of the bytes.
#[derive(Debug, Clone)]
pub struct Demux {
    lanes: &'static [Lane],
    held: [u32; MAX_LANES],
    expected: Mode,
    head: [u8; HEADER_BYTES],
    head_len: u8,
    protocol: Protocol,
    left: u16,
}

impl Demux {
    /// A demux for the side of the protocols that `ours` names, with these protocols running.
    pub fn new(ours: Mode, lanes: &'static [Lane]) -> Self {
        assert!(lanes.len() <= MAX_LANES, "too many protocols for one connection");
        Self {
            lanes,
            held: [0; MAX_LANES],
            expected: ours.other(),
            head: [0; HEADER_BYTES],
            head_len: 0,
            protocol: Protocol(0),
            left: 0,
        }
    }

    /// Takes the next part off the front of `input`; nothing when all of it was consumed.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Violation> {
        if self.left == 0 && !self.open(input)? {
            return Ok(None);
        }
        let have = input.len().min(usize::from(self.left));
        if have == 0 {
            return Ok(None);
        }
        self.charge(have)?;
        let (bytes, rest) = input.split_at(have);
        *input = rest;
        self.left -= have as u16;
        Ok(Some(Part { protocol: self.protocol, bytes }))
    }

    /// Says that the protocol dealt with this many of its bytes.
    pub fn release(&mut self, protocol: Protocol, bytes: usize) {
        if let Some(lane) = self.lane(protocol) {
            let held = self.held[lane] as usize;
            assert!(bytes <= held, "released {bytes} of {held} bytes of protocol {protocol}");
            self.held[lane] = (held - bytes) as u32;
        }
    }

    /// How many bytes of the protocol wait to be dealt with.
    pub fn held(&self, protocol: Protocol) -> u32 {
        self.lane(protocol).map_or(0, |lane| self.held[lane])
    }

    /// Replaces the protocols that run, when the handshake is over.
    pub fn enter(&mut self, lanes: &'static [Lane]) {
        assert!(lanes.len() <= MAX_LANES, "too many protocols for one connection");
        self.lanes = lanes;
        self.held = [0; MAX_LANES];
    }

    /// Whether a segment has begun to arrive and not ended: the time limit for reading one runs.
    pub fn is_inside_segment(&self) -> bool {
        self.left > 0 || self.head_len > 0
    }

    /// Reads a header; false when it is not all there.
    fn open(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        let head = if self.head_len == 0
            && let Some((head, rest)) = input.split_first_chunk()
        {
            *input = rest;
            *head
        } else {
            let have = usize::from(self.head_len);
            let take = input.len().min(HEADER_BYTES - have);
            self.head[have..have + take].copy_from_slice(&input[..take]);
            *input = &input[take..];
            self.head_len += take as u8;
            if usize::from(self.head_len) < HEADER_BYTES {
                return Ok(false);
            }
            self.head_len = 0;
            self.head
        };
        self.check(Header::decode(head))?;
        Ok(true)
    }

    fn check(&mut self, header: Header) -> Result<(), Violation> {
        let protocol = header.protocol;
        if self.lane(protocol).is_none() {
            return Err(Violation::UnknownProtocol { protocol });
        }
        if header.mode != self.expected {
            return Err(Violation::WrongMode { protocol });
        }
        if header.length == 0 {
            return Err(Violation::Empty { protocol });
        }
        self.protocol = protocol;
        self.left = header.length;
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Violation> {
        let protocol = self.protocol;
        // The protocol may have ended inside its own segment: the handshake's last one held more than it should.
        let lane = self.lane(protocol).ok_or(Violation::UnknownProtocol { protocol })?;
        let limit = self.lanes[lane].ingress_bytes;
        let held = self.held[lane] as usize + bytes;
        if held > limit as usize {
            return Err(Violation::Overrun { protocol, limit });
        }
        self.held[lane] = held as u32;
        Ok(())
    }

    fn lane(&self, protocol: Protocol) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.protocol == protocol)
    }
}
