use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { min: 3, max: 300 };

fn framed(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}

/// What came of a stream: frames and faults in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Frame(Vec<u8>),
    Fault(Violation),
}

/// Feeds a stream in pieces of these lengths, over and over.
fn cut(deframer: &mut Deframer, mut stream: &[u8], cuts: &[usize]) -> Vec<Got> {
    let mut got = Vec::new();
    for length in cuts.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at((*length).min(stream.len()));
        stream = rest;
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match deframer.next(&mut input) {
                Ok(None) => break,
                Ok(Some(frame)) => got.push(Got::Frame(frame.to_vec())),
                Err(violation) => got.push(Got::Fault(violation)),
            }
        }
        assert!(input.is_empty(), "bytes are left over");
    }
    got
}

#[test]
fn a_frame_that_is_whole_is_handed_on_where_it_lies() {
    let mut deframer = Deframer::new(LIMITS);
    let mut bytes = [framed(b"first"), framed(b"second")].concat();
    let there = bytes.as_ptr() as usize + LENGTH_BYTES;
    let mut input = &mut bytes[..];
    let frame = deframer.next(&mut input).expect("fit").expect("whole");
    assert_eq!((frame.as_ptr() as usize, &*frame), (there, &b"first"[..]));
    assert_eq!(deframer.next(&mut input).expect("fit").as_deref(), Some(&b"second"[..]));
    assert_eq!(deframer.next(&mut input), Ok(None));
    assert_eq!((deframer.held_bytes(), deframer.is_inside()), (0, false));
}

#[test]
fn passes_over_frames_of_impossible_lengths_and_goes_on() {
    let (short, long) = (framed(b"ab"), framed(&[7; 301]));
    let stream = [framed(b""), framed(b"abc"), short, framed(b"defg"), long, framed(&[8; 300])].concat();
    let too_short = |length| Got::Fault(Violation::TooShort { length, min: 3 });
    let expected = [
        too_short(0),
        Got::Frame(b"abc".to_vec()),
        too_short(2),
        Got::Frame(b"defg".to_vec()),
        Got::Fault(Violation::TooLong { length: 301, max: 300 }),
        Got::Frame(vec![8; 300]),
    ];
    for length in 1..stream.len() {
        let mut deframer = Deframer::new(LIMITS);
        assert_eq!(cut(&mut deframer, &stream, &[length]), expected, "in pieces of {length}");
        assert_eq!((deframer.held_bytes(), deframer.is_inside()), (0, false));
    }
}

#[test]
fn empty_frames_cost_no_memory() {
    let mut deframer = Deframer::new(LIMITS);
    let got = cut(&mut deframer, &[0; 10_001], &[7]);
    assert_eq!(got.len(), 5_000);
    assert_eq!(deframer.held_bytes(), 0);
    assert!(deframer.is_inside(), "half a length is there");
}

#[test]
fn holds_no_more_than_twice_what_has_arrived_and_nothing_of_what_is_passed_over() {
    let mut deframer = Deframer::new(Limits::TRANSPORT);
    let wire = framed(&[5; 12_312]);
    for (before, byte) in wire[..wire.len() - 1].iter().enumerate() {
        assert_eq!(deframer.next(&mut &mut [*byte][..]), Ok(None));
        let arrived = (before + 1).saturating_sub(LENGTH_BYTES);
        assert!(deframer.held_bytes() <= (2 * arrived).min(12_312), "{} held", deframer.held_bytes());
        assert!(deframer.is_inside());
    }
    assert!(deframer.next(&mut &mut [5][..]).expect("fit").is_some());
    assert!(!deframer.is_inside(), "the frame is out");
    assert_eq!(deframer.next(&mut &mut [][..]), Ok(None));
    assert_eq!(deframer.held_bytes(), 0);

    let mut deframer = Deframer::new(Limits::HANDSHAKE);
    assert_eq!(cut(&mut deframer, &[&[0xff; 2][..], &[1; 60_000]].concat(), &[500]).len(), 1);
    assert_eq!((deframer.held_bytes(), deframer.is_inside()), (0, true));
}

#[test]
fn new_limits_hold_from_the_next_length_on() {
    let mut deframer = Deframer::new(Limits { min: 1, max: 10 });
    let mut bytes = [framed(b"short"), framed(&[1; 11]), framed(b"s")].concat();
    let mut input = &mut bytes[..];
    assert!(deframer.next(&mut input).expect("fit").is_some());
    deframer.set_limits(Limits { min: 2, max: 11 });
    assert!(deframer.next(&mut input).expect("fit now").is_some());
    assert_eq!(deframer.next(&mut input), Err(Violation::TooShort { length: 1, min: 2 }));
}

proptest! {
    #[test]
    fn no_cut_of_the_bytes_matters(
        lengths in prop::collection::vec(0..320_usize, 0..20),
        tail in prop::collection::vec(any::<u8>(), 0..50),
        cuts in prop::collection::vec(1..400_usize, 1..20),
    ) {
        let frames = lengths.iter().enumerate().flat_map(|(index, length)| framed(&vec![index as u8; *length]));
        let stream: Vec<u8> = frames.chain(tail).collect();
        let (mut whole, mut pieces) = (Deframer::new(LIMITS), Deframer::new(LIMITS));
        let got = cut(&mut whole, &stream, &[stream.len().max(1)]);
        prop_assert_eq!(&got, &cut(&mut pieces, &stream, &cuts));
        prop_assert_eq!(whole.is_inside(), pieces.is_inside());
        // And all that was put in comes out, each as it must.
        for (index, length) in lengths.iter().enumerate() {
            let expected = if (3..=300).contains(length) {
                Got::Frame(vec![index as u8; *length])
            } else if *length < 3 {
                Got::Fault(Violation::TooShort { length: *length as u16, min: 3 })
            } else {
                Got::Fault(Violation::TooLong { length: *length as u16, max: 300 })
            };
            prop_assert_eq!(&got[index], &expected);
        }
    }
}
