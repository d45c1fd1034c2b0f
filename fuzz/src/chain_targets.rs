//! The formats: headers, blocks, points, snapshots of state, network files.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use chain::{Format, Header, State, cardano, codec, native};

use crate::made::NATIVE;
use crate::{Target, made};

pub(crate) const CARDANO_HEADER: Target =
    Target { name: "cardano_header", run: cardano_header, seeds: made::headers };
pub(crate) const CARDANO_BLOCK: Target =
    Target { name: "cardano_block", run: cardano_block, seeds: made::blocks };
pub(crate) const NATIVE_HEADER: Target =
    Target { name: "native_header", run: native_header, seeds: native_header_seeds };
pub(crate) const NATIVE_BLOCK: Target =
    Target { name: "native_block", run: native_block, seeds: native_block_seeds };
pub(crate) const NATIVE_PROOF: Target =
    Target { name: "native_proof", run: native_proof, seeds: native_proof_seeds };
pub(crate) const POINTS: Target = Target { name: "points", run: points, seeds: point_seeds };
pub(crate) const STATE: Target = Target { name: "state", run: state, seeds: state_seeds };
pub(crate) const NETWORK_FILE: Target =
    Target { name: "network_file", run: network_file, seeds: network_seeds };

/// One network that begins with Byron and one that does not: made once, since they are read from text.
static FORMATS: LazyLock<[Format; 2]> = LazyLock::new(|| {
    ["preprod", "preview"].map(|name| {
        let params = cardano::Params::built_in(name).expect("built in");
        Format::Cardano(Arc::new(params))
    })
});

fn cardano_header(input: &[u8]) {
    for format in FORMATS.iter() {
        header_of(format, input);
    }
}

fn header_of(format: &Format, input: &[u8]) {
    if let Ok(header) = format.header(&Bytes::copy_from_slice(input)) {
        assert_eq!(format.header(&header.wire).as_ref(), Ok(&header), "the wire form kept is canonical");
        judge(format, &header);
    }
}

fn cardano_block(input: &[u8]) {
    for format in FORMATS.iter() {
        block_of(format, input);
    }
}

fn block_of(format: &Format, input: &[u8]) {
    if let Ok(block) = format.block(&Bytes::copy_from_slice(input)) {
        assert_eq!(block.raw, input, "the block is what came in");
        let again = format.header(&block.header.wire).expect("a block's header can be read in its wire form");
        assert_eq!(again, block.header);
        let _ = format.check_body(&block);
        judge(format, &block.header);
    }
}

fn native_header(input: &[u8]) {
    header_of(&NATIVE.format, input);
    if let Ok(produced) = native::decode_fields(input) {
        assert_eq!(produced.encode(), input, "a header has one encoding");
    }
}

fn native_block(input: &[u8]) {
    block_of(&NATIVE.format, input);
    let raw = Bytes::copy_from_slice(input);
    if let Ok(block) = NATIVE.format.block(&raw)
        && NATIVE.format.check_body(&block).is_ok()
    {
        assert!(native::transactions(&block).is_ok(), "a body that was judged good can be read");
    }
}

fn native_proof(input: &[u8]) {
    if let Ok(proof) = native::merkle::Proof::decode(input) {
        assert_eq!(proof.encode(), input, "a proof has one encoding");
        assert!(!proof.is_valid(&chain::Hash([3; 32]), b"nobody made a tree with this root"));
    }
}

/// Whatever the verdict, there is one: at the chain's start, and as a child that fits its parent.
pub(crate) fn judge(format: &Format, header: &Header) {
    let genesis = format.genesis();
    let _ = format.checks(&genesis, header).run();
    if let Ok(state) = format.next(&genesis, header) {
        assert_eq!(State::decode(&state.encode()), Ok(state), "a state survives its snapshot");
    }
    let prev = header.prev.unwrap_or_default();
    let parent = chain::Tip {
        point: chain::Point::Block(chain::Slot(header.slot.0.saturating_sub(1)), prev),
        height: chain::Height(header.height.0.saturating_sub(1)),
    };
    let midway = format.midway(parent, chain::Position(header.height.0));
    let _ = format.next(&midway, header);
    let _ = format.prefer(header, header);
}

