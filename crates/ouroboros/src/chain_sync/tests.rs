use chain::{Hash, Height, Point, Slot, Tip};
use proptest::prelude::*;

use super::*;
use crate::arbitrary::{self, assert_canonical, assert_round_trip, hex};
use crate::codec::{Error, List};

const POINT: Point = Point::Block(Slot(500), Hash([7; 32]));
const TIP: Tip = Tip { point: Point::Origin, height: Height(0) };

fn point_hex() -> String {
    format!("82 1901f4 5820 {}", "07".repeat(32))
}

#[test]
fn the_bytes_are_the_cddls() {
    let point = point_hex();
    let listed = [Point::Origin, POINT];
    let table = [
        ("81 00".to_string(), Message::RequestNext),
        ("81 01".into(), Message::AwaitReply),
        (
            "83 02 82 05 d818 41 aa 82 80 00".into(),
            Message::RollForward { header: &hex("8205d81841aa"), tip: TIP },
        ),
        (
            format!("83 03 {point} 82 {point} 09"),
            Message::RollBackward { point: POINT, tip: Tip { point: POINT, height: Height(9) } },
        ),
        (format!("82 04 82 80 {point}"), Message::FindIntersect { points: List::new(&listed) }),
        ("82 04 80".into(), Message::FindIntersect { points: List::new(&[]) }),
        ("83 05 80 82 80 00".into(), Message::IntersectFound { point: Point::Origin, tip: TIP }),
        ("82 06 82 80 00".into(), Message::IntersectNotFound { tip: TIP }),
        ("81 07".into(), Message::Done),
    ];
    for (text, message) in table {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(bytes, hex(&text), "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
}

#[test]
fn reads_the_encodings_that_the_reference_writes_or_reads() {
    let point = point_hex();
    let listed = [POINT, Point::Origin];
    let points = Message::FindIntersect { points: List::new(&listed) };
    assert_eq!(Message::decode(&hex(&format!("82 04 9f {point} 80 ff"))), Ok(points));
    assert_eq!(Message::decode(&hex("82 04 9f ff")), Ok(Message::FindIntersect { points: List::new(&[]) }));
    assert_eq!(Message::decode(&hex("98 01 18 00")), Ok(Message::RequestNext));
}

#[test]
fn refuses_what_is_no_message() {
    for text in [
        "",
        "80",
        "00",
        "81",
        "9f 00 ff",
        "82 00 00",
        "81 08",
        "81 00 00",
        "82 04 81 81 00",
        "82 04 82 80",
        "82 04 9f 80",
        "83 02 82 80 00",
        "83 02 ff 82 80 00",
        "83 02 9f 82 80 00",
        "82 06 82 80",
        "82 06 83 80 00 00",
        "82 06 9f 80 00 ff",
        "82 06 82 9f ff 00",
        "83 05 82 00 41 00 82 80 00",
    ] {
        assert!(Message::decode(&hex(text)).is_err(), "{text}");
    }
    assert_eq!(Message::decode(&hex("82 08 00")), Err(Error::Unknown { number: 8, fields: 2 }));
    assert_eq!(Message::decode(&hex("81 01 00")), Err(Error::Trailing { at: 2 }));
}

#[test]
fn moves_as_the_specification_says() {
    use State::*;
    let (point, tip) = (Point::Origin, TIP);
    let messages = [
        Message::RequestNext,
        Message::FindIntersect { points: List::new(&[]) },
        Message::Done,
        Message::AwaitReply,
        Message::RollForward { header: &[0], tip },
        Message::RollBackward { point, tip },
        Message::IntersectFound { point, tip },
        Message::IntersectNotFound { tip },
    ];
    let table = [
        (Idle, [Some(CanAwait), Some(Intersect), Some(Done), None, None, None, None, None]),
        (Intersect, [None, None, None, None, None, None, Some(Idle), Some(Idle)]),
        (CanAwait, [None, None, None, Some(MustReply), Some(Idle), Some(Idle), None, None]),
        (MustReply, [None, None, None, None, Some(Idle), Some(Idle), None, None]),
        (Done, [None; 8]),
    ];
    for (state, after) in table {
        assert_eq!(messages.each_ref().map(|message| state.after(message)), after, "{state:?}");
    }
}

proptest! {
    #[test]
    fn every_message_comes_back(
        header in arbitrary::item(),
        point in arbitrary::point(),
        tip in arbitrary::tip(),
        points in prop::collection::vec(arbitrary::point(), 0..30),
    ) {
        assert_round_trip!(Message::RollForward { header: &header, tip });
        assert_round_trip!(Message::RollBackward { point, tip });
        assert_round_trip!(Message::FindIntersect { points: List::new(&points) });
        assert_round_trip!(Message::IntersectFound { point, tip });
        assert_round_trip!(Message::IntersectNotFound { tip });
        let mut one = Vec::new();
        Message::RollForward { header: &header, tip }.encode(&mut one);
        let mut other = Vec::new();
        put_roll_forward(&mut other, &header, &chain::codec::tip_suffix(&tip));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn damage_is_refused_or_harmless(bytes in arbitrary::damaged(messages())) {
        assert_canonical!(bytes);
    }
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    let parts =
        (arbitrary::item(), arbitrary::tip(), prop::collection::vec(arbitrary::point(), 1..4), 0u8..5);
    parts.prop_map(|(header, tip, points, which)| {
        let point = points[0];
        let message = match which {
            0 => Message::RollForward { header: &header, tip },
            1 => Message::RollBackward { point, tip },
            2 => Message::FindIntersect { points: List::new(&points) },
            3 => Message::IntersectFound { point, tip },
            _ => Message::IntersectNotFound { tip },
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    })
}
