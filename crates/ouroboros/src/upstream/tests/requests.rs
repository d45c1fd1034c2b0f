//! How RequestNext are sent: as many as the window allows, in few segments.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::limits::{CHAIN_SYNC, HANDSHAKE};

/// The most segments that the unanswered requests may be in. Servers on `pallas-network` leave room for 100.
const FEW: usize = 11;

/// A running machine, and the segments of RequestNext that the server has not answered to the end.
struct Line {
    world: World,
    /// How many requests each of them holds still, the oldest in front.
    segments: VecDeque<usize>,
    /// What is demanded and not answered.
    demanded: usize,
}

impl Line {
    fn new(window: u32) -> Self {
        let config = Config { requests_in_flight: NonZeroU32::new(window).unwrap(), ..Config::new(MAGIC) };
        let mut world = World::new(&config);
        world.say(HANDSHAKE, &accept(Version::V15, DATA));
        world.heard();
        Self { world, segments: VecDeque::new(), demanded: 0 }
    }

    /// Sends what there is to send at once, as the driver does when it has not many commands at a time.
    fn sent(&mut self) {
        let bytes = self.world.transmitted();
        let mut input = &bytes[..];
        while let Some(part) = self.world.demux.next(&mut input).unwrap() {
            assert_eq!((part.protocol, part.bytes.len() % 2), (CHAIN_SYNC, 0));
            assert!(part.bytes.chunks(2).all(|message| message == [0x81, 0x00]));
            self.segments.push_back(part.bytes.len() / 2);
        }
        assert!(self.segments.len() <= FEW, "{:?}", self.segments);
        assert_eq!(
            self.demanded > 0,
            !self.segments.is_empty(),
            "the line is idle only when nothing is wanted"
        );
        self.world.state.check_invariants();
    }

    fn demand(&mut self, n: usize) {
        self.demanded += n;
        self.world.command(Command::Demand { n: n as u32 });
        self.sent();
    }

    fn answer(&mut self) {
        let Some(left) = self.segments.front_mut() else { return };
        *left -= 1;
        if *left == 0 {
            self.segments.pop_front();
        }
        self.demanded -= 1;
        assert_eq!(self.world.say_chain_sync(forward()), [forwarded()]);
        self.sent();
    }

    fn unanswered(&self) -> usize {
        self.segments.iter().sum()
    }
}

#[test]
fn keeps_the_window_of_requests_full() {
    let config = Config { requests_in_flight: NonZeroU32::new(3).unwrap(), ..Config::new(MAGIC) };
    let mut world = World::new(&config);
    world.say(HANDSHAKE, &accept(Version::V15, DATA));
    world.heard();
    assert_eq!(world.command(Command::Demand { n: 5 }), []);
    assert_eq!(world.heard_requests(), 3);
    assert_eq!(world.say_chain_sync(forward()), [forwarded()]);
    assert_eq!(world.heard_requests(), 1);
    let back = chain_sync::Message::RollBackward { point: POINT, tip: TIP };
    assert_eq!(world.say_chain_sync(back), [Event::Backward { point: POINT, tip: TIP }]);
    assert_eq!(world.heard_requests(), 1);
    assert_eq!(world.say_chain_sync(chain_sync::Message::AwaitReply), [Event::Waiting]);
    for _ in 0..3 {
        assert_eq!(world.say_chain_sync(forward()), [forwarded()]);
        assert_eq!(world.heard_requests(), 0);
    }
    let unasked = world.say_chain_sync(forward());
    assert_eq!(
        violation(&unasked),
        Violation::Agency { protocol: CHAIN_SYNC, state: "Idle", message: "RollForward" }
    );
}

#[test]
fn who_demands_one_by_one_still_has_requests_sent_many_at_a_time() {
    let mut line = Line::new(300);
    line.demand(300);
    assert_eq!(line.segments, [300], "a large demand goes at once");
    for _ in 0..1_000 {
        line.answer();
        line.demand(1);
        assert!(line.unanswered() > 250, "and the line stays full");
    }
    // The server waits at its tip: what is demanded now is what may lie unread.
    let mut slow = Line::new(300);
    (0..1_000).for_each(|_| slow.demand(1));
    assert_eq!(slow.segments, [1, 1, 2, 4, 8, 16, 32, 50, 50, 50, 50]);
}

#[test]
fn a_small_demand_goes_at_once_when_nothing_is_unanswered() {
    let mut line = Line::new(300);
    for _ in 0..10 {
        line.demand(1);
        assert_eq!(line.segments, [1]);
        line.answer();
    }
    line.demand(4);
    line.demand(3);
    assert_eq!(line.segments, [4], "three more would not double what is on its way");
    line.answer();
    assert_eq!(line.segments, [3, 3]);
}

proptest! {
    #[test]
    fn unanswered_requests_are_always_in_few_segments(
        window in 1u32..=300,
        steps in prop::collection::vec(prop_oneof![3 => 1usize..4, 1 => 4usize..400, 4 => Just(0)], 1..600),
    ) {
        let mut line = Line::new(window);
        for step in steps {
            match step {
                0 => line.answer(),
                n => line.demand(n),
            }
        }
        while line.demanded > 0 {
            line.answer();
        }
    }
}
