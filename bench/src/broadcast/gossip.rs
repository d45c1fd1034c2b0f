//! A node of iroh-gossip: its own state machine with its default settings, driven as its own simulator does.
//!
//! It keeps its own overlay, which it begins from the peers that it is told to join.

use std::time::Duration;

use iroh_gossip::TopicId;
use iroh_gossip::proto::{self, Command, Config, Event, InEvent, OutEvent, PeerData, Scope};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tokio::time::Instant;

use super::blocks;
use super::tally;
use super::world::{self, Input, Output};

const TOPIC: TopicId = TopicId::from_bytes([1; 32]);

/// A peer's name as it goes over the wire: as long as a key.
type Name = [u8; 32];

/// One node.
pub(crate) struct Node {
    name: usize,
    state: proto::State<Name, ChaCha20Rng>,
    /// The machine's time counts from here.
    start: Instant,
}

impl Node {
    pub(crate) fn new(seed: u64, name: usize) -> Self {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_be_bytes());
        secret[8..16].copy_from_slice(&(name as u64).to_be_bytes());
        let dice = ChaCha20Rng::from_seed(secret);
        let state = proto::State::new(wire(name), PeerData::default(), Config::default(), dice);
        Self { name, state, start: Instant::now() }
    }
}

impl world::Node for Node {
    type Message = proto::Message<Name>;
    type Timer = proto::Timer<Name>;

    fn handle(&mut self, now: Duration, input: Input<Self>, out: &mut Vec<Output<Self>>) {
        let input = match input {
            Input::Join(peers) => {
                InEvent::Command(TOPIC, Command::Join(peers.into_iter().map(wire).collect()))
            }
            Input::Opened(..) => return,
            Input::Lost(peer) => InEvent::PeerDisconnected(wire(peer)),
            Input::Received(from, message) => InEvent::RecvMessage(wire(from), message),
            Input::Due(timer) => InEvent::TimerExpired(timer),
            Input::Make(block) => {
                out.push(Output::Delivered { height: block.header.height.0, from: self.name });
                InEvent::Command(TOPIC, Command::Broadcast(block.raw, Scope::Swarm))
            }
        };
        for output in self.state.handle(input, self.start + now, None) {
            match output {
                OutEvent::SendMessage(to, message) => {
                    let bytes = bytes(&message);
                    out.push(Output::Send { to: index(&to), message, bytes });
                }
                OutEvent::EmitEvent(_, Event::Received(event)) => {
                    let height = blocks::decode(&event.content).height.0;
                    out.push(Output::Delivered { height, from: index(&event.delivered_from) });
                }
                OutEvent::EmitEvent(..) | OutEvent::PeerData(..) => {}
                OutEvent::ScheduleTimer(time, timer) => out.push(Output::After(time, timer)),
                OutEvent::DisconnectPeer(peer) => out.push(Output::Close(index(&peer))),
            }
        }
    }
}

/// What a message is made of. Its content cannot be looked at, but is the whole block if there is any.
fn bytes(message: &proto::Message<Name>) -> tally::Bytes {
    let size = message.size().expect("a message can be encoded") as u64;
    match message.kind() {
        proto::state::MessageKind::Data => {
            let (header, payload) = (blocks::HEADER_BYTES as u64, blocks::BODY_BYTES as u64);
            tally::Bytes { payload, header, control: size - header - payload }
        }
        proto::state::MessageKind::Control => tally::Bytes { control: size, ..tally::Bytes::default() },
    }
}

fn wire(name: usize) -> Name {
    let mut wire = [0; 32];
    wire[..8].copy_from_slice(&(name as u64).to_be_bytes());
    wire
}

fn index(wire: &Name) -> usize {
    u64::from_be_bytes(wire[..8].try_into().expect("8 bytes")) as usize
}
