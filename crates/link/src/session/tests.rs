//! Two sides of a session, and whoever stands between them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{Cipher, Config, Handshake, Security, Session};
use crate::Identity;
use crate::frame::{Deframer, Limits};

const SECURITIES: [Security; 3] =
    [Security::Noise(Cipher::Aes256Gcm), Security::Noise(Cipher::ChaChaPoly), Security::Plain];

fn config(security: Security) -> Config {
    Config { network_id: [7; 32], security }
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

/// The one frame that is due: its content.
fn sent(side: &mut Handshake) -> Vec<u8> {
    let mut out = Vec::new();
    side.transmit(&mut out);
    let mut input = &mut out[..];
    let mut deframer = Deframer::new(Limits::HANDSHAKE);
    let content = deframer.next(&mut input).expect("of a fit length").expect("whole").to_vec();
    assert_eq!(deframer.next(&mut input), Ok(None), "more than one frame");
    content
}

fn sessions(security: Security) -> (Session, Session) {
    let config = config(security);
    let (ours, theirs) = (identity(1), identity(2));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut dialler = Handshake::dial(&config, &ours, Some(theirs.peer_id()), &mut rng);
    let mut acceptor = Handshake::accept(&config, &theirs, &mut rng);
    acceptor.receive(&sent(&mut dialler)).expect("the first message");
    dialler.receive(&sent(&mut acceptor)).expect("the second message");
    if security != Security::Plain {
        acceptor.receive(&sent(&mut dialler)).expect("the third message");
    }
    assert!(dialler.is_finished() && acceptor.is_finished());
    (dialler.finish(), acceptor.finish())
}

#[test]
fn both_sides_learn_who_the_other_is_and_read_what_it_seals() {
    for security in SECURITIES {
        let (mut dialler, mut acceptor) = sessions(security);
        assert_eq!((dialler.peer, acceptor.peer), (identity(2).peer_id(), identity(1).peer_id()));
        for (from, to) in
            [(&mut dialler.sealer, &mut acceptor.opener), (&mut acceptor.sealer, &mut dialler.opener)]
        {
            let mut wire = Vec::new();
            from.seal([1; 8], [&b"one"[..], b"", b"two"], &mut wire).expect("a nonce");
            from.seal([2; 8], [[3; 12_288]], &mut wire).expect("a nonce");
            let mut input = &mut wire[..];
            let mut deframer = Deframer::new(Limits::TRANSPORT);
            let frame = deframer.next(&mut input).expect("fit").expect("whole");
            assert_eq!(to.open(frame), Ok(&b"\x01\x01\x01\x01\x01\x01\x01\x01onetwo"[..]));
            let frame = deframer.next(&mut input).expect("fit").expect("whole");
            assert_eq!(to.open(frame).map(<[u8]>::len), Ok(12_296));
            assert_eq!(deframer.next(&mut input), Ok(None));
        }
    }
}
