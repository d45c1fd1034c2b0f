//! The checkers: what must hold in every world of links, whatever goes wrong.
//!
//! They know all that was said and see all that is heard, the memory that is held, and how links end. Each has a
//! test that breaks its rule on purpose and sees it fire.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use link::message::Kind;
use link::reason::Reason;
use link::{Protocol, Violation};

/// Names a connection for ever.
pub(crate) type ConnectionId = u64;

/// One channel in one direction of one connection: from the end with this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stream {
    pub(crate) connection: ConnectionId,
    pub(crate) from: usize,
    pub(crate) channel: Protocol,
}

/// What was found broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// What was heard is not what was said next.
    #[error("connection {connection}, channel {channel}: {what}")]
    OutOfOrder {
        /// Which connection.
        connection: u64,
        /// Which channel of it.
        channel: Protocol,
        /// What is wrong with it.
        what: String,
    },
    /// What is urgent waited behind what is not.
    #[error("connection {connection}: something urgent took {took:?}, at most {allowed:?} are allowed")]
    Late {
        /// Which connection.
        connection: u64,
        /// How long it took.
        took: Duration,
        /// How long it may take.
        allowed: Duration,
    },
    /// A peer that keeps to the rules was blamed.
    #[error("connection {connection}: the peer keeps to the rules and was blamed: {what}")]
    Slandered {
        /// Which connection.
        connection: u64,
        /// For what.
        what: String,
    },
    /// A link ended and did not say why.
    #[error("connection {connection} ended without a reason")]
    NoReason {
        /// Which connection.
        connection: u64,
    },
    /// A link outlived its bearer.
    #[error("connection {connection} lived on for {lasted:?} after its bearer was gone")]
    HalfOpen {
        /// Which connection.
        connection: u64,
        /// For how long.
        lasted: Duration,
    },
    /// Nothing came back for too long, though bytes can flow.
    #[error("connection {connection}: no pong for {waited:?}")]
    NoPong {
        /// Which connection.
        connection: u64,
        /// Since when.
        waited: Duration,
    },
    /// Something grows beyond its bound.
    #[error("{what}: {found}, at most {bound} are allowed")]
    Unbounded {
        /// What.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        bound: u64,
    },
    /// In the end, something that should have happened has not.
    #[error("in the end {what}")]
    Stuck {
        /// What has not.
        what: String,
    },
}

/// What was said and not heard yet.
#[derive(Debug, Clone, Copy)]
struct Said {
    kind: Kind,
    length: usize,
    crc: u32,
    at: Duration,
    /// Where it is urgent: how long it may take.
    within: Option<Duration>,
}

/// What the checkers remember.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    under_way: BTreeMap<Stream, VecDeque<Said>>,
    heard: u64,
    rejected: u64,
}

impl Checker {
    /// A message was queued; what is urgent must be heard within some time.
    pub(crate) fn on_said(
        &mut self,
        stream: Stream,
        now: Duration,
        kind: Kind,
        body: &[u8],
        within: Option<Duration>,
    ) {
        let said = Said { kind, length: body.len(), crc: crc32c::crc32c(body), at: now, within };
        self.under_way.entry(stream).or_default().push_back(said);
    }

    /// A message was delivered.
    pub(crate) fn on_heard(
        &mut self,
        stream: Stream,
        now: Duration,
        kind: Kind,
        body: &[u8],
    ) -> Result<(), Broken> {
        let Some(said) = self.take(stream) else {
            return Err(out_of_order(stream, "something was heard that nobody said".into()));
        };
        if (said.kind, said.length, said.crc) != (kind, body.len(), crc32c::crc32c(body)) {
            let what = format!(
                "heard {kind:?} of {} bytes, said was {:?} of {} bytes",
                body.len(),
                said.kind,
                said.length
            );
            return Err(out_of_order(stream, what));
        }
        self.heard += 1;
        let took = now.saturating_sub(said.at);
        match said.within {
            Some(allowed) if took > allowed => {
                Err(Broken::Late { connection: stream.connection, took, allowed })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A message was rejected for want of memory: the next one on its channel.
    pub(crate) fn on_over_budget(&mut self, stream: Stream, length: u32) -> Result<(), Broken> {
        self.rejected += 1;
        match self.take(stream) {
            Some(said) if said.length == length as usize => Ok(()),
            said => {
                let what = format!("{length} bytes were rejected, said was {said:?}");
                Err(out_of_order(stream, what))
            }
        }
    }

    /// A fault was found in what a sound peer sent over a sound line.
    pub(crate) fn on_blamed(&self, connection: ConnectionId, fault: &Violation) -> Result<(), Broken> {
        Err(Broken::Slandered { connection, what: fault.to_string() })
    }

    /// A link between two sound peers over a sound line ended.
    pub(crate) fn on_end_of_sound(&self, connection: ConnectionId, reason: &Reason) -> Result<(), Broken> {
        if reason.is_fault() {
            return Err(Broken::Slandered { connection, what: reason.to_string() });
        }
        Ok(())
    }

    /// Nothing more is heard of a direction of a connection.
    pub(crate) fn on_gone(&mut self, connection: ConnectionId, from: usize) {
        self.under_way.retain(|stream, _| (stream.connection, stream.from) != (connection, from));
    }

    /// How many bytes were said on a stream and not heard.
    pub(crate) fn under_way_bytes(&self, stream: Stream) -> usize {
        let said = self.under_way.get(&stream).into_iter().flatten();
        said.map(|said| link::channel::cost(said.length as u32) as usize).sum()
    }

    /// Something is compared with its bound.
    pub(crate) fn bound(&self, what: &'static str, found: u64, bound: u64) -> Result<(), Broken> {
        if found > bound { Err(Broken::Unbounded { what, found, bound }) } else { Ok(()) }
    }

    /// The end: all is quiet, and nothing of this connection may be under way.
    pub(crate) fn on_end(&self, connection: ConnectionId) -> Result<(), Broken> {
        let of_it =
            |(stream, said): &(&Stream, &VecDeque<Said>)| stream.connection == connection && !said.is_empty();
        match self.under_way.iter().find(of_it) {
            None => Ok(()),
            Some((stream, said)) => {
                let (count, channel) = (said.len(), stream.channel);
                let what =
                    format!("{count} messages on channel {channel} of connection {connection} are under way");
                Err(Broken::Stuck { what })
            }
        }
    }

    /// How many messages were heard.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    /// How many were rejected for want of memory.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    fn take(&mut self, stream: Stream) -> Option<Said> {
        self.under_way.get_mut(&stream)?.pop_front()
    }
}

fn out_of_order(stream: Stream, what: String) -> Broken {
    Broken::OutOfOrder { connection: stream.connection, channel: stream.channel, what }
}
