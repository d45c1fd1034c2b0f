//! What a follower is told.

use super::*;
use crate::chain_sync::Message;
use crate::codec::List;

const REQUEST_NEXT: [u8; 2] = [0x81, 0x00];

/// One message, in the words of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Await,
    Forward(u64, u8),
    Back(Point),
    Found(Point),
    NotFound,
}

impl World {
    fn sync(&mut self, message: &[u8]) -> Vec<Said> {
        let said = self.say(CHAIN_SYNC, message);
        self.read(said)
    }

    fn read(&mut self, said: Vec<(Protocol, Vec<u8>)>) -> Vec<Said> {
        let tip = self.made.tip();
        let one = |(protocol, bytes): (Protocol, Vec<u8>)| {
            assert_eq!(protocol, CHAIN_SYNC);
            match Message::decode(&bytes).expect("a message of chain-sync") {
                Message::AwaitReply => Said::Await,
                Message::RollForward { header, tip: said } => {
                    assert_eq!(said, tip, "every answer names the tip of its moment");
                    Said::Forward(u64::from_be_bytes(header[6..14].try_into().unwrap()), header[14])
                }
                Message::RollBackward { point, .. } => Said::Back(point),
                Message::IntersectFound { point, .. } => Said::Found(point),
                Message::IntersectNotFound { .. } => Said::NotFound,
                other => panic!("{other:?} is not a server's"),
            }
        };
        said.into_iter().map(one).collect()
    }

    fn find(&mut self, points: &[Point]) -> Vec<Said> {
        self.sync(&find(points))
    }
}

fn find(points: &[Point]) -> Vec<u8> {
    encoded(|out| Message::FindIntersect { points: List::new(points) }.encode(out))
}

fn absent(slot: u64) -> Point {
    Point::Block(Slot(slot), Hash([0xee; 32]))
}

/// How many chunks a follower needs that asks for headers one by one through a log of 20, in chunks of four.
fn chunks_read(mut between: impl FnMut(&mut World)) -> usize {
    let mut world = World::open(Made::new(20, 20));
    world.sync(&REQUEST_NEXT);
    world.has_log = false;
    let mut reads = 0;
    for at in 0..20 - RECENT as u64 {
        let mut said = world.sync(&REQUEST_NEXT);
        if let Some(question) = world.outputs.pop() {
            reads += 1;
            assert_eq!(question, Output::Chunk(Position(at)));
            let answer = world.made.answer(&question).expect("the log has it");
            world.input(answer);
            let heard = world.hear();
            said = world.read(heard);
        }
        assert_eq!(said, [Said::Forward(at, 0)]);
        between(&mut world);
    }
    reads
}

#[test]
fn a_follower_needs_each_chunk_once_while_it_may_keep_it() {
    assert_eq!(chunks_read(|world| assert!(world.client.read_ahead_bytes() <= 4 * 100)), 5);
    assert_eq!(chunks_read(|world| world.client.relax()), 17);
}

#[test]
fn a_follower_that_asks_no_more_rests() {
    let mut world = World::open(Made::new(20, 20));
    world.sync(&[0x81, 0x00].repeat(3));
    assert!(world.client.read_ahead_bytes() > 0 && !world.client.is_resting(world.now));
    assert!(world.client.is_resting(world.now + Duration::from_secs(1)));
    world.client.relax();
    assert!(!world.client.is_resting(world.now + Duration::from_secs(1)), "there is nothing to let go");
    // At the end of a chunk, nothing of it is of use any more.
    world.sync(&[0x81, 0x00].repeat(2));
    assert_eq!(world.client.read_ahead_bytes(), 0);
}

#[test]
fn a_client_that_asks_for_no_intersection_begins_at_origin() {
    let mut world = World::open(Made::new(3, 6));
    assert_eq!(world.sync(&REQUEST_NEXT), [Said::Back(Point::Origin)]);
    for position in 0..6 {
        assert_eq!(world.sync(&REQUEST_NEXT), [Said::Forward(position, 0)]);
    }
    assert_eq!(world.sync(&REQUEST_NEXT), [Said::Await]);
    assert!(world.client.waits_for_view());
}

