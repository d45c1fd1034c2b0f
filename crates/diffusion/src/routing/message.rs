//! The messages of the routing channel, and their one encoding.
//!
//! Each is the body of a note: a definite CBOR array headed by its number, strictly read.
//!
//! ```text
//! [0, [route, …]]                                        ; what the sender can reach now, and what no longer
//! [1, producer, hops]                                    ; ask: any claim
//! [1, producer, hops, seq, signature]                    ; ask: a newer claim than this
//! [2, attempt, duty, duty, sent, nonce, [producer, …], body] ; a parcel along routes, to the recipients of its duty
//! [3, attempt, sent, nonce, [producer, …], body]         ; a parcel that goes everywhere; no producer: meant for all
//! [4, id, producer, signature]                           ; receipt: this recipient has the packet
//! route = [producer] / [producer, seq, metric, signature]
//! ```

use std::sync::Arc;

use bytes::Bytes;
use chain::Hash;
use chain::native::{MAX_VALIDATORS, blake2b};

use super::claim::Signature;
use crate::cbor::{self, Error, Reader};
use crate::sync::bodies::Producer;

/// The most recipients of one packet: the most validators of a chain. A set of them fits 128 bits.
pub const MAX_RECIPIENTS: usize = MAX_VALIDATORS;

/// The most bytes of a packet's body: with the longest list of recipients around it, it fits the channel's megabyte.
pub const MAX_BODY_BYTES: usize = (1 << 20) - (8 << 10);

/// The most routes in one message. A guess: some kilobytes, so that routes never hold up what travels along them.
pub const MAX_ROUTES: usize = 64;

/// The highest metric: beyond it a producer counts as unreachable. Four hours of round trip.
pub const MAX_METRIC: u32 = 1 << 24;

/// How many times a packet is sent at most, the first included: bits of one byte.
pub const MAX_ATTEMPTS: u8 = 8;

/// How far a question for a newer claim travels: more hops than any sane network has.
pub const MAX_HOPS: u8 = 64;

/// A message of the routing channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender can reach, as far as that changed.
    Routes(Vec<Route>),
    /// The sender has no usable route to this producer: it needs a newer claim.
    Ask {
        /// Whom it wants to reach.
        producer: Producer,
        /// The newest claim that it knows, with its signature: whoever lost count of its own claims learns it so.
        known: Option<(u64, Signature)>,
        /// How many more times the question may be passed on.
        hops: u8,
    },
    /// Something that travels.
    Parcel {
        /// What.
        packet: Arc<Packet>,
        /// In which way.
        how: How,
    },
    /// A recipient has a packet.
    Receipt {
        /// Of the packet.
        id: Hash,
        /// The recipient.
        by: Producer,
        /// Its signature; see [`Claim::Receipt`](super::Claim::Receipt).
        signature: Signature,
    },
}

/// What the sender says of the way to one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// There is none any more.
    Lost {
        /// To whom.
        producer: Producer,
    },
    /// There is one.
    Reach {
        /// To whom.
        producer: Producer,
        /// The sequence number of its claim.
        seq: u64,
        /// How far it is from the sender; no signature vouches for it.
        metric: u32,
        /// The producer's; see [`Claim::Route`](super::Claim::Route).
        signature: Signature,
    },
}

/// The way in which a parcel travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Along routes.
    Routed {
        /// Which of the source's attempts this is.
        attempt: u8,
        /// The recipients that this copy is for.
        duty: Places,
    },
    /// Over every connection.
    Flood {
        /// Which of the source's attempts this is.
        attempt: u8,
    },
}

/// Some of a packet's recipients, by their place in its list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places(pub u128);

/// What travels, the same at every hop. Its id is a hash of all of it: nobody can put another packet in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    id: Hash,
    sent_ms: u64,
    nonce: u64,
    to: Box<[Producer]>,
    body: Bytes,
}

