//! Where snow gets its primitives from: the ciphers from aws-lc, SHA-256 from sha2, X25519 from curve25519-dalek behind
//! a check, randomness from what was drawn beforehand.

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{self, Dh, Hash, Random};

use super::Cipher;
use super::cipher::CipherKey;

/// The primitives of one handshake.
pub(super) struct Resolver {
    /// The secret of the one ephemeral key that the handshake makes.
    pub(super) ephemeral: [u8; 32],
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice).map(|dh| Box::new(Contributory(dh)) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn types::Cipher>> {
        let cipher = match choice {
            CipherChoice::AESGCM => Cipher::Aes256Gcm,
            CipherChoice::ChaChaPoly => Cipher::ChaChaPoly,
        };
        // snow sets its key before it uses it.
        Some(Box::new(CipherKey::new(cipher, &[0; 32])))
    }
}

/// 32 random bytes, once.
struct Drawn(Option<[u8; 32]>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(bytes) if out.len() == bytes.len() => {
                out.copy_from_slice(&bytes);
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}

/// A Diffie-Hellman that refuses the secret that small-order points lead to: all zeros (RFC 7748, 6.1).
struct Contributory(Box<dyn Dh>);

impl Dh for Contributory {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }

    fn set(&mut self, secret: &[u8]) {
        self.0.set(secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        self.0.generate(random)
    }

    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.dh(public, out)?;
        if out.iter().all(|byte| *byte == 0) { Err(snow::Error::Dh) } else { Ok(()) }
    }
}

/// The public key of an X25519 secret.
pub(super) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    let mut dh = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("snow is built with X25519");
    dh.set(secret);
    dh.pubkey().try_into().expect("a public key has 32 bytes")
}
