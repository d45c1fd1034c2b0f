//! The first frame that each side sends in a session: one control message, whole and alone in its segment.

use crate::agreement::{Disagreement, VERSIONS};
use crate::channel::{CONTROL, Channel};
use crate::control::{Hello, Message, Terms};
use crate::message::{HEAD_BYTES, Head, Kind};
use crate::segment::{HEADER_BYTES, Header, sent_us};
use crate::session::{Exhausted, Sealer};
use crate::{Mode, Time};

/// What we say of ourselves.
pub(super) fn ours(network_id: [u8; 32], channels: &[Channel], agent: &str) -> Message {
    let terms = |channel: &Channel| Terms {
        channel: channel.number,
        max_message_bytes: channel.max_message_bytes,
        window_bytes: channel.window_bytes,
    };
    Message::Hello(Hello {
        versions: VERSIONS.to_vec(),
        network_id,
        channels: channels.iter().map(terms).collect(),
        agent: agent.to_owned(),
    })
}

/// Appends a frame with this message alone.
pub(super) fn seal(
    now: Time,
    ours: Mode,
    message: &Message,
    sealer: &mut Sealer,
    out: &mut Vec<u8>,
) -> Result<(), Exhausted> {
    let mut body = Vec::new();
    message.encode(&mut body);
    let head = Head { kind: Kind::Note, length: body.len() as u32 }.encode();
    let length = (HEAD_BYTES + body.len()) as u16;
    let header = Header { sent_us: sent_us(now), mode: ours, protocol: CONTROL, length };
    sealer.seal(header.encode(), [&head[..], &body], out)
}

/// Reads a segment that holds one control message and nothing else.
pub(super) fn read(ours: Mode, segment: &[u8]) -> Result<Message, Disagreement> {
    let (header, payload) = segment.split_first_chunk::<HEADER_BYTES>().ok_or(Disagreement::NotHello)?;
    let header = Header::decode(*header);
    if header.mode != ours.other()
        || header.protocol != CONTROL
        || usize::from(header.length) != payload.len()
    {
        return Err(Disagreement::NotHello);
    }
    let (head, body) = payload.split_first_chunk::<HEAD_BYTES>().ok_or(Disagreement::NotHello)?;
    match Head::decode(*head) {
        Ok(Head { kind: Kind::Note, length }) if length as usize == body.len() => Ok(Message::decode(body)?),
        _ => Err(Disagreement::NotHello),
    }
}
