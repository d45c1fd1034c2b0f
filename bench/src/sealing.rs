//! Sealing and opening frames of a link, each on its own: what encryption costs a byte.
//!
//! Beside: snow's transport, which wants the header and the payload put together first and writes elsewhere. Both
//! take turns; the best turn counts, since all that differs between turns is what else the machine does.

use std::time::Instant;

use link::frame::{Deframer, Limits};
use link::segment::{HEADER_BYTES, MAX_SENT_BYTES};
use link::session::Session;
use snow::StatelessTransportState;

/// Frames in one turn: as many as a write of a fast link has.
const FRAMES: usize = 8;
/// Turns of each.
const TURNS: usize = 4_000;

/// Nanoseconds per byte of plaintext.
pub(crate) struct Costs {
    pub(crate) seal: f64,
    pub(crate) open: f64,
}

/// Ours.
pub(crate) fn ours((mut sender, mut receiver): (Session, Session)) -> anyhow::Result<Costs> {
    let payload = [5; MAX_SENT_BYTES];
    let mut wire = Vec::new();
    let mut best = Costs { seal: f64::MAX, open: f64::MAX };
    for _ in 0..TURNS {
        wire.clear();
        let start = Instant::now();
        for _ in 0..FRAMES {
            sender.sealer.seal([1; HEADER_BYTES], [&payload], &mut wire)?;
        }
        best.seal = best.seal.min(per_byte(start));
        let start = Instant::now();
        let mut deframer = Deframer::new(Limits::TRANSPORT);
        let mut input = &mut wire[..];
        while let Some(frame) = deframer.next(&mut input)? {
            receiver.opener.open(frame)?;
        }
        best.open = best.open.min(per_byte(start));
    }
    Ok(best)
}

/// snow's transport, with buffers that are long enough for it not to allocate.
pub(crate) fn snow(ends: (StatelessTransportState, StatelessTransportState)) -> anyhow::Result<Costs> {
    let (sender, receiver) = ends;
    let payload = [5; MAX_SENT_BYTES];
    let longest = usize::from(Limits::TRANSPORT.max);
    let (mut plain, mut opened) = (Vec::new(), vec![0; longest]);
    let mut wire = vec![0; longest * FRAMES];
    let mut best = Costs { seal: f64::MAX, open: f64::MAX };
    let mut number = 0;
    for _ in 0..TURNS {
        let start = Instant::now();
        for (sent, frame) in wire.chunks_exact_mut(longest).enumerate() {
            plain.clear();
            plain.extend_from_slice(&[1; HEADER_BYTES]);
            plain.extend_from_slice(&payload);
            sender.write_message(number + sent as u64, &plain, frame)?;
        }
        best.seal = best.seal.min(per_byte(start));
        let start = Instant::now();
        for frame in wire.chunks_exact(longest) {
            receiver.read_message(number, frame, &mut opened)?;
            number += 1;
        }
        best.open = best.open.min(per_byte(start));
    }
    Ok(best)
}

fn per_byte(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / (FRAMES * (HEADER_BYTES + MAX_SENT_BYTES)) as f64
}
