//! The way out: from what the protocols have to say to segments.

use super::{Lanes, Limit};
use crate::segment::{HEADER_BYTES, Header, MAX_SENT_BYTES, sent_us};
use crate::{Mode, Protocol, Time};

/// Where segments are written to: the buffer of a socket, or a [`Batch`](crate::outbound::Batch) that is sealed later.
pub trait Segments {
    /// How many bytes were written so far, as they count towards a budget.
    fn bytes(&self) -> usize;

    /// How many bytes a segment takes besides its payload.
    fn overhead(&self) -> usize;

    /// Makes room for the header of the next segment; where its payload begins.
    fn begin(&mut self) -> usize;

    /// How many bytes of payload were written since it began there.
    fn payload_bytes(&self, begin: usize) -> usize;

    /// Ends the segment that began there.
    fn end(&mut self, begin: usize, header: Header);

    /// Takes back the beginning of a segment without payload.
    fn abandon(&mut self, begin: usize);
}

/// Who goes next.
pub(super) trait Order {
    /// Whom to ask; nobody when nobody has anything left.
    fn next(&mut self) -> Option<Protocol>;

    /// What came of it: how many bytes it sent, 0 when it has nothing.
    fn sent(&mut self, bytes: usize);

    /// How long the next segment's payload may be with this much of the budget left; 0 when it is over.
    fn room(&self, left: usize, overhead: usize, is_first: bool) -> usize;
}

/// Asks the protocols for one segment at a time: in turn, or by [`Lanes`].
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

    /// Appends segments to `out`, one of each protocol in turn, until none of the protocols has anything left or
    /// `budget` bytes were added (the last segment may exceed it).
    ///
    /// `fill` appends at most the given number of payload bytes of the given protocol, and nothing when it
    /// has nothing. Returns whether it stopped for want of budget, so that there may be more.
    pub fn transmit<S: Segments>(
        &mut self,
        now: Time,
        limits: &[Limit],
        budget: usize,
        out: &mut S,
        fill: impl FnMut(Protocol, usize, &mut S),
    ) -> bool {
        let mut turns = Turns { limits, turn: &mut self.turn, silent: 0 };
        run(self.ours, now, &mut turns, budget, out, fill)
    }

    /// The same, but who goes first is what the lanes say, and `budget` is kept but for a first segment of a
    /// smaller budget than is worth cutting to.
    pub fn transmit_by<S: Segments>(
        &mut self,
        now: Time,
        lanes: &mut Lanes,
        budget: usize,
        out: &mut S,
        fill: impl FnMut(Protocol, usize, &mut S),
    ) -> bool {
        run(self.ours, now, &mut lanes.begin(), budget, out, fill)
    }
}

fn run<S: Segments>(
    ours: Mode,
    now: Time,
    order: &mut impl Order,
    budget: usize,
    out: &mut S,
    mut fill: impl FnMut(Protocol, usize, &mut S),
) -> bool {
    let start = out.bytes();
    while let Some(protocol) = order.next() {
        let added = out.bytes() - start;
        let room = order.room(budget.saturating_sub(added), out.overhead(), added == 0);
        if room == 0 {
            return true;
        }
        order.sent(segment(ours, now, protocol, room, out, &mut fill));
    }
    false
}

/// Writes one segment; how long its payload is.
fn segment<S: Segments>(
    ours: Mode,
    now: Time,
    protocol: Protocol,
    room: usize,
    out: &mut S,
    fill: &mut impl FnMut(Protocol, usize, &mut S),
) -> usize {
    let begin = out.begin();
    fill(protocol, room, out);
    let length = out.payload_bytes(begin);
    assert!(length <= room, "protocol {protocol} wrote {length} bytes where {room} had room");
    if length == 0 {
        out.abandon(begin);
        return 0;
    }
    out.end(begin, Header { sent_us: sent_us(now), mode: ours, protocol, length: length as u16 });
    length
}

/// Round robin: one segment each.
struct Turns<'a> {
    limits: &'a [Limit],
    turn: &'a mut u8,
    silent: usize,
}

impl Order for Turns<'_> {
    fn next(&mut self) -> Option<Protocol> {
        // The table of protocols may have shrunk since the last turn.
        (self.silent < self.limits.len())
            .then(|| self.limits[usize::from(*self.turn) % self.limits.len()].protocol)
    }

    fn sent(&mut self, bytes: usize) {
        *self.turn = ((usize::from(*self.turn) % self.limits.len() + 1) % self.limits.len()) as u8;
        self.silent = if bytes > 0 { 0 } else { self.silent + 1 };
    }

    fn room(&self, left: usize, _: usize, _: bool) -> usize {
        if left == 0 { 0 } else { MAX_SENT_BYTES }
    }
}

impl Segments for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn overhead(&self) -> usize {
        HEADER_BYTES
    }

    fn begin(&mut self) -> usize {
        self.extend_from_slice(&[0; HEADER_BYTES]);
        self.len()
    }

    fn payload_bytes(&self, begin: usize) -> usize {
        self.len() - begin
    }

    fn end(&mut self, begin: usize, header: Header) {
        self[begin - HEADER_BYTES..begin].copy_from_slice(&header.encode());
    }

    fn abandon(&mut self, begin: usize) {
        self.truncate(begin - HEADER_BYTES);
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
