//! Two whole links, from the first byte to the last, over a wire that cuts its bytes anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use link::budget::{Budget, Charge, FLOOR_BYTES};
use link::channel::{self, BODIES, CONSENSUS, Channel, Lane, SYNC};
use link::inbound::{self, Rules};
use link::link::{Config, Halves, Input, Link, Output};
use link::message::Kind;
use link::outbound::{self, Batch};
use link::reason::{Code, Reason};
use link::session::{self, Cipher, Security};
use link::state::State;
use link::{Identity, Protocol, Time};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const SECURITIES: [Security; 2] = [Security::Plain, Security::Noise(Cipher::Aes256Gcm)];
const CHANNELS: [Protocol; 3] = [CONSENSUS, SYNC, BODIES];

fn at(ms: u64) -> Time {
    Time { mono: Duration::from_millis(ms), wall: Duration::from_millis(ms) }
}

/// Narrow windows, so that credit runs out all the time.
fn config(security: Security) -> Arc<Config> {
    let channel = |number, lane, share, max_message_bytes| Channel {
        number,
        name: "test",
        lane,
        share,
        max_message_bytes,
        window_bytes: channel::least_window_bytes(max_message_bytes) as u32,
        deadline: Duration::from_secs(60),
    };
    let channels = vec![
        channel(CONSENSUS, Lane::Consensus, 1, 2_000),
        channel(SYNC, Lane::Bulk, 1, 14_000),
        channel(BODIES, Lane::Bulk, 3, 60_000),
    ];
    let rules = Rules::new(inbound::Config::new(channels)).unwrap();
    Arc::new(Config::new(session::Config { network_id: [3; 32], security }, rules))
}

/// A message as both sides remember it.
type Seen = (Kind, Bytes);

/// One side of an open link and what its application knows.
struct Node {
    halves: Halves,
    budget: Budget,
    /// On the way to this side.
    wire: Vec<u8>,
    sent: BTreeMap<Protocol, Vec<Seen>>,
    got: BTreeMap<Protocol, Vec<Seen>>,
    /// What the application has not taken yet.
    held: Vec<(Protocol, u32, Charge)>,
    ended: Option<Reason>,
    next: u32,
}

impl Node {
    fn new(link: Link) -> Self {
        let budget = Budget::new(1 << 20);
        let halves = link.split(at(0), budget.share(FLOOR_BYTES).unwrap());
        let (sent, got) = Default::default();
        Self { halves, budget, wire: Vec::new(), sent, got, held: Vec::new(), ended: None, next: 0 }
    }

    fn queue(&mut self, channel: Protocol, length: usize) {
        self.next += 1;
        let kind = match self.next % 3 {
            0 => Kind::Note,
            1 => Kind::Request(self.next),
            _ => Kind::Reply(self.next),
        };
        let body = Bytes::from(vec![self.next as u8; length]);
        if self.halves.outbound.queue(channel, kind, body.clone()).is_ok() {
            self.sent.entry(channel).or_default().push((kind, body));
        }
    }

    /// What goes to the other side within this budget.
    fn write(&mut self, budget: usize) -> Vec<u8> {
        let (mut batch, mut out) = (Batch::new(), Vec::new());
        self.halves.outbound.take(at(0), budget, &mut batch);
        batch.seal(&mut self.halves.sealer, &mut out).unwrap();
        out
    }

    /// Reads at most this much of what is on the way.
    fn read(&mut self, most: usize) {
        let rest = self.wire.split_off(self.wire.len().min(most));
        let mut bytes = std::mem::replace(&mut self.wire, rest);
        self.inbound(inbound::Input::Received(&mut bytes));
    }

    /// The application takes the oldest so many messages.
    fn take(&mut self, most: usize) {
        for (channel, bytes, _charge) in self.held.drain(..most.min(self.held.len())).collect::<Vec<_>>() {
            self.inbound(inbound::Input::Taken { channel, bytes });
        }
    }

    fn inbound(&mut self, input: inbound::Input<'_>) {
        let mut out = Vec::new();
        self.halves.inbound.handle(at(0), input, &mut out);
        for output in out {
            match output {
                inbound::Output::Message { channel, kind, body, charge } => {
                    let cost = channel::cost(body.len() as u32) as u32;
                    self.got.entry(channel).or_default().push((kind, body));
                    self.held.push((channel, cost, charge));
                }
                inbound::Output::Control(message) => self.outbound(outbound::Input::Control(message)),
                inbound::Output::Grant { channel, bytes } => {
                    self.outbound(outbound::Input::Grant { channel, bytes });
                }
                inbound::Output::Rejected(violation) => panic!("an honest peer is at fault: {violation}"),
                inbound::Output::Closed(reason) => self.outbound(outbound::Input::Close(reason)),
            }
        }
    }

    fn outbound(&mut self, input: outbound::Input) {
        let mut out = Vec::new();
        self.halves.outbound.handle(at(0), input, &mut out);
        for output in out {
            match output {
                outbound::Output::Fault(violation) => panic!("an honest peer is at fault: {violation}"),
                outbound::Output::Room => panic!("nobody looked"),
                outbound::Output::Closed(reason) => self.ended = Some(reason),
            }
        }
    }

