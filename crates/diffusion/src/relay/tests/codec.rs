//! The encoding: what is written is read, anything else is refused.

use bytes::Bytes;
use chain::Hash;
use proptest::prelude::*;

use crate::relay::{
    DecodeError, Kind, MAX_ITEM_BYTES, MAX_MORE, MAX_OFFERS, MAX_WANTED, Message, Name, Offer,
};

fn name() -> impl Strategy<Value = Name> {
    (any::<u16>(), any::<[u8; 32]>()).prop_map(|(kind, id)| Name { kind: Kind(kind), id: Hash(id) })
}

fn message() -> impl Strategy<Value = Message> {
    let offer = (name(), 1..=MAX_ITEM_BYTES as u32).prop_map(|(name, size)| Offer { name, size });
    let names = || prop::collection::vec(name(), 1..=MAX_WANTED);
    let item = prop::collection::vec(any::<u8>(), 1..2_000);
    prop_oneof![
        prop::collection::vec(offer, 1..=MAX_OFFERS).prop_map(Message::Offer),
        names().prop_map(Message::Want),
        (any::<u16>(), item)
            .prop_map(|(kind, bytes)| Message::Data { kind: Kind(kind), bytes: bytes.into() }),
        names().prop_map(Message::No),
        (1..=MAX_MORE).prop_map(|offers| Message::More { offers }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(message in message()) {
        let bytes = message.to_bytes();
        prop_assert!(bytes.len() as u64 <= message.max_bytes());
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn what_is_cut_or_longer_is_refused(message in message(), at in any::<prop::sample::Index>()) {
        let bytes = message.to_bytes();
        let cut = bytes.slice(..at.index(bytes.len()));
        prop_assert!(Message::decode(&cut).is_err());
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        prop_assert_eq!(Message::decode(&longer), Err(DecodeError::Trailing { at: bytes.len() }));
    }

    #[test]
    fn what_can_be_read_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = Bytes::from(bytes);
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.to_bytes(), bytes);
        }
    }
}

#[test]
fn the_longest_item_fits_its_message() {
    let bytes = Bytes::from(vec![7; MAX_ITEM_BYTES]);
    let data = Message::Data { kind: Kind(u16::MAX), bytes };
    assert!(data.max_bytes() <= 1 << 20, "the channel's longest message");
    assert_eq!(Message::decode(&data.to_bytes()), Ok(data));
}

#[test]
fn refuses_what_breaks_a_bound() {
    let name = Name { kind: Kind(0), id: Hash([1; 32]) };
    let refused = |message: Message| Message::decode(&message.to_bytes()).is_err();
    let offer = |size| Offer { name, size };
    assert!(!refused(Message::Offer(vec![offer(1)])));
    assert!(refused(Message::Offer(vec![])), "nothing is offered");
    assert!(refused(Message::Offer(vec![offer(0)])), "an empty item");
    assert!(refused(Message::Offer(vec![offer(MAX_ITEM_BYTES as u32 + 1)])), "a longer item than there is");
    assert!(refused(Message::Offer(vec![offer(1); MAX_OFFERS + 1])), "too many offers");
    assert!(refused(Message::Want(vec![])), "nothing is wanted");
    assert!(refused(Message::Want(vec![name; MAX_WANTED + 1])), "too many wants");
    assert!(refused(Message::No(vec![])), "nothing is refused");
    assert!(refused(Message::No(vec![name; MAX_WANTED + 1])), "too many refusals");
    assert!(refused(Message::Data { kind: Kind(0), bytes: Bytes::new() }), "an empty item");
    let long = Bytes::from(vec![0; MAX_ITEM_BYTES + 1]);
    assert!(refused(Message::Data { kind: Kind(0), bytes: long }), "a longer item than there is");
    assert!(refused(Message::More { offers: 0 }), "no more offers");
    assert!(refused(Message::More { offers: MAX_MORE + 1 }), "too many offers granted");
    assert_eq!(Message::decode(&vec![0x81, 0x05].into()), Err(DecodeError::Unknown { number: 5 }));
    // Kind 1 in two bytes where one will do.
    assert!(Message::decode(&vec![0x83, 0x02, 0x18, 0x01, 0x41, 0x07].into()).is_err());
    assert!(Message::decode(&vec![0x83, 0x02, 0x01, 0x41, 0x07].into()).is_ok());
}
