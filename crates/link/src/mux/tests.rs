use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::segment::{HEADER_BYTES, Header, MAX_SENT_BYTES};
use crate::{Mode, Time};

const A: Protocol = Protocol(2);
const B: Protocol = Protocol(8);
const LIMITS: &[Limit] =
    &[Limit { protocol: A, ingress_bytes: 100_000 }, Limit { protocol: B, ingress_bytes: 1_408 }];
const ONLY_B: &[Limit] = &[Limit { protocol: B, ingress_bytes: 1_408 }];

fn segment(protocol: Protocol, mode: Mode, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let mut bytes = Header { sent_us: 7, mode, protocol, length }.encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// Everything that a responder's demux hands on from these chunks, joined by protocol; all is dealt with.
fn receive(chunks: &[&[u8]]) -> Result<Vec<(Protocol, Vec<u8>)>, Violation> {
    let mut demux = Demux::new(Mode::Responder, Policy::Close, LIMITS);
    let mut got: Vec<(Protocol, Vec<u8>)> = Vec::new();
    for chunk in chunks {
        let mut input = *chunk;
        while let Some(part) = demux.next(&mut input)? {
            demux.release(part.protocol, part.bytes.len());
            match got.last_mut() {
                Some((protocol, bytes)) if *protocol == part.protocol => bytes.extend_from_slice(part.bytes),
                _ => got.push((part.protocol, part.bytes.to_vec())),
            }
        }
        assert!(input.is_empty());
    }
    assert!(!demux.is_inside_segment());
    Ok(got)
}

#[test]
fn a_header_is_eight_big_endian_bytes() {
    let header = Header { sent_us: 0x0102_0304, mode: Mode::Responder, protocol: A, length: 0x0506 };
    assert_eq!(header.encode(), [1, 2, 3, 4, 0x80, 2, 5, 6]);
    assert_eq!(Header::decode(header.encode()), header);
}

#[test]
fn refuses_what_does_not_run_here() {
    let unknown = segment(Protocol(5), Mode::Initiator, b"x");
    assert_eq!(receive(&[&unknown]), Err(Violation::UnknownProtocol { protocol: Protocol(5) }));
    let wrong = segment(A, Mode::Responder, b"x");
    assert_eq!(receive(&[&wrong]), Err(Violation::WrongMode { protocol: A }));
    let empty = segment(A, Mode::Initiator, b"");
    assert_eq!(receive(&[&empty]), Err(Violation::Empty { protocol: A }));
}

#[test]
fn counts_what_waits_against_the_limit() {
    let mut demux = Demux::new(Mode::Responder, Policy::Close, LIMITS);
    let bytes = segment(B, Mode::Initiator, &[0; 1_000]);
    assert_eq!(demux.next(&mut &bytes[..]).unwrap().unwrap().bytes.len(), 1_000);
    assert_eq!(demux.held(B), 1_000);
    demux.release(B, 600);
    assert!(demux.next(&mut &bytes[..]).is_ok());
    assert_eq!(demux.held(B), 1_400);
    assert_eq!(demux.next(&mut &bytes[..]), Err(Violation::Overrun { protocol: B, limit: 1_408 }));
}

/// Everything that a demux hands on which rejects, and its faults, in order.
fn receive_all(chunks: &[&[u8]]) -> Vec<Result<(Protocol, Vec<u8>), Violation>> {
    let mut demux = Demux::new(Mode::Responder, Policy::Reject, LIMITS);
    let mut got: Vec<Result<(Protocol, Vec<u8>), Violation>> = Vec::new();
    let mut was_inside = false;
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match demux.next(&mut input) {
                Ok(Some(part)) => {
                    demux.release(part.protocol, part.bytes.len());
                    match got.last_mut() {
                        Some(Ok((_, bytes))) if was_inside => bytes.extend_from_slice(part.bytes),
                        _ => got.push(Ok((part.protocol, part.bytes.to_vec()))),
                    }
                }
                Ok(None) => break,
                Err(fault) => got.push(Err(fault)),
            }
            was_inside = demux.is_inside_segment();
        }
        assert!(input.is_empty());
    }
    assert!(!demux.is_inside_segment());
    got
}

#[test]
fn a_rejecting_demux_passes_over_a_faulty_segment_and_goes_on() {
    let unknown = Protocol(5);
    let bytes = [
        segment(A, Mode::Initiator, b"one"),
        segment(unknown, Mode::Initiator, b"nobody reads this"),
        segment(A, Mode::Responder, b"nor this"),
        segment(B, Mode::Initiator, b""),
        segment(B, Mode::Initiator, &[7; 1_409]),
        segment(B, Mode::Initiator, b"two"),
    ]
    .concat();
    let expected = [
        Ok((A, b"one".to_vec())),
        Err(Violation::UnknownProtocol { protocol: unknown }),
        Err(Violation::WrongMode { protocol: A }),
        Err(Violation::Empty { protocol: B }),
        Err(Violation::Overrun { protocol: B, limit: 1_408 }),
        Ok((B, b"two".to_vec())),
    ];
    assert_eq!(receive_all(&[&bytes]), expected);
}

