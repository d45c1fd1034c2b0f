//! Frames after the handshake: sealed and opened where they lie.
//!
//! snow makes the keys; the frames are aws-lc's, since snow wants all of the plaintext in one place and has no way to
//! open where the bytes lie (decision 0091). The bytes are what snow's transport makes of them: the nonce of a frame is its
//! number, and nothing but the plaintext is authenticated.
//!
//! A key serves [`REKEY_FRAMES`] frames and is then replaced by what Noise derives from it (section 4.2 of its
//! specification), on both sides at the same frame and without a message.

use std::fmt;

use super::cipher::{CipherKey, Unauthentic};
use super::{Cipher, Violation};
use crate::frame::{LENGTH_BYTES, Limits, TAG_BYTES};
use crate::segment::HEADER_BYTES;

/// How many frames one key seals: 2^24 of the longest are 2^33.6 blocks. RFC 8446 (5.5) allows AES-GCM 2^34.5 for
/// an advantage of 2^-57.
pub const REKEY_FRAMES: u64 = 1 << 24;

/// What a segment takes on the wire besides its payload.
pub const SEGMENT_OVERHEAD_BYTES: usize = LENGTH_BYTES + HEADER_BYTES + TAG_BYTES;

const KEY_BYTES: usize = 32;

/// Noise keeps this nonce for deriving the next key.
const REKEY_NONCE: u64 = u64::MAX;

/// The session has sealed as many frames as there are nonces; it must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session's nonces are used up")]
pub struct Exhausted;

/// Seals what goes out. It owns the nonce: frames are to be sent in the order in which they were sealed.
pub struct Sealer {
    guard: Guard,
}

/// Opens what comes in, in order.
pub struct Opener {
    guard: Guard,
}

/// What guards one direction.
enum Guard {
    Noise(Box<Key>),
    Plain,
}

/// The key of one direction and the number of the next frame.
pub(super) struct Key {
    key: CipherKey,
    next: u64,
}

impl Sealer {
    pub(super) fn noise(cipher: Cipher, key: &[u8; 32]) -> Self {
        Self { guard: Guard::Noise(Box::new(Key::new(cipher, key))) }
    }

    pub(super) fn plain() -> Self {
        Self { guard: Guard::Plain }
    }

    /// Appends a frame with one segment: its header and its payload, which may lie in pieces.
    ///
    /// # Errors
    /// When there is no nonce left; nothing is appended then.
    pub fn seal<P: AsRef<[u8]>>(
        &mut self,
        head: [u8; HEADER_BYTES],
        payload: impl IntoIterator<Item = P>,
        out: &mut Vec<u8>,
    ) -> Result<(), Exhausted> {
        let start = out.len();
        let payload: Vec<P> = payload.into_iter().collect();
        let bytes = payload.iter().map(|piece| piece.as_ref().len()).sum::<usize>();
        out.resize(start + SEGMENT_OVERHEAD_BYTES + bytes, 0);
        let sealed = self.seal_into(head, payload, &mut out[start..]);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed.map(drop)
    }

    /// The same into the front of `out`, whatever is there; how long the frame is. The last piece is not copied but
    /// encrypted from where it lies, so a long one should be last.
    ///
    /// # Errors
    /// When there is no nonce left.
    ///
    /// # Panics
    /// When there is no room for the frame, or its payload is longer than a frame's may be.
    pub fn seal_into<P: AsRef<[u8]>>(
        &mut self,
        head: [u8; HEADER_BYTES],
        payload: impl IntoIterator<Item = P>,
        out: &mut [u8],
    ) -> Result<usize, Exhausted> {
        let (length, content) = out.split_first_chunk_mut::<LENGTH_BYTES>().expect("room for a frame");
        content[..HEADER_BYTES].copy_from_slice(&head);
        let mut end = HEADER_BYTES;
        let mut last: Option<P> = None;
        for piece in payload {
            if let Some(before) = last.replace(piece) {
                let before = before.as_ref();
                content[end..end + before.len()].copy_from_slice(before);
                end += before.len();
            }
        }
        let back = last.as_ref().map_or(&[][..], AsRef::as_ref);
        let bytes = end + back.len() + TAG_BYTES;
        let Limits { min, max } = Limits::TRANSPORT;
        let allowed = usize::from(min)..=usize::from(max);
        assert!(allowed.contains(&bytes), "a frame of {bytes} bytes");
        let (front, sealed) = content[..bytes].split_at_mut(end);
        match &mut self.guard {
            Guard::Noise(key) => key.seal(front, back, sealed)?,
            Guard::Plain => {
                let (sealed, tag) = sealed.split_at_mut(back.len());
                sealed.copy_from_slice(back);
                tag.copy_from_slice(&checksum(&[front, sealed]));
            }
        }
        *length = (bytes as u16).to_be_bytes();
        Ok(LENGTH_BYTES + bytes)
    }
}

