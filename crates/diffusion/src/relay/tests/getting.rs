//! The rules, one by one: what is offered, asked for and brought.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;

use super::single::{ROOM, SECOND, Single, VOTE, config, item, long, name, offer, two_kinds};
use crate::relay::{
    Config, Input, Message, Name, Offer, Output, Refusal, TRANSACTION, Ticket, Verdict, Violation,
};

#[test]
fn asks_for_offers_when_a_link_opens_and_again_when_a_quarter_is_dealt_with() {
    let mut single = Single::new(Config { open_offers: 8, ..config() });
    single.give(Input::Joined { peer: 0, room: ROOM });
    assert_eq!(single.sent().collect::<Vec<_>>(), [(0, &Message::More { offers: 8 })]);
    single.offers(0, &[1]);
    single.data(0, 1);
    assert!(!single.sent().any(|(_, message)| matches!(message, Message::More { .. })), "one of eight");
    single.offers(0, &[2]);
    single.data(0, 2);
    assert!(single.sent().any(|(_, message)| *message == Message::More { offers: 2 }));
}

#[test]
fn offers_beyond_the_grant_are_an_offence_and_passed_over() {
    let mut single = Single::with_peers(Config { open_offers: 2, ..config() }, 1);
    single.offers(0, &[1, 2, 3]);
    assert_eq!(single.violations(), [(0, Violation::UngrantedOffers)]);
    assert_eq!(single.state.status().wanted, 2);
}

#[test]
fn asks_the_first_that_offers_and_nobody_else_within_its_lease() {
    let mut single = Single::with_peers(config(), 3);
    single.offers(1, &[5]);
    assert_eq!(single.wants(), [(1, name(5))]);
    single.offers(0, &[5]);
    single.offers(2, &[5]);
    single.wait(config().lease - Duration::from_millis(1));
    assert!(single.wants().is_empty());
    single.data(1, 5);
    assert!(single.is_judged(5));
    single.wait(10 * SECOND);
    assert!(single.wants().is_empty());
}

#[test]
fn asks_another_when_a_lease_runs_out_and_when_the_first_refuses_or_leaves() {
    for event in 0..3 {
        let mut single = Single::with_peers(config(), 2);
        single.offers(0, &[1]);
        single.offers(1, &[1]);
        match event {
            0 => single.wait(config().lease),
            1 => single.hear(0, Message::No(vec![name(1)])),
            _ => single.give(Input::Left { peer: 0 }),
        }
        assert_eq!(single.wants(), [(1, name(1))], "event {event}");
        single.data(1, 1);
        assert!(single.is_judged(1));
    }
}

#[test]
fn who_owes_an_answer_is_asked_for_nothing_more_until_it_gave_it() {
    let mut single = Single::with_peers(config(), 2);
    single.offers(0, &[1]);
    single.wait(config().lease);
    single.offers(0, &[2, 3]);
    assert!(single.wants().is_empty());
    single.offers(1, &[2]);
    assert_eq!(single.wants(), [(1, name(2))], "others are asked");
    single.data(0, 1);
    assert!(single.is_judged(1), "what comes late is welcome");
    assert_eq!(single.wants(), [(0, name(3))]);
    assert_eq!(single.state.peer_status(&0).map(|peer| (peer.late, peer.lapses)), Some((1, 1)));
}

#[test]
fn what_comes_from_two_after_a_lease_is_a_duplicate_and_no_offence() {
    let mut single = Single::with_peers(config(), 2);
    single.offers(0, &[1]);
    single.offers(1, &[1]);
    single.wait(config().lease);
    single.data(1, 1);
    single.data(0, 1);
    assert!(single.violations().is_empty() && !single.is_judged(1));
    assert_eq!(single.state.status().counts.duplicates, 1);
}

