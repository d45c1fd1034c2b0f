//! Decoders: known bytes, any bytes, and snapshots.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{Era, Params};
use super::{all_eras, byron_forge, forge, states};
use crate::codec::{self, DecodeError};
use crate::{Format, Hash, Height, Point, Slot, State, Tip};

/// Preprod's first block, a boundary block: public, and the smallest real Byron block there is.
const PREPROD_FIRST: &str = "82008385015820d4b8de7a11d929a323373cbab6c1a9bdc931beffff11db111cf9d57356ee1937\
    5820afc0da64183bf2664f3d4eec7238d524ba607faeeab24fc100eb861dba69971b8200810081a09fff81a0";

#[test]
fn reads_preprods_first_block() {
    let format = Format::Cardano(Params::built_in("preprod").unwrap().into());
    let raw = Bytes::from(hex::decode(PREPROD_FIRST).unwrap());
    let block = format.block(&raw).unwrap();
    let id = "9ad7ff320c9cf74e0f5ee78d22a85ce42bb0a487d0506bf60cfb5a91ea4497d2";
    assert_eq!(block.header.id.to_string(), id);
    assert_eq!((block.header.prev, block.header.slot, block.header.boundary), (None, Slot(0), true));
    format.check_body(&block).unwrap();
    assert_eq!(format.header(&block.header.wire).unwrap(), block.header);
    // `[0, [[0, size], tag24(header)]]`: the two numbers around are the envelope's.
    assert_eq!(hex::encode(&block.header.wire[..9]), "82008282001853d818");
    assert_eq!(format.checks(&format.genesis(), &block.header).run().unwrap().boundaries, 1);
}

#[test]
fn cuts_headers_out_of_blocks_byte_for_byte() {
    let forge = byron_forge();
    for block in all_eras(&forge) {
        let wire = &block.header.wire;
        let era = codec::header_era(wire).unwrap();
        let own = if era == 0 {
            let at = wire.windows(2).position(|window| window == [0xd8, 0x18]).unwrap();
            codec::unwrap(&wire.slice(at..)).unwrap()
        } else {
            codec::unwrap(&wire.slice(2..)).unwrap()
        };
        assert_eq!(own[..], block.raw[3..3 + own.len()]);
        let (named, boundary) = Era::of_block(codec::block_era(&block.raw).unwrap()).unwrap();
        assert_eq!((named.header_tag(), boundary), (era, block.header.boundary));
    }
}

#[test]
fn refuses_every_cut_and_every_extra_byte() {
    let forge = byron_forge();
    let format = forge.format();
    for block in [&all_eras(&forge)[1], &all_eras(&forge)[10], &all_eras(&forge)[65]] {
        let wire = &block.header.wire;
        for end in 0..wire.len() {
            assert!(format.header(&wire.slice(..end)).is_err(), "cut at {end}");
        }
        let mut longer = wire.to_vec();
        longer.push(0);
        assert!(matches!(format.header(&longer.into()), Err(DecodeError::LeftOver { count: 1, .. })));
        for end in 0..block.raw.len() {
            let whole = format.block(&block.raw.slice(..end)).map(|block| format.check_body(&block));
            assert!(!matches!(whole, Ok(Ok(()))), "cut at {end}");
        }
    }
}

#[test]
fn takes_lists_without_a_stated_length_as_the_reference_does() {
    let forge = forge();
    let format = forge.format();
    let header = forge.chain(&format.genesis(), Era::Conway, [5]).remove(0).header;
    let own = codec::unwrap(&header.wire.slice(2..)).unwrap();
    assert_eq!(own[0], 0x82);
    let mut open = own.to_vec();
    open[0] = 0x9f;
    open.push(0xff);
    let taken = format.header(&codec::wrap_header(6, &open)).unwrap();
    assert_eq!((taken.prev, taken.slot, taken.height), (header.prev, header.slot, header.height));
    assert_ne!(taken.id, header.id);
    open.pop();
    assert!(format.header(&codec::wrap_header(6, &open)).is_err());
}