#[test]
fn a_frame_holds_one_segment_no_less_and_no_more() {
    let one = segment(A, Mode::Initiator, b"abc");
    assert_eq!(whole(&one), Ok(()));
    assert_eq!(whole(&one[..10]), Err(Violation::Cut { length: 3, held: 2 }));
    assert_eq!(whole(&[&one[..], b"d"].concat()), Err(Violation::Cut { length: 3, held: 4 }));
    assert_eq!(whole(&one[..7]), Err(Violation::Cut { length: 0, held: 0 }));
}

#[test]
fn the_end_of_a_protocol_inside_its_own_segment_is_seen() {
    let mut demux = Demux::new(Mode::Responder, Policy::Close, LIMITS);
    let bytes = segment(A, Mode::Initiator, b"abcd");
    let mut input = &bytes[..10];
    assert_eq!(demux.next(&mut input).unwrap().unwrap().bytes, b"ab");
    demux.enter(ONLY_B);
    assert_eq!(demux.next(&mut &bytes[10..]), Err(Violation::UnknownProtocol { protocol: A }));
}

#[test]
fn each_protocol_gets_one_segment_a_turn() {
    let mut mux = Mux::new(Mode::Initiator);
    let mut waiting = [(A, Outbox::default()), (B, Outbox::default())];
    waiting[0].1.buffer().extend_from_slice(&vec![1; 3 * MAX_SENT_BYTES]);
    waiting[1].1.buffer().extend_from_slice(&[2; 100]);
    let mut out = Vec::new();
    let now = Time { mono: Duration::from_secs(5_000), ..Time::default() };
    let mut send = |budget, out: &mut Vec<u8>| {
        mux.transmit(now, LIMITS, budget, out, |protocol, room, out| {
            let (_, outbox) = waiting.iter_mut().find(|(p, _)| *p == protocol).unwrap();
            outbox.fill(room, out);
        })
    };
    assert!(send(1, &mut out), "there is more than the budget");
    assert!(!send(usize::MAX, &mut out));

    let mut sent = Vec::new();
    let mut rest = &out[..];
    while let Some((head, tail)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(*head);
        assert_eq!(header.mode, Mode::Initiator);
        assert_eq!(header.sent_us, 705_032_704, "5,000 s in µs, modulo 2^32");
        sent.push((header.protocol, usize::from(header.length)));
        rest = &tail[usize::from(header.length)..];
    }
    let full = MAX_SENT_BYTES;
    assert_eq!(sent, [(A, full), (B, 100), (A, full), (A, full)]);
    assert!(waiting.iter().all(|(_, outbox)| outbox.is_empty()));
}

#[test]
fn an_empty_outbox_holds_no_memory() {
    let mut outbox = Outbox::default();
    outbox.buffer().extend_from_slice(&[1; 5_000]);
    let mut out = Vec::new();
    outbox.fill(4_000, &mut out);
    assert_eq!(outbox.len(), 1_000);
    outbox.fill(4_000, &mut out);
    assert_eq!((out.len(), outbox.buffer().capacity()), (5_000, 0));
}

proptest! {
    #[test]
    fn no_cut_of_the_bytes_matters(
        segments in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..200)), 1..20),
        cuts in prop::collection::vec(1usize..40, 1..400),
    ) {
        let bytes: Vec<u8> = segments
            .iter()
            .flat_map(|(a, payload)| segment(if *a { A } else { B }, Mode::Initiator, payload))
            .collect();
        let whole = receive(&[&bytes]).unwrap();
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, tail) = rest.split_at(rest.len().min(*cut));
            chunks.push(chunk);
            rest = tail;
        }
        prop_assert_eq!(receive(&chunks).unwrap(), whole);
    }

    #[test]
    fn no_cut_of_the_bytes_matters_to_one_that_rejects(
        segments in prop::collection::vec(
            (prop_oneof![Just(A), Just(B), Just(Protocol(5))], any::<bool>(), prop::collection::vec(any::<u8>(), 0..90)),
            1..20,
        ),
        cuts in prop::collection::vec(1usize..40, 1..400),
    ) {
        let mode = |ours| if ours { Mode::Responder } else { Mode::Initiator };
        let bytes: Vec<u8> = segments
            .iter()
            .flat_map(|(protocol, ours, payload)| segment(*protocol, mode(*ours), payload))
            .collect();
        let whole = receive_all(&[&bytes]);
        let good = segments.iter().filter(|(p, ours, payload)| *p != Protocol(5) && !ours && !payload.is_empty());
        let good: Vec<_> = good.map(|(protocol, _, payload)| (*protocol, payload.clone())).collect();
        prop_assert_eq!(whole.iter().flatten().cloned().collect::<Vec<_>>(), good);
        prop_assert_eq!(whole.len(), segments.len(), "each segment is a part or a fault");
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, tail) = rest.split_at(rest.len().min(*cut));
            chunks.push(chunk);
            rest = tail;
        }
        prop_assert_eq!(receive_all(&chunks), whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = receive_any(&bytes);
    }
}

fn receive_any(bytes: &[u8]) -> Result<usize, Violation> {
    let mut demux = Demux::new(Mode::Responder, Policy::Close, LIMITS);
    let mut input = bytes;
    let mut got = 0;
    while let Some(part) = demux.next(&mut input)? {
        got += part.bytes.len();
    }
    Ok(got)
}
