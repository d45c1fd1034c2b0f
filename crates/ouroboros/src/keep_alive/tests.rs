use proptest::prelude::*;

use super::*;
use crate::arbitrary::{self, assert_canonical, assert_round_trip, hex};

#[test]
fn the_bytes_are_the_cddls() {
    let table = [
        ("82 00 19ffff", Message::KeepAlive { cookie: 0xffff }),
        ("82 01 07", Message::Response { cookie: 7 }),
        ("81 02", Message::Done),
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
    for text in ["82 00 1a00010000", "82 00 20", "81 00", "82 02 00", "81 03"] {
        assert!(Message::decode(&hex(text)).is_err(), "{text}");
    }
}

#[test]
fn moves_as_the_specification_says() {
    use State::*;
    let messages = [Message::KeepAlive { cookie: 1 }, Message::Done, Message::Response { cookie: 1 }];
    let table =
        [(Client, [Some(Server), Some(Done), None]), (Server, [None, None, Some(Client)]), (Done, [None; 3])];
    for (state, after) in table {
        assert_eq!(messages.each_ref().map(|message| state.after(message)), after, "{state:?}");
    }
}

proptest! {
    #[test]
    fn every_message_comes_back(cookie in any::<u16>()) {
        assert_round_trip!(Message::KeepAlive { cookie });
        assert_round_trip!(Message::Response { cookie });
    }

    #[test]
    fn damage_is_refused_or_harmless(
        bytes in arbitrary::damaged(any::<u16>().prop_map(|cookie| {
            let mut bytes = Vec::new();
            Message::KeepAlive { cookie }.encode(&mut bytes);
            bytes
        })),
    ) {
        assert_canonical!(bytes);
    }
}