    fn check(&self) {
        self.halves.inbound.check_invariants();
        self.halves.outbound.check_invariants();
        assert!(self.budget.used_bytes() <= self.budget.total_bytes());
    }
}

/// Opens a link between two sides.
fn pair(security: Security) -> [Node; 2] {
    let (ours, theirs) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let a = Link::dial(at(0), config(security), &ours, Some(theirs.peer_id()), &mut rng);
    let b = Link::accept(at(0), config(security), &theirs, &mut rng);
    let mut sides = [a, b];
    for side in &mut sides {
        side.handle(at(0), Input::BearerUp, &mut Vec::new());
    }
    while sides.iter().any(|side| side.life().state() != State::Open) {
        for from in 0..2 {
            let (mut wire, mut out) = (Vec::new(), Vec::new());
            sides[from].transmit(&mut wire);
            sides[1 - from].handle(at(0), Input::Received(&mut &mut wire[..]), &mut out);
            if matches!(out[..], [Output::Authenticated { .. }]) {
                sides[1 - from].handle(at(0), Input::Allowed, &mut out);
            }
        }
    }
    sides.map(|mut side| {
        side.transmit(&mut Vec::new());
        Node::new(side)
    })
}

/// Something that happens at one of the two sides.
#[derive(Debug, Clone)]
enum Action {
    Queue { channel: usize, length: usize },
    Write { budget: usize },
    Read { most: usize },
    Take { most: usize },
}

fn action() -> impl Strategy<Value = (usize, Action)> {
    let length = prop_oneof![0usize..100, 0usize..2_000, 0usize..60_000];
    let action = prop_oneof![
        3 => (0usize..3, length).prop_map(|(channel, length)| Action::Queue { channel, length }),
        2 => (1usize..50_000).prop_map(|budget| Action::Write { budget }),
        3 => prop_oneof![1usize..40, 1usize..40_000].prop_map(|most| Action::Read { most }),
        1 => (1usize..20).prop_map(|most| Action::Take { most }),
    ];
    (0usize..2, action)
}

fn perform(nodes: &mut [Node; 2], side: usize, action: &Action) {
    match *action {
        Action::Queue { channel, length } => nodes[side].queue(CHANNELS[channel], length),
        Action::Write { budget } => {
            let bytes = nodes[side].write(budget);
            nodes[1 - side].wire.extend_from_slice(&bytes);
        }
        Action::Read { most } => nodes[side].read(most),
        Action::Take { most } => nodes[side].take(most),
    }
    nodes[side].check();
}

/// Until nobody has anything to do any more.
fn settle(nodes: &mut [Node; 2]) {
    for _ in 0..10_000 {
        let busy = |node: &Node| {
            node.halves.outbound.is_ready(at(0)) || !node.wire.is_empty() || !node.held.is_empty()
        };
        if !nodes.iter().any(busy) {
            return;
        }
        for side in 0..2 {
            for action in [
                Action::Write { budget: 100_000 },
                Action::Read { most: usize::MAX },
                Action::Take { most: usize::MAX },
            ] {
                perform(nodes, side, &action);
            }
        }
    }
    panic!("it never settles");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_message_arrives_once_whole_and_in_its_order(
        security in 0usize..2,
        actions in prop::collection::vec(action(), 1..200),
    ) {
        let mut nodes = pair(SECURITIES[security]);
        for (side, action) in &actions {
            perform(&mut nodes, *side, action);
        }
        settle(&mut nodes);
        let [a, b] = &nodes;
        prop_assert_eq!(&a.sent, &b.got);
        prop_assert_eq!(&b.sent, &a.got);
        for node in &nodes {
            prop_assert!(node.halves.outbound.is_empty(), "credit always comes back");
            prop_assert!(node.halves.inbound.is_idle(), "an idle link holds no buffer");
        }
    }

    /// Whatever is under way, an end reaches the other side with its reason, and what came before it is whole.
    #[test]
    fn an_end_comes_with_its_reason_wherever_it_falls(
        security in 0usize..2,
        actions in prop::collection::vec(action(), 1..100),
        closer in 0usize..2,
    ) {
        let mut nodes = pair(SECURITIES[security]);
        for (side, action) in &actions {
            perform(&mut nodes, *side, action);
        }
        nodes[closer].outbound(outbound::Input::Close(Reason::Stopping));
        let last = nodes[closer].write(usize::MAX);
        nodes[1 - closer].wire.extend_from_slice(&last);
        nodes[closer].outbound(outbound::Input::Flushed);
        nodes[1 - closer].read(usize::MAX);
        prop_assert_eq!(&nodes[closer].ended, &Some(Reason::Stopping));
        prop_assert_eq!(&nodes[1 - closer].ended, &Some(Reason::ByPeer(Code::Stopping)));
        for side in 0..2 {
            for (channel, got) in &nodes[side].got {
                let sent = &nodes[1 - side].sent[channel];
                prop_assert!(sent.starts_with(got), "channel {} is out of order", channel);
            }
        }
    }
}

#[test]
fn pings_give_figures_on_both_sides() {
    let mut nodes = pair(Security::default());
    settle(&mut nodes);
    for node in &nodes {
        assert_eq!(node.halves.outbound.figures().map(|figures| figures.pongs), Some(1));
    }
}
