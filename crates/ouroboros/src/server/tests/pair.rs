//! Our initiators against our responders, over bytes in any cut, while the chain changes.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::upstream::{self, Command, Event};

/// What happens between two exchanges of bytes.
#[derive(Debug, Clone)]
enum Step {
    Grow(usize),
    Fork {
        back: usize,
        forward: usize,
    },
    Settle(usize),
    Demand(u32),
    Fetch(usize, usize),
    /// So many bytes go over, each way, in one piece.
    Exchange(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (1..4_usize).prop_map(Step::Grow),
        2 => (1..5_usize, 1..6_usize).prop_map(|(back, forward)| Step::Fork { back, forward }),
        1 => (1..6_usize).prop_map(Step::Settle),
        4 => (1..9_u32).prop_map(Step::Demand),
        2 => (0..40_usize, 0..9_usize).prop_map(|(from, more)| Step::Fetch(from, more)),
        9 => (1..3_000_usize).prop_map(Step::Exchange),
    ];
    prop::collection::vec(step, 1..120)
}

/// A follower and a server, and the bytes between them.
struct Pair {
    world: World,
    follower: upstream::State,
    to_server: Vec<u8>,
    to_follower: Vec<u8>,
    /// What the follower was told of: hashes from the first block on.
    followed: Vec<Hash>,
    ready: bool,
    blocks: Vec<Bytes>,
    wanted: Vec<Bytes>,
    /// Batches that were asked for and not ended.
    batches: usize,
}

impl Pair {
    fn new(made: Made) -> Self {
        let config = upstream::Config::new(MAGIC);
        let world = World::new(made);
        let follower = upstream::State::new(&config, time(world.now), ChaCha8Rng::seed_from_u64(1));
        Self {
            world,
            follower,
            to_server: Vec::new(),
            to_follower: Vec::new(),
            followed: Vec::new(),
            ready: false,
            blocks: Vec::new(),
            wanted: Vec::new(),
            batches: 0,
        }
    }

    fn command(&mut self, command: Command) {
        let mut events = Vec::new();
        self.follower.handle(time(self.world.now), upstream::Input::Command(command), &mut events);
        self.on_events(events);
    }

    fn exchange(&mut self, most: usize) -> bool {
        self.follower.transmit(time(self.world.now), most, &mut self.to_server);
        let (bytes, more) = self.world.take(most);
        self.to_follower.extend_from_slice(&bytes);
        let there = self.to_server.drain(..most.min(self.to_server.len())).collect::<Vec<_>>();
        let back = self.to_follower.drain(..most.min(self.to_follower.len())).collect::<Vec<_>>();
        if !there.is_empty() {
            self.world.receive(&there);
        }
        let mut events = Vec::new();
        self.follower.handle(time(self.world.now), upstream::Input::Received(&back), &mut events);
        self.on_events(events);
        assert_eq!(self.world.closed(), None, "the server closes on our own follower");
        more || !there.is_empty() || !back.is_empty()
    }

    fn settle(&mut self) {
        while self.exchange(100_000) {}
    }

    fn on_events(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Ready { .. } => self.ready = true,
                Event::Forward { wire, .. } => {
                    let position = u64::from_be_bytes(wire[6..14].try_into().unwrap());
                    assert_eq!(position, self.followed.len() as u64, "each header follows the one before");
                    self.followed.push(Hash::from_slice(&wire[6..]).unwrap());
                }
                Event::Backward { point, .. } => {
                    let kept = point.hash().map(|hash| {
                        self.followed.iter().position(|known| *known == hash).expect("it was told of it") + 1
                    });
                    self.followed.truncate(kept.unwrap_or(0));
                }
                Event::Block { raw } => self.blocks.push(raw),
                Event::BatchDone => self.batches -= 1,
                Event::BatchStarted | Event::Waiting | Event::Rtt { .. } => {}
                other => panic!("{other:?} was not expected"),
            }
        }
    }

    fn step(&mut self, step: &Step, branch: &mut u8) {
        let made = &mut self.world.made;
        match *step {
            Step::Grow(count) => made.grow(count, *branch),
            // A range under way may not leave the chain: that ends the connection, and has its own test.
            Step::Fork { back, forward } if self.batches == 0 => {
                let back = back.min(made.entries.len() - made.settled);
                *branch = branch.wrapping_add(1);
                made.roll_back(back);
                made.grow(forward.max(back), *branch);
            }
            Step::Fork { .. } => {}
            Step::Settle(count) => made.settle((made.settled + count).min(made.entries.len())),
            Step::Demand(n) => self.command(Command::Demand { n }),
            Step::Fetch(from, more) if self.batches < 90 => {
                let from = from % made.entries.len();
                let to = (from + more).min(made.entries.len() - 1);
                self.wanted.extend(made.entries[from..=to].iter().map(|entry| entry.block.clone()));
                self.batches += 1;
                let (from, to) = (made.point(from), made.point(to));
                self.command(Command::Fetch { from, to });
            }
            Step::Fetch(..) => {}
            Step::Exchange(most) => drop(self.exchange(most)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_follower_ends_with_the_servers_chain_and_every_block_it_asked_for(steps in steps()) {
        let mut pair = Pair::new(Made::new(7, 12));
        pair.settle();
        prop_assert!(pair.ready);
        let mut branch = 0;
        for step in &steps {
            pair.step(step, &mut branch);
        }
        pair.settle();
        // As many as there are, and the roll-backs on the way.
        let n = pair.world.made.entries.len() as u32 + 200;
        pair.command(Command::Demand { n });
        pair.settle();
        let chain = pair.world.made.entries.iter().map(|entry| entry.header.id).collect::<Vec<_>>();
        prop_assert_eq!(&pair.followed, &chain);
        let lengths = |blocks: &[Bytes]| blocks.iter().map(Bytes::len).collect::<Vec<_>>();
        prop_assert_eq!(lengths(&pair.blocks), lengths(&pair.wanted));
        prop_assert!(pair.blocks == pair.wanted);
        prop_assert_eq!(pair.world.client.held_bytes(), 0);
    }

    #[test]
    fn random_bytes_close_the_connection_or_are_held_within_limits(
        cuts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..40)
    ) {
        let mut world = World::open(Made::new(5, 9));
        for bytes in cuts {
            world.receive(&bytes);
            world.hear();
            prop_assert!(world.client.held_bytes() <= 1 << 20);
        }
    }

    #[test]
    fn random_messages_never_make_the_machine_panic(
        messages in prop::collection::vec((0..5_usize, prop::collection::vec(any::<u8>(), 1..12)), 1..60)
    ) {
        let mut world = World::open(Made::new(5, 9));
        for (which, bytes) in messages {
            world.say(LIMITS[which].protocol, &bytes);
        }
    }
}