impl Places {
    /// The first `count` of them.
    pub(super) fn first(count: usize) -> Self {
        match count {
            0 => Self(0),
            _ => Self(u128::MAX >> (128 - count.min(128))),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn contains(self, place: u8) -> bool {
        self.0 >> place & 1 == 1
    }

    pub(super) fn insert(&mut self, place: u8) {
        self.0 |= 1 << place;
    }

    pub(super) fn remove(&mut self, place: u8) {
        self.0 &= !(1 << place);
    }

    pub(super) fn minus(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..MAX_RECIPIENTS as u8).filter(move |place| self.contains(*place))
    }
}

impl Packet {
    /// A packet; `to` ascends, and is empty where everybody is meant.
    pub(super) fn new(sent_ms: u64, nonce: u64, to: Box<[Producer]>, body: Bytes) -> Self {
        let mut bytes = b"anabranch packet 1".to_vec();
        put_terms(&mut bytes, sent_ms, nonce, &to);
        cbor::put_bytes(&mut bytes, &blake2b(&body).0);
        Self { id: blake2b(&bytes), sent_ms, nonce, to, body }
    }

    /// Its name.
    pub fn id(&self) -> Hash {
        self.id
    }

    /// When its source says that it sent it first: milliseconds of its wall clock.
    pub fn sent_ms(&self) -> u64 {
        self.sent_ms
    }

    /// The producers that it is for, ascending; none where everybody is meant.
    pub fn to(&self) -> &[Producer] {
        &self.to
    }

    /// What it carries.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// A producer's place among the recipients.
    pub(super) fn place(&self, producer: &Producer) -> Option<u8> {
        self.to.binary_search(producer).ok().map(|place| place as u8)
    }
}

impl How {
    /// Which of the source's attempts.
    pub(super) fn attempt(self) -> u8 {
        match self {
            Self::Routed { attempt, .. } | Self::Flood { attempt } => attempt,
        }
    }
}

impl Message {
    /// Reads the message that these bytes are; bodies share their buffer.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let fields = reader.array("message")?;
        let number = reader.uint(u64::MAX, "message number")?;
        let message = match (number, fields) {
            (0, 2) => Self::Routes(reader.list(MAX_ROUTES, "list of routes", read_route)?),
            (1, 3 | 5) => Self::Ask {
                producer: read_producer(&mut reader)?,
                hops: reader.uint(MAX_HOPS.into(), "number of hops")? as u8,
                known: if fields == 5 {
                    Some((reader.uint(u64::MAX, "sequence number")?, reader.fixed("signature")?))
                } else {
                    None
                },
            },
            (2, 8) => read_routed(&mut reader)?,
            (3, 6) => {
                let how = How::Flood { attempt: read_attempt(&mut reader)? };
                Self::Parcel { packet: Arc::new(read_packet(&mut reader)?), how }
            }
            (4, 4) => Self::Receipt {
                id: reader.hash("packet id")?,
                by: read_producer(&mut reader)?,
                signature: reader.fixed("signature")?,
            },
            (0..=4, _) => return Err(Error::Expected { what: "message of its own length", at: 0 }),
            (number, _) => return Err(Error::Unknown { number }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Routes(routes) => {
                cbor::put_message(out, 2, 0);
                cbor::put_array(out, routes.len());
                routes.iter().for_each(|route| put_route(out, route));
            }
            Self::Ask { producer, known, hops } => {
                cbor::put_message(out, if known.is_some() { 5 } else { 3 }, 1);
                cbor::put_bytes(out, &producer.0);
                cbor::put_uint(out, u64::from(*hops));
                if let Some((seq, signature)) = known {
                    cbor::put_uint(out, *seq);
                    cbor::put_bytes(out, signature);
                }
            }
            Self::Parcel { packet, how } => put_parcel(out, packet, *how),
            Self::Receipt { id, by, signature } => {
                cbor::put_message(out, 4, 4);
                cbor::put_bytes(out, &id.0);
                cbor::put_bytes(out, &by.0);
                cbor::put_bytes(out, signature);
            }
        }
    }

    /// No more bytes than this.
    pub fn max_bytes(&self) -> u64 {
        const FIXED: usize = 64;
        const PRODUCER: usize = 2 + 32;
        const SIGNATURE: usize = 2 + 64;
        let bytes = match self {
            Self::Routes(routes) => FIXED + routes.len() * (PRODUCER + SIGNATURE + 16),
            Self::Ask { .. } => FIXED + PRODUCER + SIGNATURE,
            Self::Parcel { packet, .. } => FIXED + packet.to.len() * PRODUCER + packet.body.len(),
            Self::Receipt { .. } => FIXED + 2 * PRODUCER + SIGNATURE,
        };
        bytes as u64
    }

