//! Sealed frames, honest ones and others.

use proptest::prelude::*;

use super::{ALL, NOISE, sessions};
use crate::frame::{Deframer, LENGTH_BYTES, Limits, TAG_BYTES};
use crate::segment::{HEADER_BYTES, MAX_SENT_BYTES};
use crate::session::transport::{Exhausted, Key};
use crate::session::{Opener, REKEY_FRAMES, Sealer, Security, Session, Violation};

const HEAD: [u8; HEADER_BYTES] = *b"8 bytes.";

/// The content of a sealed frame.
fn sealed(sealer: &mut Sealer, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(HEAD, [payload], &mut out).expect("a nonce");
    out.split_off(LENGTH_BYTES)
}

fn open(opener: &mut Opener, frame: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut frame = frame.to_vec();
    opener.open(&mut frame).map(<[u8]>::to_vec)
}

fn plain(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    Ok([&HEAD, payload].concat())
}

#[test]
fn a_payload_in_pieces_is_one_segment() {
    for security in ALL {
        let (mut ours, mut theirs) = sessions(security);
        let mut wire = b"before".to_vec();
        ours.sealer.seal(HEAD, [&b"one"[..], b"", b"two"], &mut wire).expect("a nonce");
        assert_eq!(wire[..8], [&b"before"[..], &[0, 30]].concat());
        assert_eq!(open(&mut theirs.opener, &wire[8..]), plain(b"onetwo"));
    }
}

#[test]
fn both_directions_carry_the_shortest_and_the_longest_frames() {
    for security in ALL {
        let (ours, theirs) = sessions(security);
        for (mut sealer, mut opener) in [(ours.sealer, theirs.opener), (theirs.sealer, ours.opener)] {
            for bytes in [1, 2, MAX_SENT_BYTES] {
                let frame = sealed(&mut sealer, &vec![5; bytes]);
                let length = frame.len() as u16;
                assert!((Limits::TRANSPORT.min..=Limits::TRANSPORT.max).contains(&length));
                assert_eq!(open(&mut opener, &frame), plain(&vec![5; bytes]));
            }
        }
    }
    assert_eq!(Limits::TRANSPORT, Limits { min: 25, max: 12_312 });
}

#[test]
#[should_panic(expected = "a frame of 12313 bytes")]
fn never_seals_a_frame_that_the_peer_would_refuse() {
    let mut sealer = sessions(NOISE[0]).0.sealer;
    sealed(&mut sealer, &[0; MAX_SENT_BYTES + 1]);
}

#[test]
fn refuses_every_flipped_bit_and_every_cut() {
    for security in ALL {
        let whole = sealed(&mut sessions(security).0.sealer, b"payload");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut opener = opener(security);
            assert_eq!(open(&mut opener, &flipped), Err(Violation::Unauthentic), "bit {bit}");
        }
        for length in 0..whole.len() {
            let mut opener = opener(security);
            assert_eq!(open(&mut opener, &whole[..length]), Err(Violation::Unauthentic), "{length} bytes");
        }
    }
}

/// The acceptor's opener of the session that [`sessions`] always makes.
fn opener(security: Security) -> Opener {
    sessions(security).1.opener
}

#[test]
fn refuses_frames_that_are_replayed_swapped_left_out_or_our_own() {
    for security in NOISE {
        let Session { mut sealer, opener: mut ours, .. } = sessions(security).0;
        let frames = [b"zero", b"one.", b"two."].map(|payload| sealed(&mut sealer, payload));

        let mut replayed = opener(security);
        assert_eq!(open(&mut replayed, &frames[0]), plain(b"zero"));
        assert_eq!(open(&mut replayed, &frames[0]), Err(Violation::Unauthentic));

        assert_eq!(open(&mut opener(security), &frames[1]), Err(Violation::Unauthentic), "swapped");

        let mut left_out = opener(security);
        assert_eq!(open(&mut left_out, &frames[0]), plain(b"zero"));
        assert_eq!(open(&mut left_out, &frames[2]), Err(Violation::Unauthentic));

        assert_eq!(open(&mut ours, &frames[0]), Err(Violation::Unauthentic), "thrown back at us");
    }
}

#[test]
fn a_frame_of_another_session_is_refused() {
    let mut other = super::shaken(NOISE[0], 2).0;
    let frame = sealed(&mut other.sealer, b"payload");
    assert_eq!(open(&mut opener(NOISE[0]), &frame), Err(Violation::Unauthentic));
}

#[test]
fn a_frame_that_does_not_authenticate_spends_no_nonce() {
    let (mut ours, mut theirs) = sessions(NOISE[0]);
    let frame = sealed(&mut ours.sealer, b"payload");
    assert_eq!(open(&mut theirs.opener, &[0; 40]), Err(Violation::Unauthentic));
    assert_eq!(open(&mut theirs.opener, &frame), plain(b"payload"));
}

