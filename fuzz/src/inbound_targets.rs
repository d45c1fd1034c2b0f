//! Open links between peers: channels, messages, credit and memory, from a peer whose keys are in order.

use std::num::NonZeroU32;
use std::time::Duration;

use link::agreement::{Agreed, AgreedChannel};
use link::budget::{Budget, FLOOR_BYTES, Share};
use link::channel::{CONTROL, Channel, Lane, cost};
use link::frame::{Deframer, LENGTH_BYTES, Limits};
use link::inbound::{Config, Inbound, Input, Output, Rules};
use link::message::{HEAD_BYTES, Head, Kind};
use link::reassembly::{Assembly, Event};
use link::segment::{HEADER_BYTES, Header};
use link::session::{self, Handshake, Sealer, Security, Session};
use link::{Identity, Mode, Protocol, Time, Violation, strikes};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::Target;

pub(crate) const REASSEMBLY: Target =
    Target { name: "reassembly", run: run_reassembly, seeds: seeds_of_messages };
pub(crate) const LINK_MUX: Target = Target { name: "link_mux", run: run_mux, seeds: seeds_of_frames };

const BULK: Protocol = Protocol(5);
const URGENT: Protocol = Protocol(1);

/// The total of the budget that is soon used up.
const TIGHT_BYTES: u64 = FLOOR_BYTES as u64 + 500;

fn channel(number: Protocol, lane: Lane, max_message_bytes: u32) -> Channel {
    let (window_bytes, deadline) = (3 * cost(max_message_bytes) as u32, Duration::from_secs(10));
    Channel { number, name: "fuzzed", lane, share: 1, max_message_bytes, window_bytes, deadline }
}

/// What comes of a channel's bytes.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Message(Kind, Vec<u8>),
    Rejected(Violation),
}

/// In the cut that the first byte says, the messages and the faults are those that a plain look at the whole finds;
/// and with little memory nothing is kept beyond it.
fn run_reassembly(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let channel = channel(BULK, Lane::Bulk, 300);
    let came = assembled(stream, usize::from(cut).max(1), &channel, &Budget::new(1 << 30));
    assert_eq!(came, expected(stream, &channel));
    assembled(stream, usize::from(cut).max(1), &Channel { max_message_bytes: u32::MAX, ..channel }, &tight());
}

fn tight() -> Budget {
    Budget::new(TIGHT_BYTES)
}

fn share(budget: &Budget) -> Share {
    budget.share(FLOOR_BYTES).expect("room for one")
}

fn assembled(stream: &[u8], cut: usize, channel: &Channel, budget: &Budget) -> Vec<Came> {
    let share = share(budget);
    let mut assembly = Assembly::default();
    let (mut came, mut charges) = (Vec::new(), Vec::new());
    for (number, mut piece) in stream.chunks(cut).enumerate() {
        // Whatever it is told to lie behind, also when that was not true.
        let behind = (number % 3) * cut;
        while let Some(event) = assembly.next(Duration::ZERO, channel, &share, &mut piece, behind) {
            match event {
                Event::Message { kind, body, charge } => {
                    came.push(Came::Message(kind, body.to_vec()));
                    charges.push(charge);
                }
                // How much of a rejected message is complained of at a time depends on the cut.
                Event::Rejected(Violation::Endless { .. }) => {}
                Event::Rejected(fault) => came.push(Came::Rejected(fault)),
            }
        }
        assert!(piece.is_empty(), "bytes are left over");
        assembly.settle(channel);
        assembly.check_invariants(channel);
        assert!(budget.used_bytes() <= budget.total_bytes());
    }
    drop((charges, assembly, share));
    assert_eq!(budget.used_bytes(), 0, "memory is lost");
    came
}

fn expected(mut stream: &[u8], channel: &Channel) -> Vec<Came> {
    let mut came = Vec::new();
    while let Some((head, rest)) = stream.split_first_chunk::<HEAD_BYTES>() {
        let length = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (body, tail) = rest.split_at(rest.len().min(length as usize));
        let whole = body.len() == length as usize;
        match Head::decode(*head) {
            Err(unknown) => {
                let fault = Violation::UnknownKind { channel: channel.number, kind: unknown.kind };
                came.push(Came::Rejected(fault));
            }
            Ok(_) if length > channel.max_message_bytes => {
                let limit = channel.max_message_bytes;
                came.push(Came::Rejected(Violation::TooLong { channel: channel.number, length, limit }));
            }
            Ok(head) if whole => came.push(Came::Message(head.kind, body.to_vec())),
            Ok(_) => {}
        }
        stream = tail;
    }
    came
}

fn seeds_of_messages() -> Vec<Vec<u8>> {
    let message =
        |kind, length: u32| [&Head { kind, length }.encode()[..], &vec![0x5a; length as usize]].concat();
    let kinds = [Kind::Note, Kind::Request(7), Kind::Reply(u32::MAX)];
    vec![
        [vec![1], message(kinds[0], 3), message(kinds[1], 0), message(kinds[2], 300)].concat(),
        [vec![50], message(kinds[1], 200), message(kinds[0], 301), message(kinds[2], 1)].concat(),
        [vec![255], message(kinds[0], 70_000), message(kinds[0], 2)].concat(),
    ]
}