#[test]
fn the_first_listed_point_on_the_chain_is_the_intersection() {
    let mut world = World::open(Made::new(6, 10));
    let (old, new) = (world.made.point(2), world.made.point(8));
    assert_eq!(world.find(&[absent(3), new, old]), [Said::Found(new)]);
    assert_eq!(world.find(&[absent(3), old, new]), [Said::Found(old)]);
    assert_eq!(world.find(&[absent(3), new]), [Said::Found(new)]);
    assert_eq!(world.find(&[absent(99), absent(3)]), [Said::NotFound]);
    assert_eq!(world.find(&[]), [Said::NotFound]);
    assert_eq!(world.find(&[absent(3), Point::Origin]), [Said::Found(Point::Origin)]);
}

#[test]
fn the_first_answer_after_an_intersection_is_a_roll_back_to_it() {
    let mut world = World::open(Made::new(6, 10));
    let point = world.made.point(4);
    assert_eq!(world.find(&[point]), [Said::Found(point)]);
    assert_eq!(world.sync(&REQUEST_NEXT), [Said::Back(point)]);
    assert_eq!(world.sync(&REQUEST_NEXT), [Said::Forward(5, 0)]);
}

#[test]
fn an_intersection_that_is_not_found_leaves_the_cursor_where_it_was() {
    let mut world = World::open(Made::new(6, 10));
    let point = world.made.point(4);
    world.find(&[point]);
    world.sync(&REQUEST_NEXT);
    assert_eq!(world.find(&[absent(3)]), [Said::NotFound]);
    assert_eq!(world.sync(&REQUEST_NEXT), [Said::Forward(5, 0)]);
}

#[test]
fn pipelined_requests_are_answered_in_order_with_the_intersection_between_them() {
    let mut world = World::open(Made::new(2, 4));
    let point = world.made.point(1);
    let all = [REQUEST_NEXT.repeat(3), find(&[point]), REQUEST_NEXT.repeat(2)].concat();
    let said = world.sync(&all);
    let back = [Said::Back(Point::Origin), Said::Forward(0, 0), Said::Forward(1, 0)];
    assert_eq!(said[..3], back);
    assert_eq!(said[3..], [Said::Found(point), Said::Back(point), Said::Forward(2, 0)]);
}

#[test]
fn a_waiting_follower_gets_one_answer_when_the_chain_grows() {
    let mut world = World::open(Made::new(2, 4));
    let tip = world.made.tip().point;
    world.find(&[tip]);
    assert_eq!(world.sync(&REQUEST_NEXT.repeat(2)), [Said::Back(tip), Said::Await]);
    assert_eq!(world.hear(), []);
    world.made.grow(2, 0);
    let said = world.hear();
    assert_eq!(world.read(said), [Said::Forward(4, 0)]);
    assert_eq!(world.sync(&REQUEST_NEXT.repeat(2)), [Said::Forward(5, 0), Said::Await]);
}

#[test]
fn the_frame_at_the_tip_is_the_views_own() {
    let mut world = World::open(Made::new(2, 4));
    let tip = world.made.tip().point;
    world.find(&[tip]);
    world.sync(&REQUEST_NEXT.repeat(2));
    world.made.grow(1, 0);
    let frame = world.made.view().tip_frame;
    assert_eq!(world.hear(), [(CHAIN_SYNC, frame.to_vec())]);
}

