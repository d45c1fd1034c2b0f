//! Segments that were chosen to be sent: made under a lock, sealed outside.
//!
//! A body is not copied into it but shared; heads and control messages are few bytes and lie in a buffer of the
//! batch. A batch is meant to be used again and again.

use std::ops::Range;

use bytes::Bytes;

use crate::mux::Segments;
use crate::segment::{HEADER_BYTES, Header};
use crate::session::{Exhausted, SEGMENT_OVERHEAD_BYTES, Sealer};

/// Segments, each in pieces.
#[derive(Debug, Default)]
pub struct Batch {
    segments: Vec<Segment>,
    pieces: Vec<Piece>,
    inline: Vec<u8>,
    /// On the wire, of the segments that have ended.
    wire_bytes: usize,
    /// Of the payload of the segment that has not.
    open_bytes: usize,
}

#[derive(Debug)]
struct Segment {
    head: [u8; HEADER_BYTES],
    pieces: Range<usize>,
}

#[derive(Debug)]
enum Piece {
    /// A part of the batch's own buffer.
    Inline(Range<usize>),
    /// A part of a body.
    Body(Bytes),
}

impl Batch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many segments were chosen.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// How many bytes they take on the wire.
    pub fn wire_bytes(&self) -> usize {
        self.wire_bytes
    }

    /// The segments: the header and the pieces of the payload.
    pub fn segments(&self) -> impl Iterator<Item = ([u8; HEADER_BYTES], impl Iterator<Item = &[u8]>)> {
        self.segments.iter().map(|segment| {
            let pieces = self.pieces[segment.pieces.clone()].iter();
            (segment.head, pieces.map(|piece| self.bytes_of(piece)))
        })
    }

    /// Writes them all, sealed, over what is in the buffer; how many bytes they take of its front. It is made longer
    /// where that is more than it has, and never shorter: a buffer that is used again is not filled with zeros again.
    ///
    /// # Errors
    /// When the session is used up.
    pub fn seal(&self, sealer: &mut Sealer, buffer: &mut Vec<u8>) -> Result<usize, Exhausted> {
        if buffer.len() < self.wire_bytes {
            buffer.resize(self.wire_bytes, 0);
        }
        let mut end = 0;
        for (head, payload) in self.segments() {
            end += sealer.seal_into(head, payload, &mut buffer[end..])?;
        }
        Ok(end)
    }

    /// Lets go of the segments and keeps the buffers.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.pieces.clear();
        self.inline.clear();
        self.wire_bytes = 0;
        self.open_bytes = 0;
    }

    /// Adds a copy of these bytes to the segment that was begun.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        let start = self.inline.len();
        self.inline.extend_from_slice(bytes);
        self.join(start);
    }

    /// Adds what `write` appends to the segment that was begun.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.inline.len();
        write(&mut self.inline);
        self.join(start);
    }

    /// Adds a part of a body to the segment that was begun.
    pub(super) fn share(&mut self, bytes: Bytes) {
        self.open_bytes += bytes.len();
        self.pieces.push(Piece::Body(bytes));
    }

    /// Makes what lies in the buffer from there on a piece, or a part of the last piece where that ends there.
    fn join(&mut self, start: usize) {
        let end = self.inline.len();
        self.open_bytes += end - start;
        let begun = self.segments.last().map_or(0, |segment| segment.pieces.end);
        if self.pieces.len() > begun
            && let Some(Piece::Inline(range)) = self.pieces.last_mut()
            && range.end == start
        {
            range.end = end;
        } else {
            self.pieces.push(Piece::Inline(start..end));
        }
    }

    fn bytes_of<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match piece {
            Piece::Inline(range) => &self.inline[range.clone()],
            Piece::Body(bytes) => bytes,
        }
    }
}

impl Segments for Batch {
    fn bytes(&self) -> usize {
        self.wire_bytes
    }

    fn overhead(&self) -> usize {
        SEGMENT_OVERHEAD_BYTES
    }

    fn begin(&mut self) -> usize {
        self.open_bytes = 0;
        self.pieces.len()
    }

    fn payload_bytes(&self, _: usize) -> usize {
        self.open_bytes
    }

    fn end(&mut self, begin: usize, header: Header) {
        self.segments.push(Segment { head: header.encode(), pieces: begin..self.pieces.len() });
        self.wire_bytes += SEGMENT_OVERHEAD_BYTES + self.open_bytes;
        self.open_bytes = 0;
    }

    fn abandon(&mut self, begin: usize) {
        debug_assert_eq!(begin, self.pieces.len(), "an empty segment has no pieces");
    }
}
