//! One validator signs headers without end, and honest peers pass them on.

use chain::native::{Builder, Change};
use chain::{Format, Header, Height, Slot, State, Tip};
use diffusion::sync::Message;
use link::channel;

use super::world::{Setup, World, key, ms, validators};
use crate::Notice;
use crate::member::{Member, Refusal};

/// The one that signs.
const LIAR: u8 = 4;

/// Makes valid headers, one on the other.
struct Forge {
    format: Format,
    tip: Tip,
    state: State,
}

impl Forge {
    /// On the irreversible tip of a node.
    fn new(world: &World, node: usize) -> Self {
        let root = world.nodes[node].member.as_ref().expect("it runs").tree.root();
        Self { format: world.format.clone(), tip: root.tip, state: root.state.clone() }
    }

    fn sign(&mut self, n: u8) -> Header {
        self.announce(n, None)
    }

    /// One that may announce other validators.
    fn announce(&mut self, n: u8, change: Option<Change>) -> Header {
        let Format::Native(params) = &self.format else { unreachable!("the world is native") };
        let (state, height) = (Member::native(&self.state), Height(self.tip.height.0 + 1));
        let (validators, _) = state.validators_at(height);
        let turn = |round: &u64| validators.proposer(height, *round).key == key(n).public();
        let round = (0..).find(turn).expect("everybody has a turn");
        let slot = Slot(self.tip.point.slot().expect("a block").0 + 1);
        let mut builder = Builder::start(params, &self.tip, state, slot).round(0, round);
        if let Some(change) = change {
            builder = builder.change(change);
        }
        let header = builder.finish(&key(n)).header;
        self.state = self.format.next(&self.state, &header).expect("it is valid");
        self.tip = header.tip();
        header
    }
}

fn say(world: &mut World, node: usize, from: usize, header: &Header) {
    let body = Message::Header(header.wire.clone()).to_bytes();
    world.bring(from, node, channel::SYNC, body);
}

/// Three followers that have some blocks, and nobody but each other: the first two, and the first and the last.
fn apart(seed: u64, shares: (u32, u32)) -> World {
    let mut world = World::new(Setup { shares, ..Setup::new(seed, 4, 3) });
    world.boot();
    world.reach(&[0, 1, 2, 3, 4, 5, 6], 3, ms(20_000));
    link_followers(&mut world, false);
    world.set_link(5, 6, false);
    world.pass(ms(3_000));
    assert_eq!([world.settled(5), world.settled(6)], [world.settled(4); 2]);
    world
}

fn link_followers(world: &mut World, is_open: bool) {
    for validator in 0..4 {
        (4..7).for_each(|follower| world.set_link(validator, follower, is_open));
    }
}

fn undecided(world: &World, node: usize) -> usize {
    world.nodes[node].member.as_ref().expect("it runs").tree.len()
}

fn refused(world: &World, node: usize) -> u64 {
    world.status(node).member.expect("a member").refused
}

fn reason(world: &World, node: usize) -> Option<Refusal> {
    world.nodes[node].notices.iter().find_map(|notice| match notice {
        Notice::NoPlace { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn a_producer_fills_its_share_of_the_fork_tree_and_no_more() {
    let mut world = apart(41, (40, 20));
    let mut forge = Forge::new(&world, 4);
    for _ in 0..30 {
        let header = forge.sign(LIAR);
        say(&mut world, 4, 5, &header);
    }
    world.pass(ms(500));
    assert_eq!((undecided(&world, 4), refused(&world, 4)), (20, 10), "{}", world.story());
    assert_eq!(undecided(&world, 6), 20, "it is passed on");
    assert_eq!(reason(&world, 4), Some(Refusal::Producer { max: 20 }));
    let told = |notice: &&Notice| matches!(notice, Notice::NoPlace { .. });
    assert_eq!(world.nodes[4].notices.iter().filter(told).count(), 1, "told once");
    // Another producer has built on it: then it counts.
    let header = forge.sign(1);
    say(&mut world, 4, 5, &header);
    world.pass(ms(500));
    assert_eq!((undecided(&world, 4), refused(&world, 4)), (31, 10));
    assert_eq!(world.blamed, [], "who brings it may be honest");
    // What is decided drops it, and nobody lacks anything.
    link_followers(&mut world, true);
    world.submit(0, vec![7; 7]);
    let then = world.height() + 3;
    world.reach(&[0, 1, 2, 3, 4, 5, 6], then, ms(60_000));
    assert!(undecided(&world, 4) <= 4, "{}", world.story());
    assert_eq!(world.blamed, []);
    world.check();
}

#[test]
fn a_peer_fills_its_share_whoever_signed() {
    let mut world = apart(42, (12, 10));
    let mut forge = Forge::new(&world, 4);
    for n in 0..20 {
        let header = forge.sign(if n % 2 == 0 { LIAR } else { 3 });
        say(&mut world, 4, 5, &header);
    }
    world.pass(ms(500));
    assert_eq!((undecided(&world, 4), refused(&world, 4)), (12, 8), "{}", world.story());
    assert_eq!(reason(&world, 4), Some(Refusal::Peer { max: 12 }));
    assert_eq!(world.blamed, []);
    world.check();
}

#[test]
fn a_block_without_a_place_is_taken_with_its_finality() {
    let mut world = World::new(Setup { rest: ms(0), shares: (5, 100), ..Setup::new(43, 4, 2) });
    // The last hears of everything from one peer.
    world.setup.links.retain(|(a, b)| *b != 5 || *a == 4);
    world.boot();
    world.reach(&[0, 1, 2, 3, 4, 5], 3, ms(20_000));
    // On each irreversible block the liar signs more than this peer may bring, and all that comes after has no place.
    let mut excess = 0;
    for _ in 0..10 {
        let (last, before) = (world.settled(5), refused(&world, 5));
        let mut forge = Forge::new(&world, 5);
        for _ in 0..8 {
            let header = forge.sign(LIAR);
            say(&mut world, 5, 4, &header);
        }
        assert!(world.run(ms(60_000), |world| world.settled(5) > last), "{}", world.story());
        excess += u64::from(refused(&world, 5) - before > 3);
    }
    assert!(excess > 5, "only {excess} of 10\n{}", world.story());
    assert_eq!(world.blamed, []);
    world.check();
}

#[test]
fn producers_that_headers_alone_name_share_one_share() {
    let mut world = apart(44, (100, 10));
    let mut forge = Forge::new(&world, 4);
    let strangers = [11, 12, 13, 14, 15];
    let change = Change { height: Height(forge.tip.height.0 + 3), validators: validators(&strangers) };
    let mut headers = vec![forge.announce(LIAR, Some(change)), forge.sign(LIAR)];
    headers.extend((0..20).map(|n| forge.sign(strangers[n % 5])));
    for header in headers {
        say(&mut world, 4, 5, &header);
    }
    world.pass(ms(500));
    assert_eq!((undecided(&world, 4), refused(&world, 4)), (12, 10), "{}", world.story());
    assert_eq!(reason(&world, 4), Some(Refusal::Strangers { max: 10 }));
    assert_eq!(world.blamed, []);
    world.check();
}
