//! The node against model servers: what it follows, what it refuses, what it keeps.

mod hostile;
mod real;
mod rig;

use std::time::Duration;

use chain::Point;
use rig::{Forge, Rig, follow};

use crate::follower::violation::{Cause, Violation};
use crate::{Input, Notice, Record, Ticket, UpstreamId, status};

const K: u64 = 4;
const MINUTE: Duration = Duration::from_secs(60);

fn end(chain: &[chain::Block]) -> Point {
    chain.last().expect("not empty").header.point()
}

fn causes(rig: &Rig) -> Vec<(u32, &Cause)> {
    rig.closings.iter().map(|(id, closing)| (id.0, &closing.cause)).collect()
}

#[test]
fn follows_one_upstream_from_origin_and_settles_what_is_k_deep() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 50, "a");
    let rig = Rig::new(follow(&forge, K, 1, 1), vec![chain.clone()]);
    assert_eq!(rig.head(), end(&chain));
    assert_eq!(rig.log, chain[..46]);
    assert_eq!(rig.view.settled, 46);
    assert_eq!(rig.view.volatile.len(), 4);
    assert_eq!(rig.notices, [Notice::SingleWitness]);
    let status = rig.node.status(rig.now());
    assert_eq!(status.state, status::State::CaughtUp);
    assert_eq!((status.checks.headers, status.checks.bodies), (50, 50));
}

#[test]
fn follows_a_roll_back_above_the_irreversible_tip() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 10, "a");
    let fork = forge.chain(&chain, 8, 4, "b");
    let mut rig = Rig::new(follow(&forge, K, 1, 1), vec![chain]);
    rig.servers[0].switch(fork.clone());
    rig.settle();
    assert_eq!(rig.head(), end(&fork));
    assert_eq!(rig.log, fork[..8]);
    assert!(rig.closings.is_empty());
}

#[test]
fn fetches_each_body_once_from_several_upstreams() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 1_000, "a");
    let rig = Rig::new(follow(&forge, K, 2, 3), vec![chain.clone(); 3]);
    assert_eq!(rig.head(), end(&chain));
    assert_eq!(rig.servers.iter().map(|server| server.fetched).sum::<usize>(), 1_000);
    assert!(rig.servers.iter().filter(|server| server.fetched > 0).count() > 1, "not one does it all");
    assert_eq!(rig.node.status(rig.now()).checks.headers, 1_000, "each header is checked once");
}

#[test]
fn settles_nothing_that_fewer_than_m_serve() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 30, "a");
    let mut rig = Rig::new(follow(&forge, K, 2, 3), vec![chain.clone(), chain[..10].to_vec(), Vec::new()]);
    assert_eq!(rig.head(), end(&chain), "the head follows the longest chain");
    assert_eq!(rig.log, chain[..6], "the second has 10 blocks, 4 of them on top");
    let status = rig.node.status(rig.now());
    assert_eq!(status.best_claimed, Some(chain[9].header.tip()), "one alone cannot claim a higher one");
    assert_eq!((status.agree, status.witnesses), (2, 2), "the third is behind the irreversible tip");
    rig.servers[2].switch(chain[..20].to_vec());
    rig.settle();
    assert_eq!(rig.log, chain[..16]);
}

#[test]
fn leaves_a_liars_longer_chain_when_m_others_have_k_blocks_on_theirs() {
    let mut forge = Forge::new();
    let honest = forge.chain(&[], 0, 20, "honest");
    let forged = forge.chain(&honest, 5, 100, "forged");
    let chains = vec![forged.clone(), honest[..6].to_vec(), honest[..6].to_vec()];
    let mut rig = Rig::new(follow(&forge, K, 2, 3), chains);
    assert_eq!(rig.head(), end(&forged), "what is longest is shown, as long as nothing is decided");
    assert_eq!(rig.log, honest[..2]);
    rig.servers[1].switch(honest.clone());
    rig.servers[2].switch(honest.clone());
    rig.settle();
    assert_eq!(rig.head(), end(&honest));
    assert_eq!(rig.log, honest[..16]);
    assert_eq!(causes(&rig), [(0, &Cause::Conflict)]);
    assert!(matches!(rig.notices[..], [Notice::Conflict { id: UpstreamId(0), .. }]));
    rig.wait(MINUTE * 2);
    assert_eq!(causes(&rig), [(0, &Cause::Conflict); 2], "tried again, and still in conflict");
    assert_eq!(rig.head(), end(&honest));
}

