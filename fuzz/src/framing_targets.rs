//! Framing: where one CBOR message ends.

use ouroboros::framing::{Error, Framer, item_len};

use crate::Target;

/// Small, so that the limit itself is met often.
const LIMIT: usize = 1_024;

pub(crate) const FRAMING: Target = Target { name: "framing", run, seeds };

/// In any cut the same messages and the same fault; and what is taken for whole is what another decoder takes.
fn run(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let whole = messages(stream, stream.len().max(1));
    let pieces = messages(stream, usize::from(cut).max(1));
    assert_eq!(whole, pieces, "the cut of the bytes matters");
    agrees_with_another_decoder(stream);
}

fn messages(stream: &[u8], cut: usize) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut framer = Framer::default();
    let mut messages = Vec::new();
    for mut piece in stream.chunks(cut) {
        loop {
            match framer.next(&mut piece, LIMIT) {
                Ok(Some(message)) => messages.push(message.bytes().to_vec()),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
            assert!(framer.held() == 0, "something is kept between messages");
        }
        assert!(piece.is_empty() && framer.held() <= LIMIT);
    }
    (messages, None)
}

/// One-sided where `minicbor` is laxer (it takes simple values that RFC 8949 forbids): what we take, it takes.
fn agrees_with_another_decoder(stream: &[u8]) {
    if let Ok(Some(length)) = item_len(stream, LIMIT) {
        let mut other = minicbor::Decoder::new(stream);
        if other.skip().is_ok() {
            assert_eq!(other.position(), length, "another decoder ends the item elsewhere");
        }
        assert_eq!(item_len(&stream[..length], LIMIT), Ok(Some(length)));
        for end in 0..length.min(64) {
            assert_eq!(item_len(&stream[..end], LIMIT), Ok(None), "a part of a message is no message");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        // FindIntersect with a point and origin, then RequestNext, Done.
        &[
            3, 0x82, 0x04, 0x9f, 0x82, 0x19, 0x01, 0x00, 0x58, 0x04, 1, 2, 3, 4, 0x80, 0xff, 0x81, 0x00,
            0x81, 0x07,
        ][..],
        // Every major type, definite and not, nested.
        &[
            1, 0xbf, 0x01, 0x9f, 0x20, 0xff, 0x62, b'a', b'b', 0xc1, 0xf9, 0x3c, 0x00, 0x5f, 0x41, 0, 0x40,
            0xff, 0xf6, 0xff,
        ],
        // A proposal of versions.
        &[2, 0x82, 0x00, 0xa2, 0x0e, 0x84, 0x02, 0xf4, 0x01, 0xf4, 0x0f, 0x84, 0x02, 0xf4, 0x01, 0xf4],
    ]
    .map(<[u8]>::to_vec)
    .into()
}
