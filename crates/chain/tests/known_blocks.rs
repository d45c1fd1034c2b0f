//! Single blocks off the public networks, of eras that the chain of `real_chain.rs` does not reach.
//!
//! Each file in `blocks/` is one block's bytes in hexadecimal, named by era, network and slot.

use std::sync::Arc;

use bytes::Bytes;
use chain::cardano::Params;
use chain::{Block, Counts, Format, Position, Slot};

/// Name of the network, the file, the slot, the id.
const BLOCKS: [(&str, &str, u64, &str); 4] = [
    (
        "mainnet",
        include_str!("blocks/byron-mainnet-73486.hex"),
        73_486,
        "9f63162b78765332c1632f46960fb386da7a2916090e2ef155ab97941ee1bbb9",
    ),
    (
        "mainnet",
        include_str!("blocks/byron-mainnet-4492794.hex"),
        4_492_794,
        "5c196e7394ace0449ba5a51c919369699b13896e97432894b4f0354dce8670b6",
    ),
    (
        "mainnet",
        include_str!("blocks/shelley-mainnet-4691580.hex"),
        4_691_580,
        "11e0449e3a0a785f07ad3c8e6a1f4a4763262b4c304c584d318452c5f8a06f20",
    ),
    (
        "preprod",
        include_str!("blocks/conway-preprod-96972032.hex"),
        96_972_032,
        "8c21f437fde62128f7dde93f9efc5c6ba7a19b88fe73e1d23cc5e5c6730ed78f",
    ),
];

fn read(network: &str, text: &str) -> (Format, Block) {
    let params = Params::built_in(network).expect("a built-in network");
    let format = Format::Cardano(Arc::new(params));
    let digits: String = text.split_whitespace().collect();
    let raw = Bytes::from(hex::decode(digits).expect("hexadecimal digits"));
    let block = format.block(&raw).expect("a block");
    (format, block)
}

#[test]
fn known_blocks_are_read_and_hold() {
    let mut counts = Counts::default();
    for (network, text, slot, id) in BLOCKS {
        let (format, block) = read(network, text);
        assert_eq!(block.header.slot, Slot(slot));
        assert_eq!(block.header.id.to_string(), id);
        assert_eq!(format.header(&block.header.wire).as_ref(), Ok(&block.header));
        assert_eq!(format.check_body(&block), Ok(()), "slot {slot}");
        let parent = format.midway(block.header.tip(), Position(1));
        counts += format.checks(&parent, &block.header).run().expect("checks hold");
    }
    let expected = Counts { kes: 2, certificates: 4, signatures: 2, nonces_unknown: 2, ..Counts::default() };
    assert_eq!(counts, expected);
}

/// The envelope of a header in wire form is longer than that of its block by no more than this.
const ENVELOPE: usize = 24;

/// Of every block's header: its body, in Byron, has parts that nothing vouches for.
#[test]
fn a_changed_byte_is_noticed() {
    for (network, text, slot, _) in BLOCKS {
        let (format, block) = read(network, text);
        for at in (3..block.header.wire.len() - ENVELOPE).step_by(13) {
            let mut raw = block.raw.to_vec();
            raw[at] ^= 0x10;
            let Ok(changed) = format.block(&raw.into()) else { continue };
            let parent = format.midway(block.header.tip(), Position(1));
            let judged =
                format.check_body(&changed).and_then(|()| format.checks(&parent, &changed.header).run());
            assert!(judged.is_err(), "slot {slot}, byte {at}");
        }
    }
}