#[test]
fn trails_an_upstream_that_is_behind_until_it_meets_the_irreversible_tip() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 40, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain.clone(), Vec::new()]);
    assert_eq!(rig.log.len(), 36);
    rig.servers[1].switch(chain[..30].to_vec());
    rig.settle();
    assert_eq!(rig.node.status(rig.now()).upstreams[1].phase, "trailing");
    rig.servers[1].switch(chain[..38].to_vec());
    rig.settle();
    let status = rig.node.status(rig.now());
    assert_eq!((status.upstreams[1].phase, status.upstreams[1].at), ("following", Some(end(&chain[..38]))));
    assert!(rig.closings.is_empty());
}

#[test]
fn takes_what_a_slow_upstream_still_owes_when_the_irreversible_tip_passes_it() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 60, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![Vec::new(); 2]);
    rig.servers[1].late = true;
    rig.servers[1].switch(chain[..30].to_vec());
    rig.settle();
    rig.servers[0].switch(chain.clone());
    rig.settle();
    rig.wait(Duration::from_secs(10));
    assert_eq!(rig.log.len(), 0, "the slow one owes the first block");
    rig.servers[1].deliver(2);
    rig.settle();
    rig.wait(Duration::from_secs(10));
    assert_eq!(rig.log.len(), 56, "the other was asked instead");
    assert_eq!(causes(&rig), []);
    assert_eq!(rig.node.status(rig.now()).upstreams[1].phase, "trailing");
    rig.servers[1].deliver(10);
    rig.servers[1].switch(chain[..58].to_vec());
    rig.settle();
    assert_eq!(rig.node.status(rig.now()).upstreams[1].phase, "following");
    rig.servers[1].deliver(100);
    rig.settle();
    assert_eq!(causes(&rig), []);
    let longer = forge.chain(&chain, 58, 4, "b");
    rig.servers[1].late = false;
    rig.servers[1].switch(longer.clone());
    rig.settle();
    assert_eq!(rig.head(), end(&longer), "and it can be asked again");
}

#[test]
fn bears_with_an_upstream_that_is_late_and_on_a_short_fork() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 10, "a");
    let fork = forge.chain(&chain, 8, 3, "b");
    let longer = forge.chain(&chain, 10, 10, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain, fork]);
    rig.servers[0].switch(longer.clone());
    rig.settle();
    let status = rig.node.status(rig.now());
    assert_eq!((rig.log.len(), status.upstreams[1].phase), (16, "trailing"));
    rig.servers[1].switch(longer.clone());
    rig.settle();
    assert_eq!(rig.node.status(rig.now()).upstreams[1].at, Some(end(&longer)));
    assert_eq!(causes(&rig), []);
}

#[test]
fn tells_of_a_conflict_when_a_trailing_upstream_passes_the_irreversible_height_elsewhere() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 40, "a");
    let other = forge.chain(&chain, 20, 30, "b");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain.clone(), chain[..10].to_vec()]);
    assert_eq!(rig.node.status(rig.now()).upstreams[1].phase, "trailing");
    rig.servers[1].switch(other);
    rig.settle();
    assert_eq!(causes(&rig), [(1, &Cause::Conflict)]);
    assert_eq!(rig.head(), end(&chain));
}

