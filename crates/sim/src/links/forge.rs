//! Segments as a peer seals them that does not keep to the rules.

use link::Protocol;
use link::channel::CONTROL;
use link::control::{Hello, Message};
use link::message::{Head, Kind};
use link::segment::{HEADER_BYTES, MAX_SENT_BYTES};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// Changes a segment before it is sealed, so that it breaks some rule or just says something else.
pub(super) fn forge(head: &mut [u8; HEADER_BYTES], payload: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
    match rng.random_range(0..8) {
        // The wrong side speaks.
        0 => head[4] ^= 0x80,
        // A channel that may not exist, or another one's bytes.
        1 => head[5] = rng.random_range(0..10),
        // Another length than the frame has room for.
        2 => head[6..].copy_from_slice(&rng.random::<[u8; 2]>()),
        // Other bytes of a message: its kind, its length, its body.
        3 => {
            let at = rng.random_range(0..payload.len().min(9));
            payload[at] = rng.random();
        }
        // A piece is missing, and nobody says so.
        4 if payload.len() > 1 => {
            payload.truncate(rng.random_range(1..payload.len()));
            put_length(head, payload);
        }
        // More than there was, up to what fits.
        5 => {
            let more = rng.random_range(1..=MAX_SENT_BYTES);
            let more = more.min(MAX_SENT_BYTES - payload.len());
            payload.extend((0..more).map(|_| rng.random::<u8>()));
            put_length(head, payload);
        }
        // What control is for, at the wrong time and too much of it.
        6 => {
            head[5] = CONTROL.0 as u8;
            payload.clear();
            for _ in 0..rng.random_range(1..40) {
                put_control(payload, rng);
            }
            put_length(head, payload);
        }
        _ => payload.iter_mut().for_each(|byte| *byte = rng.random()),
    }
}

/// A frame that cannot be one: of a length below or above what is allowed.
pub(super) fn bad_frame(rng: &mut ChaCha12Rng) -> Vec<u8> {
    let length: u16 =
        if rng.random() { rng.random_range(0..25) } else { rng.random_range(12_313..=u16::MAX) };
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend((0..length).map(|_| rng.random::<u8>()));
    frame
}

/// Appends some control message, well-formed.
fn put_control(payload: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
    let channel = Protocol(rng.random_range(0..10));
    let message = match rng.random_range(0..5) {
        0 => Message::Ping { id: rng.random(), sent_us: rng.random() },
        1 => Message::Pong { id: rng.random_range(0..4), sent_us: rng.random(), received_us: rng.random() },
        2 => Message::Credit { channel, bytes: rng.random() },
        3 => Message::Credit { channel, bytes: 0 },
        _ => Message::Hello(Hello {
            versions: vec![1],
            network_id: [9; 32],
            channels: Vec::new(),
            agent: "forged".to_owned(),
        }),
    };
    let mut body = Vec::new();
    message.encode(&mut body);
    let length = u32::try_from(body.len()).expect("short");
    payload.extend_from_slice(&Head { kind: Kind::Note, length }.encode());
    payload.extend_from_slice(&body);
}

fn put_length(head: &mut [u8; HEADER_BYTES], payload: &[u8]) {
    let length = u16::try_from(payload.len()).expect("at most what a segment holds");
    head[6..].copy_from_slice(&length.to_be_bytes());
}