#[test]
fn both_sides_change_their_key_at_the_same_frame() {
    for security in NOISE {
        let (mut ours, mut theirs) = sessions(security);
        let mut stuck = sessions(security).1.opener;
        ours.sealer.skip_to(REKEY_FRAMES - 1);
        theirs.opener.skip_to(REKEY_FRAMES - 1);
        for payload in [b"last of the old", b"one of the new.", b"one more of it."] {
            let frame = sealed(&mut ours.sealer, payload);
            assert_eq!(open(&mut theirs.opener, &frame), plain(payload));
        }
        // With the number of the frame and the key from before, it does not open.
        stuck.skip_to(REKEY_FRAMES);
        let (mut ours, _) = sessions(security);
        ours.sealer.skip_to(REKEY_FRAMES - 1);
        sealed(&mut ours.sealer, b"the last");
        let renewed = sealed(&mut ours.sealer, b"the first");
        assert_eq!(open(&mut stuck, &renewed), Err(Violation::Unauthentic));
    }
}

#[test]
fn the_next_key_is_the_one_that_noise_derives() {
    let config = super::config(NOISE[0]);
    let (mut raw, mut acceptor) = (super::raw::Raw::dial(&config), super::acceptor(&config, 1));
    let key = raw.key;
    acceptor.receive(&raw.send(&crate::session::payload::preamble(&config))).expect("the first message");
    raw.receive(&super::sent(&mut acceptor));
    let proof = crate::session::payload::proof(&super::identity(1), &key);
    acceptor.receive(&raw.send(&proof)).expect("the third message");
    let mut session = acceptor.finish();
    let mut transport = raw.state.into_stateless_transport_mode().expect("finished");

    session.sealer.skip_to(REKEY_FRAMES - 1);
    sealed(&mut session.sealer, b"the last");
    transport.rekey_incoming();
    let mut plain = vec![0; 1_024];
    let frame = sealed(&mut session.sealer, b"the first");
    let length = transport.read_message(REKEY_FRAMES, &frame, &mut plain).expect("the same key");
    assert_eq!(plain[HEADER_BYTES..length], b"the first"[..]);
}

#[test]
fn the_last_nonce_ends_a_session_without_a_panic() {
    for security in NOISE {
        let (mut ours, mut theirs) = sessions(security);
        ours.sealer.skip_to(u64::MAX - 1);
        theirs.opener.skip_to(u64::MAX - 1);
        let frame = sealed(&mut ours.sealer, b"the last of all");
        assert_eq!(open(&mut theirs.opener, &frame), plain(b"the last of all"));
        let mut out = b"before".to_vec();
        assert_eq!(ours.sealer.seal(HEAD, [b"one more"], &mut out), Err(Exhausted));
        assert_eq!(out, b"before");
        assert_eq!(open(&mut theirs.opener, &frame), Err(Violation::Exhausted));
    }
}

#[test]
fn a_session_is_small() {
    // The expanded key of each direction is most of it.
    assert!(size_of::<Sealer>() + size_of::<Opener>() + 2 * size_of::<Key>() <= 1_152);
    assert!(size_of::<Deframer>() <= 40);
}

#[test]
fn secrets_are_not_shown() {
    let session = sessions(NOISE[0]).0;
    let shown = format!("{session:?}");
    assert!(shown.contains("key not shown"), "{shown}");
}

proptest! {
    /// In any cut of the wire the frames come out whole and in order, up to where somebody changed a byte.
    #[test]
    fn what_is_sealed_comes_out_whole_and_in_order_or_not_at_all(
        security in prop::sample::select(&ALL[..]),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..600), 1..12),
        cuts in prop::collection::vec(1..700_usize, 1..20),
        fault in prop::option::of((any::<prop::sample::Index>(), 1..=255_u8)),
    ) {
        let (mut ours, mut theirs) = sessions(security);
        let (mut wire, mut ends) = (Vec::new(), Vec::new());
        for payload in &payloads {
            ours.sealer.seal(HEAD, payload.chunks(100), &mut wire).expect("a nonce");
            ends.push(wire.len());
        }
        let faulty = fault.map(|(at, change)| {
            let at = at.index(wire.len());
            wire[at] ^= change;
            ends.iter().filter(|end| **end <= at).count()
        });
        let (got, failed) = received(&mut theirs.opener, &mut wire, &cuts);
        match faulty {
            None => prop_assert!(!failed && got == payloads),
            // A length that was changed may also leave the last frames waiting for more.
            Some(intact) => prop_assert_eq!(&got[..], &payloads[..intact]),
        }
    }
}

/// The payloads that are opened before the first fault, and whether there was one.
fn received(opener: &mut Opener, wire: &mut [u8], cuts: &[usize]) -> (Vec<Vec<u8>>, bool) {
    let mut deframer = Deframer::new(Limits::TRANSPORT);
    let mut got = Vec::new();
    let mut rest = wire;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut piece, after) = rest.split_at_mut((*cut).min(rest.len()));
        rest = after;
        loop {
            match deframer.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(frame)) => match opener.open(frame) {
                    Ok(plain) => got.push(plain[HEADER_BYTES..].to_vec()),
                    Err(_) => return (got, true),
                },
                Err(_) => return (got, true),
            }
        }
    }
    (got, false)
}

#[test]
fn a_tag_is_what_both_modes_add() {
    for security in ALL {
        let frame = sealed(&mut sessions(security).0.sealer, b"payload");
        assert_eq!(frame.len(), HEADER_BYTES + 7 + TAG_BYTES);
    }
}
