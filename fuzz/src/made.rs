//! Blocks to start from: Cardano's put together by hand (the shapes are right, no signature is), native ones built as
//! a producer builds them.

use std::sync::{Arc, LazyLock};

use chain::{Block, Format, Slot, native};
use minicbor::data::Tag;
use minicbor::encode::Write;
use minicbor::{Encoder, encode};

/// The eras of blocks whose headers TPraos judges, and those that Praos does.
const TPRAOS: [u64; 2] = [2, 5];
const PRAOS: [u64; 2] = [6, 7];

/// Headers in wire form, one of each shape.
pub(crate) fn headers() -> Vec<Vec<u8>> {
    let mut made = Vec::new();
    for (block_era, praos) in shapes() {
        made.push(bytes(|out| {
            out.array(2)?.u64(block_era - 1)?.tag(Tag::new(24))?.bytes(&bytes(|out| header(out, praos)))?.ok()
        }));
    }
    made.extend([boundary(0), byron(0)].map(|(kind, head)| {
        bytes(|out| {
            out.array(2)?.u64(0)?.array(2)?.array(2)?.u64(kind)?.u64(90)?;
            out.tag(Tag::new(24))?.bytes(&head)?.ok()
        })
    }));
    made
}

/// Blocks, `[era, block]`, one of each shape.
pub(crate) fn blocks() -> Vec<Vec<u8>> {
    let mut made = Vec::new();
    for (era, praos) in shapes() {
        made.push(bytes(|out| {
            let parts = if era >= 5 { 5 } else { 4 };
            out.array(2)?.u64(era)?.array(parts)?;
            header(out, praos)?;
            out.array(0)?.array(0)?.map(0)?;
            if era >= 5 {
                out.array(0)?;
            }
            out.ok()
        }));
    }
    made.push(bytes(|out| {
        out.array(2)?.u64(0)?.array(3)?.writer_mut().write_all(&boundary(0).1).expect("a vector");
        out.array(0)?.array(1)?.map(0)?.ok()
    }));
    made.push(bytes(|out| {
        out.array(2)?.u64(1)?.array(3)?.writer_mut().write_all(&byron(0).1).expect("a vector");
        out.array(4)?.array(0)?.array(2)?.u64(3)?.null()?.array(0)?.array(2)?.array(0)?.array(0)?;
        out.array(1)?.map(0)?.ok()
    }));
    made
}

fn shapes() -> impl Iterator<Item = (u64, bool)> {
    TPRAOS.map(|era| (era, false)).into_iter().chain(PRAOS.map(|era| (era, true)))
}

type Result<T> = std::result::Result<T, encode::Error<std::convert::Infallible>>;
type Out<'a> = Encoder<&'a mut Vec<u8>>;

fn bytes(write: impl FnOnce(&mut Out<'_>) -> Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).expect("a vector takes everything");
    bytes
}

/// `[[height, slot, prev, issuer, vrf key, vrf…, size, body hash, certificate…, version…], signature]`.
fn header(out: &mut Out<'_>, praos: bool) -> Result<()> {
    out.array(2)?.array(if praos { 10 } else { 15 })?;
    out.u64(0)?.u64(20)?.null()?.bytes(&[1; 32])?.bytes(&[2; 32])?;
    for _ in 0..if praos { 1 } else { 2 } {
        out.array(2)?.bytes(&[3; 64])?.bytes(&[4; 80])?;
    }
    out.u64(3)?.bytes(&[5; 32])?;
    if praos {
        out.array(4)?;
    }
    out.bytes(&[6; 32])?.u64(0)?.u64(0)?.bytes(&[7; 64])?;
    if praos {
        out.array(2)?;
    }
    out.u64(7)?.u64(0)?.bytes(&[8; 448])?.ok()
}

/// Byron's boundary header: `[magic, prev, body proof, [epoch, [difficulty]], [attributes]]`.
fn boundary(kind: u64) -> (u64, Vec<u8>) {
    let head = bytes(|out| {
        out.array(5)?.u64(2)?.bytes(&[1; 32])?.bytes(&[2; 32])?;
        out.array(2)?.u64(0)?.array(1)?.u64(0)?.array(1)?.map(0)?.ok()
    });
    (kind, head)
}

/// Byron's header: `[magic, prev, body proof, [[epoch, slot], issuer, [difficulty], signature], extra]`.
fn byron(epoch: u64) -> (u64, Vec<u8>) {
    let head = bytes(|out| {
        out.array(5)?.u64(2)?.bytes(&[1; 32])?;
        out.array(4)?.array(3)?.u64(0)?.bytes(&[2; 32])?.bytes(&[3; 32])?;
        out.array(2)?.u64(3)?.bytes(&[4; 32])?.bytes(&[5; 32])?.bytes(&[6; 32])?;
        out.array(4)?.array(2)?.u64(epoch)?.u64(1)?.bytes(&[7; 64])?.array(1)?.u64(1)?;
        out.array(2)?
            .u64(2)?
            .array(2)?
            .array(4)?
            .u64(0)?
            .bytes(&[8; 64])?
            .bytes(&[9; 64])?
            .bytes(&[1; 64])?;
        out.bytes(&[2; 64])?;
        out.array(4)?
            .array(3)?
            .u64(0)?
            .u64(0)?
            .u64(0)?
            .array(2)?
            .str("x")?
            .u64(0)?
            .map(0)?
            .bytes(&[3; 32])?
            .ok()
    });
    (1, head)
}

/// A native chain of its own, signed by its producer.
pub(crate) struct Native {
    pub(crate) format: Format,
    pub(crate) blocks: Vec<Block>,
}

/// How many blocks the native chain has.
const NATIVE_BLOCKS: u64 = 12;

/// Made once: signing takes time.
pub(crate) static NATIVE: LazyLock<Native> = LazyLock::new(|| {
    let key = native::Key::from_seed(&[7; 32]);
    let params = Arc::new(native::Params::solo("fuzz", 42, 0, key.public()));
    let format = Format::Native(params.clone());
    let (mut state, mut blocks) = (format.genesis(), Vec::new());
    for slot in 1..=NATIVE_BLOCKS {
        let chain::format::Detail::Native(detail) = &state.detail else { panic!("a native chain") };
        let mut builder = native::Builder::start(&params, &state.tip, detail, Slot(slot * 3));
        for transaction in 0..slot % 4 {
            builder.add(vec![transaction as u8; 40 * slot as usize].into()).expect("it fits");
        }
        let block = builder.extension(vec![1; slot as usize % 3].into()).finish(&key);
        state = format.next(&state, &block.header).expect("it follows");
        blocks.push(block);
    }
    Native { format, blocks }
});
