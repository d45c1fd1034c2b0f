//! Two nodes, perhaps connected: what can happen next, and what must hold.
//!
//! A link is a queue of messages each way on each of its two channels and no more: it is lost with them. The nodes'
//! machines are the production ones. A fault edits what goes into them and comes out.

use std::collections::VecDeque;
use std::time::Duration;

use chain::Point;
use diffusion::sync::bodies::{self, Mode, Producer};
use diffusion::sync::{Config, Fin, Input, Message, Output, Place, State, Why};

use crate::universe::{Block, Headers, Node, Universe, block, find_in_log};

/// How many bytes of credit a free place in a queue is worth: more than one header takes, and less than two.
const SLOT_BYTES: u64 = 160;

/// What is left out on purpose, to see the checkers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nobody tells what is irreversible.
    NoFin,
    /// The cursors do not follow the head.
    NoClamp,
    /// What the peer says of its LIB is not heard.
    NoPlib,
}

/// What the search looks at.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) universe: Universe,
    pub(crate) fault: Fault,
    /// How many messages a queue holds before its sender waits.
    pub(crate) queue: usize,
    /// How often the two may connect.
    pub(crate) connects: u8,
    /// Whether headers have bodies, which travel apart.
    pub(crate) bodies: bool,
    /// How often a node may set the other's mode by hand.
    pub(crate) modes: u8,
    /// What the nodes start with.
    pub(crate) nodes: [Node; 2],
}

