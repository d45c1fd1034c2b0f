//! Links between peers: outer frames, and the handshake, from whoever finds the port.

use std::sync::{Mutex, OnceLock, PoisonError};

use link::frame::{Deframer, LENGTH_BYTES, Limits, Violation};
use link::segment::HEADER_BYTES;
use link::session::{Cipher, Config, Handshake, Opener, Sealer, Security};
use link::{Identity, PeerId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::Target;

pub(crate) const OUTER_FRAME: Target =
    Target { name: "outer_frame", run: run_frames, seeds: seeds_of_frames };
pub(crate) const LINK_HANDSHAKE: Target =
    Target { name: "link_handshake", run: run_handshake, seeds: seeds_of_handshakes };

const SECURITIES: [Security; 3] =
    [Security::Noise(Cipher::Aes256Gcm), Security::Noise(Cipher::ChaChaPoly), Security::Plain];

/// What comes of a stream, in order.
type Frames = Vec<Result<Vec<u8>, Violation>>;

/// In any cut the same frames and the same faults; and of all frames only those open that were sealed, in order.
fn run_frames(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let whole = frames(stream, stream.len().max(1));
    let pieces = frames(stream, usize::from(cut).max(1));
    assert_eq!(whole, pieces, "the cut of the bytes matters");
    opens_what_was_sealed(&whole);
}

fn frames(stream: &[u8], cut: usize) -> Frames {
    let mut deframer = Deframer::new(Limits::TRANSPORT);
    let mut frames = Vec::new();
    let mut arrived = 0;
    for piece in stream.chunks(cut) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        arrived += input.len();
        loop {
            match deframer.next(&mut input) {
                Ok(Some(frame)) => frames.push(Ok(frame.to_vec())),
                Ok(None) => break,
                Err(fault) => frames.push(Err(fault)),
            }
        }
        assert!(input.is_empty(), "bytes are left over");
        assert!(deframer.held_bytes() <= (2 * arrived).min(usize::from(Limits::TRANSPORT.max)));
        assert!(deframer.is_inside() || deframer.held_bytes() == 0, "something is kept between frames");
    }
    frames
}

const HONEST: [&[u8]; 3] = [b"one", b"the second", &[3; 40]];

/// An opener is as good as new until it has opened something, and making one costs a handshake.
static UNUSED: Mutex<Option<Opener>> = Mutex::new(None);

/// How many were opened.
fn opens_what_was_sealed(frames: &Frames) -> usize {
    let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut opener = unused.take().unwrap_or_else(|| sessions().1);
    let mut opened = 0;
    for frame in frames.iter().flatten() {
        let mut frame = frame.clone();
        if let Ok(plain) = opener.open(&mut frame) {
            assert_eq!(plain[HEADER_BYTES..], *HONEST[opened], "it opened what nobody sealed");
            opened += 1;
        }
    }
    if opened == 0 {
        *unused = Some(opener);
    }
    opened
}

fn seeds_of_frames() -> Vec<Vec<u8>> {
    let mut sealer = sessions().0;
    let sealed = HONEST.map(|payload| {
        let mut out = Vec::new();
        sealer.seal([0; HEADER_BYTES], [payload], &mut out).expect("a nonce");
        out
    });
    let shortest = [&[0, 25][..], &[1; 25]].concat();
    vec![
        [&[7][..], &sealed.concat()].concat(),
        [&[1][..], &[0, 0, 0, 24], &[5; 24], &shortest].concat(),
        [&[200][..], &[0x30, 0x18], &[9; 12_312], &[0x30, 0x19], &[9; 12_313], &shortest].concat(),
    ]
}

/// What one side seals, and what the other opens it with.
fn sessions() -> (Sealer, Opener) {
    let (mut dialler, mut acceptor) = (side(false, SECURITIES[0]), side(true, SECURITIES[0]));
    while !acceptor.is_finished() {
        acceptor.receive(&sent(&mut dialler)).expect("honest");
        let answer = sent(&mut acceptor);
        if !answer.is_empty() {
            dialler.receive(&answer).expect("honest");
        }
    }
    (dialler.finish().sealer, acceptor.finish().opener)
}

