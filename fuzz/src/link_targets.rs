//! The mux: segments in any cut.

use link::mux::{Demux, Limit, Policy, Violation};
use link::segment::{HEADER_BYTES, Header};
use link::{Mode, Protocol};

use crate::Target;

/// Wide enough for a whole segment: what overruns would depend on how much came at once.
const LIMITS: &[Limit] = &[
    Limit { protocol: Protocol(2), ingress_bytes: u16::MAX as u32 },
    Limit { protocol: Protocol(8), ingress_bytes: u16::MAX as u32 },
];

/// A limit that is soon reached by one who never releases.
const NARROW: &[Limit] = &[Limit { protocol: Protocol(2), ingress_bytes: 64 }];

pub(crate) const SEGMENTS: Target = Target { name: "segments", run, seeds };

/// The same bytes, whole and in pieces as long as the first byte says, give the same parts and the same fault.
fn run(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let whole = parts(stream, stream.len().max(1));
    let pieces = parts(stream, usize::from(cut).max(1));
    assert_eq!(whole, pieces, "the cut of the bytes matters");
    never_holds_more_than_its_limit(stream);
}

/// Per protocol its bytes, and the fault in the end.
fn parts(stream: &[u8], cut: usize) -> (Vec<u8>, Vec<u8>, Option<Violation>) {
    let mut demux = Demux::new(Mode::Responder, Policy::Close, LIMITS);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for mut piece in stream.chunks(cut) {
        loop {
            match demux.next(&mut piece) {
                Ok(Some(part)) => {
                    let kept = if part.protocol == LIMITS[0].protocol { &mut first } else { &mut second };
                    kept.extend_from_slice(part.bytes);
                    demux.release(part.protocol, part.bytes.len());
                }
                Ok(None) => break,
                Err(fault) => return (first, second, Some(fault)),
            }
        }
        assert!(piece.is_empty(), "bytes are left over");
    }
    (first, second, None)
}

fn never_holds_more_than_its_limit(mut stream: &[u8]) {
    let mut demux = Demux::new(Mode::Responder, Policy::Close, NARROW);
    while let Ok(Some(_)) = demux.next(&mut stream) {
        assert!(demux.held(NARROW[0].protocol) <= NARROW[0].ingress_bytes);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let segment = |protocol, length: u16| {
        let header = Header { sent_us: 7, mode: Mode::Initiator, protocol: Protocol(protocol), length };
        let mut bytes = header.encode().to_vec();
        bytes.resize(HEADER_BYTES + usize::from(length), 0x81);
        bytes
    };
    vec![
        [vec![1], segment(2, 3), segment(8, 1)].concat(),
        [vec![11], segment(8, 20), segment(2, 40)].concat(),
    ]
}
