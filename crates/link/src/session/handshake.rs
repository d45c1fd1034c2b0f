//! Three messages of Noise XX, or two claims in the plain mode.
//!
//! | | dialler → acceptor | acceptor → dialler |
//! |---|---|---|
//! | 1 | ephemeral key, preamble (in clear) | |
//! | 2 | | ephemeral key, Noise key, identity and proof |
//! | 3 | Noise key, identity and proof | |
//!
//! Each message is one frame; its first byte says whether it is one (0) or a refusal (1), which anybody on the way
//! could have made up. The dialler learns who answered before it says who it is.

use rand::CryptoRng;
use snow::{Builder, HandshakeState};

use super::payload::{PREAMBLE_BYTES, PROOF_BYTES, check_preamble, check_proof, preamble, proof};
use super::resolver::{Resolver, public_key};
use super::{Cipher, Config, Opener, Sealer, Security, Session, Violation};
use crate::frame::{Limits, TAG_BYTES};
use crate::reason::Code;
use crate::{Identity, Mode, PeerId};

/// The first byte of a handshake message.
const MESSAGE: u8 = 0;
/// The first byte of a refusal.
const REFUSAL: u8 = 1;

/// A public key of X25519, or of Ed25519.
const KEY_BYTES: usize = 32;
const FIRST_BYTES: usize = KEY_BYTES + PREAMBLE_BYTES;
const THIRD_BYTES: usize = KEY_BYTES + TAG_BYTES + PROOF_BYTES + TAG_BYTES;
const SECOND_BYTES: usize = KEY_BYTES + THIRD_BYTES;

/// One side of a handshake. After a violation it is not to be fed again; it may still have a refusal to send.
pub struct Handshake {
    config: Config,
    identity: Identity,
    /// Whom we dialled.
    expected: Option<PeerId>,
    ours: Mode,
    channel: Channel,
    step: Step,
    /// The frame that is to be sent before anything else happens.
    due: Vec<u8>,
}

/// What the messages travel in.
enum Channel {
    Noise { cipher: Cipher, state: Box<HandshakeState>, key: [u8; KEY_BYTES] },
    Plain,
}

/// What comes next, once nothing is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    AwaitFirst,
    AwaitSecond,
    AwaitThird,
    Finished { peer: PeerId },
    Failed,
}

/// Appends a frame that refuses the peer before it is authenticated.
pub fn refusal(code: Code, out: &mut Vec<u8>) {
    frame(&[REFUSAL, code.to_u8()], out);
}

/// The code of a frame that refuses us; nothing when it is another frame.
pub fn refused(content: &[u8]) -> Option<Code> {
    match content {
        &[REFUSAL, code] => Some(Code::from_u8(code)),
        _ => None,
    }
}

impl Handshake {
    /// The side that dialled, perhaps a peer that it knows.
    pub fn dial(
        config: &Config,
        identity: &Identity,
        expected: Option<PeerId>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut dialler = Self::new(config, identity, expected, Mode::Initiator, Step::AwaitSecond, rng);
        dialler.send_first();
        dialler
    }

    /// The side that was dialled.
    pub fn accept(config: &Config, identity: &Identity, rng: &mut impl CryptoRng) -> Self {
        Self::new(config, identity, None, Mode::Responder, Step::AwaitFirst, rng)
    }

    fn new(
        config: &Config,
        identity: &Identity,
        expected: Option<PeerId>,
        ours: Mode,
        step: Step,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let channel = match config.security {
            Security::Noise(cipher) => noise(cipher, &preamble(config), ours, rng),
            Security::Plain => Channel::Plain,
        };
        Self { config: *config, identity: identity.clone(), expected, ours, channel, step, due: Vec::new() }
    }

    /// Takes the content of a frame from the peer.
    ///
    /// # Errors
    /// When the peer did something wrong, or refused us. The handshake has failed then.
    pub fn receive(&mut self, content: &[u8]) -> Result<(), Violation> {
        match self.next(content) {
            Ok(step) => {
                self.step = step;
                Ok(())
            }
            Err(violation) => {
                self.step = Step::Failed;
                self.due.clear();
                if let Some(code) = refused_with(violation) {
                    refusal(code, &mut self.due);
                }
                Err(violation)
            }
        }
    }