#[test]
fn another_size_than_declared_is_an_offence_and_another_peer_is_asked() {
    let mut single = Single::with_peers(config(), 2);
    single.hear(0, Message::Offer(vec![Offer { name: name(1), size: 99 }]));
    single.offers(1, &[1]);
    single.data(0, 1);
    let wrong = Violation::WrongSize { name: name(1), declared: 99, found: 100 };
    assert_eq!(single.violations(), [(0, wrong)]);
    assert_eq!(single.wants(), [(1, name(1))]);
    single.data(1, 1);
    assert!(single.is_judged(1));
}

#[test]
fn what_was_not_asked_for_is_an_offence() {
    let mut single = Single::with_peers(config(), 2);
    single.data(0, 1);
    assert_eq!(single.violations(), [(0, Violation::UnaskedItem { name: name(1) })]);
    single.hear(0, Message::No(vec![name(1)]));
    assert_eq!(single.violations(), [(0, Violation::UnaskedRefusal { name: name(1) })]);
    // Nor may somebody else answer, nor the same one twice.
    single.offers(0, &[1]);
    single.data(1, 1);
    assert_eq!(single.violations(), [(1, Violation::UnaskedItem { name: name(1) })]);
    single.data(0, 1);
    assert!(single.violations().is_empty());
    single.data(0, 1);
    assert_eq!(single.violations(), [(0, Violation::UnaskedItem { name: name(1) })]);
}

#[test]
fn one_peer_is_asked_for_few_items_until_it_brings_some_and_for_so_many_bytes() {
    let few = NonZeroUsize::new(2).expect("not zero");
    let mut single = Single::with_peers(Config { first_ids: few, asked_bytes: 350, ..config() }, 1);
    single.offers(0, &[1, 2, 3, 4, 5, 6]);
    assert_eq!(single.wants().len(), 2);
    single.data(0, 1);
    assert_eq!(single.wants().len(), 2, "one for the one that came, one more for its having come");
    single.data(0, 2);
    assert_eq!(single.wants().len(), 1, "no more than 350 bytes");
    // What is longer than that comes alone.
    let (a, b) = (long(7, 400), long(8, 400));
    let offer = |bytes: &Bytes| Offer { name: Name::of(TRANSACTION, bytes), size: 400 };
    let mut single = Single::with_peers(Config { asked_bytes: 350, ..config() }, 1);
    single.hear(0, Message::Offer(vec![offer(&a), offer(&b)]));
    assert_eq!(single.wants(), [(0, offer(&a).name)]);
    single.hear(0, Message::Data { kind: TRANSACTION, bytes: a });
    assert_eq!(single.wants(), [(0, offer(&b).name)]);
}

#[test]
fn a_wrong_item_is_remembered_and_no_offence_but_many_are() {
    let mut single = Single::with_peers(Config { bad_burst: 3, ..config() }, 2);
    for n in 0..3 {
        single.offers(0, &[n]);
        single.data(0, n);
        single.judged(n, Verdict::Reject);
        assert!(single.violations().is_empty());
        single.offers(1, &[n]);
        assert!(single.wants().is_empty(), "nobody is asked for it again");
    }
    single.offers(0, &[3]);
    single.data(0, 3);
    single.judged(3, Verdict::Reject);
    assert_eq!(single.violations(), [(0, Violation::WrongItems { name: name(3) })]);
    single.wait(config().bad_pace);
    single.offers(0, &[4]);
    single.data(0, 4);
    single.judged(4, Verdict::Reject);
    assert!(single.violations().is_empty(), "one more is allowed after a while");
}

#[test]
fn what_could_not_be_told_may_be_tried_again_later() {
    let mut single = Single::with_peers(config(), 2);
    single.offers(0, &[1]);
    single.data(0, 1);
    single.judged(1, Verdict::Ignore);
    single.offers(1, &[1]);
    assert!(single.wants().is_empty());
    single.wait(config().ignored_for);
    single.offers(1, &[1]);
    assert_eq!(single.wants(), [(1, name(1))]);
}