    /// Its name, for operators.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Routes(_) => "routes",
            Self::Ask { .. } => "ask",
            Self::Parcel { how: How::Routed { .. }, .. } => "routed",
            Self::Parcel { how: How::Flood { .. }, .. } => "flood",
            Self::Receipt { .. } => "receipt",
        }
    }
}

fn read_producer(reader: &mut Reader<'_>) -> Result<Producer, Error> {
    reader.fixed("producer").map(Producer)
}

fn read_attempt(reader: &mut Reader<'_>) -> Result<u8, Error> {
    Ok(reader.uint(u64::from(MAX_ATTEMPTS - 1), "attempt")? as u8)
}

fn read_route(reader: &mut Reader<'_>) -> Result<Route, Error> {
    match reader.array("route")? {
        1 => Ok(Route::Lost { producer: read_producer(reader)? }),
        4 => Ok(Route::Reach {
            producer: read_producer(reader)?,
            seq: reader.uint(u64::MAX, "sequence number")?,
            metric: reader.uint(MAX_METRIC.into(), "metric")? as u32,
            signature: reader.fixed("signature")?,
        }),
        _ => Err(Error::Expected { what: "route of one field or four", at: 0 }),
    }
}

fn read_routed(reader: &mut Reader<'_>) -> Result<Message, Error> {
    let attempt = read_attempt(reader)?;
    let high = reader.uint(u64::MAX, "duty")?;
    let low = reader.uint(u64::MAX, "duty")?;
    let duty = Places(u128::from(high) << 64 | u128::from(low));
    let packet = read_packet(reader)?;
    if duty.is_empty() || !duty.minus(Places::first(packet.to.len())).is_empty() {
        return Err(Error::Expected { what: "duty among the recipients", at: 0 });
    }
    Ok(Message::Parcel { packet: Arc::new(packet), how: How::Routed { attempt, duty } })
}

fn read_packet(reader: &mut Reader<'_>) -> Result<Packet, Error> {
    let sent_ms = reader.uint(u64::MAX, "time")?;
    let nonce = reader.uint(u64::MAX, "nonce")?;
    let to = reader.list(MAX_RECIPIENTS, "list of recipients", read_producer)?;
    if !to.is_sorted_by(|a, b| a < b) {
        return Err(Error::Expected { what: "ascending list of recipients", at: 0 });
    }
    Ok(Packet::new(sent_ms, nonce, to.into(), reader.bytes(MAX_BODY_BYTES, "body")?))
}

fn put_route(out: &mut Vec<u8>, route: &Route) {
    match route {
        Route::Lost { producer } => {
            cbor::put_array(out, 1);
            cbor::put_bytes(out, &producer.0);
        }
        Route::Reach { producer, seq, metric, signature } => {
            cbor::put_array(out, 4);
            cbor::put_bytes(out, &producer.0);
            cbor::put_uint(out, *seq);
            cbor::put_uint(out, u64::from(*metric));
            cbor::put_bytes(out, signature);
        }
    }
}

fn put_parcel(out: &mut Vec<u8>, packet: &Packet, how: How) {
    match how {
        How::Routed { attempt, duty } => {
            cbor::put_message(out, 8, 2);
            cbor::put_uint(out, u64::from(attempt));
            cbor::put_uint(out, (duty.0 >> 64) as u64);
            cbor::put_uint(out, duty.0 as u64);
        }
        How::Flood { attempt } => {
            cbor::put_message(out, 6, 3);
            cbor::put_uint(out, u64::from(attempt));
        }
    }
    put_terms(out, packet.sent_ms, packet.nonce, &packet.to);
    cbor::put_bytes(out, &packet.body);
}

fn put_terms(out: &mut Vec<u8>, sent_ms: u64, nonce: u64, to: &[Producer]) {
    cbor::put_uint(out, sent_ms);
    cbor::put_uint(out, nonce);
    cbor::put_array(out, to.len());
    to.iter().for_each(|producer| cbor::put_bytes(out, &producer.0));
}