/// The first byte is the cut; then come steps, each headed by its length in a byte. A step too short for a frame
/// lets time pass or the application take; any other is sealed and received.
///
/// In any cut the same comes out; credit and memory stay within their bounds at each step.
fn run_mux(input: &[u8]) {
    let Some((&cut, steps)) = input.split_first() else { return };
    for total in [TIGHT_BYTES, 1 << 30] {
        let whole = World::new(total).run(steps, usize::MAX);
        let pieces = World::new(total).run(steps, usize::from(cut).max(1));
        assert_eq!(whole, pieces, "the cut of the bytes matters");
    }
}

struct World {
    budget: Budget,
    sealer: Sealer,
    inbound: Inbound,
    now: Time,
    /// What the application has not taken yet.
    untaken: Vec<(Protocol, u32, link::budget::Charge)>,
    seen: Vec<String>,
}

impl World {
    fn new(total_bytes: u64) -> Self {
        let channels = vec![channel(URGENT, Lane::Consensus, 40), channel(BULK, Lane::Bulk, 300)];
        let agreed = channels.iter().map(|channel| AgreedChannel {
            channel: *channel,
            peer_max_message_bytes: 1,
            peer_window_bytes: 200,
        });
        let agreed = Agreed { version: 1, agent: String::new(), channels: agreed.collect() };
        let strikes = strikes::Config { limit: NonZeroU32::new(40), window: Duration::from_secs(60) };
        let rules = Rules::new(Config { strikes, ..Config::new(channels) }).expect("sound");
        let budget = Budget::new(total_bytes);
        let (dialler, acceptor) = sessions();
        let deframer = Deframer::new(Limits::TRANSPORT);
        let (now, ours, share) = (Time::default(), Mode::Responder, share(&budget));
        let inbound = Inbound::new(now, rules, ours, &agreed, share, deframer, acceptor.opener);
        Self { budget, sealer: dialler.sealer, inbound, now, untaken: Vec::new(), seen: Vec::new() }
    }

    fn run(mut self, mut steps: &[u8], cut: usize) -> Vec<String> {
        while let Some((&length, rest)) = steps.split_first() {
            let (step, rest) = rest.split_at(rest.len().min(usize::from(length)));
            self.step(step, cut);
            steps = rest;
        }
        self.seen
    }

    fn step(&mut self, step: &[u8], cut: usize) {
        match step.split_first_chunk::<HEADER_BYTES>() {
            Some((head, payload)) if !payload.is_empty() => {
                let mut wire = Vec::new();
                self.sealer.seal(*head, [payload], &mut wire).expect("a nonce");
                for piece in wire.chunks_mut(cut.min(1 << 20)) {
                    self.handle(Input::Received(piece));
                }
            }
            _ if step.len().is_multiple_of(2) => {
                for (channel, bytes, charge) in std::mem::take(&mut self.untaken) {
                    drop(charge);
                    self.handle(Input::Taken { channel, bytes });
                }
            }
            _ => {
                self.now.mono += Duration::from_secs(u64::from(step[0]));
                self.handle(Input::Tick);
            }
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.inbound.handle(self.now, input, &mut out);
        self.inbound.check_invariants();
        for output in out {
            match output {
                Output::Message { channel, kind, body, charge } => {
                    self.seen.push(format!("{channel} {kind:?} {body:?}"));
                    self.untaken.push((channel, cost(body.len() as u32) as u32, charge));
                }
                other => self.seen.push(format!("{other:?}")),
            }
        }
        let held: u64 = self.untaken.iter().map(|(_, _, charge)| charge.bytes()).sum();
        assert!(held <= self.budget.used_bytes() && self.budget.used_bytes() <= self.budget.total_bytes());
    }
}

/// Both sides of a link without encryption: what is under test is behind it.
fn sessions() -> (Session, Session) {
    let config = session::Config { network_id: [7; 32], security: Security::Plain };
    let (ours, theirs) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut dialler = Handshake::dial(&config, &ours, None, &mut rng);
    let mut acceptor = Handshake::accept(&config, &theirs, &mut rng);
    let mut wire = Vec::new();
    dialler.transmit(&mut wire);
    acceptor.receive(&wire[LENGTH_BYTES..]).expect("honest");
    wire.clear();
    acceptor.transmit(&mut wire);
    dialler.receive(&wire[LENGTH_BYTES..]).expect("honest");
    (dialler.finish(), acceptor.finish())
}

fn seeds_of_frames() -> Vec<Vec<u8>> {
    let segment = |protocol, payload: &[u8]| {
        let length = payload.len() as u16;
        let header = Header { sent_us: 7, mode: Mode::Initiator, protocol, length };
        [&[(HEADER_BYTES + payload.len()) as u8][..], &header.encode(), payload].concat()
    };
    let message = |kind, length: usize| {
        [&Head { kind, length: length as u32 }.encode()[..], &vec![0x5a; length]].concat()
    };
    let (bulk, urgent) = (message(Kind::Request(9), 290), message(Kind::Note, 30));
    let ping = [&Head { kind: Kind::Note, length: 3 }.encode()[..], &[0x83, 1, 7][..], &[9]].concat();
    let take = vec![2, 0, 0];
    let pass = |seconds| vec![1, seconds];
    vec![
        [
            vec![3],
            segment(BULK, &bulk[..100]),
            segment(URGENT, &urgent),
            segment(BULK, &bulk[100..]),
            take.clone(),
        ]
        .concat(),
        [
            vec![200],
            segment(CONTROL, &ping),
            segment(BULK, &bulk[..50]),
            pass(11),
            segment(BULK, &bulk[50..]),
        ]
        .concat(),
        [vec![1], segment(URGENT, &urgent.repeat(5)), segment(URGENT, &urgent[..20]), take, pass(80)]
            .concat(),
    ]
}