fn points(input: &[u8]) {
    if let Ok(point) = codec::decode_point(input) {
        let mut bytes = Vec::new();
        codec::encode_point(&point, &mut bytes);
        assert_eq!(codec::decode_point(&bytes), Ok(point));
        assert_eq!(point.to_string().parse(), Ok(point));
    }
    if let Ok(tip) = codec::decode_tip(input) {
        assert_eq!(codec::decode_tip(&codec::tip_suffix(&tip)), Ok(tip));
    }
    let input = Bytes::copy_from_slice(input);
    if let Ok(inner) = codec::unwrap(&input) {
        assert!(inner.len() < input.len());
    }
    let _ = (codec::header_era(&input), codec::block_era(&input));
    if let Ok(text) = str::from_utf8(&input) {
        let _ = text.parse::<chain::Point>();
    }
}

fn state(input: &[u8]) {
    if let Ok(state) = State::decode(input) {
        assert_eq!(State::decode(&state.encode()), Ok(state));
    }
}

fn network_file(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input)
        && let Ok(params) = cardano::Params::from_toml(text)
    {
        let format = Format::Cardano(Arc::new(params));
        let slot = format.slot_at(std::time::Duration::from_secs(2_000_000_000));
        let _ = format.slot_start(slot);
        let _ = format.genesis().encode();
    }
}

fn point_seeds() -> Vec<Vec<u8>> {
    let point = chain::Point::Block(chain::Slot(86_400), chain::Hash([7; 32]));
    let tip = chain::Tip { point, height: chain::Height(4_000) };
    let (mut bytes, mut wrapped) = (Vec::new(), Vec::new());
    codec::encode_point(&point, &mut bytes);
    codec::wrap(&bytes, &mut wrapped);
    let text = point.to_string().into_bytes();
    vec![vec![0x80], bytes, codec::tip_suffix(&tip).to_vec(), wrapped, text]
}

pub(crate) fn state_seeds() -> Vec<Vec<u8>> {
    let mut states = Vec::new();
    for format in FORMATS.iter().chain([&NATIVE.format]) {
        states.push(format.genesis().encode());
        states.push(format.midway(chain::Tip::default(), chain::Position(9)).encode());
        let headers = made::headers().into_iter().filter_map(|wire| format.header(&wire.into()).ok());
        states.extend(
            headers.filter_map(|header| Some(format.next(&format.genesis(), &header).ok()?.encode())),
        );
    }
    states
}

fn native_header_seeds() -> Vec<Vec<u8>> {
    let wires = NATIVE.blocks.iter().map(|block| block.header.wire.to_vec());
    // The wire form, and what lies in its tag 24.
    wires.flat_map(|wire| [wire[7..].to_vec(), wire]).collect()
}

fn native_block_seeds() -> Vec<Vec<u8>> {
    NATIVE.blocks.iter().map(|block| block.raw.to_vec()).collect()
}

fn native_proof_seeds() -> Vec<Vec<u8>> {
    let transactions: Vec<Vec<u8>> = (0..9).map(|length| vec![length; length.into()]).collect();
    (0..9).map(|at| native::merkle::Proof::new(&transactions, at).expect("it is there").encode()).collect()
}

fn network_seeds() -> Vec<Vec<u8>> {
    let built_in = |name| cardano::Params::built_in(name).expect("built in").to_toml().into_bytes();
    ["mainnet", "preprod", "preview"].map(built_in).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_seeds_are_read_as_what_they_should_be() {
        let byron_too = &FORMATS[0];
        for header in made::headers() {
            byron_too.header(&header.into()).expect("a header");
        }
        for block in made::blocks() {
            byron_too.block(&block.into()).expect("a block");
        }
        assert!(state_seeds().len() > 4, "some made header follows genesis");
        assert!(native_header_seeds().iter().step_by(2).all(|bytes| native::decode_fields(bytes).is_ok()));
    }
}
