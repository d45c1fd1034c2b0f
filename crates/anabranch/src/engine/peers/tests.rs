//! What is held and until when, whose places go back, and what faults cost: over links in this process.

use std::sync::Arc;
use std::time::Duration;

use link::Identity;
use link::channel::{BODIES, CONSENSUS, SYNC};
use node::member;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::*;
use crate::network::{self, Config, Listener, Network, Open, PeerAddress, Sink};

/// Nothing here takes that long unless it never comes. (Time stands still.)
const PATIENCE: Duration = Duration::from_secs(120);

/// Two linked networks; one of them is the engine's.
struct Pair {
    peers: Peers,
    sink: Sink,
    /// The other one.
    other: Network,
    from_us: Sink,
    us: PeerId,
    network: Network,
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

impl Pair {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let start = |number, listeners, config| {
            let rng = ChaCha20Rng::seed_from_u64(u64::from(number));
            let identity = Identity::from_seed(&[number; 32]);
            Network::start(config, identity, Arc::new(Open), listeners, rng).expect("it starts")
        };
        let (listener, pipe) = Listener::pipe();
        let mut config = Config::new([9; 32]);
        change(&mut config);
        let (network, sink) = start(1, vec![], config);
        let (other, from_us) = start(2, vec![listener], Config::new([9; 32]));
        let address = network::Address::Pipe(pipe);
        network.add(PeerAddress { key: other.peer_id(), address }).expect("it can be added");
        let us = network.peer_id();
        let mut pair = Self { peers: Peers::default(), sink, other, from_us, us, network };
        let network::Event::Joined(link) = pair.event().await else { panic!("it opens first") };
        let Event::Joined { room, .. } = pair.peers.on_joined(link) else { panic!("it joins") };
        assert!(room.iter().any(|(channel, bytes)| *channel == CONSENSUS && *bytes > 0));
        pair
    }

    fn id(&self) -> PeerId {
        self.other.peer_id()
    }

    async fn event(&mut self) -> network::Event {
        let next = tokio::time::timeout(PATIENCE, self.sink.next_event()).await;
        next.expect("something happens").expect("the network runs")
    }

    /// What the node is told of the next message.
    async fn message(&mut self) -> Option<Event> {
        loop {
            if let network::Event::Message(delivery) = self.event().await {
                return self.peers.on_message(delivery);
            }
        }
    }

    async fn gets(&mut self) -> (Protocol, Bytes) {
        let next = tokio::time::timeout(PATIENCE, self.from_us.next()).await;
        let delivery = next.expect("something comes").expect("the network runs");
        (delivery.channel, delivery.body)
    }

    fn send(&mut self, channel: Protocol, body: &'static str, after: Option<u64>) {
        self.peers.send(self.id(), channel, bytes(body), after.map(Ticket));
    }

