//! A network in virtual time: nodes, the links between them, who is dead, and what a block cost.
//!
//! It deliberately knows no protocol: both run in it by the same rules. Links have a latency and nothing else, neither
//! bandwidth nor loss; nodes take no time to think.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use super::dice::Dice;
use super::tally::{Bytes, Spread};

/// The least and the most that a message takes over a link.
const LATENCY_US: (u64, u64) = (10_000, 50_000);

/// How much later than the last message the end of its connection arrives.
const CLOSING: Duration = Duration::from_micros(1);

/// A node under test.
pub(crate) trait Node: Sized {
    /// What it sends.
    type Message;
    /// What it waits for.
    type Timer;

    /// Takes in what happened, and says what it does.
    fn handle(&mut self, now: Duration, input: Input<Self>, out: &mut Vec<Output<Self>>);
}

/// Something that happened to a node.
pub(crate) enum Input<N: Node> {
    /// It starts, and knows these peers.
    Join(Vec<usize>),
    /// A connection that either side opened is there. It takes this long to the peer.
    Opened(usize, Duration),
    /// A connection is gone.
    Lost(usize),
    /// A peer sent something.
    Received(usize, N::Message),
    /// What it waited for is due.
    Due(N::Timer),
    /// It makes this block.
    Make(chain::Block),
}

/// What a node does.
pub(crate) enum Output<N: Node> {
    /// Opens a connection.
    Open(usize),
    /// Closes a connection.
    Close(usize),
    /// Sends a message.
    Send { to: usize, message: N::Message, bytes: Bytes },
    /// Wants to hear of this after some time.
    After(Duration, N::Timer),
    /// Hands a block up, the first time that it has it.
    Delivered { height: u64, from: usize },
}

enum What<N: Node> {
    Input(Input<N>),
    Message { from: usize, message: N::Message, payload: bool },
}

struct Scheduled<N: Node> {
    at: Duration,
    /// What was scheduled first happens first.
    seq: u64,
    to: usize,
    what: What<N>,
}

/// The whole network.
pub(crate) struct World<N: Node> {
    seed: u64,
    now: Duration,
    seq: u64,
    /// `None`: dead.
    nodes: Vec<Option<N>>,
    queue: BinaryHeap<Reverse<Scheduled<N>>>,
    /// The lower name first.
    connections: BTreeSet<(usize, usize)>,
    spread: Spread,
    out: Vec<Output<N>>,
}

impl<N: Node> World<N> {
    /// Nodes that know nobody. The seed says how long the ways between them are.
    pub(crate) fn new(seed: u64, nodes: impl Iterator<Item = N>) -> Self {
        Self {
            seed,
            now: Duration::ZERO,
            seq: 0,
            nodes: nodes.map(Some).collect(),
            queue: BinaryHeap::new(),
            connections: BTreeSet::new(),
            spread: Spread::default(),
            out: Vec::new(),
        }
    }

    /// Whether a node lives and has the last block.
    pub(crate) fn has_last(&self, who: usize) -> bool {
        self.nodes[who].is_some() && self.spread.has(who)
    }

    /// A node starts at this time.
    pub(crate) fn join(&mut self, at: Duration, who: usize, peers: Vec<usize>) {
        self.schedule(at, who, What::Input(Input::Join(peers)));
    }

    /// A node makes a block now, and the others have some time to get it. What came of it?
    pub(crate) fn spread(&mut self, who: usize, block: chain::Block, time: Duration) -> Spread {
        let alive = self.nodes.iter().filter(|node| node.is_some()).count();
        self.spread = Spread::new(self.now, block.header.height.0, self.nodes.len(), alive);
        self.act(who, Input::Make(block));
        self.run_for(time);
        self.spread.clone()
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= end) {
            let Some(Reverse(next)) = self.queue.pop() else { unreachable!("it was just seen") };
            self.now = next.at;
            match next.what {
                What::Input(input) => self.act(next.to, input),
                What::Message { from, message, payload } => self.receive(next.to, from, message, payload),
            }
        }
        self.now = end;
    }

    /// Nodes die. Unless they do so silently, whoever is connected hears of it one way later.
    pub(crate) fn kill(&mut self, dead: &[usize], silently: bool) {
        for &who in dead {
            self.nodes[who] = None;
        }
        let gone = self.connections.extract_if(.., |(a, b)| dead.contains(a) || dead.contains(b));
        for (a, b) in gone.collect::<Vec<_>>() {
            if !silently {
                self.lose(a, b);
                self.lose(b, a);
            }
        }
    }

    fn receive(&mut self, to: usize, from: usize, message: N::Message, payload: bool) {
        if self.nodes[to].is_none() {
            return;
        }
        // Where nobody opens connections, a message does.
        if self.nodes[from].is_some() {
            self.connections.insert((from.min(to), from.max(to)));
        }
        self.spread.payloads += u64::from(payload);
        self.act(to, Input::Received(from, message));
    }

    fn act(&mut self, who: usize, input: Input<N>) {
        let Some(node) = &mut self.nodes[who] else { return };
        let mut out = std::mem::take(&mut self.out);
        node.handle(self.now, input, &mut out);
        for output in out.drain(..) {
            self.perform(who, output);
        }
        self.out = out;
    }

    fn perform(&mut self, who: usize, output: Output<N>) {
        match output {
            Output::Open(peer) => {
                self.connections.insert((who.min(peer), who.max(peer)));
                let latency = self.latency(who, peer);
                self.schedule(self.now + latency, who, What::Input(Input::Opened(peer, latency)));
                self.schedule(self.now + latency, peer, What::Input(Input::Opened(who, latency)));
            }
            Output::Close(peer) => {
                if self.connections.remove(&(who.min(peer), who.max(peer))) {
                    self.lose(peer, who);
                }
            }
            Output::Send { to, message, bytes } => {
                self.spread.bytes += bytes;
                let at = self.now + self.latency(who, to);
                self.schedule(at, to, What::Message { from: who, message, payload: bytes.payload > 0 });
            }
            Output::After(time, timer) => {
                self.schedule(self.now + time, who, What::Input(Input::Due(timer)));
            }
            Output::Delivered { height, from } => self.spread.deliver(self.now, height, who, from),
        }
    }

    /// The end of a connection is under way to one side of it.
    fn lose(&mut self, who: usize, peer: usize) {
        let at = self.now + self.latency(who, peer) + CLOSING;
        self.schedule(at, who, What::Input(Input::Lost(peer)));
    }

    fn schedule(&mut self, at: Duration, to: usize, what: What<N>) {
        self.seq += 1;
        self.queue.push(Reverse(Scheduled { at, seq: self.seq, to, what }));
    }

    /// How far two nodes are from each other: that of any two is known, whether they are connected or not.
    fn latency(&self, a: usize, b: usize) -> Duration {
        let (low, high) = (a.min(b) as u64, a.max(b) as u64);
        let (least, most) = LATENCY_US;
        Duration::from_micros(least + Dice::new([self.seed, low, high]).below(most - least + 1))
    }
}

impl<N: Node> PartialEq for Scheduled<N> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<N: Node> Eq for Scheduled<N> {}

impl<N: Node> PartialOrd for Scheduled<N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: Node> Ord for Scheduled<N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}
