//! Outer frames: a `u16` big-endian length, then that many bytes.
//!
//! [`Deframer`] cuts a connection's bytes into frames, in any cut of the bytes. A frame that arrives whole is handed
//! on where it lies, to be opened in place; only the beginning of one that is not all there is kept. What is inside
//! a frame is none of its business: a handshake message at first, then ciphertext.
//!
//! A frame of a length that cannot be is named by its [`Violation`] and its bytes are skipped, so that whoever
//! wants to may go on with the next.
//!
//! **Invariant:** between frames no buffer is held, and within one at most twice what has arrived of it.
//!
//! `spec/link.md`, "Frames".

#[cfg(test)]
mod tests;

use crate::segment::{HEADER_BYTES, MAX_SENT_BYTES};

/// The length of a frame's length.
pub const LENGTH_BYTES: usize = 2;

/// What a sealed frame holds beyond its plaintext: the tag of AES-GCM and of ChaChaPoly.
pub const TAG_BYTES: usize = 16;

/// A refusal: a tag and a code.
const REFUSAL_BYTES: u16 = 2;

/// Which lengths a frame may have, without the two bytes that say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The shortest.
    pub min: u16,
    /// The longest.
    pub max: u16,
}

impl Limits {
    /// Before the peer is authenticated: from a tag alone to what `spec/link.md` allows.
    pub const HANDSHAKE: Self = Self { min: 1, max: 1_024 };
    /// After it until the peer's first message is there: a refusal may be under way from a peer that does not know
    /// us yet.
    pub const HELLO: Self = Self { min: REFUSAL_BYTES, max: Self::TRANSPORT.max };
    /// After: one segment with one byte of payload up to one with the most of it, sealed.
    pub const TRANSPORT: Self = Self {
        min: (HEADER_BYTES + 1 + TAG_BYTES) as u16,
        max: (HEADER_BYTES + MAX_SENT_BYTES + TAG_BYTES) as u16,
    };
}

/// A frame of a length that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It is shorter than anything that could be in it.
    #[error("a frame of {length} bytes, where {min} are the least")]
    TooShort {
        /// Its length.
        length: u16,
        /// The shortest that is allowed.
        min: u16,
    },
    /// It is longer than agreed.
    #[error("a frame of {length} bytes, where {max} are the most")]
    TooLong {
        /// Its length.
        length: u16,
        /// The longest that is allowed.
        max: u16,
    },
}

impl Violation {
    /// Its name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "frame_too_short",
            Self::TooLong { .. } => "frame_too_long",
        }
    }
}

/// Where in a frame the bytes stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Between two frames.
    Between,
    /// After the first byte of a length.
    Length(u8),
    /// Within a frame that began in bytes that are gone.
    Inside { length: usize, have: Vec<u8> },
    /// The frame in `have` was handed out.
    Spent { have: Vec<u8> },
    /// Within a frame that is passed over.
    Skipping { left: usize },
}

/// Cuts bytes into frames.
#[derive(Debug, Clone)]
pub struct Deframer {
    limits: Limits,
    state: State,
}

impl Deframer {
    /// One that stands at the beginning of a frame.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Between }
    }

    /// Other limits from the next length on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes the next frame off the front of `input`; nothing when all of it was consumed.
    ///
    /// # Errors
    /// When a frame has a length that cannot be. The next call passes over its bytes.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i mut [u8],
    ) -> Result<Option<&'s mut [u8]>, Violation> {
        match self.state {
            State::Inside { .. } => return Ok(self.fill(input)),
            State::Skipping { left } => self.skip(left, input),
            State::Spent { .. } => self.state = State::Between,
            State::Between | State::Length(_) => {}
        }
        let Some(length) = self.length(input) else { return Ok(None) };
        if let Err(violation) = self.check(length) {
            self.state = match usize::from(length) {
                0 => State::Between,
                left => State::Skipping { left },
            };
            return Err(violation);
        }
        let length = usize::from(length);
        if input.len() < length {
            self.state = State::Inside { length, have: Vec::new() };
            return Ok(self.fill(input));
        }
        Ok(Some(split(input, length)))
    }

    /// Whether a frame has begun to arrive and not ended: the time limit for reading one runs.
    pub fn is_inside(&self) -> bool {
        match self.state {
            State::Between | State::Spent { .. } => false,
            State::Length(_) | State::Inside { .. } | State::Skipping { .. } => true,
        }
    }

    /// How many bytes of memory it holds beside itself.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Inside { have, .. } | State::Spent { have } => have.capacity(),
            State::Between | State::Length(_) | State::Skipping { .. } => 0,
        }
    }

    fn check(&self, length: u16) -> Result<(), Violation> {
        let Limits { min, max } = self.limits;
        if length < min {
            Err(Violation::TooShort { length, min })
        } else if length > max {
            Err(Violation::TooLong { length, max })
        } else {
            Ok(())
        }
    }

    /// Reads a length if all of it is there; between two frames afterwards.
    fn length(&mut self, input: &mut &mut [u8]) -> Option<u16> {
        let first = match self.state {
            State::Length(first) => first,
            _ => *input.first()?,
        };
        if !matches!(self.state, State::Length(_)) {
            split(input, 1);
        }
        let Some(&second) = input.first() else {
            self.state = State::Length(first);
            return None;
        };
        split(input, 1);
        self.state = State::Between;
        Some(u16::from_be_bytes([first, second]))
    }

    /// Adds to the frame that has begun; gives it out when it is whole.
    fn fill(&mut self, input: &mut &mut [u8]) -> Option<&mut [u8]> {
        let State::Inside { length, have } = &mut self.state else { return None };
        let take = input.len().min(*length - have.len());
        if have.capacity() < have.len() + take {
            // Twice what is here, never on the word of a length alone.
            have.reserve_exact((2 * (have.len() + take)).min(*length) - have.len());
        }
        have.extend_from_slice(split(input, take));
        if have.len() < *length {
            return None;
        }
        self.state = State::Spent { have: std::mem::take(have) };
        match &mut self.state {
            State::Spent { have } => Some(have),
            _ => None,
        }
    }

    fn skip(&mut self, left: usize, input: &mut &mut [u8]) {
        let take = input.len().min(left);
        split(input, take);
        self.state = if take == left { State::Between } else { State::Skipping { left: left - take } };
    }
}

/// Takes `bytes` off the front.
fn split<'a>(input: &mut &'a mut [u8], bytes: usize) -> &'a mut [u8] {
    let (front, rest) = std::mem::take(input).split_at_mut(bytes);
    *input = rest;
    front
}
