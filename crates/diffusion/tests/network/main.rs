//! Many nodes over the production machines, with random networks, schedules, disconnects and liars: in the end all
//! agree and have every body (P1 to P6, B1 of spec/block-sync.md).

#![allow(clippy::disallowed_macros, reason = "a test prints")]

mod forge;
mod node;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chain::{Block, Tip};
use diffusion::sync::Message;
use diffusion::sync::bodies::Mode;
use forge::Dice;
use node::{Node, Sent};
use proptest::prelude::*;

/// How long it may take, in rounds of everything that is under way, until all have everything once faults end.
const MAX_ROUNDS: usize = 400;

#[derive(Default)]
struct Pipe {
    sync: VecDeque<Message>,
    bodies: VecDeque<Block>,
}

struct Net {
    nodes: Vec<Node>,
    pipes: BTreeMap<(usize, usize), Pipe>,
    /// Decided by consensus, oldest first.
    decided: Vec<Tip>,
    /// Announces headers and never sends a body.
    liar: Option<usize>,
    dice: Dice,
    now: Duration,
    bodies_sent: u64,
    wants_sent: u64,
}

impl Net {
    fn new(n: usize, liar: Option<usize>, seed: u64) -> Self {
        let nodes = (0..n).map(Node::new).collect();
        let (pipes, decided) = (BTreeMap::new(), Vec::new());
        Self {
            nodes,
            pipes,
            decided,
            liar,
            dice: Dice(seed),
            now: Duration::ZERO,
            bodies_sent: 0,
            wants_sent: 0,
        }
    }

    /// Lets a node act, and carries what it sends.
    fn act(&mut self, who: usize, act: impl FnOnce(&mut Node, &mut Dice, &mut Vec<Sent>)) {
        let mut out = Vec::new();
        act(&mut self.nodes[who], &mut self.dice, &mut out);
        for sent in out {
            match sent {
                Sent::Sync(to, message) => {
                    self.wants_sent += u64::from(matches!(message, Message::Want { .. }));
                    self.pipes.entry((who, to)).and_modify(|pipe| pipe.sync.push_back(message));
                }
                Sent::Body(..) if self.liar == Some(who) => {}
                Sent::Body(to, block) => {
                    self.bodies_sent += 1;
                    self.pipes.entry((who, to)).and_modify(|pipe| pipe.bodies.push_back(block));
                }
            }
        }
        self.nodes[who].check();
    }

    fn room(&mut self, from: usize, to: usize) {
        let Some(pipe) = self.pipes.get(&(from, to)) else { return };
        let queued = pipe.sync.iter().map(|message| message.to_bytes().len() as u64 + 73).sum();
        self.act(from, |node, _, out| node.room(to, queued, out));
    }

    fn connect(&mut self, a: usize, b: usize) {
        if a == b || self.pipes.contains_key(&(a, b)) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            self.pipes.insert((from, to), Pipe::default());
        }
        for (from, to) in [(a, b), (b, a)] {
            self.act(from, |node, _, out| node.connect(to, out));
            self.room(from, to);
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if self.pipes.remove(&(a, b)).is_some() {
            self.pipes.remove(&(b, a));
            self.act(a, |node, _, out| node.disconnect(b, out));
            self.act(b, |node, _, out| node.disconnect(a, out));
        }
    }

    /// Delivers one message of those that are under way. Says whether there was one.
    fn deliver(&mut self) -> bool {
        let busy = |pipe: &Pipe| [!pipe.sync.is_empty(), !pipe.bodies.is_empty()];
        let ways = self.pipes.iter().flat_map(|(way, pipe)| {
            let [sync, bodies] = busy(pipe);
            [sync.then_some((*way, true)), bodies.then_some((*way, false))]
        });
        let ways: Vec<_> = ways.flatten().collect();
        if ways.is_empty() {
            return false;
        }
        let ((from, to), sync) = ways[self.dice.below(ways.len())];
        let pipe = self.pipes.get_mut(&(from, to)).expect("it was just seen");
        if sync {
            let message = pipe.sync.pop_front().expect("it is not empty");
            self.act(to, |node, _, out| node.receive(from, message, out));
        } else {
            let block = pipe.bodies.pop_front().expect("it is not empty");
            self.act(to, |node, _, out| node.receive_body(from, block, out));
        }
        self.room(from, to);
        self.room(to, from);
        true
    }

    fn tick(&mut self, by: Duration) {
        self.now += by;
        for who in 0..self.nodes.len() {
            let now = self.now;
            self.act(who, |node, _, out| node.tick(now, out));
        }
    }

    /// The consensus of a node decides the next block, or hears of one that was decided. Liars decide nothing.
    fn decide(&mut self, who: usize) {
        let count = self.nodes[who].log.len();
        let lib = self.decided.last().and_then(|tip| tip.point.hash());
        match self.decided.get(count) {
            Some(tip) => {
                let tip = *tip;
                self.act(who, |node, _, out| node.decide(tip, out));
            }
            None => {
                if let Some(header) = self.nodes[who].next_on(lib).filter(|_| self.liar != Some(who)) {
                    self.decided.push(header.tip());
                    self.act(who, |node, _, out| node.decide(header.tip(), out));
                }
            }
        }
    }

