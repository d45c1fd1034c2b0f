//! Upstreams that say anything that the wire lets through, disks and checks that take any time: the node's
//! invariants hold after each input, and nothing panics.

use std::collections::VecDeque;
use std::time::Duration;

use chain::format::{Checks, Reason};
use chain::{Block, Hash, Header, Height, Point, Position, Tip, native};
use link::Time;
use ouroboros::handshake::Version;
use ouroboros::limits::RANGES_IN_FLIGHT;
use ouroboros::upstream;
use proptest::prelude::*;

use super::rig::{Forge, follow};
use crate::follower::Follower;
use crate::follower::upstream::{Command, Event};
use crate::work::{Fault, Work};
use crate::{Found, Input, Load, Output, Record, Start, Ticket, UpstreamId};

/// As many upstreams, two of which must agree.
const UPSTREAMS: u32 = 3;
const K: u64 = 3;

/// One thing that happens: what, to whom, and which of several.
type Step = (u8, usize, usize);

/// What the wire machine of one upstream knows, and so enforces.
#[derive(Default)]
struct Peer {
    dialled: bool,
    open: bool,
    asked: Option<Vec<Point>>,
    credit: u32,
    /// The blocks of each range asked for, those of the first without what was sent.
    ranges: VecDeque<VecDeque<Block>>,
    /// The last header that it told of.
    at: Option<Hash>,
}

struct World {
    node: Follower,
    mono: Duration,
    peers: Vec<Peer>,
    /// Blocks on many forks, parents before children.
    blocks: Vec<Block>,
    checks: Vec<(Ticket, Checks)>,
    appends: VecDeque<(Ticket, Record)>,
    loads: Vec<(Ticket, Vec<Position>)>,
    log: Vec<Block>,
}

/// A trunk of 24 blocks, and forks of five that leave it at every third.
fn blocks(forge: &mut Forge) -> Vec<Block> {
    let trunk = forge.chain(&[], 0, 24, "trunk");
    let mut all = trunk.clone();
    for at in (0..24).step_by(3) {
        all.extend_from_slice(&forge.chain(&trunk, at, 5, &at.to_string())[at..]);
    }
    all
}

impl World {
    fn new() -> Self {
        let mut forge = Forge::new();
        let blocks = blocks(&mut forge);
        let config = follow(&forge, K, 2, UPSTREAMS);
        let start = Start::genesis(&config.format);
        let mut world = Self {
            node: Follower::new(config, start, [3; 32]),
            mono: Duration::ZERO,
            peers: (0..UPSTREAMS).map(|_| Peer::default()).collect(),
            blocks,
            checks: Vec::new(),
            appends: VecDeque::new(),
            loads: Vec::new(),
            log: Vec::new(),
        };
        world.give(Input::Tick);
        world
    }

