use proptest::prelude::*;

use super::*;

const LIMIT: usize = 65_535;

/// Feeds the bytes in chunks of these sizes, over and over, and collects the messages.
fn collect(bytes: &[u8], cuts: &[usize], limit: usize) -> Result<Vec<Vec<u8>>, Error> {
    let mut framer = Framer::default();
    let mut items = Vec::new();
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut chunk, tail) = rest.split_at(rest.len().min(*cut));
        rest = tail;
        while let Some(item) = framer.next(&mut chunk, limit)? {
            items.push(item.bytes().to_vec());
        }
        assert!(chunk.is_empty());
    }
    Ok(items)
}

#[test]
fn a_message_that_arrives_whole_is_not_copied() {
    let bytes = [0x81, 0x00, 0x82, 0x00];
    let mut input = &bytes[..];
    let mut framer = Framer::default();
    assert_eq!(framer.next(&mut input, LIMIT), Ok(Some(Item::Borrowed(&bytes[..2]))));
    assert_eq!(framer.next(&mut input, LIMIT), Ok(None));
    assert_eq!(framer.held(), 2);
    assert_eq!(framer.next(&mut &[0x05][..], LIMIT).unwrap().unwrap().bytes(), [0x82, 0x00, 0x05]);
    assert_eq!(framer.held(), 0);
}

#[test]
fn tells_malformed_from_incomplete() {
    for incomplete in ["", "82", "8200", "58", "5805aabb", "9f01", "bf01", "5f4101", "c2", "1b00"] {
        assert_eq!(item_len(&hex(incomplete), LIMIT), Ok(None), "{incomplete}");
    }
    for malformed in [
        "1c", "3d", "5e", "9d", "fe", // reserved argument sizes
        "ff", "82ff", "81ff", "c1ff",
        "9fc1ff", // a break without anything to break, or in place of an item
        "bf01ff", "5f01", "5f6101", "5f5f", "1f", "df", "f800", "f81f",
    ] {
        assert!(matches!(item_len(&hex(malformed), LIMIT), Err(Error::Malformed { .. })), "{malformed}");
    }
}

#[test]
fn refuses_what_announces_more_than_the_limit() {
    let limit = 100;
    for long in ["58ff", "5bffffffffffffffff", "9affffffff", "bb8000000000000000", "b833"] {
        assert_eq!(item_len(&hex(long), limit), Err(Error::TooLong { limit }), "{long}");
    }
    assert_eq!(item_len(&[0x9f; 1], 1), Ok(None));
    assert_eq!(item_len(&[0x9f, 0], 1), Err(Error::TooLong { limit: 1 }));
    let exact = [&[0x58, 98][..], &[7; 98]].concat();
    assert_eq!(item_len(&exact, 100), Ok(Some(100)));
    assert_eq!(item_len(&exact, 99), Err(Error::TooLong { limit: 99 }));
}

#[test]
fn bounds_the_nesting() {
    let deep = |levels: usize| [vec![0x81; levels], vec![0]].concat();
    assert_eq!(item_len(&deep(MAX_NESTING - 1), LIMIT), Ok(Some(MAX_NESTING)));
    assert_eq!(item_len(&deep(MAX_NESTING), LIMIT), Err(Error::TooDeep { at: MAX_NESTING - 1 }));
}

