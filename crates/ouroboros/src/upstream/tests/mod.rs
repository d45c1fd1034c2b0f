//! The machine against a server that says what the test wants.

mod limits;
mod requests;
mod speech;

use std::time::Duration;

use chain::{Hash, Height, Point, Slot, Tip};
use link::mux::{Demux, Limit, Policy};
use link::segment::Header;
use link::{Mode, Protocol, Time};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::framing::Framer;
use crate::handshake::VersionData;
use crate::{block_fetch, chain_sync, handshake, keep_alive, peer_sharing, tx_submission};

const MAGIC: u32 = 2;
const POINT: Point = Point::Block(Slot(5), Hash([5; 32]));
const TIP: Tip = Tip { point: POINT, height: Height(3) };
const HEADER: &[u8] = &[0x82, 5, 0xd8, 24, 0x43, 1, 2, 3];

const DATA: VersionData =
    VersionData { magic: MAGIC, initiator_only: true, peer_sharing: false, query: false, peras: false };

/// Every protocol at once, for the server's side: the tests do not test its mux.
const ALL: &[Limit] = &[
    Limit { protocol: crate::limits::HANDSHAKE, ingress_bytes: u32::MAX },
    Limit { protocol: crate::limits::CHAIN_SYNC, ingress_bytes: u32::MAX },
    Limit { protocol: crate::limits::BLOCK_FETCH, ingress_bytes: u32::MAX },
    Limit { protocol: crate::limits::TX_SUBMISSION, ingress_bytes: u32::MAX },
    Limit { protocol: crate::limits::KEEP_ALIVE, ingress_bytes: u32::MAX },
    Limit { protocol: crate::limits::PEER_SHARING, ingress_bytes: u32::MAX },
];

/// A machine, and the bytes that the server at its other end has seen.
struct World {
    state: State,
    now: Duration,
    demux: Demux,
}

impl World {
    fn new(config: &Config) -> Self {
        Self::seeded(config, 1)
    }

    fn seeded(config: &Config, seed: u64) -> Self {
        let now = Duration::from_secs(100);
        let state = State::new(config, time(now), ChaCha8Rng::seed_from_u64(seed));
        Self { state, now, demux: Demux::new(Mode::Responder, Policy::Close, ALL) }
    }

    /// After the handshake, with its messages and the first of the protocols already read.
    fn running() -> Self {
        let mut world = Self::new(&Config::new(MAGIC));
        let events = world.say(crate::limits::HANDSHAKE, &accept(Version::V15, DATA));
        assert_eq!(events, [Event::Ready { version: Version::V15 }]);
        world.heard();
        world
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Event> {
        let mut out = Vec::new();
        self.state.handle(time(self.now), input, &mut out);
        out
    }

    fn command(&mut self, command: Command) -> Vec<Event> {
        self.input(Input::Command(command))
    }

    /// The server sends a message in a segment of its own.
    fn say(&mut self, protocol: Protocol, message: &[u8]) -> Vec<Event> {
        self.input(Input::Received(&segment(protocol, message)))
    }

    fn say_chain_sync(&mut self, message: chain_sync::Message<'_>) -> Vec<Event> {
        self.say(crate::limits::CHAIN_SYNC, &encoded(|out| message.encode(out)))
    }

    fn say_block_fetch(&mut self, message: block_fetch::Message<'_>) -> Vec<Event> {
        self.say(crate::limits::BLOCK_FETCH, &encoded(|out| message.encode(out)))
    }

    fn say_keep_alive(&mut self, message: keep_alive::Message) -> Vec<Event> {
        self.say(crate::limits::KEEP_ALIVE, &encoded(|out| message.encode(out)))
    }

    fn say_tx_submission(&mut self, message: tx_submission::Message<'_>) -> Vec<Event> {
        self.say(crate::limits::TX_SUBMISSION, &encoded(|out| message.encode(out)))
    }

    fn say_peer_sharing(&mut self, message: peer_sharing::Message<'_>) -> Vec<Event> {
        self.say(crate::limits::PEER_SHARING, &encoded(|out| message.encode(out)))
    }

    /// What the server hears: whole messages, by protocol in the order of arrival.
    fn heard(&mut self) -> Vec<(Protocol, Vec<u8>)> {
        let bytes = self.transmitted();
        let mut input = &bytes[..];
        let mut heard = Vec::new();
        while let Some(part) = self.demux.next(&mut input).unwrap() {
            let mut framer = Framer::default();
            let mut bytes = part.bytes;
            while let Some(item) = framer.next(&mut bytes, usize::MAX).unwrap() {
                heard.push((part.protocol, item.bytes().to_vec()));
            }
            assert_eq!(framer.held(), 0, "the tests send messages that fit a segment");
        }
        heard
    }

    /// All that there is to send.
    fn transmitted(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.state.transmit(time(self.now), usize::MAX, &mut bytes);
        bytes
    }

    /// How many RequestNext the server hears, and nothing else.
    fn heard_requests(&mut self) -> usize {
        let heard = self.heard();
        let request = (crate::limits::CHAIN_SYNC, vec![0x81, 0x00]);
        assert!(heard.iter().all(|message| *message == request), "{heard:?}");
        heard.len()
    }

    /// Lets the time pass and ticks.
    fn pass(&mut self, time: Duration) -> Vec<Event> {
        self.now += time;
        self.input(Input::Tick)
    }
}

fn time(mono: Duration) -> Time {
    Time { mono, wall: Duration::ZERO }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

fn segment(protocol: Protocol, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    let header = Header { sent_us: 0, mode: Mode::Responder, protocol, length };
    [&header.encode()[..], message].concat()
}

fn accept(version: Version, data: VersionData) -> Vec<u8> {
    encoded(|out| handshake::Message::AcceptVersion { version, data }.encode(out))
}

fn forward() -> chain_sync::Message<'static> {
    chain_sync::Message::RollForward { header: HEADER, tip: TIP }
}

fn forwarded() -> Event {
    Event::Forward { wire: Bytes::from_static(HEADER), tip: TIP }
}

/// The violation that ended the connection.
fn violation(events: &[Event]) -> Violation {
    match events {
        [.., Event::Closed { reason: Reason::Violation(violation) }] => *violation,
        events => panic!("no violation: {events:?}"),
    }
}
