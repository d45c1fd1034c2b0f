//! What is to be said on the control channel.
//!
//! Kept as what it is about and written when there is room, so that it is bounded by what there is to say: one
//! grant per channel, the pongs that are owed, one ping, one close.

use super::{Batch, Traffic};
use crate::Protocol;
use crate::Time;
use crate::agreement::Agreed;
use crate::control::Message;
use crate::message::{HEAD_BYTES, Head, Kind};
use crate::ping::{self, Ping};
use crate::reason::Code;

/// No message that is written here is longer, its head included: a pong of the largest numbers has 24 bytes.
const MAX_BYTES: usize = 64;

/// The state of the control channel.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) ping: Ping,
    /// By channel, how much is to be granted: nothing but for a moment.
    grants: Vec<(Protocol, u64)>,
    /// The last thing to say.
    pub(super) close: Option<Code>,
    pub(super) sent: Traffic,
}

impl Control {
    pub(super) fn new(config: ping::Config, agreed: &Agreed, now: Time) -> Self {
        let grants = agreed.channels.iter().map(|agreed| (agreed.channel.number, 0)).collect();
        Self { ping: Ping::new(config, now), grants, close: None, sent: Traffic::default() }
    }

    pub(super) fn on_grant(&mut self, channel: Protocol, bytes: u32) {
        let grant = self.grants.iter_mut().find(|(number, _)| *number == channel);
        let (_, grant) = grant.unwrap_or_else(|| panic!("a grant for channel {channel}, not agreed on"));
        *grant += u64::from(bytes);
    }

    /// Whether there is something to say. A link that ends says no more than that.
    pub(super) fn is_ready(&self, now: Time, is_open: bool) -> bool {
        self.close.is_some()
            || is_open && (self.ping.is_due(now) || self.grants.iter().any(|(_, grant)| *grant > 0))
    }

    /// Writes whole messages as long as there is room for any.
    pub(super) fn fill(&mut self, now: Time, mut room: usize, is_open: bool, batch: &mut Batch) {
        while room >= MAX_BYTES {
            let Some(message) = self.next(now, is_open) else { return };
            room -= self.write(&message, batch);
        }
    }

    pub(super) fn check_invariants(&self) {
        self.ping.check_invariants();
    }

    fn next(&mut self, now: Time, is_open: bool) -> Option<Message> {
        if let Some(code) = self.close.take() {
            return Some(Message::Close { code });
        }
        if !is_open {
            return None;
        }
        // Pings first: a grant can wait for the microseconds that it takes to write them.
        self.ping.transmit(now).or_else(|| self.next_grant())
    }

    fn next_grant(&mut self) -> Option<Message> {
        let (channel, grant) = self.grants.iter_mut().find(|(_, grant)| *grant > 0)?;
        let bytes = u32::try_from(*grant).unwrap_or(u32::MAX);
        *grant -= u64::from(bytes);
        Some(Message::Credit { channel: *channel, bytes })
    }

    /// As a note; how long it is.
    fn write(&mut self, message: &Message, batch: &mut Batch) -> usize {
        let mut bytes = 0;
        batch.write(|out| {
            let start = out.len();
            out.extend_from_slice(&[0; HEAD_BYTES]);
            message.encode(out);
            bytes = out.len() - start;
            let head = Head { kind: Kind::Note, length: (bytes - HEAD_BYTES) as u32 };
            out[start..start + HEAD_BYTES].copy_from_slice(&head.encode());
        });
        assert!(bytes <= MAX_BYTES, "a control message of {bytes} bytes");
        self.sent.messages += 1;
        self.sent.bytes += bytes as u64;
        bytes
    }
}