    fn give(&mut self, input: Input) {
        let mut out = Vec::new();
        let wall = Duration::from_secs(1_000_000) + self.mono;
        self.node.handle(Time { mono: self.mono, wall }, input, &mut out);
        self.node.check_invariants();
        out.into_iter().for_each(|output| self.perform(output));
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Connect { id } => {
                let peer = &mut self.peers[id.0 as usize];
                assert!(!peer.dialled, "one connection at a time");
                *peer = Peer { dialled: true, ..Peer::default() };
            }
            Output::Upstream { id, command } => self.command(id, command),
            Output::Disconnect { id, .. } => self.peers[id.0 as usize] = Peer::default(),
            Output::Verify { ticket, work: Work::Header(checks) } => self.checks.push((ticket, checks)),
            Output::Persist { ticket, record } => self.appends.push_back((ticket, record)),
            Output::Load { ticket, load: Load::Points(positions) } => self.loads.push((ticket, positions)),
            Output::Publish(view) => {
                assert_eq!(view.settled, self.log.len() as u64, "no more than is durable")
            }
            Output::Submitted { .. } | Output::Notice(_) => {}
            other => panic!("a follower never says {other:?}"),
        }
    }

    /// Asserts what the wire machine asserts.
    fn command(&mut self, id: UpstreamId, command: Command) {
        let ends = |from: Point, to: Point| {
            let mut path = VecDeque::new();
            let mut at = to.hash();
            while let Some(block) = at.and_then(|id| self.block(id)) {
                path.push_front(block.clone());
                if block.header.point() == from {
                    break;
                }
                at = block.header.prev;
            }
            path
        };
        let range = match &command {
            Command::Fetch { from, to } => Some(ends(*from, *to)),
            _ => None,
        };
        let peer = &mut self.peers[id.0 as usize];
        if !peer.dialled {
            return;
        }
        assert!(peer.open, "a command before the handshake was done");
        match command {
            Command::Intersect { points } => {
                assert!(peer.asked.is_none() && points.len() <= ouroboros::chain_sync::MAX_POINTS);
                peer.asked = Some(points);
            }
            Command::Demand { n } => peer.credit += n,
            Command::Fetch { .. } => {
                assert!(peer.ranges.len() < RANGES_IN_FLIGHT, "too many ranges asked for at a time");
                peer.ranges.extend(range);
            }
            Command::SharePeers { .. } | Command::Done => {}
        }
    }

    fn step(&mut self, (what, who, which): Step) {
        let id = UpstreamId((who % UPSTREAMS as usize) as u32);
        match what {
            0..=9 => self.speak(id, which),
            10..=12 => self.answer_check(which),
            13..=14 => self.write(which),
            15 => {
                let Some((ticket, positions)) = self.loads.pop() else { return };
                let point = |at: &Position| self.log.get(at.0 as usize).map(|block| block.header.point());
                let points = positions.iter().filter_map(point).collect();
                self.give(Input::Loaded { ticket, found: Found::Points(points) });
            }
            16 if which.is_multiple_of(8) => {
                let until = self.mono + Duration::from_secs(which as u64 / 8);
                // A driver comes when it is to; not for ever where it is asked to come at once again.
                for _ in 0..16 {
                    let Some(due) = self.node.next_deadline().filter(|due| *due < until) else { break };
                    self.mono = self.mono.max(due);
                    self.give(Input::Tick);
                }
                self.mono = until;
                self.give(Input::Tick);
            }
            17 if which.is_multiple_of(16) && self.peers[id.0 as usize].dialled => {
                self.peers[id.0 as usize] = Peer::default();
                self.give(Input::ConnectFailed { id, error: "gone".into() });
            }
            _ => {}
        }
    }

    fn answer_check(&mut self, which: usize) {
        if self.checks.is_empty() {
            return;
        }
        let (ticket, checks) = self.checks.swap_remove(which % self.checks.len());
        let wrong = which.is_multiple_of(501);
        let result = if wrong {
            Err(Fault::Header(Reason::Native(native::Reason::Signature)))
        } else {
            Work::Header(checks).run()
        };
        self.give(Input::Verified { ticket, result });
    }

    fn write(&mut self, which: usize) {
        let count = self.appends.len().min(1 + which % 4);
        let mut watermark = None;
        for (ticket, record) in self.appends.drain(..count) {
            watermark = Some(ticket);
            if let Record::Settle { blocks, .. } = record {
                self.log.extend(blocks);
            }
        }
        if let Some(ticket) = watermark {
            self.give(Input::Persisted { ticket });
        }
    }

    fn block(&self, id: Hash) -> Option<&Block> {
        self.blocks.iter().find(|block| block.header.id == id)
    }

    fn tip(&self, which: usize) -> Tip {
        let tip = self.blocks[which % self.blocks.len()].header.tip();
        if which.is_multiple_of(31) { Tip { height: Height(u64::MAX), ..tip } } else { tip }
    }

    /// What an upstream says next, of all that its wire machine lets through.
    fn speak(&mut self, id: UpstreamId, which: usize) {
        let tip = self.tip(which);
        let header = self.header_after(self.peers[id.0 as usize].at, which);
        let any = self.blocks[which % self.blocks.len()].clone();
        let before = self.peers[id.0 as usize].at.and_then(|at| self.block(at)?.header.prev);
        let before = before.and_then(|id| self.block(id)).map_or(Point::Origin, |block| block.header.point());
        let peer = &mut self.peers[id.0 as usize];
        if !peer.dialled {
            return;
        }
        let event = match which % 7 {
            _ if !peer.open => {
                peer.open = true;
                Event::Ready { version: Version::V14 }
            }
            _ if peer.asked.is_some() => {
                let points = peer.asked.take().unwrap_or_default();
                let point = if which.is_multiple_of(41) { points[which % points.len()] } else { points[0] };
                peer.at = point.hash();
                Event::Intersected { point, tip }
            }
            0..=2 if peer.credit > 0 => {
                peer.credit -= 1;
                peer.at = Some(header.id);
                Event::Forward { wire: header.wire, tip }
            }
            3 if peer.credit > 0 && which.is_multiple_of(2) => {
                peer.credit -= 1;
                let point = match which % 11 {
                    0 => Point::Origin,
                    1 => any.header.point(),
                    _ => before,
                };
                peer.at = point.hash();
                Event::Backward { point, tip }
            }
            4 | 5 if !peer.ranges.is_empty() => Self::stream(&mut peer.ranges, &any, which),
            6 if which.is_multiple_of(3) => Event::Rtt { rtt: Duration::from_millis(which as u64 % 9_000) },
            6 if which.is_multiple_of(23) => {
                *peer = Peer::default();
                Event::Closed { reason: upstream::Reason::Done }
            }
            _ => return,
        };
        self.give(Input::Upstream { id, event });
    }

    fn stream(ranges: &mut VecDeque<VecDeque<Block>>, any: &Block, which: usize) -> Event {
        let range = ranges.front_mut().expect("it was just seen");
        match which % 59 {
            0 => {
                ranges.pop_front();
                Event::NoBlocks
            }
            1 => Event::Block { raw: any.raw.clone() },
            2 => {
                ranges.pop_front();
                Event::BatchDone
            }
            _ => match range.pop_front() {
                Some(block) => Event::Block { raw: block.raw },
                None => {
                    ranges.pop_front();
                    Event::BatchDone
                }
            },
        }
    }

    /// Mostly a child of the last header, sometimes anything.
    fn header_after(&self, last: Option<Hash>, which: usize) -> Header {
        let any = &self.blocks[which % self.blocks.len()].header;
        let mut children = self.blocks.iter().map(|block| &block.header).filter(|header| header.prev == last);
        let count = children.clone().count().max(1);
        // The trunk comes first: so chains mostly agree.
        let child = children.nth(if which.is_multiple_of(13) { which % count } else { 0 });
        child.filter(|_| !which.is_multiple_of(97)).unwrap_or(any).clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn holds_its_invariants_whatever_upstreams_say(
        steps in prop::collection::vec((0u8..18, 0usize..3, 0usize..10_000), 0..900),
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
    }
}

#[test]
fn the_steps_of_that_test_get_somewhere() {
    let mut world = World::new();
    let mut state = 1_usize;
    for _ in 0..6_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let which = state >> 33;
        world.step((((state >> 20) % 18) as u8, (state >> 25) % 3, which % 10_000));
    }
    assert!(world.log.len() > 5, "{} blocks were settled", world.log.len());
}
