//! A peer that is written with snow alone, and one that lies with it.

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver, FallbackResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use crate::session::{Config, payload};

const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";

/// A dialler that follows the protocol, but for what its caller puts into the messages.
pub(super) struct Raw {
    pub(super) state: HandshakeState,
    /// Its Noise key.
    pub(super) key: [u8; 32],
}

impl Raw {
    pub(super) fn dial(config: &Config) -> Self {
        let both = FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver));
        Self::with(config, Box::new(both))
    }

    /// One whose Noise key is all zeros, a point that every secret maps to zeros.
    pub(super) fn dial_with_a_weak_key(config: &Config) -> Self {
        Self::with(config, Box::new(Weak))
    }

    fn with(config: &Config, resolver: Box<dyn CryptoResolver + Send>) -> Self {
        let secret = [9; 32];
        let weak = Builder::with_resolver(PATTERN.parse().expect("a pattern"), resolver);
        let prologue = payload::preamble(config);
        let state = weak
            .local_private_key(&secret)
            .and_then(|builder| builder.prologue(&prologue))
            .and_then(Builder::build_initiator)
            .expect("complete");
        Self { state, key: crate::session::resolver::public_key(&secret) }
    }

    /// The next message.
    pub(super) fn send(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 1_024];
        let length = self.state.write_message(payload, &mut message[1..]).expect("its turn");
        message.truncate(1 + length);
        message
    }

    /// Reads a message: its payload.
    pub(super) fn receive(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; 1_024];
        let length = self.state.read_message(&message[1..], &mut payload).expect("an honest message");
        payload.truncate(length);
        payload
    }
}

struct Weak;

impl CryptoResolver for Weak {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Sevens))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let inner = DefaultResolver.resolve_dh(choice)?;
        Some(Box::new(WeakDh { inner, is_static: false }))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

struct Sevens;

impl Random for Sevens {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        out.fill(7);
        Ok(())
    }
}

/// Honest as an ephemeral key, which is generated; a small-order point as a static one, which is set.
struct WeakDh {
    inner: Box<dyn Dh>,
    is_static: bool,
}

impl Dh for WeakDh {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn pub_len(&self) -> usize {
        self.inner.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.inner.priv_len()
    }

    fn set(&mut self, secret: &[u8]) {
        self.inner.set(secret);
        self.is_static = true;
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        self.inner.generate(random)
    }

    fn pubkey(&self) -> &[u8] {
        if self.is_static { &[0; 32] } else { self.inner.pubkey() }
    }

    fn privkey(&self) -> &[u8] {
        self.inner.privkey()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        if self.is_static {
            out.fill(0);
            Ok(())
        } else {
            self.inner.dh(public, out)
        }
    }
}