    fn random_step(&mut self) {
        let n = self.nodes.len();
        let (a, b) = (self.dice.below(n), self.dice.below(n));
        match self.dice.below(100) {
            0..60 => drop(self.deliver()),
            // What a liar makes nobody else has, and nobody can finish.
            60..72 if self.liar == Some(a) => {}
            60..72 => self.act(a, Node::produce),
            72..80 => self.decide(a),
            80..88 => self.connect(a, b),
            88..90 => self.disconnect(a, b),
            90..92 => {
                let mode = [Mode::Auto, Mode::Active, Mode::Backup, Mode::Off][self.dice.below(4)];
                self.act(a, |node, _, out| node.set_mode(b, mode, out));
            }
            _ => {
                let by = Duration::from_millis(self.dice.roll() % 300);
                self.tick(by);
            }
        }
    }

    fn is_done(&self) -> bool {
        let idle = self.pipes.values().all(|pipe| pipe.sync.is_empty() && pipe.bodies.is_empty());
        idle && self.nodes.iter().all(|node| self.liar == Some(node.name) || node.is_done())
    }

    /// Faults end: everybody is connected, in auto, and nothing new happens.
    fn heal(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
                self.act(a, |node, _, out| node.set_mode(b, Mode::Auto, out));
                self.act(b, |node, _, out| node.set_mode(a, Mode::Auto, out));
            }
        }
        for _ in 0..MAX_ROUNDS {
            while self.deliver() {}
            if self.is_done() {
                return;
            }
            self.tick(Duration::from_millis(500));
        }
        self.show();
        panic!("not done after {MAX_ROUNDS} rounds");
    }

    fn show(&self) {
        self.nodes.iter().for_each(|node| println!("{}", node.show()));
    }

    fn agree(&self) {
        let honest: Vec<&Node> = self.nodes.iter().filter(|node| self.liar != Some(node.name)).collect();
        for pair in honest.windows(2) {
            let [a, b] = pair else { unreachable!("windows of two") };
            assert_eq!(
                a.lib(),
                b.lib(),
                "P2: nodes {} and {} differ in what is irreversible",
                a.name,
                b.name
            );
            assert_eq!(a.best(), b.best(), "P3: nodes {} and {} differ in their heads", a.name, b.name);
            assert_eq!(a.head(), a.best(), "node {} lacks a body", a.name);
            assert_eq!(a.log, b.log, "nodes {} and {} have different logs", a.name, b.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn all_agree_and_have_all_bodies_once_faults_end(seed: u64, n in 2..6_usize, steps in 20..400_usize) {
        let mut net = Net::new(n, None, seed);
        for _ in 0..steps {
            net.random_step();
        }
        net.heal();
        net.agree();
    }

    #[test]
    fn a_liar_that_announces_and_never_delivers_holds_up_nobody(seed: u64, n in 3..6_usize, steps in 20..300_usize) {
        let mut net = Net::new(n, Some(0), seed);
        for _ in 0..steps {
            net.random_step();
        }
        net.heal();
        net.agree();
    }
}

/// Each node is connected with its neighbours and with one across the ring.
fn ring(n: usize, seed: u64) -> Net {
    let mut net = Net::new(n, None, seed);
    for a in 0..n {
        net.connect(a, (a + 1) % n);
        net.connect(a, (a + n / 2) % n);
    }
    while net.deliver() {}
    net
}

#[test]
fn in_a_calm_network_a_body_arrives_once_at_each_node() {
    let n = 12;
    let mut net = ring(n, 7);
    let blocks = 60;
    for block in 0..blocks {
        net.act(block % n, Node::produce);
        while net.deliver() {}
        net.decide(block % n);
        while net.deliver() {}
    }
    net.agree();
    assert_eq!(net.nodes[0].log.len(), blocks, "every block is irreversible everywhere");
    let twice: u64 = net.nodes.iter().map(|node| node.bodies.status().twice).sum();
    println!("{} bodies sent, {twice} twice", net.bodies_sent);
    assert_eq!((twice, net.bodies_sent), (0, (blocks * (n - 1)) as u64), "redundancy is nil by construction");
}

#[test]
fn the_parents_of_all_producers_are_remembered() {
    let n = 12;
    let mut net = ring(n, 11);
    for block in 0..2 * n {
        net.act(block % n, Node::produce);
        while net.deliver() {}
    }
    // Everybody's parents are known: from now on no body is asked for.
    let wants = net.wants_sent;
    for block in 0..2 * n {
        net.act(block % n, Node::produce);
        while net.deliver() {}
    }
    net.agree();
    assert_eq!(net.wants_sent, wants, "rotating producers cost nothing");
}

#[test]
fn a_tree_that_loses_nodes_mends_itself_with_one_time_out_at_most() {
    let n = 24;
    for seed in 0..20 {
        let mut net = ring(n, seed);
        let producers = [0, 7, 13];
        for who in producers {
            net.act(who, Node::produce);
            while net.deliver() {}
        }
        // Its children have lost their parent, and some of them have children of their own.
        for gone in [3, 10, 20] {
            for other in 0..n {
                net.disconnect(gone, other);
            }
            for who in producers {
                net.act(who, Node::produce);
                let mut waited = Duration::ZERO;
                while net.nodes.iter().any(|node| ![3, 10, 20].contains(&node.name) && !node.is_done()) {
                    assert!(waited < Duration::from_millis(500), "seed {seed}, without {gone}: {waited:?}");
                    while net.deliver() {}
                    net.tick(Duration::from_millis(20));
                    waited += Duration::from_millis(20);
                }
            }
        }
    }
}
