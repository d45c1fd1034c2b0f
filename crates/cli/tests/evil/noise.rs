//! The session of a link as an enemy writes it: `Noise_XX` over `snow`, the proof of a key inside it, and every part of
//! both open to lies. Nothing of the product is used.

use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::{Signer, SigningKey};
use snow::{Builder, HandshakeState, StatelessTransportState};

/// What begins the clear payload of the first message, and the prologue.
const MAGIC: &[u8] = b"anabranch";

/// The version of the wire that this is written for.
pub(crate) const VERSION: u16 = 1;

/// AES-256-GCM, in the first message's words.
const AES: u8 = 1;

/// The pattern with the cipher of the default configuration.
const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";

/// What is signed, before the Noise static key: see the link's session.
const CONTEXT: &[u8] = b"anabranch link static key";

/// The longest Noise message.
const MAX_BYTES: usize = 65_535;

/// An identity.
#[derive(Clone)]
pub(crate) struct Key(SigningKey);

impl Key {
    /// One that nobody had before.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::numbered(u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Always the same for a number.
    pub(crate) fn numbered(number: u64) -> Self {
        let mut seed = [0xe5; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Self(SigningKey::from_bytes(&seed))
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    pub(crate) fn hex(&self) -> String {
        hex::encode(self.public())
    }
}

/// What one says of oneself before and in the handshake.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) magic: Vec<u8>,
    pub(crate) version: u16,
    pub(crate) network: [u8; 32],
    pub(crate) cipher: u8,
    pub(crate) key: Key,
    /// Said instead of the key's proof.
    pub(crate) proof: Option<Vec<u8>>,
}

impl Claim {
    /// The truth.
    pub(crate) fn new(network: [u8; 32], key: Key) -> Self {
        Self { magic: MAGIC.to_vec(), version: VERSION, network, cipher: AES, key, proof: None }
    }

    /// What the first message carries in the clear, and the prologue.
    pub(crate) fn clear(&self) -> Vec<u8> {
        [&self.magic[..], &self.version.to_be_bytes(), &self.network, &[self.cipher]].concat()
    }

    /// What the messages 2 and 3 carry: whose Noise key this is.
    fn proof_of(&self, noise_key: &[u8]) -> Vec<u8> {
        let signed = [CONTEXT, noise_key].concat();
        let proof = || [self.key.public().to_vec(), self.key.sign(&signed).to_vec()].concat();
        self.proof.clone().unwrap_or_else(proof)
    }
}

/// A handshake, one side.
pub(crate) struct Noise {
    state: HandshakeState,
    public: Vec<u8>,
    claim: Claim,
    written: usize,
}

impl Noise {
    pub(crate) fn dial(claim: &Claim) -> Self {
        Self::new(claim, |builder| builder.build_initiator())
    }

    pub(crate) fn answer(claim: &Claim) -> Self {
        Self::new(claim, |builder| builder.build_responder())
    }

    fn new(claim: &Claim, build: fn(Builder<'_>) -> Result<HandshakeState, snow::Error>) -> Self {
        let builder = || Builder::new(PATTERN.parse().expect("a pattern"));
        let pair = builder().generate_keypair().expect("a key");
        let prologue = claim.clear();
        let builder = builder().prologue(&prologue).expect("set once");
        let state = build(builder.local_private_key(&pair.private).expect("set once")).expect("complete");
        Self { state, public: pair.public, claim: claim.clone(), written: 0 }
    }

    /// The next message of this side.
    pub(crate) fn write(&mut self) -> Vec<u8> {
        let is_first = self.state.is_initiator() && self.written == 0;
        let payload = if is_first { self.claim.clear() } else { self.claim.proof_of(&self.public) };
        self.written += 1;
        let mut message = vec![0; MAX_BYTES];
        let length = self.state.write_message(&payload, &mut message).expect("our turn");
        message.truncate(length);
        message
    }

    /// Reads the other side's message; gives its payload.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, snow::Error> {
        let mut payload = vec![0; MAX_BYTES];
        let length = self.state.read_message(message, &mut payload)?;
        payload.truncate(length);
        Ok(payload)
    }

    pub(crate) fn finish(self) -> Session {
        let transport = self.state.into_stateless_transport_mode().expect("three messages went");
        Session { transport, sent: 0, received: 0 }
    }
}

/// What follows the handshake; the nonces are open to lies.
pub(crate) struct Session {
    transport: StatelessTransportState,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Session {
    /// Seals what one frame holds, with the next nonce.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; plain.len() + 16];
        let length = self.transport.write_message(self.sent, plain, &mut sealed).expect("it fits");
        self.sent += 1;
        sealed.truncate(length);
        sealed
    }

    /// Opens what one frame held.
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, snow::Error> {
        let mut plain = vec![0; sealed.len()];
        let length = self.transport.read_message(self.received, sealed, &mut plain)?;
        self.received += 1;
        plain.truncate(length);
        Ok(plain)
    }
}
