use chain::{Hash, Point, Slot};
use proptest::prelude::*;

use super::*;
use crate::arbitrary::{self, assert_canonical, assert_round_trip, hex};

const POINT: Point = Point::Block(Slot(3), Hash([9; 32]));

#[test]
fn the_bytes_are_the_cddls() {
    let range = format!("83 00 80 82 03 5820 {}", "09".repeat(32));
    let table = [
        (range.as_str(), Message::RequestRange { from: Point::Origin, to: POINT }),
        ("81 01", Message::ClientDone),
        ("81 02", Message::StartBatch),
        ("81 03", Message::NoBlocks),
        ("82 04 d818 43 820680", Message::Block { raw: &[0x82, 6, 0x80] }),
        ("81 05", Message::BatchDone),
    ];
    for (text, message) in table {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(bytes, hex(text), "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
}

#[test]
fn refuses_what_is_no_message() {
    // A block without its tag, with another tag, in chunks; ranges cut short; a number or a length out of place.
    for text in [
        "82 04 43 820680",
        "82 04 d819 41 00",
        "82 04 d818 5f 41 00 ff",
        "83 00 80",
        "82 00 80 80",
        "81 06",
        "82 02 00",
    ] {
        assert!(Message::decode(&hex(text)).is_err(), "{text}");
    }
}

#[test]
fn moves_as_the_specification_says() {
    use State::*;
    let messages = [
        Message::RequestRange { from: POINT, to: POINT },
        Message::ClientDone,
        Message::StartBatch,
        Message::NoBlocks,
        Message::Block { raw: &[] },
        Message::BatchDone,
    ];
    let table = [
        (Idle, [Some(Busy), Some(Done), None, None, None, None]),
        (Busy, [None, None, Some(Streaming), Some(Idle), None, None]),
        (Streaming, [None, None, None, None, Some(Streaming), Some(Idle)]),
        (Done, [None; 6]),
    ];
    for (state, after) in table {
        assert_eq!(messages.each_ref().map(|message| state.after(message)), after, "{state:?}");
    }
}

proptest! {
    #[test]
    fn every_message_comes_back(
        from in arbitrary::point(),
        to in arbitrary::point(),
        raw in prop::collection::vec(any::<u8>(), 0..70_000),
    ) {
        assert_round_trip!(Message::RequestRange { from, to });
        assert_round_trip!(Message::Block { raw: &raw });
    }

    #[test]
    fn damage_is_refused_or_harmless(
        bytes in arbitrary::damaged((arbitrary::point(), arbitrary::point()).prop_map(|(from, to)| {
            let mut bytes = Vec::new();
            Message::RequestRange { from, to }.encode(&mut bytes);
            bytes
        })),
    ) {
        assert_canonical!(bytes);
    }
}