impl Opener {
    pub(super) fn noise(cipher: Cipher, key: &[u8; 32]) -> Self {
        Self { guard: Guard::Noise(Box::new(Key::new(cipher, key))) }
    }

    pub(super) fn plain() -> Self {
        Self { guard: Guard::Plain }
    }

    /// Opens a frame's content in place: the segment that was in it.
    ///
    /// # Errors
    /// When the peer did not seal it as its next frame. The two sides are out of step then, and the link is over.
    pub fn open<'a>(&mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Violation> {
        match &mut self.guard {
            Guard::Noise(key) => key.open(frame),
            Guard::Plain => {
                let (plain, tag) = frame.split_last_chunk().ok_or(Violation::Unauthentic)?;
                if checksum(&[plain]) == *tag { Ok(plain) } else { Err(Violation::Unauthentic) }
            }
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.guard)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({})", self.guard)
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noise(key) => write!(f, "{:?}, next frame {}, key not shown", key.key.cipher(), key.next),
            Self::Plain => f.write_str("plain"),
        }
    }
}

/// In the place of a tag, and as long: the CRC32C, and zeros.
fn checksum(plain: &[&[u8]]) -> [u8; TAG_BYTES] {
    let mut tag = [0; TAG_BYTES];
    let sum = plain.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    tag[..4].copy_from_slice(&sum.to_be_bytes());
    tag
}

#[cfg(test)]
impl Sealer {
    /// As if so many frames had been sealed with this key.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.guard.skip_to(next);
    }
}

#[cfg(test)]
impl Opener {
    /// As if so many frames had been opened with this key.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.guard.skip_to(next);
    }
}

#[cfg(test)]
impl Guard {
    fn skip_to(&mut self, next: u64) {
        if let Self::Noise(key) = self {
            key.next = next;
        }
    }
}

impl Key {
    fn new(cipher: Cipher, key: &[u8; 32]) -> Self {
        Self { key: CipherKey::new(cipher, key), next: 0 }
    }

    fn seal(&mut self, front: &mut [u8], back: &[u8], sealed: &mut [u8]) -> Result<(), Exhausted> {
        self.key.seal(self.number()?, &[], front, back, sealed);
        self.advance();
        Ok(())
    }

    fn open<'a>(&mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Violation> {
        let number = self.number().map_err(|Exhausted| Violation::Exhausted)?;
        let plain = self.key.open(number, &[], frame).map_err(|Unauthentic| Violation::Unauthentic)?;
        self.advance();
        Ok(plain)
    }

    /// The number of the next frame.
    fn number(&self) -> Result<u64, Exhausted> {
        if self.next == REKEY_NONCE { Err(Exhausted) } else { Ok(self.next) }
    }

    /// On to the next frame, and to its key.
    fn advance(&mut self) {
        self.next += 1;
        if self.next.is_multiple_of(REKEY_FRAMES) {
            self.rekey();
        }
    }

    fn rekey(&mut self) {
        let mut sealed = [0; KEY_BYTES + TAG_BYTES];
        self.key.seal(REKEY_NONCE, &[], &mut [], &[0; KEY_BYTES], &mut sealed);
        let key = sealed.first_chunk().expect("a key is in front of its tag");
        self.key = CipherKey::new(self.key.cipher(), key);
    }
}