    fn room(&mut self, channel: Protocol) -> u64 {
        match self.peers.on_room(self.id(), channel) {
            Some(Event::Room { bytes, .. }) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn violations(&self) -> Vec<(&'static str, u64)> {
        let link = self.network.peers().remove(0).link.expect("it is open");
        link.violations.into_iter().collect()
    }
}

/// Lets happen what happens without time.
async fn settle() {
    let _ = tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_the_disk_and_those_behind_it_on_its_channel_wait_with_it() {
    let mut pair = Pair::new().await;
    pair.send(CONSENSUS, "vote", Some(2));
    pair.send(CONSENSUS, "behind", None);
    pair.send(SYNC, "header", None);
    assert_eq!(pair.gets().await, (SYNC, bytes("header")), "another channel goes on");
    pair.peers.on_durable(Ticket(1));
    pair.send(CONSENSUS, "later", Some(3));
    settle().await;
    assert_eq!(pair.other.totals().waiting_deliveries, 0);
    pair.peers.on_durable(Ticket(2));
    assert_eq!(pair.gets().await, (CONSENSUS, bytes("vote")));
    assert_eq!(pair.gets().await, (CONSENSUS, bytes("behind")));
    pair.peers.on_durable(Ticket(7));
    assert_eq!(pair.gets().await, (CONSENSUS, bytes("later")));
    assert!(pair.peers.held.is_empty());
    pair.send(CONSENSUS, "covered", Some(7));
    assert_eq!(pair.gets().await, (CONSENSUS, bytes("covered")), "what is durable already is not waited for");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_takes_its_part_of_the_room() {
    let mut pair = Pair::new().await;
    let whole = pair.room(SYNC);
    pair.send(SYNC, "0123456789", Some(1));
    pair.send(SYNC, "", Some(2));
    assert_eq!(pair.room(SYNC), whole - 83 - 73);
    pair.peers.on_durable(Ticket(1));
    pair.gets().await;
    settle().await;
    assert_eq!(pair.room(SYNC), whole - 73, "what went is under the queue's bound again");
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_place_in_the_queue_goes_when_there_is_one() {
    let mut pair = Pair::with(|config| {
        let mut link = (*config.link).clone();
        link.outbound.queue_messages = std::num::NonZeroU32::new(4).expect("not zero");
        config.link = Arc::new(link);
    })
    .await;
    let id = pair.id();
    for n in 0..10u8 {
        pair.peers.send(id, SYNC, Bytes::copy_from_slice(&[n]), None);
    }
    assert!(pair.peers.held.contains(&(id, SYNC)));
    for n in 0..10u8 {
        // The engine hears of room as of anything else.
        loop {
            tokio::select! {
                biased;
                got = pair.from_us.next() => {
                    assert_eq!(got.expect("the network runs").body[..], [n]);
                    break;
                }
                event = pair.sink.next_event() => {
                    if let Some(network::Event::Changed { room, .. }) = event {
                        room.into_iter().for_each(|channel| _ = pair.peers.on_room(id, channel));
                    }
                }
            }
        }
    }
    assert!(pair.peers.held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn places_go_back_for_the_oldest_messages_when_the_node_has_done_with_them() {
    let mut pair = Pair::new().await;
    let us = pair.us;
    for body in ["one", "two", "three"] {
        pair.other.send(us, BODIES, bytes(body)).await.expect("it is sent");
    }
    for body in ["one", "two", "three"] {
        let Some(Event::Message { body: got, .. }) = pair.message().await else { panic!("a message") };
        assert_eq!(got, bytes(body));
    }
    let id = pair.id();
    let untaken = |peers: &Peers| -> Vec<u32> {
        peers.links[&id].channels[&BODIES].untaken.iter().map(Permit::bytes).collect()
    };
    assert_eq!(untaken(&pair.peers), [76, 76, 78]);
    pair.peers.took(id, BODIES, 1);
    pair.peers.took(id, SYNC, 1);
    assert_eq!(untaken(&pair.peers), [76, 78]);
    pair.peers.took(id, BODIES, 2);
    assert!(untaken(&pair.peers).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fault_costs_what_its_rule_says() {
    let mut pair = Pair::new().await;
    let (id, us) = (pair.id(), pair.us);
    let reason = chain::DecodeError::Unknown { what: "kind", found: 9 };
    let undecodable = member::Violation::Undecodable { channel: SYNC, reason };
    pair.peers.blame(id, &undecodable);
    assert_eq!(pair.violations(), [("undecodable", 1)]);
    // A question, where there are only tidings.
    let asked = pair.other.clone();
    let ask = tokio::spawn(async move { asked.request(us, SYNC, bytes("?"), Duration::from_secs(1)).await });
    assert_eq!(pair.message().await, None);
    assert_eq!(pair.violations(), [("question", 1), ("undecodable", 1)]);
    pair.other.send(us, SYNC, bytes("late")).await.expect("it is sent");
    settle().await;
    let reason = chain::Reason::Previous { expected: None, found: None };
    pair.peers.blame(id, &member::Violation::Body { id: chain::Hash([1; 32]), reason });
    assert_eq!(pair.message().await, None, "nothing more of it is looked at");
    pair.send(SYNC, "x", None);
    loop {
        if let network::Event::Left(peer) = pair.event().await {
            assert_eq!(pair.peers.on_left(peer), Event::Left);
            break;
        }
    }
    assert!(pair.peers.links.is_empty());
    ask.await.expect("it ends").expect_err("nobody answers");
    settle().await;
    let gone = pair.network.departed();
    assert!(gone.counts.contains_key("body"), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_parted_with_leaves_and_what_was_held_for_it_is_let_go() {
    let mut pair = Pair::new().await;
    let id = pair.id();
    pair.send(CONSENSUS, "vote", Some(1));
    pair.peers.part(id);
    pair.peers.on_durable(Ticket(1));
    loop {
        if let network::Event::Left(peer) = pair.event().await {
            pair.peers.on_left(peer);
            break;
        }
    }
    assert!(pair.peers.held.is_empty());
    settle().await;
    let gone = pair.network.departed();
    assert!(gone.counts.contains_key("held_up"), "{gone:?}");
    // The node may say something that it said before it heard.
    pair.send(CONSENSUS, "vote", None);
    pair.peers.took(id, CONSENSUS, 1);
    pair.peers.part(id);
}