#[test]
fn lets_an_upstream_go_that_sends_a_bad_signature_and_goes_on_with_the_other() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let mut bad = chain.clone();
    let mut wire = bad[12].header.wire.to_vec();
    *wire.last_mut().expect("not empty") ^= 1;
    bad[12].header = forge.format.header(&wire.into()).expect("it decodes");
    let id = bad[12].header.id;
    let rig = Rig::new(follow(&forge, K, 1, 2), vec![bad, chain.clone()]);
    assert_eq!(rig.head(), end(&chain));
    let (0, Cause::Violation(violation)) = causes(&rig)[0] else { panic!("{:?}", rig.closings) };
    assert!(
        matches!(violation, Violation::HeaderInvalid { id: invalid, .. } | Violation::HeaderUnlinked { id: invalid, .. } if *invalid == id || *invalid == chain[13].header.id),
        "{violation}"
    );
}

#[test]
fn lets_an_upstream_go_that_sends_another_body_and_fetches_from_the_other() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![Vec::new(), Vec::new()]);
    rig.servers[0].swapped = Some(chain[3].raw.clone());
    rig.servers.iter_mut().for_each(|server| server.switch(chain.clone()));
    rig.settle();
    assert_eq!(rig.head(), end(&chain));
    assert!(
        matches!(causes(&rig)[..], [(0, Cause::Violation(Violation::BlockUnasked { .. }))]),
        "{:?}",
        rig.closings
    );
}

#[test]
fn lets_an_upstream_go_that_has_headers_and_no_bodies() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let longer = forge.chain(&chain, 20, 5, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![Vec::new(), chain.clone()]);
    rig.servers[0].lacks_bodies = true;
    rig.servers[0].switch(longer);
    rig.settle();
    assert_eq!(causes(&rig), [(0, &Cause::NoBlocks)]);
    assert_eq!(rig.head(), end(&chain));
}

#[test]
fn lets_an_upstream_go_that_holds_up_everything_and_fetches_from_the_other() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![Vec::new(), Vec::new()]);
    rig.servers[0].mute = true;
    rig.servers[0].switch(chain.clone());
    rig.settle();
    rig.servers[1].switch(chain.clone());
    rig.settle();
    assert_eq!(rig.head(), Point::Origin);
    rig.wait(MINUTE);
    assert_eq!(causes(&rig)[0], (0, &Cause::Stalled));
    assert_eq!(rig.head(), end(&chain));
}

#[test]
fn a_mute_upstream_delays_nothing_when_it_comes_back() {
    let mut forge = Forge::new();
    let mut chain = forge.chain(&[], 0, 20, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain.clone(); 2]);
    rig.servers[0].mute = true;
    for round in 0..4 {
        // It tells of more blocks than the other has, and earlier.
        rig.servers[0].switch(forge.chain(&chain, chain.len(), 3, "mute"));
        rig.settle();
        rig.wait(MINUTE * 4);
        let grown = forge.chain(&chain, chain.len(), 2, "a");
        rig.servers[0].switch(forge.chain(&grown, grown.len(), 1, "mute"));
        rig.settle();
        rig.servers[1].switch(grown.clone());
        rig.settle();
        if round > 0 {
            assert_eq!(rig.head(), end(&grown), "at once, in round {round}");
        }
        rig.wait(MINUTE * 4);
        assert_eq!(rig.head(), end(&grown));
        chain = grown;
    }
    assert!(causes(&rig).contains(&(0, &Cause::Stalled)));
    assert!(rig.node.status(rig.now()).upstreams[0].phase != "waiting", "it was there all the time");
    rig.servers[0].mute = false;
    rig.hang_up(UpstreamId(0));
    rig.give(Input::ConnectFailed { id: UpstreamId(0), error: "gone".into() });
    rig.wait(MINUTE * 10);
    assert_eq!(rig.head(), end(&rig.servers[0].chain), "and what it alone has is taken once it delivers");
}

