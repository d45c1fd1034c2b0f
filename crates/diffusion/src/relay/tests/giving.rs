//! The rules, one by one: what is offered to peers, and what they are sent.

use super::single::{ROOM, SECOND, Single, config, item, name};
use crate::relay::{Config, Input, MAX_WANTED, Message, Name, TRANSACTION, Verdict, Violation};

#[test]
fn a_node_that_wants_no_items_is_offered_none() {
    let mut single = Single::new(Config { open_offers: 0, ..config() });
    single.give(Input::Joined { peer: 0, room: ROOM });
    assert!(single.said.is_empty());
    // And one that is granted nothing offers nothing.
    single.own(1);
    single.wait(10 * SECOND);
    assert!(single.offered().is_empty());
    single.hear(0, Message::More { offers: 1 });
    single.wait(SECOND);
    assert_eq!(single.offered(), [(0, name(1))]);
}

#[test]
fn an_accepted_item_goes_to_all_but_those_who_offered_it() {
    let mut single = Single::with_peers(config(), 4);
    single.offers(0, &[1]);
    single.offers(1, &[1]);
    single.data(0, 1);
    single.offers(2, &[1]);
    single.judged(1, Verdict::Accept);
    single.wait(SECOND);
    assert_eq!(single.offered(), [(3, name(1))]);
    // Who offers it later was offered it already, or never is.
    single.join(4);
    single.offers(4, &[1]);
    single.wait(SECOND);
    assert!(single.offered().is_empty());
}

#[test]
fn offers_go_out_together_and_not_in_the_order_in_which_items_came() {
    let mut single = Single::with_peers(config(), 1);
    (0..20).for_each(|n| single.own(n));
    single.wait(SECOND);
    let offers: Vec<&Message> = single.sent().map(|(_, message)| message).collect();
    let [Message::Offer(offers)] = offers[..] else { panic!("one message: {offers:?}") };
    let mut numbers: Vec<u32> =
        offers.iter().map(|offer| (0..20).find(|n| name(*n) == offer.name).expect("ours")).collect();
    assert_ne!(numbers, (0..20).collect::<Vec<_>>());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}

#[test]
fn whoever_joins_is_offered_the_whole_pool() {
    let mut single = Single::with_peers(config(), 1);
    (0..600).for_each(|n| single.own(n));
    single.wait(SECOND);
    single.join(1);
    single.wait(SECOND);
    let mut offered: Vec<Name> = single.offered().into_iter().map(|(_, name)| name).collect();
    offered.sort_unstable();
    offered.dedup();
    assert_eq!(offered.len(), 600);
}

#[test]
fn a_want_is_answered_once_and_what_is_not_there_refused() {
    let mut single = Single::with_peers(config(), 1);
    single.own(1);
    single.hear(0, Message::Want(vec![name(1), name(2)]));
    let data = Message::Data { kind: TRANSACTION, bytes: item(1) };
    let no = Message::No(vec![name(2)]);
    assert_eq!(single.sent().collect::<Vec<_>>(), [(0, &no), (0, &data)]);
    single.hear(0, Message::Want(vec![name(1)]));
    assert_eq!(single.sent().collect::<Vec<_>>(), [(0, &Message::No(vec![name(1)]))], "it got it");
}

#[test]
fn more_wants_than_may_be_open_are_an_offence() {
    let mut single = Single::new(config());
    // No room for answers.
    single.give(Input::Joined { peer: 0, room: 0 });
    single.hear(0, Message::Want((0..MAX_WANTED as u32).map(name).collect()));
    assert!(single.violations().is_empty());
    single.hear(0, Message::Want(vec![name(1_000)]));
    assert_eq!(single.violations(), [(0, Violation::TooManyWants)]);
}

#[test]
fn nothing_is_sent_beyond_the_room_of_a_link() {
    let mut single = Single::new(config());
    single.give(Input::Joined { peer: 0, room: 0 });
    assert!(single.said.is_empty());
    single.give(Input::Room { peer: 0, bytes: 100 });
    assert_eq!(single.sent().count(), 1, "asks for offers");
    single.hear(0, Message::More { offers: 10 });
    single.own(1);
    single.own(2);
    single.hear(0, Message::Want(vec![name(1)]));
    single.offers(0, &[3]);
    single.wait(SECOND);
    assert!(single.said.is_empty(), "no room for anything");
    // A message of an item has 100 + 16 bytes at most, and 73 around it; a question has 46.
    single.give(Input::Room { peer: 0, bytes: 119 });
    assert_eq!(single.wants(), [(0, name(3))]);
    single.give(Input::Room { peer: 0, bytes: 188 });
    single.wait(SECOND);
    assert!(single.said.is_empty(), "what was asked for goes before offers");
    single.give(Input::Room { peer: 0, bytes: 189 + 124 });
    assert!(matches!(single.sent().collect::<Vec<_>>()[..], [(0, Message::Data { .. })]));
    single.wait(SECOND);
    assert_eq!(single.offered(), [(0, name(2))], "one offer fits, and the other item was sent");
}

#[test]
fn our_own_is_offered_again_less_and_less_often_until_somebody_offers_it_back() {
    let mut single = Single::with_peers(config(), 1);
    single.own(1);
    let mut times = Vec::new();
    for second in 0..200 {
        single.wait(SECOND);
        times.extend(single.offered().iter().map(|_| second));
    }
    assert_eq!(times, [0, 5, 15, 35, 75, 155]);
    single.offers(0, &[1]);
    single.wait(1_000 * SECOND);
    assert!(single.offered().is_empty());
    // What others brought is offered once, on each link.
    let mut single = Single::with_peers(config(), 2);
    single.bring(0, 2);
    single.wait(1_000 * SECOND);
    assert_eq!(single.offered(), [(1, name(2))]);
}

#[test]
fn our_own_can_be_asked_for_again_after_it_was_offered_again() {
    let mut single = Single::with_peers(config(), 1);
    single.own(1);
    single.hear(0, Message::Want(vec![name(1)]));
    single.wait(6 * SECOND);
    single.hear(0, Message::Want(vec![name(1)]));
    assert!(matches!(single.sent().collect::<Vec<_>>()[..], [(0, Message::Data { .. })]));
}

#[test]
fn too_much_granted_is_an_offence() {
    let mut single = Single::with_peers(config(), 1);
    single.hear(0, Message::More { offers: 1 });
    assert_eq!(single.violations(), [(0, Violation::TooMuchGranted)]);
}