    /// Appends the frame that is due, if one is.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.due);
        self.due = Vec::new();
    }

    /// Whether the peer is known and everything was sent.
    pub fn is_finished(&self) -> bool {
        matches!(self.step, Step::Finished { .. }) && self.due.is_empty()
    }

    /// The session. Only to be called when it [is finished](Self::is_finished).
    pub fn finish(self) -> Session {
        assert!(self.due.is_empty(), "the last message was not sent");
        let Step::Finished { peer } = self.step else { panic!("a handshake at {:?} is not over", self.step) };
        let (sealer, opener) = match self.channel {
            Channel::Plain => (Sealer::plain(), Opener::plain()),
            Channel::Noise { cipher, mut state, .. } => {
                let (dialler, acceptor) = state.dangerously_get_raw_split();
                let (out, back) = match self.ours {
                    Mode::Initiator => (dialler, acceptor),
                    Mode::Responder => (acceptor, dialler),
                };
                (Sealer::noise(cipher, &out), Opener::noise(cipher, &back))
            }
        };
        Session { peer, sealer, opener }
    }

    fn next(&mut self, content: &[u8]) -> Result<Step, Violation> {
        let malformed = Violation::Malformed { length: content.len() };
        if let Some(code) = refused(content) {
            return Err(Violation::Refused { code });
        }
        let [MESSAGE, message @ ..] = content else { return Err(malformed) };
        if !self.due.is_empty() {
            return Err(Violation::OutOfTurn);
        }
        match self.step {
            Step::AwaitFirst => self.on_first(message),
            Step::AwaitSecond => self.on_second(message),
            Step::AwaitThird => self.on_third(message),
            Step::Finished { .. } | Step::Failed => Err(Violation::OutOfTurn),
        }
    }

    /// The preamble stands behind the key in both modes, so that the wrong mode is found out as such.
    fn on_first(&mut self, message: &[u8]) -> Result<Step, Violation> {
        let malformed = Violation::Malformed { length: message.len() };
        let (key, theirs) = message.split_first_chunk::<KEY_BYTES>().ok_or(malformed)?;
        check_preamble(&self.config, theirs)?;
        let step = match &mut self.channel {
            Channel::Noise { state, .. } => {
                read(state, message)?;
                Step::AwaitThird
            }
            Channel::Plain => Step::Finished { peer: self.check_peer(PeerId(*key))? },
        };
        self.send_proof(SECOND_BYTES)?;
        Ok(step)
    }

    /// In the plain mode the dialler has claimed its key in the first message already.
    fn on_second(&mut self, message: &[u8]) -> Result<Step, Violation> {
        let peer = self.on_proof(message, SECOND_BYTES)?;
        if matches!(self.channel, Channel::Noise { .. }) {
            self.send_proof(THIRD_BYTES)?;
        }
        Ok(Step::Finished { peer })
    }

    fn on_third(&mut self, message: &[u8]) -> Result<Step, Violation> {
        Ok(Step::Finished { peer: self.on_proof(message, THIRD_BYTES)? })
    }

    /// A message that says who the peer is.
    fn on_proof(&mut self, message: &[u8], bytes: usize) -> Result<PeerId, Violation> {
        let malformed = Violation::Malformed { length: message.len() };
        let peer = match &mut self.channel {
            Channel::Noise { state, .. } => {
                if message.len() != bytes {
                    return Err(malformed);
                }
                let payload = read(state, message)?;
                let proof = payload.first_chunk().ok_or(malformed)?;
                let key = state.get_remote_static().and_then(<[u8]>::first_chunk).ok_or(malformed)?;
                check_proof(proof, key)?
            }
            Channel::Plain => PeerId(message.try_into().map_err(|_| malformed)?),
        };
        self.check_peer(peer)
    }

    fn check_peer(&self, found: PeerId) -> Result<PeerId, Violation> {
        if found == self.identity.peer_id() {
            return Err(Violation::OwnKey);
        }
        match self.expected {
            Some(expected) if expected != found => Err(Violation::WrongKey { expected, found }),
            Some(_) | None => Ok(found),
        }
    }

    fn send_first(&mut self) {
        let preamble = preamble(&self.config);
        match &mut self.channel {
            Channel::Noise { state, .. } => {
                write(state, &preamble, FIRST_BYTES, &mut self.due)
                    .expect("a first message computes no secret");
            }
            Channel::Plain => {
                frame(&[&[MESSAGE][..], &self.identity.peer_id().0, &preamble].concat(), &mut self.due);
            }
        }
    }

    /// It computes secrets with the peer's key, which must not be a weak one.
    fn send_proof(&mut self, bytes: usize) -> Result<(), Violation> {
        match &mut self.channel {
            Channel::Noise { state, key, .. } => {
                write(state, &proof(&self.identity, key), bytes, &mut self.due)?;
            }
            Channel::Plain => frame(&[&[MESSAGE][..], &self.identity.peer_id().0].concat(), &mut self.due),
        }
        Ok(())
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({:?}, {:?}, keys not shown)", self.ours, self.step)
    }
}