#[test]
fn while_the_application_answers_nothing_items_wait_where_they_are() {
    let mut single = Single::with_peers(Config { max_judging: 3, ..config() }, 2);
    single.offers(0, &[0, 1, 2, 3, 4, 5]);
    assert_eq!(single.wants().len(), 3);
    (0..3).for_each(|n| single.data(0, n));
    single.wait(60 * SECOND);
    assert!(single.wants().is_empty(), "no more questions than the application can have before it");
    single.submit(9);
    let full = Output::Submitted { ticket: Ticket(9), result: Err(Refusal::Full) };
    assert!(single.said.contains(&full));
    single.judged(0, Verdict::Accept);
    assert_eq!(single.wants(), [(0, name(3))]);
}

#[test]
fn a_full_pool_asks_for_nothing_until_something_is_included() {
    let mut config = config();
    config.kinds.get_mut(&TRANSACTION).expect("there").max_count = 2;
    let mut single = Single::with_peers(config, 2);
    single.bring(0, 1);
    single.bring(0, 2);
    single.offers(0, &[3]);
    single.wait(60 * SECOND);
    assert!(single.wants().is_empty());
    single.submit(4);
    assert!(single.said.contains(&Output::Submitted { ticket: Ticket(4), result: Err(Refusal::Full) }));
    single.include(&[1]);
    assert_eq!(single.wants(), [(0, name(3))]);
    single.data(0, 3);
    single.judged(3, Verdict::Accept);
    assert_eq!(single.state.status().pooled, 2);
}

#[test]
fn a_pool_is_bounded_in_bytes_as_well_before_anything_is_asked_for() {
    let mut config = config();
    config.kinds.get_mut(&TRANSACTION).expect("there").max_bytes = 250;
    let mut single = Single::with_peers(config, 1);
    single.offers(0, &[1, 2, 3]);
    assert_eq!(single.wants().len(), 2);
}

#[test]
fn a_full_kind_does_not_hold_up_another() {
    let mut single = Single::with_peers(two_kinds(), 1);
    let vote = |n| Offer { name: Name::of(VOTE, &item(n)), size: 100 };
    single.hear(0, Message::Offer((0..4).map(vote).collect()));
    assert_eq!(single.wants().len(), 2);
    single.offers(0, &[9]);
    assert_eq!(single.wants(), [(0, name(9))]);
}

#[test]
fn with_a_peer_all_that_it_offered_and_owes_is_dropped() {
    let mut single = Single::with_peers(config(), 2);
    single.offers(0, &[1, 2]);
    single.bring(1, 3);
    single.hear(0, Message::Want(vec![name(3)]));
    single.give(Input::Left { peer: 0 });
    single.give(Input::Left { peer: 1 });
    assert_eq!(single.state.status().wanted, 0);
    single.wait(10 * SECOND);
    single.join(0);
    single.wait(SECOND);
    assert_eq!(single.offered(), [(0, name(3))], "a new link begins anew");
    single.data(0, 1);
    assert_eq!(single.violations().len(), 1, "what was asked over an earlier link is forgotten");
}

#[test]
fn a_node_that_cannot_judge_yet_lets_offers_wait() {
    let mut single = Single::with_peers(config(), 1);
    single.give(Input::Pulling(false));
    single.offers(0, &[1]);
    assert!(single.wants().is_empty());
    single.give(Input::Pulling(true));
    assert_eq!(single.wants(), [(0, name(1))]);
}

#[test]
fn places_are_shared_between_peers_in_turn() {
    let mut single = Single::with_peers(Config { max_judging: 4, ..config() }, 2);
    single.give(Input::Pulling(false));
    single.offers(0, &[0, 1, 2, 3, 4]);
    single.offers(1, &[10, 11, 12, 13]);
    single.give(Input::Pulling(true));
    let of = |peer| single.wants().iter().filter(|(asked, _)| *asked == peer).count();
    assert_eq!((of(0), of(1)), (2, 2));
}

#[test]
fn items_longer_than_their_kind_may_be_are_not_asked_for() {
    let mut single = Single::with_peers(config(), 1);
    let size = (16 << 10) + 1;
    single.hear(0, Message::Offer(vec![Offer { name: name(1), size }, offer(2)]));
    assert_eq!(single.wants(), [(0, name(2))]);
    assert_eq!(single.state.status().counts.too_large, 1);
}
