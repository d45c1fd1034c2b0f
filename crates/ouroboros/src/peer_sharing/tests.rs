use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::arbitrary::{self, assert_canonical, assert_round_trip, hex};
use crate::codec::List;

#[test]
fn the_bytes_are_the_cddls() {
    let four = [Peer("127.0.0.1:3001".parse().unwrap())];
    let six = [Peer("[2001:db8::ff]:1".parse().unwrap())];
    let table = [
        ("82 00 18ff", Message::ShareRequest { amount: 255 }),
        ("82 01 80", Message::SharePeers { peers: List::new(&[]) }),
        // What a little-endian reference sends for 127.0.0.1.
        ("82 01 81 83 00 1a0100007f 190bb9", Message::SharePeers { peers: List::new(&four) }),
        ("82 01 81 86 01 1a20010db8 00 00 18ff 01", Message::SharePeers { peers: List::new(&six) }),
        ("81 02", Message::Done),
    ];
    for (text, message) in table {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(bytes, hex(text), "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
    // As the reference writes it.
    let indefinite = hex("82 01 9f 83 00 1a0100007f 190bb9 ff");
    assert_eq!(Message::decode(&indefinite), Ok(Message::SharePeers { peers: List::new(&four) }));
}

#[test]
fn refuses_what_is_no_message() {
    for text in [
        "82 00 190100",
        "81 00",
        "82 01 81 83 00 1a0100007f 1a00010000",
        "82 01 81 82 00 00",
        "82 01 81 83 01 00 00",
        "82 01 81 84 00 00 00 00",
        "82 01 81 83 02 00 00",
        "82 01 81 83 00 1b0000000100000000 00",
    ] {
        assert!(Message::decode(&hex(text)).is_err(), "{text}");
    }
}

#[test]
fn moves_as_the_specification_says() {
    use State::*;
    let messages =
        [Message::ShareRequest { amount: 1 }, Message::Done, Message::SharePeers { peers: List::new(&[]) }];
    let table = [(Idle, [Some(Busy), Some(Done), None]), (Busy, [None, None, Some(Idle)]), (Done, [None; 3])];
    for (state, after) in table {
        assert_eq!(messages.each_ref().map(|message| state.after(message)), after, "{state:?}");
    }
}

fn peers() -> impl Strategy<Value = Vec<Peer>> {
    let peer = (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| Peer(SocketAddr::new(ip, port)));
    prop::collection::vec(peer, 0..40)
}

proptest! {
    #[test]
    fn every_message_comes_back(amount in any::<u8>(), peers in peers()) {
        assert_round_trip!(Message::ShareRequest { amount });
        assert_round_trip!(Message::SharePeers { peers: List::new(&peers) });
    }

    #[test]
    fn damage_is_refused_or_harmless(
        bytes in arbitrary::damaged(peers().prop_map(|peers| {
            let mut bytes = Vec::new();
            Message::SharePeers { peers: List::new(&peers) }.encode(&mut bytes);
            bytes
        })),
    ) {
        assert_canonical!(bytes);
    }
}
