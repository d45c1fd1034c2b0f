use proptest::prelude::*;

use super::*;
use crate::arbitrary::{self, assert_round_trip, hex};
use crate::codec::List;

const DATA: VersionData =
    VersionData { magic: 2, initiator_only: true, peer_sharing: false, query: false, peras: false };

#[test]
fn the_bytes_are_the_cddls() {
    let sharing = VersionData { magic: 764_824_073, initiator_only: false, peer_sharing: true, ..DATA };
    let table = [(Version(10), DATA), (Version::V14, DATA), (Version::V15, sharing), (Version::V16, DATA)];
    let versions = Versions::new(&table);
    let encoded = "a4 0a 82 02 f5 0e 84 02 f5 00 f4 0f 84 1a2d964a09 f4 01 f4 10 85 02 f5 00 f4 f4";
    let (proposal, reply) = (format!("82 00 {encoded}"), format!("82 03 {encoded}"));
    let table = [
        (proposal.as_str(), Message::ProposeVersions { versions }),
        (reply.as_str(), Message::QueryReply { versions }),
        ("83 01 0f 84 02 f5 00 f4", Message::AcceptVersion { version: Version::V15, data: DATA }),
        (
            "82 02 82 00 82 0e 0f",
            Message::Refuse(Refusal::VersionMismatch { versions: List::new(&[Version(14), Version(15)]) }),
        ),
        (
            "82 02 83 01 0e 62 6e6f",
            Message::Refuse(Refusal::DecodeError { version: Version(14), text: "no" }),
        ),
        ("82 02 83 02 0f 62 6e6f", Message::Refuse(Refusal::Refused { version: Version(15), text: "no" })),
    ];
    for (text, message) in table {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(bytes, hex(text), "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
}

#[test]
fn skips_versions_it_does_not_know_whatever_their_shape() {
    let proposal =
        hex("82 00 a5 6161 80 18c8 a1 00 9f ff 0e 84 02 f5 00 f4 1a00010001 1818 0f 84 02 f4 01 f5");
    let Ok(Message::ProposeVersions { versions }) = Message::decode(&proposal) else { panic!() };
    let known: Vec<_> = versions.iter().collect();
    let other = VersionData { initiator_only: false, peer_sharing: true, query: true, ..DATA };
    assert_eq!(known, [(Version::V14, Ok(DATA)), (Version::V15, Ok(other))]);
}

#[test]
fn data_that_make_no_sense_are_told_from_a_table_that_makes_none() {
    // Version 14 with the data of 10, then with a magic of 2^32; the table itself is read.
    for text in
        ["82 00 a1 0e 82 02 f5", "82 00 a1 0e 84 1b0000000100000000 f5 00 f4", "82 00 a1 0e 84 02 f5 02 f4"]
    {
        let bytes = hex(text);
        let Ok(Message::ProposeVersions { versions }) = Message::decode(&bytes) else { panic!("{text}") };
        assert!(versions.iter().all(|(version, data)| version == Version::V14 && data.is_err()), "{text}");
    }
    // Not ascending, twice the same, an indefinite map, a pair that lacks its data, none at all.
    for text in [
        "82 00 a2 0f 84 02 f5 00 f4 0e 84 02 f5 00 f4",
        "82 00 a2 0e 84 02 f5 00 f4 0e 84 02 f5 00 f4",
        "82 00 bf 0e 84 02 f5 00 f4 ff",
        "82 00 a2 0e 84 02 f5 00 f4 0f",
        "82 00",
        "83 01 11 84 02 f5 00 f4",
        "82 02 82 00 9f 0e ff",
    ] {
        assert!(Message::decode(&hex(text)).is_err(), "{text}");
    }
}

#[test]
fn older_versions_never_share_peers() {
    for (version, text, sharing) in
        [(11, "84 02 f4 01 f4", false), (12, "84 02 f4 02 f4", false), (13, "84 02 f4 01 f4", true)]
    {
        assert_eq!(VersionData::decode(Version(version), &hex(text)).unwrap().peer_sharing, sharing);
    }
    assert!(VersionData::decode(Version(13), &hex("84 02 f4 02 f4")).is_err());
}

#[test]
fn agrees_where_the_networks_are_the_same() {
    let relay =
        VersionData { magic: 2, initiator_only: false, peer_sharing: true, query: false, peras: true };
    let asks = VersionData { query: true, peras: false, ..relay };
    assert_eq!(relay.agree(&DATA), Some(VersionData { peras: false, peer_sharing: false, ..DATA }));
    assert_eq!(relay.agree(&asks), Some(asks));
    assert_eq!(relay.agree(&VersionData { magic: 1, ..relay }), None);
}

#[test]
fn moves_as_the_specification_says() {
    use State::*;
    let versions = Versions::new(&[]);
    let messages = [
        Message::ProposeVersions { versions },
        Message::AcceptVersion { version: Version::V14, data: DATA },
        Message::Refuse(Refusal::Refused { version: Version::V14, text: "" }),
        Message::QueryReply { versions },
    ];
    let table = [
        (Propose, [Some(Confirm), None, None, None]),
        (Confirm, [None, Some(Done), Some(Done), Some(Done)]),
        (Done, [None; 4]),
    ];
    for (state, after) in table {
        assert_eq!(messages.each_ref().map(|message| state.after(message)), after, "{state:?}");
    }
}

/// Data that the version can carry.
fn data(version: Version) -> impl Strategy<Value = (Version, VersionData)> {
    (any::<u32>(), any::<[bool; 4]>()).prop_map(move |(magic, flags)| {
        let [initiator_only, peer_sharing, query, peras] = flags;
        let data = VersionData {
            magic,
            initiator_only,
            peer_sharing: peer_sharing && version >= Version(13),
            query: query && version >= Version(11),
            peras: peras && version >= Version(16),
        };
        (version, data)
    })
}

fn table() -> impl Strategy<Value = Vec<(Version, VersionData)>> {
    prop::collection::btree_set(7u64..=16, 0..10).prop_flat_map(|versions| {
        versions.into_iter().map(|version| data(Version(version))).collect::<Vec<_>>()
    })
}

proptest! {
    #[test]
    fn every_message_comes_back(
        table in table(),
        numbers in prop::collection::vec(any::<u64>(), 0..9),
        text in ".{0,40}",
    ) {
        let listed: Vec<Version> = numbers.iter().copied().map(Version).collect();
        assert_round_trip!(Message::ProposeVersions { versions: Versions::new(&table) });
        assert_round_trip!(Message::QueryReply { versions: Versions::new(&table) });
        assert_round_trip!(Message::Refuse(Refusal::VersionMismatch { versions: List::new(&listed) }));
        let version = Version(numbers.first().copied().unwrap_or(14));
        assert_round_trip!(Message::Refuse(Refusal::DecodeError { version, text: &text }));
        assert_round_trip!(Message::Refuse(Refusal::Refused { version, text: &text }));
        if let Some((version, data)) = table.first().copied() {
            assert_round_trip!(Message::AcceptVersion { version, data });
        }
    }

    #[test]
    fn damage_is_refused_or_harmless(
        bytes in arbitrary::damaged(table().prop_map(|table| {
            let mut bytes = Vec::new();
            Message::ProposeVersions { versions: Versions::new(&table) }.encode(&mut bytes);
            bytes
        })),
    ) {
        if let Ok(message) = Message::decode(&bytes) {
            // What cannot be read of a table cannot be written either.
            let mut again = Vec::new();
            message.encode(&mut again);
            prop_assert!(Message::decode(&again).is_ok());
        }
    }
}
