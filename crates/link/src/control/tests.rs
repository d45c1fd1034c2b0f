use proptest::prelude::*;

use super::*;

fn hello() -> Hello {
    let terms = |channel, max_message_bytes, window_bytes| Terms {
        channel: Protocol(channel),
        max_message_bytes,
        window_bytes,
    };
    Hello {
        versions: vec![1, 300],
        network_id: [7; 32],
        channels: vec![terms(1, 1_000, 2_000), terms(40, 70_000, 70_073)],
        agent: "anabranch 0.1.0".to_owned(),
    }
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

/// What reading a hello says after the hello was changed.
fn refused(change: impl FnOnce(&mut Hello)) -> Error {
    let mut hello = hello();
    change(&mut hello);
    Message::decode(&encoded(&Message::Hello(hello))).unwrap_err()
}

fn any_message() -> impl Strategy<Value = Message> {
    let terms = (any::<u32>(), any::<u32>());
    let channels = prop::collection::btree_map(1u16..0x8000, terms, 0..MAX_CHANNELS);
    let hello =
        (
            prop::collection::btree_set(any::<u16>(), 1..MAX_VERSIONS),
            any::<[u8; 32]>(),
            channels,
            "[ -~]{0,64}",
        )
            .prop_map(|(versions, network_id, channels, agent)| {
                let channels = channels.into_iter().map(|(number, (max_message_bytes, window_bytes))| {
                    Terms { channel: Protocol(number), max_message_bytes, window_bytes }
                });
                let versions = versions.into_iter().collect();
                Message::Hello(Hello { versions, network_id, channels: channels.collect(), agent })
            });
    prop_oneof![
        hello,
        (any::<u32>(), any::<u64>()).prop_map(|(id, sent_us)| Message::Ping { id, sent_us }),
        (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(id, sent_us, received_us)| Message::Pong {
            id,
            sent_us,
            received_us
        }),
        (0u16..0x8000, any::<u32>())
            .prop_map(|(channel, bytes)| Message::Credit { channel: Protocol(channel), bytes }),
        any::<u8>().prop_map(|code| Message::Close { code: Code::from_u8(code) }),
    ]
}

#[test]
fn the_bytes_are_these() {
    assert_eq!(encoded(&Message::Ping { id: 24, sent_us: 256 }), [0x83, 1, 0x18, 24, 0x19, 1, 0]);
    assert_eq!(encoded(&Message::Pong { id: 1, sent_us: 2, received_us: 3 }), [0x84, 2, 1, 2, 3]);
    assert_eq!(
        encoded(&Message::Credit { channel: Protocol(5), bytes: 65_536 }),
        [0x83, 3, 5, 0x1a, 0, 1, 0, 0]
    );
    assert_eq!(encoded(&Message::Close { code: Code::Stopping }), [0x82, 4, 8]);
}

#[test]
fn refuses_longer_forms_and_bytes_behind_the_end() {
    assert_eq!(
        Message::decode(&[0x83, 1, 0x18, 23, 5]),
        Err(Error::Expected { what: "id", at: 2 }),
        "23 has a shorter form"
    );
    assert_eq!(Message::decode(&[0x98, 2, 4, 1]), Err(Error::Expected { what: "message", at: 0 }));
    assert_eq!(Message::decode(&[0x9f, 4, 1, 0xff]), Err(Error::Expected { what: "message", at: 0 }));
    assert_eq!(Message::decode(&[0x82, 4, 1, 0]), Err(Error::Trailing { at: 3 }));
    assert_eq!(Message::decode(&[0x82, 4]), Err(Error::Expected { what: "code", at: 2 }));
    assert_eq!(Message::decode(&[]), Err(Error::Expected { what: "message", at: 0 }));
}

#[test]
fn tells_unknown_messages_from_broken_ones() {
    assert_eq!(Message::decode(&[0x82, 5, 0]), Err(Error::Unknown { number: 5 }));
    assert!(matches!(Message::decode(&[0x83, 4, 1, 1]), Err(Error::Expected { .. })));
}

#[test]
fn refuses_hellos_that_make_no_sense() {
    let expected = |error| match error {
        Error::Expected { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(expected(refused(|hello| hello.versions.clear())), "ascending list of versions before here");
    assert_eq!(
        expected(refused(|hello| hello.versions.swap(0, 1))),
        "ascending list of versions before here"
    );
    assert_eq!(expected(refused(|hello| hello.versions = (0..17).collect())), "list of versions");
    assert_eq!(
        expected(refused(|hello| hello.channels.swap(0, 1))),
        "ascending list of channels before here"
    );
    assert_eq!(
        expected(refused(|hello| hello.channels[0].channel = crate::channel::CONTROL)),
        "ascending list of channels before here"
    );
    assert_eq!(expected(refused(|hello| hello.channels = vec![hello.channels[0]; 17])), "list of channels");
    assert_eq!(expected(refused(|hello| hello.channels[1].channel = Protocol(0x8000))), "channel");
    assert_eq!(expected(refused(|hello| hello.agent = "x".repeat(65))), "short printable text");
    assert_eq!(expected(refused(|hello| hello.agent = "\u{1b}[2J".to_owned())), "short printable text");
    assert_eq!(expected(refused(|hello| hello.agent = "é".to_owned())), "short printable text");
}

#[test]
fn a_long_list_is_refused_before_anything_is_allocated_for_it() {
    let mut bytes = vec![0x85, 0];
    bytes.extend_from_slice(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(Message::decode(&bytes), Err(Error::Expected { what: "list of versions", at: 2 }));
}

proptest! {
    #[test]
    fn every_message_survives_its_bytes(message in any_message()) {
        prop_assert_eq!(Message::decode(&encoded(&message)), Ok(message));
    }

    #[test]
    fn what_is_read_has_no_other_encoding(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(encoded(&message), bytes);
        }
    }

    #[test]
    fn no_change_of_a_byte_is_misread(message in any_message(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encoded(&message);
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(encoded(&message), bytes);
        }
    }
}