#[test]
fn dials_again_after_pauses_that_grow_and_starts_anew_after_good_service() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 5, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 1), vec![chain]);
    rig.hang_up(UpstreamId(0));
    rig.servers[0].refuses = true;
    let mut pauses = Vec::new();
    rig.give(Input::ConnectFailed { id: UpstreamId(0), error: "gone".into() });
    for _ in 0..12 {
        let due = rig.node.next_deadline().expect("it will be dialled again");
        pauses.push(due - rig.mono);
        rig.wait(due - rig.mono);
    }
    assert!(pauses[0] < Duration::from_secs(2) && pauses[5] > Duration::from_secs(20), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(375)), "{pauses:?}");
    assert_eq!(rig.node.status(rig.now()).state, status::State::NoUpstreams);
    rig.servers[0].refuses = false;
    rig.wait(MINUTE * 30);
    rig.hang_up(UpstreamId(0));
    rig.give(Input::ConnectFailed { id: UpstreamId(0), error: "gone".into() });
    let pause = rig.node.next_deadline().expect("it will be dialled again") - rig.mono;
    assert!(pause < Duration::from_secs(2), "{pause:?}");
}

#[test]
fn publishes_nothing_before_it_is_durable() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 1), vec![Vec::new()]);
    rig.slow_disk = true;
    rig.servers[0].switch(chain.clone());
    rig.settle();
    assert_eq!(rig.head(), Point::Origin);
    rig.write();
    assert_eq!(rig.head(), end(&chain));
}

#[test]
fn comes_back_with_all_forks_and_settles_what_was_decided() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let fork = forge.chain(&chain, 18, 3, "b");
    let mut rig = Rig::new(follow(&forge, K, 1, 1), vec![chain.clone()]);
    rig.servers[0].switch(fork.clone());
    rig.settle();
    let (head, headers) = (rig.head(), rig.node.status(rig.now()).headers);
    rig.servers[0].refuses = true;
    rig.restart();
    assert_eq!(rig.head(), head);
    assert!(headers > 4);
    assert_eq!(rig.node.status(rig.now()).headers, headers, "the other fork is there too");
    rig.servers[0].refuses = false;
    let longer = forge.chain(&fork, fork.len(), 10, "b");
    rig.servers[0].switch(longer.clone());
    rig.wait(MINUTE);
    assert_eq!(rig.head(), end(&longer));
    assert_eq!(rig.log, longer[..27]);
}

#[test]
fn accepts_nothing_more_when_a_write_fails_and_says_so() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain.clone(), chain.clone()]);
    rig.give(Input::PersistFailed { ticket: Ticket(9), error: "no space left".into() });
    assert!(causes(&rig).iter().all(|(_, cause)| **cause == Cause::Failed));
    assert_eq!(rig.closings.len(), 2);
    let longer = forge.chain(&chain, 20, 5, "a");
    rig.servers[0].switch(longer);
    rig.wait(MINUTE * 10);
    assert_eq!(rig.head(), end(&chain));
    let status::State::Failed { error } = rig.node.status(rig.now()).state else { panic!("it failed") };
    assert_eq!(error, "no space left");
    assert_eq!(rig.node.next_deadline(), None);
}

#[test]
fn accepts_nothing_more_when_the_log_cannot_be_read_and_says_so() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 20, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain.clone(), Vec::new()]);
    rig.broken_log = true;
    rig.hang_up(UpstreamId(1));
    rig.give(Input::ConnectFailed { id: UpstreamId(1), error: "gone".into() });
    rig.wait(MINUTE);
    assert_eq!(causes(&rig), [(0, &Cause::Failed), (1, &Cause::Failed)]);
    let status::State::Failed { error } = rig.node.status(rig.now()).state else { panic!("it failed") };
    assert_eq!(error, "bad sector");
    assert!(rig.notices.contains(&Notice::LoadFailed { error }));
    assert_eq!((rig.head(), rig.node.next_deadline()), (end(&chain), None));
}

#[test]
fn refuses_a_header_from_the_future() {
    let mut forge = Forge::new();
    let mut chain = forge.chain(&[], 0, 3, "a");
    let block = forge.block(chain.last(), 2_000_000, "a");
    chain.push(block);
    let rig = Rig::new(follow(&forge, K, 1, 1), vec![chain.clone()]);
    assert!(matches!(causes(&rig)[0], (0, Cause::Violation(Violation::HeaderFromTheFuture { .. }))));
    assert_ne!(rig.head(), end(&chain));
}

