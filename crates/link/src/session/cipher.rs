//! The ciphers, from aws-lc: for the frames of a session, and as snow wants them for its handshake.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use snow::types;

use super::Cipher;
use crate::frame::TAG_BYTES;

/// A key and the cipher that it is for. Whoever has it sees to it that no nonce is used twice.
pub(super) struct CipherKey {
    cipher: Cipher,
    key: LessSafeKey,
}

/// What was sealed is not what was opened.
#[derive(Debug)]
pub(super) struct Unauthentic;

impl CipherKey {
    pub(super) fn new(cipher: Cipher, key: &[u8; 32]) -> Self {
        let algorithm = match cipher {
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::ChaChaPoly => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).expect("both ciphers' keys have 32 bytes");
        Self { cipher, key: LessSafeKey::new(key) }
    }

    pub(super) fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Seals `front` where it lies and behind it `back`, from where it lies into `sealed`, the tag behind that:
    /// bytes that lie elsewhere are encrypted on their way and not copied first.
    pub(super) fn seal(&self, number: u64, aad: &[u8], front: &mut [u8], back: &[u8], sealed: &mut [u8]) {
        self.key
            .seal_in_place_scatter(self.nonce(number), Aad::from(aad), front, back, sealed)
            .expect("a frame is far below what a cipher takes at once, and there is room for its tag");
    }

    /// Opens what lies there, its tag at its end.
    pub(super) fn open<'a>(
        &self,
        number: u64,
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], Unauthentic> {
        let opened = self.key.open_in_place(self.nonce(number), Aad::from(aad), sealed);
        opened.map(|plain| &*plain).map_err(|_| Unauthentic)
    }

    /// Noise, section 12: 32 zero bits, then the number; each cipher in its own byte order.
    fn nonce(&self, number: u64) -> Nonce {
        let number = match self.cipher {
            Cipher::Aes256Gcm => number.to_be_bytes(),
            Cipher::ChaChaPoly => number.to_le_bytes(),
        };
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&number);
        Nonce::assume_unique_for_key(bytes)
    }
}

/// For the handshake alone: its payloads are short, so a copy does not matter.
impl types::Cipher for CipherKey {
    fn name(&self) -> &'static str {
        match self.cipher {
            Cipher::Aes256Gcm => "AESGCM",
            Cipher::ChaChaPoly => "ChaChaPoly",
        }
    }

    fn set(&mut self, key: &[u8; 32]) {
        *self = Self::new(self.cipher, key);
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let length = plaintext.len() + TAG_BYTES;
        self.seal(nonce, authtext, &mut [], plaintext, &mut out[..length]);
        length
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let mut sealed = ciphertext.to_vec();
        let plain = self.open(nonce, authtext, &mut sealed).map_err(|Unauthentic| snow::Error::Decrypt)?;
        out.get_mut(..plain.len()).ok_or(snow::Error::Decrypt)?.copy_from_slice(plain);
        Ok(plain.len())
    }
}