/// Something that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Connect,
    Disconnect,
    /// The node takes the first message of its queue.
    Deliver(usize),
    /// The node takes the first body of its queue.
    DeliverBody(usize),
    /// The node's operator sets the other's mode.
    Mode(usize, Mode),
    /// The node hears of a header from elsewhere, or makes it.
    Learn(usize, Block),
    /// The node's consensus decides a block.
    Decide(usize, Block),
    /// The node's log has answered.
    Found(usize),
    /// The node's log has loaded.
    Loaded(usize),
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// P1 to P6.
    pub(crate) rule: &'static str,
    pub(crate) why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Link {
    states: [State; 2],
    /// What is under way to each.
    queues: [VecDeque<Message>; 2],
    bodies: [VecDeque<Block>; 2],
    asked: [Option<Vec<Point>>; 2],
    loading: [bool; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct World {
    nodes: [Node; 2],
    link: Option<Link>,
    connects: u8,
    modes: u8,
    /// By hand, of the other.
    mode: [Mode; 2],
    bodies: [bodies::State<usize>; 2],
    /// The bodies that each has, a bit each.
    held: [u32; 2],
    /// Bodies that arrived before they were wanted.
    early: [u32; 2],
    /// Certified, and waiting for a body.
    certified: [Option<Block>; 2],
}

/// All blocks of these worlds have one producer.
const PRODUCER: Producer = Producer([1; 32]);

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let bodies = || bodies::State::new(bodies::Config::default());
        Self {
            nodes: setup.nodes,
            link: None,
            connects: setup.connects,
            modes: setup.modes,
            mode: [Mode::Auto; 2],
            bodies: [bodies(), bodies()],
            held: [if setup.bodies { 0 } else { u32::MAX }; 2],
            early: [0; 2],
            certified: [None; 2],
        }
    }

    /// What can happen now.
    pub(crate) fn events(&self, setup: &Setup) -> Vec<Event> {
        let mut events = Vec::new();
        match &self.link {
            None if self.connects > 0 => events.push(Event::Connect),
            None => {}
            Some(link) => {
                let each = |wanted: &dyn Fn(usize) -> bool| (0..2).filter(|i| wanted(*i)).collect::<Vec<_>>();
                events.extend(each(&|i| !link.queues[i].is_empty()).into_iter().map(Event::Deliver));
                events.extend(each(&|i| !link.bodies[i].is_empty()).into_iter().map(Event::DeliverBody));
                events.extend(each(&|i| link.asked[i].is_some()).into_iter().map(Event::Found));
                events.extend(each(&|i| link.loading[i]).into_iter().map(Event::Loaded));
                if self.connects > 0 {
                    events.push(Event::Disconnect);
                }
                if self.modes > 0 {
                    let other = |mode| if mode == Mode::Auto { Mode::Off } else { Mode::Auto };
                    let set = |i: usize| Event::Mode(i, other(self.mode[i]));
                    events.extend(each(&|i| link.states[i].is_ready()).into_iter().map(set));
                }
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let new = |block: &Block| node.takes(&setup.universe, *block);
            events.extend((0..setup.universe.len()).filter(new).map(|block| Event::Learn(i, block)));
            let decided = setup.universe.finals.iter().filter(|block| self.is_complete(setup, i, **block));
            events.extend(decided.map(|block| Event::Decide(i, *block)));
        }
        events
    }

    /// Lets it happen, and checks what must hold at every moment.
    pub(crate) fn step(&mut self, setup: &Setup, event: Event) -> Result<(), Broken> {
        match event {
            Event::Connect => self.connect(setup)?,
            Event::Disconnect => {
                self.link = None;
                for i in 0..2 {
                    self.mode[i] = Mode::Auto;
                    self.body(setup, i, bodies::Input::Left { peer: 1 - i })?;
                }
            }
            Event::Deliver(i) => self.deliver(setup, i)?,
            Event::DeliverBody(i) => self.deliver_body(setup, i)?,
            Event::Mode(i, mode) => {
                self.modes -= 1;
                self.mode[i] = mode;
                self.body(setup, i, bodies::Input::Mode { peer: 1 - i, mode })?;
            }
            Event::Learn(i, block) => {
                self.nodes[i].known |= 1 << block;
                self.store(setup, i, block, None)?;
                self.moved(setup, i)?;
            }
            Event::Decide(i, block) => self.settle(setup, i, block)?,
            Event::Found(i) => {
                let link = self.link.as_mut().expect("who was asked is connected");
                let points = link.asked[i].take().expect("it was asked");
                let place = find_in_log(&setup.universe, &self.nodes[i], &points);
                self.input(setup, i, Input::Found(place), false)?;
            }
            Event::Loaded(i) => {
                self.link.as_mut().expect("who loads is connected").loading[i] = false;
                self.input(setup, i, Input::Loaded, true)?;
            }
        }
        for i in 0..2 {
            self.check_cursor(setup, i)?;
            self.room(setup, i)?;
            self.check_bodies(setup, i)?;
        }
        self.check_rest(setup)
    }

    fn connect(&mut self, setup: &Setup) -> Result<(), Broken> {
        self.connects -= 1;
        let state = || State::new(Config::default());
        self.link = Some(Link {
            states: [state(), state()],
            queues: Default::default(),
            bodies: Default::default(),
            asked: [None, None],
            loading: [false; 2],
        });
        self.input(setup, 0, Input::Start, false)?;
        self.input(setup, 1, Input::Start, false)
    }

    fn deliver(&mut self, setup: &Setup, i: usize) -> Result<(), Broken> {
        let link = self.link.as_mut().expect("what is delivered came over the link");
        let message = link.queues[i].pop_front().expect("there is a message");
        let input = match message {
            Message::Hello(mut hello) => {
                if setup.fault == Fault::NoPlib {
                    hello.lib = Default::default();
                }
                self.input(setup, i, Input::Hello(hello), false)?;
                return self.body(setup, i, bodies::Input::Joined { peer: 1 - i });
            }
            Message::Header(wire) => {
                let header = setup.universe.header(usize::from(wire[0]));
                let (peer, id, producer) = (1 - i, header.id, PRODUCER);
                self.body(setup, i, bodies::Input::Announced { peer, id, producer })?;
                Input::Header(header)
            }
            Message::Fin(fin) if setup.fault == Fault::NoPlib => return self.commit(setup, i, &fin),
            Message::Fin(fin) => Input::Fin(fin),
            Message::Want { id, follow } => {
                let held = self.holds(i, block(id)).then_some(PRODUCER);
                return self.body(setup, i, bodies::Input::Asked { peer: 1 - i, id, follow, held });
            }
            Message::No { id } => return self.body(setup, i, bodies::Input::Refused { peer: 1 - i, id }),
            Message::Stop { producer } => {
                return self.body(setup, i, bodies::Input::Stopped { peer: 1 - i, producer });
            }
            Message::Range { .. } => panic!("nobody is that far behind"),
            Message::Pushes { producer } => {
                return self.body(setup, i, bodies::Input::Pushes { peer: 1 - i, producer });
            }
        };
        self.input(setup, i, input, false)
    }

    /// Hands something to a node's machine, and does what it says.
    fn input(&mut self, setup: &Setup, i: usize, input: Input, log: bool) -> Result<(), Broken> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let input = match (setup.fault, input) {
            (Fault::NoClamp, Input::Moved | Input::Settling(_)) => return Ok(()),
            (_, input) => input,
        };
        let mut out = Vec::new();
        let headers = Headers { universe: &setup.universe, node: &self.nodes[i], log };
        link.states[i].handle(&headers, input, &mut out);
        for output in out {
            self.perform(setup, i, output)?;
        }
        Ok(())
    }

    fn perform(&mut self, setup: &Setup, i: usize, output: Output) -> Result<(), Broken> {
        let link = self.link.as_mut().expect("a machine acts while it is connected");
        match output {
            Output::Send(Message::Fin(_)) if setup.fault == Fault::NoFin => {}
            Output::Send(message) => {
                let told =
                    if let Message::Header(wire) = &message { Some(usize::from(wire[0])) } else { None };
                link.queues[1 - i].push_back(message);
                if let Some(block) = told {
                    let id = setup.universe.header(block).id;
                    let held = self.holds(i, block).then_some(PRODUCER);
                    self.body(setup, i, bodies::Input::Told { peer: 1 - i, id, held })?;
                }
            }
            Output::Insert(header) => {
                let block = block(header.id);
                if !self.nodes[i].takes(&setup.universe, block) {
                    return broken("P1", format!("node {i} cannot take {block}"));
                }
                self.nodes[i].known |= 1 << block;
                self.moved(setup, i)?;
            }
            Output::Commit(fin) => self.commit(setup, i, &fin)?,
            Output::Find { points } => link.asked[i] = Some(points),
            Output::Load { .. } => link.loading[i] = true,
            Output::Passed { header, why } => {
                let number = block(header.point.hash().expect("a header is a block"));
                let node = &self.nodes[i];
                let is_dead = match node.lib {
                    None => false,
                    Some(lib) => {
                        !setup.universe.is_above(number, Some(lib))
                            && !node.has_settled(&setup.universe, number)
                    }
                };
                if why == Why::Conflict && !is_dead {
                    return broken("P1", format!("node {i} passed over {number}, which does not conflict"));
                }
            }
            Output::Behind { .. } | Output::PeerBehind { .. } => {
                return broken("P5", format!("node {i} finds a log too short that has everything"));
            }
            Output::Violation(violation) => {
                return broken("P1, P5", format!("node {i} blames its peer: {violation}"));
            }
        }
        Ok(())
    }

    fn deliver_body(&mut self, setup: &Setup, i: usize) -> Result<(), Broken> {
        let link = self.link.as_mut().expect("what is delivered came over the link");
        let block = link.bodies[i].pop_front().expect("there is a body");
        let (id, held) = (setup.universe.header(block).id, self.holds(i, block));
        let arrived = bodies::Input::Arrived { peer: 1 - i, id, producer: PRODUCER, bytes: 1, held };
        self.body(setup, i, arrived)
    }

    /// Hands something to a node's machine of bodies, and does what it says.
    fn body(&mut self, setup: &Setup, i: usize, input: bodies::Input<usize>) -> Result<(), Broken> {
        if !setup.bodies {
            return Ok(());
        }
        let mut out = Vec::new();
        let now = if matches!(input, bodies::Input::Tick) {
            self.bodies[i].next_deadline().unwrap_or_default()
        } else {
            Duration::ZERO
        };
        self.bodies[i].handle(now, input, &mut out);
        for output in out {
            match output {
                bodies::Output::Send { peer, message } => {
                    self.link.as_mut().expect("peers are connected").queues[peer].push_back(message);
                }
                bodies::Output::Serve { peer, id } => {
                    self.link.as_mut().expect("peers are connected").bodies[peer].push_back(block(id));
                }
                bodies::Output::Take { peer, id } => {
                    self.early[i] &= !(1 << block(id));
                    self.store(setup, i, block(id), Some(peer))?;
                }
                bodies::Output::Keep { id, .. } => self.early[i] |= 1 << block(id),
                bodies::Output::Forget { id, .. } => self.early[i] &= !(1 << block(id)),
            }
        }
        Ok(())
    }

    fn holds(&self, i: usize, block: Block) -> bool {
        self.held[i] >> block & 1 == 1
    }

    /// Whether a node has the block's header, its body, and all bodies below it above the LIB.
    fn is_complete(&self, setup: &Setup, i: usize, block: Block) -> bool {
        self.nodes[i].knows(block) && self.path(setup, i, block).iter().all(|block| self.holds(i, *block))
    }

    /// The blocks above the LIB up to this one.
    fn path(&self, setup: &Setup, i: usize, block: Block) -> Vec<Block> {
        let known = |block: &Block| self.nodes[i].knows(*block);
        std::iter::successors(Some(block).filter(known), |block| setup.universe.parent(*block).filter(known))
            .collect()
    }

    fn store(&mut self, setup: &Setup, i: usize, block: Block, from: Option<usize>) -> Result<(), Broken> {
        self.held[i] |= 1 << block;
        let id = setup.universe.header(block).id;
        self.body(setup, i, bodies::Input::Stored { id, producer: PRODUCER, from })?;
        self.settle_certified(setup, i)
    }

    /// Asks for what the best chain and what is certified lack.
    fn want(&mut self, setup: &Setup, i: usize) -> Result<(), Broken> {
        let ends = [self.nodes[i].head(&setup.universe), self.certified[i]];
        let paths = ends.iter().flatten().flat_map(|end| self.path(setup, i, *end));
        for block in paths.filter(|block| !self.holds(i, *block)).collect::<Vec<_>>() {
            let id = setup.universe.header(block).id;
            let from = self.link.is_some().then_some(1 - i);
            self.body(setup, i, bodies::Input::Want { id, producer: PRODUCER, bytes: 1, from })?;
        }
        Ok(())
    }

    fn commit(&mut self, setup: &Setup, i: usize, fin: &Fin) -> Result<(), Broken> {
        let block = block(fin.tip.point.hash().expect("what is irreversible is a block"));
        if self.nodes[i].has_settled(&setup.universe, block) {
            return Ok(());
        }
        if !self.nodes[i].knows(block) {
            return broken("P4", format!("node {i} commits {block} without its header"));
        }
        self.certified[i] = self.certified[i].max(Some(block));
        self.want(setup, i)?;
        self.settle_certified(setup, i)
    }

    /// A block is irreversible when header, certificate and body are all there.
    fn settle_certified(&mut self, setup: &Setup, i: usize) -> Result<(), Broken> {
        match self.certified[i].filter(|block| self.is_complete(setup, i, *block)) {
            Some(block) => self.settle(setup, i, block),
            None => Ok(()),
        }
    }

    fn settle(&mut self, setup: &Setup, i: usize, block: Block) -> Result<(), Broken> {
        let place = setup.universe.place(Some(block));
        self.input(setup, i, Input::Settling(place), false)?;
        self.certified[i] = self.certified[i].filter(|certified| *certified > block);
        let before = self.nodes[i];
        self.nodes[i].settle(&setup.universe, block);
        let gone =
            (0..setup.universe.len()).filter(|block| before.knows(*block) && !self.nodes[i].knows(*block));
        for block in gone.collect::<Vec<_>>() {
            self.body(setup, i, bodies::Input::Unwant { id: setup.universe.header(block).id })?;
        }
        self.moved(setup, i)
    }

    fn moved(&mut self, setup: &Setup, i: usize) -> Result<(), Broken> {
        self.input(setup, i, Input::Moved, false)?;
        self.want(setup, i)
    }

    fn room(&mut self, setup: &Setup, i: usize) -> Result<(), Broken> {
        let Some(link) = &self.link else { return Ok(()) };
        let free = setup.queue.saturating_sub(link.queues[1 - i].len()) as u64;
        self.input(setup, i, Input::Room { bytes: free * SLOT_BYTES }, false)
    }

    /// P6.
    fn check_cursor(&self, setup: &Setup, i: usize) -> Result<(), Broken> {
        let Some(link) = &self.link else { return Ok(()) };
        let headers = Headers { universe: &setup.universe, node: &self.nodes[i], log: true };
        let Some(sent) = link.states[i].status().sent else { return Ok(()) };
        let head = self.nodes[i].head(&setup.universe);
        let on_chain = |place: &Place| match (place.id().map(block), head) {
            (None, _) => true,
            (Some(at), Some(head)) => setup.universe.is_above(head, Some(at)),
            (Some(_), None) => false,
        };
        if !on_chain(&sent) {
            return broken("P6", format!("the cursor of node {i} is off its chain"));
        }
        link.states[i].check_invariants(&headers);
        Ok(())
    }

    /// B1.
    fn check_bodies(&self, setup: &Setup, i: usize) -> Result<(), Broken> {
        if !setup.bodies {
            return Ok(());
        }
        self.bodies[i].check_invariants();
        let head = self.nodes[i].head(&setup.universe);
        let path = head.map_or(Vec::new(), |head| self.path(setup, i, head));
        let forgotten = |block: &&Block| {
            !self.holds(i, **block) && !self.bodies[i].is_wanted(&setup.universe.header(**block).id)
        };
        match path.iter().find(forgotten) {
            Some(block) => broken("B1", format!("node {i} neither has nor wants body {block}")),
            None => Ok(()),
        }
    }

    fn is_busy(&self) -> bool {
        self.link.as_ref().is_none_or(|link| {
            link.queues.iter().any(|queue| !queue.is_empty())
                || link.bodies.iter().any(|queue| !queue.is_empty())
                || link.asked.iter().any(Option::is_some)
                || link.loading.contains(&true)
        })
    }

    /// P2 and P3: nothing is under way, so nothing more will come but with the time. A node that by hand takes no
    /// bodies is let alone.
    fn check_rest(&self, setup: &Setup) -> Result<(), Broken> {
        if self.is_busy() || self.mode.contains(&Mode::Off) {
            return Ok(());
        }
        // Where an operator has meddled, a refused request is made again after its time.
        let mut rested = self.clone();
        let wants = |world: &Self| world.bodies.iter().any(|bodies| bodies.next_deadline().is_some());
        if setup.modes > 0 && wants(&rested) {
            for _ in 0..8 {
                rested.pass_time(setup)?;
            }
        }
        rested.check_agreement(setup)
    }

    /// Requests run out of time, and everything that follows from it happens.
    fn pass_time(&mut self, setup: &Setup) -> Result<(), Broken> {
        for i in 0..2 {
            self.body(setup, i, bodies::Input::Tick)?;
        }
        loop {
            let link = self.link.as_ref().expect("who rests is connected");
            if let Some(i) = (0..2).find(|i| !link.queues[*i].is_empty()) {
                self.deliver(setup, i)?;
            } else if let Some(i) = (0..2).find(|i| !link.bodies[*i].is_empty()) {
                self.deliver_body(setup, i)?;
            } else {
                return Ok(());
            }
            for i in 0..2 {
                self.room(setup, i)?;
            }
        }
    }

    fn check_agreement(&self, setup: &Setup) -> Result<(), Broken> {
        let [a, b] = &self.nodes;
        if a.lib != b.lib {
            return broken("P2", format!("irreversible {:?} and {:?} at rest", a.lib, b.lib));
        }
        let heads = [a.head(&setup.universe), b.head(&setup.universe)];
        if heads[0] != heads[1] {
            return broken("P3", format!("heads {heads:?} at rest"));
        }
        for (i, head) in heads.iter().enumerate() {
            if let Some(head) = head.filter(|head| self.nodes[i].knows(*head))
                && !self.is_complete(setup, i, head)
            {
                return broken("B1", format!("node {i} lacks a body at rest"));
            }
        }
        Ok(())
    }

    /// Whether the two are connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_some()
    }
}

fn broken(rule: &'static str, why: String) -> Result<(), Broken> {
    Err(Broken { rule, why })
}
