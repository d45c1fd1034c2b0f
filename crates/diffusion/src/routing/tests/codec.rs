//! The encoding: what is written is read, anything else is refused.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::routing::message::{How, MAX_ROUTES, Message, Packet, Places, Route};
use crate::routing::{DecodeError, MAX_ATTEMPTS, MAX_HOPS, MAX_METRIC, MAX_RECIPIENTS};
use crate::sync::bodies::Producer;

fn producers(most: usize) -> impl Strategy<Value = Box<[Producer]>> {
    prop::collection::btree_set(any::<[u8; 32]>().prop_map(Producer), 0..=most)
        .prop_map(|set| set.into_iter().collect())
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    any::<[[u8; 32]; 2]>().prop_map(|halves| halves.concat().try_into().expect("64 bytes"))
}

fn route() -> impl Strategy<Value = Route> {
    let producer = any::<[u8; 32]>().prop_map(Producer);
    (any::<bool>(), producer, any::<u64>(), 0..=MAX_METRIC, signature()).prop_map(
        |(lost, producer, seq, metric, signature)| match lost {
            true => Route::Lost { producer },
            false => Route::Reach { producer, seq, metric, signature },
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let id = any::<[u8; 32]>().prop_map(chain::Hash);
    let packet = (any::<u64>(), any::<u64>(), producers(MAX_RECIPIENTS), any::<Vec<u8>>());
    let packet =
        packet.prop_map(|(sent, nonce, to, body)| Arc::new(Packet::new(sent, nonce, to, body.into())));
    let attempt = 0..MAX_ATTEMPTS;
    let parcel =
        (packet, any::<bool>(), attempt, any::<u128>()).prop_map(|(packet, routed, attempt, bits)| {
            let duty = Places(bits & Places::first(packet.to().len()).0);
            let how = match routed && !duty.is_empty() {
                true => How::Routed { attempt, duty },
                false => How::Flood { attempt },
            };
            Message::Parcel { packet, how }
        });
    let producer = any::<[u8; 32]>().prop_map(Producer);
    prop_oneof![
        prop::collection::vec(route(), 0..=MAX_ROUTES).prop_map(Message::Routes),
        (producer.clone(), prop::option::of((any::<u64>(), signature())), 0..=MAX_HOPS)
            .prop_map(|(producer, known, hops)| Message::Ask { producer, known, hops }),
        parcel,
        (id, producer, signature()).prop_map(|(id, by, signature)| Message::Receipt { id, by, signature }),
    ]
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in message()) {
        let bytes = encoded(&message);
        prop_assert!(bytes.len() as u64 <= message.max_bytes());
        prop_assert_eq!(Message::decode(&bytes.into()), Ok(message));
    }

    #[test]
    fn a_message_has_one_encoding(bytes: Vec<u8>, message in message(), at: usize, bit in 0u8..8) {
        let mut changed = encoded(&message);
        let at = at % changed.len();
        changed[at] ^= 1 << bit;
        for bytes in [bytes, changed] {
            if let Ok(read) = Message::decode(&bytes.clone().into()) {
                prop_assert_eq!(encoded(&read), bytes);
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_refused(message in message(), at: usize) {
        let mut bytes = encoded(&message);
        let cut = bytes[..at % bytes.len()].to_vec();
        prop_assert!(Message::decode(&cut.into()).is_err());
        let end = bytes.len();
        bytes.push(0);
        prop_assert_eq!(Message::decode(&bytes.into()), Err(DecodeError::Trailing { at: end }));
    }

    #[test]
    fn every_part_of_a_packet_is_part_of_its_id(
        sent: u64, nonce: u64, to in producers(3), body: Vec<u8>, other: [u8; 32],
    ) {
        let body = Bytes::from(body);
        let packet = |sent, nonce, to, body| Packet::new(sent, nonce, to, body).id();
        let id = packet(sent, nonce, to.clone(), body.clone());
        prop_assert_ne!(id, packet(sent ^ 1, nonce, to.clone(), body.clone()));
        prop_assert_ne!(id, packet(sent, nonce ^ 1, to.clone(), body.clone()));
        prop_assert_ne!(id, packet(sent, nonce, [&*to, &[Producer(other)]].concat().into(), body.clone()));
        prop_assert_ne!(id, packet(sent, nonce, to, [&*body, &[0]].concat().into()));
    }
}

#[test]
fn refuses_what_is_out_of_bounds() {
    let routes = vec![Route::Lost { producer: Producer::default() }; MAX_ROUTES + 1];
    assert!(Message::decode(&encoded(&Message::Routes(routes)).into()).is_err(), "too many routes");
    let ask = Message::Ask { producer: Producer::default(), known: None, hops: MAX_HOPS + 1 };
    assert!(Message::decode(&encoded(&ask).into()).is_err(), "too many hops");
    let reach =
        Route::Reach { producer: Producer::default(), seq: 1, metric: MAX_METRIC + 1, signature: [0; 64] };
    assert!(Message::decode(&encoded(&Message::Routes(vec![reach])).into()).is_err(), "too far");
    let parcel = |to: &[u8], how| {
        let to = to.iter().map(|byte| Producer([*byte; 32])).collect();
        let packet = Arc::new(Packet::new(1, 2, to, Bytes::new()));
        Message::decode(&encoded(&Message::Parcel { packet, how }).into())
    };
    assert!(parcel(&[1, 2], How::Flood { attempt: 0 }).is_ok());
    assert!(parcel(&[2, 1], How::Flood { attempt: 0 }).is_err(), "recipients out of order");
    assert!(parcel(&[1, 1], How::Flood { attempt: 0 }).is_err(), "a recipient twice");
    assert!(parcel(&[1, 2], How::Flood { attempt: MAX_ATTEMPTS }).is_err(), "too many attempts");
    let routed = |duty| How::Routed { attempt: 0, duty: Places(duty) };
    assert!(parcel(&[1, 2], routed(0b11)).is_ok());
    assert!(parcel(&[1, 2], routed(0b100)).is_err(), "a duty to nobody");
    assert!(parcel(&[1, 2], routed(0)).is_err(), "no duty");
    let many: Vec<u8> = (0..=MAX_RECIPIENTS as u8).collect();
    assert!(parcel(&many, How::Flood { attempt: 0 }).is_err(), "too many recipients");
    assert_eq!(Message::decode(&vec![0x81, 0x05].into()), Err(DecodeError::Unknown { number: 5 }));
}