#[test]
fn refuses_unknown_eras_and_oversized_headers() {
    let format = Format::Cardano(Params::built_in("preview").unwrap().into());
    let unknown = format.header(&codec::wrap_header(99, &[0x80]));
    assert_eq!(unknown, Err(DecodeError::Unknown { what: "header era", found: 99 }));
    let oversized = format.header(&codec::wrap_header(6, &vec![0; super::super::MAX_HEADER_BYTES]));
    assert!(matches!(oversized, Err(DecodeError::Range { what: "header size", .. })));
    let raw = Bytes::from(hex::decode(PREPROD_FIRST).unwrap());
    assert!(format.block(&raw).is_err(), "preview had no Byron years");
}

#[test]
fn a_state_survives_its_encoding() {
    let forge = byron_forge();
    let format = forge.format();
    let blocks = all_eras(&forge);
    for state in states(format, &blocks) {
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes).unwrap(), state);
        for end in 0..bytes.len() {
            assert!(State::decode(&bytes[..end]).is_err());
        }
    }
    let midway = format.midway(blocks[9].header.tip(), crate::Position(10));
    assert_eq!(State::decode(&midway.encode()).unwrap(), midway);
    let mut newer = format.genesis().encode();
    newer[1] = 0x17;
    assert_eq!(State::decode(&newer), Err(DecodeError::Unknown { what: "state version", found: 0x17 }));
}

fn point() -> impl Strategy<Value = Point> {
    prop_oneof![
        Just(Point::Origin),
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(slot, hash)| Point::Block(Slot(slot), Hash(hash))),
    ]
}

proptest! {
    #[test]
    fn points_and_tips_survive_their_encoding(point in point(), height: u64) {
        let mut bytes = Vec::new();
        codec::encode_point(&point, &mut bytes);
        prop_assert_eq!(codec::decode_point(&bytes), Ok(point));
        let tip = Tip { point, height: Height(height) };
        let suffix = codec::tip_suffix(&tip);
        prop_assert_eq!(codec::decode_tip(&suffix), Ok(tip));
        prop_assert!(suffix.len() <= codec::MAX_TIP_BYTES);
        bytes.push(0);
        prop_assert_eq!(codec::decode_point(&bytes), Err(DecodeError::LeftOver { what: "point", count: 1 }));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>) {
        let format = Format::Cardano(Params::built_in("mainnet").unwrap().into());
        let _ = State::decode(&bytes);
        let bytes = Bytes::from(bytes);
        let _ = format.header(&bytes);
        if let Ok(block) = format.block(&bytes) {
            let _ = format.check_body(&block);
        }
    }

    /// From Shelley on every bit of a block is signed, proven or hashed, but for the number of its era.
    #[test]
    fn no_flipped_bit_goes_unnoticed(at: prop::sample::Index, bit in 0..8_u32, praos: bool) {
        let forge = forge();
        let format = forge.format();
        let genesis = format.genesis();
        let era = if praos { Era::Babbage } else { Era::Mary };
        let block = forge.chain(&genesis, era, [105]).remove(0);
        let mut raw = block.raw.to_vec();
        let at = at.index(raw.len());
        raw[at] ^= 1 << bit;
        if let Ok(flipped) = format.block(&raw.into()) {
            let judged = format
                .check_body(&flipped)
                .and_then(|()| format.next(&genesis, &flipped.header))
                .and_then(|_| format.checks(&genesis, &flipped.header).run());
            prop_assert!(judged.is_err() || at == 1, "byte {at}");
        }
    }

    #[test]
    fn no_flipped_bit_of_byron_makes_a_judgement_panic(at: prop::sample::Index, bit in 0..8_u32, boundary: bool) {
        let forge = byron_forge();
        let format = forge.format();
        let genesis = format.genesis();
        let block = if boundary {
            forge.boundary(&genesis, 0)
        } else {
            forge.chain(&genesis, Era::Byron, [5]).remove(0)
        };
        let mut raw = block.raw.to_vec();
        let at = at.index(raw.len());
        raw[at] ^= 1 << bit;
        if let Ok(flipped) = format.block(&raw.into()) {
            let _ = format.check_body(&flipped);
            let _ = format.next(&genesis, &flipped.header);
            let _ = format.checks(&genesis, &flipped.header).run();
        }
    }
}