fn noise(cipher: Cipher, prologue: &[u8], ours: Mode, rng: &mut impl CryptoRng) -> Channel {
    let (mut secret, mut ephemeral) = ([0; 32], [0; 32]);
    rng.fill_bytes(&mut secret);
    rng.fill_bytes(&mut ephemeral);
    let pattern = match cipher {
        Cipher::Aes256Gcm => "Noise_XX_25519_AESGCM_SHA256",
        Cipher::ChaChaPoly => "Noise_XX_25519_ChaChaPoly_SHA256",
    };
    let params = pattern.parse().expect("a pattern that snow knows");
    let builder = Builder::with_resolver(params, Box::new(Resolver { ephemeral }))
        .local_private_key(&secret)
        .and_then(|builder| builder.prologue(prologue))
        .expect("each is set once");
    let state = match ours {
        Mode::Initiator => builder.build_initiator(),
        Mode::Responder => builder.build_responder(),
    };
    let state = Box::new(state.expect("all that the pattern needs is there"));
    Channel::Noise { cipher, state, key: public_key(&secret) }
}

/// Reads a message of Noise: its payload, in the beginning of what is returned.
fn read(state: &mut HandshakeState, message: &[u8]) -> Result<[u8; PROOF_BYTES], Violation> {
    let mut payload = [0; PROOF_BYTES];
    match state.read_message(message, &mut payload) {
        Ok(_) => Ok(payload),
        Err(snow::Error::Dh) => Err(Violation::WeakKey),
        Err(snow::Error::Decrypt) => Err(Violation::Unauthentic),
        Err(_) => Err(Violation::Malformed { length: message.len() }),
    }
}

/// Appends the frame with our next message of Noise.
fn write(
    state: &mut HandshakeState,
    payload: &[u8],
    bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), Violation> {
    // snow wants room for a tag even where there is no key yet.
    let mut content = [MESSAGE; 1 + SECOND_BYTES + TAG_BYTES];
    let written = match state.write_message(payload, &mut content[1..]) {
        Ok(written) => written,
        Err(snow::Error::Dh) => return Err(Violation::WeakKey),
        Err(error) => panic!("our turn, and room enough: {error}"),
    };
    assert_eq!(written, bytes, "the length of a handshake message is known beforehand");
    frame(&content[..1 + bytes], out);
    Ok(())
}

/// What the peer is told when we refuse it.
fn refused_with(violation: Violation) -> Option<Code> {
    match violation {
        Violation::WrongVersion { .. } => Some(Code::OtherVersion),
        Violation::WrongNetwork { .. } => Some(Code::OtherNetwork),
        Violation::WrongCipher { .. } => Some(Code::OtherCipher),
        Violation::NotAnabranch
        | Violation::Refused { .. }
        | Violation::Malformed { .. }
        | Violation::OutOfTurn
        | Violation::WeakKey
        | Violation::Unproven { .. }
        | Violation::WrongKey { .. }
        | Violation::OwnKey
        | Violation::Unauthentic
        | Violation::Exhausted => None,
    }
}

fn frame(content: &[u8], out: &mut Vec<u8>) {
    debug_assert!(content.len() <= usize::from(Limits::HANDSHAKE.max), "a handshake message is short");
    out.extend_from_slice(&(content.len() as u16).to_be_bytes());
    out.extend_from_slice(content);
}