#[test]
fn a_block_is_collected_without_slack() {
    let mut message = vec![0x82, 4, 0xd8, 24, 0x59, 0xff, 0xff];
    message.resize(message.len() + 65_535, 1);
    let mut framer = Framer::default();
    let (first, rest) = message.split_at(12_288);
    assert_eq!(framer.next(&mut &first[..], LIMIT * 2), Ok(None));
    let item = framer.next(&mut &rest[..], LIMIT * 2).unwrap().unwrap();
    assert_eq!(item.bytes(), message);
    let Item::Owned(bytes) = item else { panic!("it came in pieces") };
    assert_eq!(Vec::from(bytes).capacity(), message.len());
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// RFC 8949, appendix C, as it stands there: the oracle. Nothing when the bytes end too early.
fn well_formed(bytes: &mut &[u8], breakable: bool, depth: usize) -> Result<Option<u8>, bool> {
    const MORE: bool = true;
    const BAD: bool = false;
    let take = |bytes: &mut &[u8], n: u64| -> Result<u64, bool> {
        let n = usize::try_from(n).map_err(|_| MORE)?;
        if bytes.len() < n {
            return Err(MORE);
        }
        let (head, tail) = bytes.split_at(n);
        *bytes = tail;
        Ok(head.iter().rev().take(8).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let initial = take(bytes, 1)? as u8;
    let (major, info) = (initial >> 5, initial & 31);
    let argument = match info {
        0..=23 => u64::from(info),
        24..=27 => take(bytes, 1 << (info - 24))?,
        31 => {
            match major {
                2 | 3 => {
                    while let Some(chunk) = well_formed_chunk(bytes, major, depth)? {
                        assert_eq!(chunk, major);
                    }
                }
                4 => while well_formed(bytes, true, depth + 1)?.is_some() {},
                5 => {
                    while well_formed(bytes, true, depth + 1)?.is_some() {
                        well_formed(bytes, false, depth + 1)?;
                    }
                }
                7 if breakable => return Ok(None),
                _ => return Err(BAD),
            }
            return Ok(Some(99));
        }
        _ => return Err(BAD),
    };
    match major {
        2 | 3 => {
            take(bytes, argument)?;
        }
        4 => {
            for _ in 0..argument {
                well_formed(bytes, false, depth + 1)?;
            }
        }
        5 => {
            for _ in 0..argument.saturating_mul(2) {
                well_formed(bytes, false, depth + 1)?;
            }
        }
        6 => {
            well_formed(bytes, false, depth + 1)?;
        }
        7 if info == 24 && argument < 32 => return Err(BAD),
        _ => {}
    }
    Ok(Some(major))
}

/// A chunk of an indefinite string, or its break.
fn well_formed_chunk(bytes: &mut &[u8], major: u8, depth: usize) -> Result<Option<u8>, bool> {
    match bytes.first() {
        None => Err(true),
        Some(0xff) => well_formed(bytes, true, depth),
        Some(initial) if initial >> 5 == major && initial & 31 != 31 => well_formed(bytes, false, depth),
        Some(_) => Err(false),
    }
}

/// Bytes of which many are CBOR: heads that are likely, few lengths that are long.
fn likely_cbor() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => (0u8..8, 0u8..4).prop_map(|(major, info)| major << 5 | info),
        2 => (0u8..8).prop_map(|major| major << 5 | 31),
        1 => (0u8..8, 24u8..28).prop_map(|(major, info)| major << 5 | info),
        2 => Just(0),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn agrees_with_the_definition_of_well_formed(bytes in likely_cbor()) {
        let mut rest = &bytes[..];
        let expected = well_formed(&mut rest, false, 0);
        // No limit that could be the reason to refuse: announcements beyond the bytes are incomplete.
        match (item_len(&bytes, u32::MAX as usize), expected) {
            (Ok(Some(end)), Ok(Some(_))) => prop_assert_eq!(end, bytes.len() - rest.len()),
            (Ok(None), Err(true)) | (Err(Error::Malformed { .. }), Err(false)) => {}
            (Err(Error::TooLong { .. }), Err(_)) => {}
            (got, expected) => prop_assert!(false, "{:?} but {:?} expected", got, expected),
        }
    }

    #[test]
    fn no_cut_of_the_bytes_matters(
        bytes in prop::collection::vec(likely_cbor(), 1..8).prop_map(|parts| parts.concat()),
        cuts in prop::collection::vec(1usize..9, 1..40),
    ) {
        prop_assert_eq!(collect(&bytes, &cuts, LIMIT), collect(&bytes, &[bytes.len().max(1)], LIMIT));
    }
}
