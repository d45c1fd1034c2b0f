//! The inbound half against a peer that sends what a test wants.

mod ahead;
mod any_order;
mod credit;
mod faults;

use std::num::NonZeroU32;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{Config, Inbound, Input, Output, Rules};
use crate::agreement::{Agreed, AgreedChannel};
use crate::budget::{Budget, FLOOR_BYTES};
use crate::channel::{CONTROL, Channel, Lane};
use crate::control;
use crate::frame::{Deframer, LENGTH_BYTES, Limits};
use crate::message::{Head, Kind};
use crate::segment::{HEADER_BYTES, Header};
use crate::session::{self, Handshake, Sealer, Security, Session};
use crate::{Identity, Mode, Protocol, Time, Violation, strikes};

/// An urgent channel with small messages.
const URGENT: Protocol = Protocol(1);
/// Bulk.
const BULK: Protocol = Protocol(5);
/// Bulk as well.
const OTHER: Protocol = Protocol(6);

/// What none of the scenes has.
const UNKNOWN: Protocol = Protocol(3);

fn channel(number: Protocol, lane: Lane, max_message_bytes: u32, window_bytes: u32) -> Channel {
    let deadline = Duration::from_secs(10);
    Channel { number, name: "test", lane, share: 1, max_message_bytes, window_bytes, deadline }
}

fn channels() -> Vec<Channel> {
    vec![
        channel(URGENT, Lane::Consensus, 1_000, 4_000),
        channel(BULK, Lane::Bulk, 60_000, 130_000),
        channel(OTHER, Lane::Bulk, 20_000, 40_146),
    ]
}

fn at(ms: u64) -> Time {
    Time { mono: Duration::from_millis(ms), ..Time::default() }
}

/// Both sides of a link that is open.
fn sessions(security: Security) -> (Session, Session) {
    let config = session::Config { network_id: [7; 32], security };
    let (ours, theirs) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut dialler = Handshake::dial(&config, &ours, Some(theirs.peer_id()), &mut rng);
    let mut acceptor = Handshake::accept(&config, &theirs, &mut rng);
    while !(dialler.is_finished() && acceptor.is_finished()) {
        let mut wire = Vec::new();
        dialler.transmit(&mut wire);
        hand_over(&mut wire, &mut acceptor);
        acceptor.transmit(&mut wire);
        hand_over(&mut wire, &mut dialler);
    }
    (dialler.finish(), acceptor.finish())
}

fn hand_over(wire: &mut Vec<u8>, to: &mut Handshake) {
    if !wire.is_empty() {
        to.receive(&wire[LENGTH_BYTES..]).expect("the handshake works");
        wire.clear();
    }
}

/// The half that accepted, and the peer that dialled.
struct Scene {
    inbound: Inbound,
    sealer: Sealer,
    budget: Budget,
    now: Time,
    out: Vec<Output>,
}

impl Scene {
    fn new() -> Self {
        Self::with(Config::new(channels()), Budget::new(10 << 20), Security::Plain)
    }

    /// With a peer whose faults are borne for ever.
    fn patient() -> Self {
        let config = Config {
            strikes: strikes::Config { limit: None, ..Default::default() },
            ..Config::new(channels())
        };
        Self::with(config, Budget::new(10 << 20), Security::Plain)
    }

    fn with(config: Config, budget: Budget, security: Security) -> Self {
        Self::agreed(config, budget, security, |_| true)
    }

    /// With a peer that has only some of the channels.
    fn agreed(config: Config, budget: Budget, security: Security, has: fn(Protocol) -> bool) -> Self {
        let (dialler, acceptor) = sessions(security);
        let both = config.channels.iter().filter(|channel| has(channel.number));
        let channels = both.map(|channel| AgreedChannel {
            channel: *channel,
            peer_max_message_bytes: 1,
            peer_window_bytes: 200,
        });
        let agreed = Agreed { version: 1, agent: String::new(), channels: channels.collect() };
        let rules = Rules::new(config).expect("sound settings");
        let share = budget.share(FLOOR_BYTES).expect("room for a link");
        let deframer = Deframer::new(Limits::TRANSPORT);
        let inbound = Inbound::new(at(0), rules, Mode::Responder, &agreed, share, deframer, acceptor.opener);
        Self { inbound, sealer: dialler.sealer, budget, now: at(0), out: Vec::new() }
    }

    /// What a frame with this in it looks like on the wire.
    fn sealed(&mut self, content: &[u8]) -> Vec<u8> {
        let (head, payload) = content.split_first_chunk::<HEADER_BYTES>().expect("a head");
        let mut wire = Vec::new();
        self.sealer.seal(*head, [payload], &mut wire).expect("a nonce");
        wire
    }

    fn feed(&mut self, mut bytes: Vec<u8>) {
        self.handle(Input::Received(&mut bytes));
    }

    fn handle(&mut self, input: Input<'_>) {
        self.inbound.handle(self.now, input, &mut self.out);
        self.inbound.check_invariants();
    }

    /// Sends a segment in its frame.
    fn send(&mut self, channel: Protocol, payload: &[u8]) {
        let wire = self.sealed(&segment(channel, Mode::Initiator, payload));
        self.feed(wire);
    }

    fn send_control(&mut self, message: &control::Message) {
        let mut body = Vec::new();
        message.encode(&mut body);
        self.send(CONTROL, &message_bytes(Kind::Note, &body));
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.handle(Input::Tick);
    }

    fn taken(&mut self, channel: Protocol, bytes: u64) {
        self.handle(Input::Taken { channel, bytes: bytes as u32 });
    }

    /// What came out since the last look; messages as channel, kind and body.
    fn seen(&mut self) -> Vec<Seen> {
        self.out.drain(..).map(Seen::from).collect()
    }
}

/// An output that can be compared: it has let go of the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Message(Protocol, Kind, Vec<u8>),
    Control(control::Message),
    Grant(Protocol, u32),
    Rejected(Violation),
    Closed(crate::reason::Reason),
}

impl From<Output> for Seen {
    fn from(output: Output) -> Self {
        match output {
            Output::Message { channel, kind, body, charge: _ } => Self::Message(channel, kind, body.to_vec()),
            Output::Control(message) => Self::Control(message),
            Output::Grant { channel, bytes } => Self::Grant(channel, bytes),
            Output::Rejected(fault) => Self::Rejected(fault),
            Output::Closed(reason) => Self::Closed(reason),
        }
    }
}

fn segment(channel: Protocol, mode: Mode, payload: &[u8]) -> Vec<u8> {
    let header = Header { sent_us: 7, mode, protocol: channel, length: payload.len() as u16 };
    [&header.encode()[..], payload].concat()
}

fn message_bytes(kind: Kind, body: &[u8]) -> Vec<u8> {
    [&Head { kind, length: body.len() as u32 }.encode()[..], body].concat()
}

fn strikes(limit: u32) -> strikes::Config {
    strikes::Config { limit: NonZeroU32::new(limit), window: Duration::from_secs(600) }
}