#[test]
fn lets_an_upstream_go_that_fills_the_tree_with_forks() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 10, "a");
    let mut rig = Rig::new(follow(&forge, K, 2, 2), vec![chain.clone(), chain.clone()]);
    rig.checks_each = false;
    for fork in 0..100 {
        let fork = forge.chain(&chain, 7, 4 + fork, &fork.to_string());
        rig.servers[0].switch(fork);
        rig.settle();
        if !rig.closings.is_empty() {
            break;
        }
    }
    assert!(matches!(causes(&rig)[..], [(0, Cause::Violation(Violation::TooManyForks { .. }))]));
    let longer = forge.chain(&chain, 10, 5, "a");
    rig.servers[1].switch(longer.clone());
    rig.settle();
    let other = &rig.node.status(rig.now()).upstreams[1];
    assert_eq!((other.phase, other.at), ("following", Some(end(&longer))), "the other goes on");
}

#[test]
fn keeps_every_upstreams_share_free_however_many_forks_come_back_from_the_disk() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 200, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 1), vec![Vec::new()]);
    rig.servers[0].refuses = true;
    rig.hang_up(UpstreamId(0));
    for fork in 0..60 {
        let blocks = forge.chain(&chain, 7, 70, &fork.to_string()).split_off(7);
        blocks.into_iter().for_each(|block| rig.keep(Record::Fork(block)));
    }
    chain.iter().for_each(|block| rig.keep(Record::Fork(block.clone())));
    rig.restart();
    let headers = rig.node.status(rig.now()).headers;
    assert!(headers <= rig.node.bounds.headers_each() && headers > 2_000, "{headers} came back, one share");
    assert_eq!(rig.head(), end(&chain), "with the best chain among them");
}

#[test]
fn lets_an_upstream_go_that_rolls_back_and_forth_for_ever() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 10, "a");
    let fork = forge.chain(&chain, 8, 2, "b");
    let mut rig = Rig::new(follow(&forge, K, 1, 1), vec![chain.clone()]);
    for _ in 0..501 {
        rig.servers[0].switch(fork.clone());
        rig.settle();
        rig.servers[0].switch(chain.clone());
        rig.settle();
    }
    assert!(matches!(causes(&rig)[..], [(0, Cause::Violation(Violation::RollBacks { .. }))]));
}

#[test]
fn lets_an_upstream_go_that_trails_for_ever() {
    let mut forge = Forge::new();
    let chain = forge.chain(&[], 0, 40, "a");
    let fork = forge.chain(&chain, 8, 2, "b");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain.clone(), chain[..10].to_vec()]);
    for _ in 0..400 {
        rig.servers[1].switch(fork.clone());
        rig.settle();
        rig.servers[1].switch(chain[..10].to_vec());
        rig.settle();
    }
    assert!(matches!(causes(&rig)[..], [(1, Cause::Violation(Violation::TrailsForEver { .. }))]));
}

#[test]
fn follows_many_roll_backs_of_a_chain_that_grows() {
    let mut forge = Forge::new();
    let mut chain = forge.chain(&[], 0, 10, "a");
    let mut rig = Rig::new(follow(&forge, K, 1, 2), vec![chain.clone(); 2]);
    for _ in 0..100 {
        chain = forge.chain(&chain, chain.len() - 2, 3, "b");
        rig.servers.iter_mut().for_each(|server| server.switch(chain.clone()));
        rig.settle();
    }
    assert_eq!((causes(&rig), rig.head()), (vec![], end(&chain)));
}

#[test]
fn refuses_a_transaction_since_it_makes_no_blocks() {
    let forge = Forge::new();
    let mut rig = Rig::new(follow(&forge, K, 1, 1), vec![Vec::new()]);
    rig.give(Input::Submit { ticket: Ticket(1), tx: "one".into() });
    assert_eq!(rig.submitted, [Err(crate::pool::Refusal::NotAProducer)]);
}