fn side(accepts: bool, security: Security) -> Handshake {
    let config = Config { network_id: [7; 32], security };
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(accepts));
    if accepts {
        Handshake::accept(&config, &Identity::from_seed(&[2; 32]), &mut rng)
    } else {
        Handshake::dial(&config, &Identity::from_seed(&[1; 32]), Some(peer(2)), &mut rng)
    }
}

fn peer(seed: u8) -> PeerId {
    Identity::from_seed(&[seed; 32]).peer_id()
}

/// The content of the frame that is due.
fn sent(side: &mut Handshake) -> Vec<u8> {
    let mut out = Vec::new();
    side.transmit(&mut out);
    out.drain(..LENGTH_BYTES.min(out.len()));
    assert!(out.len() <= usize::from(Limits::HANDSHAKE.max), "longer than may be");
    out
}

/// The first byte says which message of which handshake is awaited; what follows comes from the stranger.
///
/// Whoever finishes a handshake is who it must be: nobody who makes up bytes has anybody's key.
fn run_handshake(input: &[u8]) {
    if let Some((&which, stream)) = input.split_first() {
        shake(which, stream);
    }
}

/// Who was found at the other end, if somebody was.
fn shake(which: u8, stream: &[u8]) -> Option<PeerId> {
    let security = SECURITIES[usize::from(which) / 3 % 3];
    let (mut side, honest) = awaiting(usize::from(which) % 3, security);
    let mut deframer = Deframer::new(Limits::HANDSHAKE);
    let mut stream = stream.to_vec();
    let mut input = &mut stream[..];
    while let Ok(Some(content)) = deframer.next(&mut input) {
        let result = side.receive(content);
        let said = sent(&mut side);
        if result.is_err() {
            assert!(said.len() <= 2, "it says more than a refusal to one who failed");
            assert!(side.receive(content).is_err() && !side.is_finished(), "it goes on after a fault");
            return None;
        }
        if side.is_finished() {
            let peer = side.finish().peer;
            assert!(peer == honest || security == Security::Plain, "{peer} did not prove that");
            return Some(peer);
        }
    }
    None
}

/// A side that awaits the message with this index, and from whom.
fn awaiting(message: usize, security: Security) -> (Handshake, PeerId) {
    let accepts = message != 1;
    let mut side = side(accepts, security);
    if message == 2 {
        side.receive(&said(security)[0]).expect("honest");
    }
    sent(&mut side);
    (side, peer(if accepts { 1 } else { 2 }))
}

/// What the two honest sides say to each other.
fn said(security: Security) -> &'static [Vec<u8>] {
    static SAID: [OnceLock<Vec<Vec<u8>>>; 3] = [const { OnceLock::new() }; 3];
    let place = SECURITIES.iter().position(|known| *known == security).expect("one of them");
    SAID[place].get_or_init(|| {
        let (mut dialler, mut acceptor) = (side(false, security), side(true, security));
        let first = sent(&mut dialler);
        acceptor.receive(&first).expect("honest");
        let second = sent(&mut acceptor);
        dialler.receive(&second).expect("honest");
        vec![first, second, sent(&mut dialler)]
    })
}

fn seeds_of_handshakes() -> Vec<Vec<u8>> {
    let framed = |which: usize, content: &[u8]| {
        [&[which as u8][..], &(content.len() as u16).to_be_bytes(), content].concat()
    };
    let mut seeds = vec![framed(0, &[1, 4]), framed(1, &[1, 2])];
    for (place, security) in SECURITIES.into_iter().enumerate() {
        for (message, content) in said(security).iter().enumerate() {
            seeds.push(framed(place * 3 + message, content));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_what_honest_sides_say() {
        let opened =
            seeds_of_frames().into_iter().map(|seed| opens_what_was_sealed(&frames(&seed[1..], 100)));
        assert_eq!(opened.collect::<Vec<_>>(), [3, 0, 0]);
        let found = seeds_of_handshakes().into_iter().filter_map(|seed| shake(seed[0], &seed[1..])).count();
        // The dialler by the second message and the acceptor by the third, with each cipher; both in the plain mode.
        assert_eq!(found, 6);
    }
}