#[test]
fn a_follower_whose_block_left_the_chain_is_rolled_back_to_the_fork() {
    let mut world = World::open(Made::new(2, 6));
    let tip = world.made.tip().point;
    world.find(&[tip]);
    world.sync(&REQUEST_NEXT.repeat(2));
    world.made.roll_back(3);
    world.made.grow(4, 1);
    let fork = world.made.point(2);
    let said = world.hear();
    assert_eq!(world.read(said), [Said::Back(fork)]);
    let four = [3, 4, 5, 6].map(|position| Said::Forward(position, 1));
    assert_eq!(world.sync(&REQUEST_NEXT.repeat(4)), four);
}

#[test]
fn a_follower_on_a_block_that_nobody_knows_is_disconnected() {
    let mut world = World::open(Made::new(2, 6));
    let tip = world.made.tip().point;
    world.find(&[tip]);
    world.made.roll_back(3);
    world.made.orphans.clear();
    world.made.grow(5, 1);
    world.sync(&REQUEST_NEXT);
    assert_eq!(world.closed(), Some(Reason::Lost));
}

#[test]
fn a_cursor_that_sank_into_the_log_is_checked_there_once() {
    let mut world = World::open(Made::new(2, 12));
    let point = world.made.point(3);
    world.find(&[point]);
    world.sync(&REQUEST_NEXT);
    world.made.settle(12);
    world.has_log = false;
    assert_eq!(world.sync(&REQUEST_NEXT), []);
    assert_eq!(world.outputs, [Output::Check(Position(3), point)]);
    world.has_log = true;
    world.input(Input::Checked(true));
    let said = world.hear();
    assert_eq!(world.read(said), [Said::Forward(4, 0)]);
}

#[test]
fn after_done_a_client_may_begin_again() {
    let mut world = World::open(Made::new(2, 3));
    world.sync(&REQUEST_NEXT.repeat(3));
    world.sync(&encoded(|out| Message::Done.encode(out)));
    assert_eq!(world.closed(), None);
    assert_eq!(world.sync(&REQUEST_NEXT), [Said::Back(Point::Origin)]);
}

#[test]
fn a_servers_message_from_a_client_ends_the_connection() {
    let mut world = World::open(Made::new(2, 3));
    world.sync(&encoded(|out| Message::AwaitReply.encode(out)));
    let state = "Idle";
    let agency = Violation::Agency { protocol: CHAIN_SYNC, state, message: "AwaitReply" };
    assert_eq!(world.closed(), Some(Reason::Violation(agency)));
    assert_eq!(world.hear(), [], "nothing is said after the end");
}

#[test]
fn requests_without_end_are_refused() {
    let mut world = World::open(Made::new(2, 2));
    let tip = world.made.tip().point;
    world.find(&[tip]);
    // At the tip, no request is answered; each takes no memory, but there is an end to them.
    for _ in 0..60 {
        world.sync(&REQUEST_NEXT.repeat(4_000));
    }
    let limit = 231_000;
    assert_eq!(world.closed(), Some(Violation::TooManyRequests { protocol: CHAIN_SYNC, limit }.into()));
}

#[test]
fn a_point_that_sinks_into_the_log_while_the_log_is_asked_is_asked_for_too() {
    use crate::chain_sync::{Ask, Responder};
    let mut made = Made::new(4, 10);
    let point = made.point(6);
    let mut responder = Responder::new(Duration::ZERO);
    let asked = find(&[absent(3), point]);
    let message = Message::decode(&asked).expect("a message");
    responder.on_message(Duration::ZERO, &message, &made.view()).expect("allowed");
    assert_eq!(responder.take_ask(), Some(Ask::Locate(vec![absent(3)])));

    // Deeper than what the view keeps of the log.
    made.settle(10);
    responder.on_located(None, &made.view());
    assert_eq!(responder.take_ask(), Some(Ask::Locate(vec![point])));
    responder.on_located(Some(Cursor::settled(Position(7), point)), &made.view());

    let mut out = Vec::new();
    responder.fill(Duration::ZERO, &made.view(), 1_000, &mut out).expect("an answer");
    let found = encoded(|out| Message::IntersectFound { point, tip: made.tip() }.encode(out));
    assert_eq!(out, found);
}
