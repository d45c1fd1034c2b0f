//! Frames after the handshake: sealed and opened where they lie.
//!
//! snow makes the keys; the frames are ring's, since snow wants plaintext and ciphertext in two places and copies
//! between them. The bytes are what snow's transport makes of them: the nonce of a frame is its number, and nothing
//! but the plaintext is authenticated.
//!
//! A key serves [`REKEY_FRAMES`] frames and is then replaced by what Noise derives from it (section 4.2 of its
//! specification), on both sides at the same frame and without a message.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::{Cipher, Violation};
use crate::frame::{LENGTH_BYTES, Limits, TAG_BYTES};
use crate::segment::HEADER_BYTES;

/// How many frames one key seals: 2^24 of the longest are 2^33.6 blocks. RFC 8446 (5.5) allows AES-GCM 2^34.5 for
/// an advantage of 2^-57.
pub const REKEY_FRAMES: u64 = 1 << 24;

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
    cipher: Cipher,
    key: LessSafeKey,
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
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        out.extend_from_slice(&head);
        for piece in payload {
            out.extend_from_slice(piece.as_ref());
        }
        let plain = start + LENGTH_BYTES;
        let length = out.len() - plain + TAG_BYTES;
        let Limits { min, max } = Limits::TRANSPORT;
        let allowed = usize::from(min)..=usize::from(max);
        assert!(allowed.contains(&length), "a frame of {length} bytes");
        let tag = match &mut self.guard {
            Guard::Noise(key) => match key.seal(&mut out[plain..]) {
                Ok(tag) => tag,
                Err(exhausted) => {
                    out.truncate(start);
                    return Err(exhausted);
                }
            },
            Guard::Plain => checksum(&out[plain..]),
        };
        out.extend_from_slice(&tag);
        out[start..plain].copy_from_slice(&(length as u16).to_be_bytes());
        Ok(())
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
                if checksum(plain) == *tag { Ok(plain) } else { Err(Violation::Unauthentic) }
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
            Self::Noise(key) => write!(f, "{:?}, next frame {}, key not shown", key.cipher, key.next),
            Self::Plain => f.write_str("plain"),
        }
    }
}

/// In the place of a tag, and as long: the CRC32C, and zeros.
fn checksum(plain: &[u8]) -> [u8; TAG_BYTES] {
    let mut tag = [0; TAG_BYTES];
    tag[..4].copy_from_slice(&crc32c::crc32c(plain).to_be_bytes());
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
        Self { cipher, key: ring_key(cipher, key), next: 0 }
    }

    fn seal(&mut self, plain: &mut [u8]) -> Result<[u8; TAG_BYTES], Exhausted> {
        let nonce = self.nonce()?;
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), plain);
        let tag = tag.expect("a frame is far below what a cipher takes at once");
        self.advance();
        Ok(tag.as_ref().try_into().expect("both ciphers' tags have sixteen bytes"))
    }

    fn open<'a>(&mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Violation> {
        let nonce = self.nonce().map_err(|Exhausted| Violation::Exhausted)?;
        let opened = self.key.open_in_place(nonce, Aad::empty(), frame);
        let plain = opened.map_err(|_| Violation::Unauthentic)?;
        self.advance();
        Ok(plain)
    }

    /// The nonce of the next frame.
    fn nonce(&self) -> Result<Nonce, Exhausted> {
        if self.next == REKEY_NONCE { Err(Exhausted) } else { Ok(nonce(self.cipher, self.next)) }
    }

    /// On to the next frame, and to its key.
    fn advance(&mut self) {
        self.next += 1;
        if self.next.is_multiple_of(REKEY_FRAMES) {
            self.rekey();
        }
    }

    fn rekey(&mut self) {
        let mut key = [0; 32];
        let sealed =
            self.key.seal_in_place_separate_tag(nonce(self.cipher, REKEY_NONCE), Aad::empty(), &mut key);
        let _tag = sealed.expect("a key is far below what a cipher takes at once");
        self.key = ring_key(self.cipher, &key);
    }
}

/// Noise, section 12: 32 zero bits, then the number; each cipher in its own byte order.
fn nonce(cipher: Cipher, number: u64) -> Nonce {
    let number = match cipher {
        Cipher::Aes256Gcm => number.to_be_bytes(),
        Cipher::ChaChaPoly => number.to_le_bytes(),
    };
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number);
    Nonce::assume_unique_for_key(bytes)
}

fn ring_key(cipher: Cipher, key: &[u8; 32]) -> LessSafeKey {
    let algorithm = match cipher {
        Cipher::Aes256Gcm => &AES_256_GCM,
        Cipher::ChaChaPoly => &CHACHA20_POLY1305,
    };
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect("both ciphers' keys have 32 bytes"))
}
