//! The way out: from what the protocols have to say to segments.

use super::Limit;
use crate::segment::{HEADER_BYTES, Header, MAX_SENT_BYTES, sent_us};
use crate::{Mode, Protocol, Time};

/// Asks the protocols in turn, one segment each.
///
/// It keeps nothing but whose turn it is: each protocol writes its bytes straight into the buffer that goes to
/// the socket, when there is room.
#[derive(Debug, Clone)]
pub struct Mux {
    ours: Mode,
    turn: u8,
}

impl Mux {
    /// A mux for the side of the protocols that `ours` names.
    pub fn new(ours: Mode) -> Self {
        Self { ours, turn: 0 }
    }

    /// Appends segments to `out` until none of the protocols has anything left or `budget` bytes were added (the
    /// last segment may exceed it).
    ///
    /// `fill` appends at most the given number of payload bytes of the given protocol, and nothing when it
    /// has nothing. Returns whether it stopped for want of budget, so that there may be more.
    pub fn transmit(
        &mut self,
        now: Time,
        lanes: &[Limit],
        budget: usize,
        out: &mut Vec<u8>,
        mut fill: impl FnMut(Protocol, usize, &mut Vec<u8>),
    ) -> bool {
        let start = out.len();
        let mut silent = 0;
        while silent < lanes.len() {
            if out.len() - start >= budget {
                return true;
            }
            // The table of protocols may have shrunk since the last turn.
            let lane = usize::from(self.turn) % lanes.len();
            self.turn = ((lane + 1) % lanes.len()) as u8;
            let sent = self.segment(now, lanes[lane].protocol, out, &mut fill);
            silent = if sent { 0 } else { silent + 1 };
        }
        false
    }

    fn segment(
        &self,
        now: Time,
        protocol: Protocol,
        out: &mut Vec<u8>,
        fill: &mut impl FnMut(Protocol, usize, &mut Vec<u8>),
    ) -> bool {
        let head = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        fill(protocol, MAX_SENT_BYTES, out);
        let length = out.len() - head - HEADER_BYTES;
        assert!(length <= MAX_SENT_BYTES, "protocol {protocol} wrote {length} bytes into one segment");
        if length == 0 {
            out.truncate(head);
            return false;
        }
        let header = Header { sent_us: sent_us(now), mode: self.ours, protocol, length: length as u16 };
        out[head..head + HEADER_BYTES].copy_from_slice(&header.encode());
        true
    }
}

/// Bytes of one protocol that wait to be sent: for messages that do not fit a segment, or come too early.
///
/// It holds no memory while it is empty.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Where to append a message.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Moves at most `room` bytes to `out`.
    pub fn fill(&mut self, room: usize, out: &mut Vec<u8>) {
        let rest = &self.bytes[self.sent..];
        let take = rest.len().min(room);
        out.extend_from_slice(&rest[..take]);
        self.sent += take;
        if self.sent == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
