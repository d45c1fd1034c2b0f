//! Two nodes, perhaps connected: what can happen next, and what must hold.
//!
//! A link is a queue of messages each way and no more: it is lost with them. The nodes' machines are the production
//! ones. A fault edits what goes into them and comes out.

use std::collections::VecDeque;

use chain::Point;
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
    asked: [Option<Vec<Point>>; 2],
    loading: [bool; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct World {
    nodes: [Node; 2],
    link: Option<Link>,
    connects: u8,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { nodes: setup.nodes, link: None, connects: setup.connects }
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
                events.extend(each(&|i| link.asked[i].is_some()).into_iter().map(Event::Found));
                events.extend(each(&|i| link.loading[i]).into_iter().map(Event::Loaded));
                if self.connects > 0 {
                    events.push(Event::Disconnect);
                }
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let new = |block: &Block| node.takes(&setup.universe, *block);
            events.extend((0..setup.universe.len()).filter(new).map(|block| Event::Learn(i, block)));
            let decided = setup.universe.finals.iter().filter(|block| node.knows(**block));
            events.extend(decided.map(|block| Event::Decide(i, *block)));
        }
        events
    }

    /// Lets it happen, and checks what must hold at every moment.
    pub(crate) fn step(&mut self, setup: &Setup, event: Event) -> Result<(), Broken> {
        match event {
            Event::Connect => self.connect(setup)?,
            Event::Disconnect => self.link = None,
            Event::Deliver(i) => self.deliver(setup, i)?,
            Event::Learn(i, block) => {
                self.nodes[i].known |= 1 << block;
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
        }
        self.check_rest(setup)
    }

    fn connect(&mut self, setup: &Setup) -> Result<(), Broken> {
        self.connects -= 1;
        let state = || State::new(Config::default());
        self.link = Some(Link {
            states: [state(), state()],
            queues: Default::default(),
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
                Input::Hello(hello)
            }
            Message::Header(wire) => Input::Header(setup.universe.header(usize::from(wire[0]))),
            Message::Fin(fin) if setup.fault == Fault::NoPlib => return self.commit(setup, i, &fin),
            Message::Fin(fin) => Input::Fin(fin),
            other => panic!("{} is the bodies' affair", other.name()),
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
            Output::Send(message) => link.queues[1 - i].push_back(message),
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

    fn commit(&mut self, setup: &Setup, i: usize, fin: &Fin) -> Result<(), Broken> {
        let block = block(fin.tip.point.hash().expect("what is irreversible is a block"));
        if self.nodes[i].has_settled(&setup.universe, block) {
            return Ok(());
        }
        if !self.nodes[i].knows(block) {
            return broken("P4", format!("node {i} commits {block} without its header"));
        }
        self.settle(setup, i, block)
    }

    fn settle(&mut self, setup: &Setup, i: usize, block: Block) -> Result<(), Broken> {
        let place = setup.universe.place(Some(block));
        self.input(setup, i, Input::Settling(place), false)?;
        self.nodes[i].settle(&setup.universe, block);
        self.moved(setup, i)
    }

    fn moved(&mut self, setup: &Setup, i: usize) -> Result<(), Broken> {
        self.input(setup, i, Input::Moved, false)
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

    /// P2 and P3: nothing is under way, so nothing more will come.
    fn check_rest(&self, setup: &Setup) -> Result<(), Broken> {
        let Some(link) = &self.link else { return Ok(()) };
        let busy = link.queues.iter().any(|queue| !queue.is_empty())
            || link.asked.iter().any(Option::is_some)
            || link.loading.contains(&true);
        if busy {
            return Ok(());
        }
        let [a, b] = &self.nodes;
        if a.lib != b.lib {
            return broken("P2", format!("irreversible {:?} and {:?} at rest", a.lib, b.lib));
        }
        let heads = [a.head(&setup.universe), b.head(&setup.universe)];
        if heads[0] != heads[1] {
            return broken("P3", format!("heads {heads:?} at rest"));
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
