//! The way in: from the bytes of a connection to parts of segments.

use super::Limit;
use crate::segment::{HEADER_BYTES, Header};
use crate::{Mode, Protocol};

/// How many protocols one connection may carry: Cardano's node-to-node needs five at a time, a link between peers has
/// more.
pub const MAX_LIMITS: usize = crate::channel::MAX_CHANNELS;

/// What a fault of the peer costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The connection: after a fault the demux is not to be fed again. What Cardano's network asks.
    Close,
    /// The segment: its payload is passed over, and the next one is taken as if nothing had happened.
    Reject,
}

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
    /// A segment that is not as long as the frame that carries it. A stream's segments need no frames and cannot
    /// do this.
    #[error("a segment of {length} bytes in a frame with room for {held}")]
    Cut {
        /// What its header says; 0 where there was no whole header.
        length: u16,
        /// What its frame holds behind the header.
        held: usize,
    },
}

impl Violation {
    /// Its name for operators and machines: it does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownProtocol { .. } => "unknown_channel",
            Self::WrongMode { .. } => "wrong_mode",
            Self::Empty { .. } => "empty_segment",
            Self::Overrun { .. } => "overrun",
            Self::Cut { .. } => "cut_segment",
        }
    }
}

/// A piece of one segment's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// For which protocol.
    pub protocol: Protocol,
    /// The bytes, never empty: all that has arrived of the segment.
    pub bytes: &'a [u8],
}

/// Checks that these bytes, what one frame holds, are one segment: no less and no more.
///
/// # Errors
/// When its header states another length.
pub fn whole(frame: &[u8]) -> Result<(), Violation> {
    let Some((head, payload)) = frame.split_first_chunk() else {
        return Err(Violation::Cut { length: 0, held: 0 });
    };
    let (length, held) = (Header::decode(*head).length, payload.len());
    if usize::from(length) == held { Ok(()) } else { Err(Violation::Cut { length, held }) }
}

/// Cuts a connection's bytes into parts, in any cut of the bytes.
#[derive(Debug, Clone)]
pub struct Demux<L = &'static [Limit]> {
    limits: L,
    policy: Policy,
    held: [u32; MAX_LIMITS],
    expected: Mode,
    head: [u8; HEADER_BYTES],
    head_len: u8,
    protocol: Protocol,
    left: u16,
    /// How much of a rejected segment is still to be passed over.
    skip: u16,
}

impl<L: AsRef<[Limit]>> Demux<L> {
    /// A demux for the side of the protocols that `ours` names, with these protocols running.
    pub fn new(ours: Mode, policy: Policy, limits: L) -> Self {
        assert!(limits.as_ref().len() <= MAX_LIMITS, "too many protocols for one connection");
        Self {
            limits,
            policy,
            held: [0; MAX_LIMITS],
            expected: ours.other(),
            head: [0; HEADER_BYTES],
            head_len: 0,
            protocol: Protocol(0),
            left: 0,
            skip: 0,
        }
    }

    /// Takes the next part off the front of `input`; nothing when all of it was consumed.
    ///
    /// # Errors
    /// The peer's fault. Whether the demux may be fed on is the [`Policy`]'s.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Violation> {
        self.pass_over(input);
        if self.left == 0 && !self.open(input)? {
            return Ok(None);
        }
        let have = input.len().min(usize::from(self.left));
        if have == 0 {
            return Ok(None);
        }
        if let Err(fault) = self.charge(self.protocol, have) {
            self.give_up(self.left);
            return Err(fault);
        }
        let (bytes, rest) = input.split_at(have);
        *input = rest;
        self.left -= have as u16;
        Ok(Some(Part { protocol: self.protocol, bytes }))
    }

    /// Counts bytes that did not arrive as if they had: what a message costs beside its length.
    ///
    /// # Errors
    /// When more waits then than may.
    pub fn hold(&mut self, protocol: Protocol, bytes: usize) -> Result<(), Violation> {
        self.charge(protocol, bytes)
    }

    /// Says that the protocol dealt with this many of its bytes.
    pub fn release(&mut self, protocol: Protocol, bytes: usize) {
        if let Some(at) = self.position(protocol) {
            let held = self.held[at] as usize;
            assert!(bytes <= held, "released {bytes} of {held} bytes of protocol {protocol}");
            self.held[at] = (held - bytes) as u32;
        }
    }

    /// How many bytes of the protocol wait to be dealt with.
    pub fn held(&self, protocol: Protocol) -> u32 {
        self.position(protocol).map_or(0, |at| self.held[at])
    }

    /// Replaces the protocols that run, when the handshake is over.
    pub fn enter(&mut self, limits: L) {
        assert!(limits.as_ref().len() <= MAX_LIMITS, "too many protocols for one connection");
        self.limits = limits;
        self.held = [0; MAX_LIMITS];
    }

    /// Whether a segment has begun to arrive and not ended: the time limit for reading one runs.
    pub fn is_inside_segment(&self) -> bool {
        self.left > 0 || self.head_len > 0 || self.skip > 0
    }

    fn pass_over(&mut self, input: &mut &[u8]) {
        let have = input.len().min(usize::from(self.skip));
        *input = &input[have..];
        self.skip -= have as u16;
    }

    /// Gives up the segment of which this much is to come, where that is the policy.
    fn give_up(&mut self, bytes: u16) {
        if self.policy == Policy::Reject {
            self.skip = bytes;
            self.left = 0;
        }
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
        let header = Header::decode(head);
        self.check(header).inspect_err(|_| self.give_up(header.length))?;
        (self.protocol, self.left) = (header.protocol, header.length);
        Ok(true)
    }

    fn check(&self, header: Header) -> Result<(), Violation> {
        let protocol = header.protocol;
        if self.position(protocol).is_none() {
            return Err(Violation::UnknownProtocol { protocol });
        }
        if header.mode != self.expected {
            return Err(Violation::WrongMode { protocol });
        }
        if header.length == 0 {
            return Err(Violation::Empty { protocol });
        }
        Ok(())
    }

    fn charge(&mut self, protocol: Protocol, bytes: usize) -> Result<(), Violation> {
        // The protocol may have ended inside its own segment: the handshake's last one held more than it should.
        let at = self.position(protocol).ok_or(Violation::UnknownProtocol { protocol })?;
        let limit = self.limits.as_ref()[at].ingress_bytes;
        let held = self.held[at] as usize + bytes;
        if held > limit as usize {
            return Err(Violation::Overrun { protocol, limit });
        }
        self.held[at] = held as u32;
        Ok(())
    }

    fn position(&self, protocol: Protocol) -> Option<usize> {
        self.limits.as_ref().iter().position(|limit| limit.protocol == protocol)
    }
}
