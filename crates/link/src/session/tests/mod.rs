//! Two sides of a session, and whoever stands between them.

mod frames;
mod handshake;
mod hostile;
mod raw;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{Cipher, Config, Handshake, Security, Session};
use crate::frame::{Deframer, Limits};
use crate::{Identity, PeerId};

const NOISE: [Security; 2] = [Security::Noise(Cipher::Aes256Gcm), Security::Noise(Cipher::ChaChaPoly)];
const ALL: [Security; 3] = [NOISE[0], NOISE[1], Security::Plain];

fn config(security: Security) -> Config {
    Config { network_id: [7; 32], security }
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

fn peer(seed: u8) -> PeerId {
    identity(seed).peer_id()
}

/// Peer 1 dials peer 2.
fn dialler(config: &Config, seed: u64) -> Handshake {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Handshake::dial(config, &identity(1), Some(peer(2)), &mut rng)
}

/// Peer 2 is dialled.
fn acceptor(config: &Config, seed: u64) -> Handshake {
    Handshake::accept(config, &identity(2), &mut ChaCha8Rng::seed_from_u64(1_000 + seed))
}

/// The content of the frame that is due, if one is.
fn due(side: &mut Handshake) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    side.transmit(&mut out);
    let mut input = &mut out[..];
    let mut deframer = Deframer::new(Limits::HANDSHAKE);
    let content = deframer.next(&mut input).expect("of a fit length")?.to_vec();
    assert_eq!(deframer.next(&mut input), Ok(None), "more than one frame");
    Some(content)
}

/// The content of the frame that is due.
fn sent(side: &mut Handshake) -> Vec<u8> {
    due(side).expect("a frame is due")
}

/// Both sides of a finished handshake, and what was said.
fn shaken(security: Security, seed: u64) -> (Session, Session, Vec<Vec<u8>>) {
    let config = config(security);
    let (mut dialler, mut acceptor) = (dialler(&config, seed), acceptor(&config, seed));
    let mut said = Vec::new();
    while let Some(message) = due(&mut dialler) {
        acceptor.receive(&message).expect("from the dialler");
        said.push(message);
        if let Some(message) = due(&mut acceptor) {
            dialler.receive(&message).expect("from the acceptor");
            said.push(message);
        }
    }
    assert!(dialler.is_finished() && acceptor.is_finished());
    (dialler.finish(), acceptor.finish(), said)
}

fn sessions(security: Security) -> (Session, Session) {
    let (dialler, acceptor, _) = shaken(security, 1);
    (dialler, acceptor)
}
