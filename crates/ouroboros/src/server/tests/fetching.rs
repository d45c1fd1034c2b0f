//! What a client that fetches blocks gets.

use super::*;
use crate::block_fetch::Message;

impl World {
    fn fetch(&mut self, from: Point, to: Point) -> Vec<Vec<u8>> {
        let said = self.say(BLOCK_FETCH, &request(from, to));
        said.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// The blocks of a batch; `None` for NoBlocks.
    fn blocks(&mut self, from: usize, to: usize) -> Option<Vec<Vec<u8>>> {
        let said = self.fetch(self.made.point(from), self.made.point(to));
        batch(&said)
    }
}

fn request(from: Point, to: Point) -> Vec<u8> {
    encoded(|out| Message::RequestRange { from, to }.encode(out))
}

fn batch(said: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let messages = said.iter().map(|bytes| Message::decode(bytes).expect("a message of block-fetch"));
    let messages = messages.collect::<Vec<_>>();
    match &messages[..] {
        [Message::NoBlocks] => None,
        [Message::StartBatch, blocks @ .., Message::BatchDone] => Some(
            blocks
                .iter()
                .map(|block| match block {
                    Message::Block { raw } => raw.to_vec(),
                    other => panic!("{other:?} inside a batch"),
                })
                .collect(),
        ),
        other => panic!("{other:?} is no answer"),
    }
}

#[test]
fn a_range_is_sent_as_stored_with_both_ends() {
    let mut world = World::open(Made::new(10, 16));
    for (from, to) in [(0, 0), (0, 15), (3, 9), (4, 12), (11, 13), (15, 15)] {
        let wanted = world.made.entries[from..=to].iter().map(|entry| entry.block.to_vec());
        let wanted = wanted.collect::<Vec<_>>();
        assert_eq!(world.blocks(from, to), Some(wanted), "{from} to {to}");
        assert!(!world.client.is_streaming());
    }
}

#[test]
fn a_range_that_is_not_on_the_chain_or_backwards_has_no_blocks() {
    let mut world = World::open(Made::new(10, 16));
    let absent = |slot| Point::Block(Slot(slot), Hash([0xee; 32]));
    assert_eq!(world.blocks(9, 3), None);
    assert_eq!(world.blocks(13, 11), None);
    assert_eq!(world.blocks(12, 3), None);
    let (old, new) = (world.made.point(3), world.made.point(12));
    for (from, to) in [(absent(5), new), (old, absent(99)), (old, absent(5)), (Point::Origin, new)] {
        let said = world.fetch(from, to);
        assert_eq!(batch(&said), None, "{from:?} to {to:?}");
    }
    assert_eq!(world.closed(), None);
}

#[test]
fn a_range_survives_growth_and_settling() {
    let mut world = World::open(Made::new(4, 12));
    world.receive(&frame(BLOCK_FETCH, &request(world.made.point(1), world.made.point(9))));
    let mut said = Vec::new();
    let (bytes, _) = world.take(1);
    world.decode(&bytes, &mut said);
    world.made.grow(3, 0);
    world.made.settle(10);
    said.extend(world.hear());
    let wanted = world.made.entries[1..=9].iter().map(|entry| entry.block.to_vec()).collect::<Vec<_>>();
    let said = said.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    assert_eq!(batch(&said), Some(wanted));
}

#[test]
fn a_range_that_leaves_the_chain_is_sent_to_its_end() {
    let mut world = World::open(Made::new(10, 20));
    let wanted = world.made.entries[5..=18].iter().map(|entry| entry.block.to_vec()).collect::<Vec<_>>();
    world.receive(&frame(BLOCK_FETCH, &request(world.made.point(5), world.made.point(18))));
    let mut said = Vec::new();
    let mut take = |world: &mut World| {
        let mut bytes = world.take(20_000).0;
        while bytes.is_empty() {
            bytes = world.take(20_000).0;
        }
        world.decode(&bytes, &mut said);
    };
    take(&mut world);
    // Its end leaves the chain, then more of it, and then others settle above its part that is left.
    world.made.roll_back(4);
    world.made.grow(6, 1);
    take(&mut world);
    world.made.roll_back(9);
    world.made.grow(12, 2);
    take(&mut world);
    world.made.settle(21);
    said.extend(world.hear());
    assert_eq!(world.closed(), None);
    let said = said.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    assert_eq!(batch(&said), Some(wanted));
}

#[test]
fn a_range_whose_blocks_are_forgotten_ends_the_connection() {
    let mut world = World::open(Made::new(4, 20));
    world.receive(&frame(BLOCK_FETCH, &request(world.made.point(9), world.made.point(14))));
    world.take(1);
    world.made.roll_back(8);
    world.made.grow(3, 1);
    world.made.left.clear();
    world.hear();
    assert_eq!(world.closed(), Some(Reason::LeftChain));
}

#[test]
fn a_client_that_takes_nothing_holds_no_blocks() {
    let mut world = World::open(Made::new(400, 400));
    world.receive(&frame(BLOCK_FETCH, &request(world.made.point(0), world.made.point(399))));
    let mut said = Vec::new();
    let mut taken = 0;
    // It takes a little now and then, and what was read ahead is let go in between.
    for _ in 0..40 {
        let mut bytes = world.take(5_000).0;
        while bytes.is_empty() {
            bytes = world.take(5_000).0;
        }
        taken += bytes.len();
        world.decode(&bytes, &mut said);
        world.client.relax();
    }
    assert!(taken > 100_000, "it got something: {taken} B");
    said.extend(world.hear());
    let said = said.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    let wanted = world.made.entries.iter().map(|entry| entry.block.to_vec()).collect::<Vec<_>>();
    assert_eq!(batch(&said), Some(wanted), "every byte came once");
}

#[test]
fn what_is_read_ahead_is_counted_until_it_is_let_go() {
    let mut world = World::open(Made::new(40, 40));
    world.receive(&frame(BLOCK_FETCH, &request(world.made.point(4), world.made.point(39))));
    assert_eq!(world.client.read_ahead_bytes(), 0);
    let bytes = |world: &World, from: usize, to: usize| {
        world.made.entries[from..=to].iter().map(|entry| entry.block.len()).sum::<usize>()
    };
    // A run of four blocks, and another when half of it is sent.
    let mut most = 0;
    while world.client.is_streaming() {
        world.take(5_000);
        most = most.max(world.client.read_ahead_bytes());
    }
    let largest = (0..4).map(|from| bytes(&world, from, from + 7)).max().expect("some");
    assert!(most >= bytes(&world, 4, 7) && most <= 2 * largest, "{most} B");
    assert!(!world.client.holds_anything());
}

#[test]
fn ranges_beyond_the_first_hundred_wait_in_the_ingress_queue() {
    let mut world = World::open(Made::new(20, 20));
    let point = world.made.point(7);
    let many = request(point, point).repeat(300);
    world.has_log = false;
    assert_eq!(world.say(BLOCK_FETCH, &many), []);
    assert_eq!(world.outputs.len(), 1, "one question at a time: {:?}", world.outputs);
    assert!(world.client.held_bytes() > 14_000);
    world.has_log = true;
    let question = world.outputs.remove(0);
    world.perform(vec![question]);
    let said = world.hear();
    assert_eq!(said.len(), 3 * 300);
    assert_eq!(world.client.held_bytes(), 0);
}

#[test]
fn more_than_the_ingress_queue_holds_ends_the_connection() {
    let mut world = World::open(Made::new(20, 20));
    let point = world.made.point(7);
    world.has_log = false;
    world.say(BLOCK_FETCH, &request(point, point).repeat(3_000));
    assert!(matches!(
        world.closed(),
        Some(Reason::Violation(Violation::Mux(link::mux::Violation::Overrun { protocol: BLOCK_FETCH, .. })))
    ));
}
