//! The rules, one by one.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;

use super::single::{ROOM, SECOND, Single, VOTE, config, item, long, name, offer, two_kinds};
use crate::relay::{
    Config, Input, Kind, MAX_WANTED, Message, Name, Offer, Output, Progress, Refusal, Rules, Stage,
    TRANSACTION, Ticket, Verdict, Violation,
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
fn a_late_item_waits_unforwarded_and_nothing_else_does() {
    let mut single = Single::with_peers(config(), 2);
    single.offers(0, &[1]);
    single.data(0, 1);
    single.wait(config().judge_timeout);
    assert_eq!(single.stage(1), Some(Stage::Late));
    single.bring(0, 2);
    single.wait(60 * SECOND);
    assert_eq!(single.offered(), [(1, name(2))]);
    single.judged(1, Verdict::Accept);
    single.wait(SECOND);
    assert_eq!(single.offered(), [(1, name(1))], "a later verdict counts");
}

#[test]
fn an_item_without_a_verdict_is_given_up_in_the_end() {
    let mut single = Single::with_peers(config(), 1);
    single.offers(0, &[1]);
    single.data(0, 1);
    single.wait(config().judge_timeout + config().patience);
    assert_eq!(single.stage(1), Some(Stage::Ignored));
    assert_eq!(single.state.status().counts.unjudged, 1);
    single.judged(1, Verdict::Accept);
    assert_eq!(single.stage(1), Some(Stage::Ignored), "nobody knows its bytes any more");
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
fn a_new_kind_is_an_entry_of_the_configuration() {
    let mut single = Single::with_peers(two_kinds(), 1);
    let vote = Name::of(VOTE, &item(1));
    let bytes = item(1);
    single.give(Input::Submit { ticket: Ticket(1), kind: VOTE, bytes: bytes.clone() });
    single.give(Input::Judged { name: vote, verdict: Verdict::Reject });
    // The same bytes may be right as another kind.
    single.own(1);
    assert_eq!(single.state.candidates(TRANSACTION, 1_000, &BTreeSet::new()), [(name(1).id, bytes)]);
    assert!(single.state.candidates(VOTE, 1_000, &BTreeSet::new()).is_empty());
    let none = BTreeSet::new();
    assert!(!single.state.has_other(VOTE, &none) && single.state.has_other(TRANSACTION, &none));
    assert!(!single.state.has_other(TRANSACTION, &BTreeSet::from([name(1).id])));
    let strange = Kind(9);
    single.hear(0, Message::Offer(vec![Offer { name: Name { kind: strange, ..vote }, size: 1 }]));
    assert!(single.said.is_empty(), "passed over");
    single.give(Input::Submit { ticket: Ticket(2), kind: strange, bytes: item(1) });
    let unknown = Err(Refusal::Unknown { kind: strange });
    assert_eq!(single.said, [Output::Submitted { ticket: Ticket(2), result: unknown }]);
}

#[test]
fn a_submission_is_taken_at_once_or_told_why_not() {
    let mut single = Single::new(config());
    let answer = |single: &Single| match single.said[0] {
        Output::Submitted { result, .. } => result,
        ref other => panic!("{other:?}"),
    };
    single.submit(1);
    assert_eq!(answer(&single), Ok(name(1)));
    single.submit(1);
    assert_eq!(answer(&single), Err(Refusal::Waits), "while it is judged");
    single.judged(1, Verdict::Accept);
    assert_eq!(single.said, [Output::Progressed { name: name(1), stage: Stage::Pooled }]);
    single.submit(1);
    assert_eq!(answer(&single), Err(Refusal::Waits), "while it is pooled");
    single.include(&[1]);
    assert_eq!(single.said, [Output::Progressed { name: name(1), stage: Stage::Included }]);
    single.submit(1);
    assert_eq!(answer(&single), Err(Refusal::Included), "once it is included");
    let mut give = |bytes: Bytes| {
        single.give(Input::Submit { ticket: Ticket(0), kind: TRANSACTION, bytes });
        answer(&single)
    };
    assert_eq!(give(Bytes::new()), Err(Refusal::Empty));
    let max_bytes = 16 << 10;
    assert_eq!(give(long(1, max_bytes + 1)), Err(Refusal::TooLarge { bytes: max_bytes + 1, max_bytes }));
    assert!(give(long(1, max_bytes)).is_ok());
}

#[test]
fn a_rejected_submission_may_be_judged_again() {
    let mut single = Single::new(config());
    single.submit(1);
    single.judged(1, Verdict::Reject);
    assert_eq!(single.stage(1), Some(Stage::Rejected));
    single.submit(1);
    assert!(single.is_judged(1));
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
fn a_submitter_can_see_how_far_its_item_came() {
    let mut single = Single::with_peers(config(), 3);
    single.submit(1);
    let progress = |single: &Single| single.state.progress(&name(1)).expect("it is known");
    let none = Progress { stage: Stage::Judging, offered: 0, requested: 0, seen_back: false };
    assert_eq!(progress(&single), none);
    single.judged(1, Verdict::Accept);
    single.wait(SECOND);
    assert_eq!(progress(&single), Progress { stage: Stage::Pooled, offered: 3, ..none });
    single.hear(0, Message::Want(vec![name(1)]));
    single.hear(1, Message::Want(vec![name(1)]));
    // Offered and asked for again, it is the same peers.
    single.wait(20 * SECOND);
    single.hear(1, Message::Want(vec![name(1)]));
    single.give(Input::Left { peer: 0 });
    let here = Progress { stage: Stage::Pooled, offered: 3, requested: 2, seen_back: false };
    assert_eq!(progress(&single), here);
    single.offers(2, &[1]);
    assert_eq!(progress(&single), Progress { seen_back: true, ..here });
    single.include(&[1]);
    assert_eq!(progress(&single).stage, Stage::Included);
}

#[test]
fn what_is_ours_and_offered_by_a_peer_already_is_not_asked_for() {
    let mut single = Single::with_peers(config(), 2);
    single.offers(0, &[1]);
    single.own(1);
    single.data(0, 1);
    assert!(single.violations().is_empty() && !single.is_judged(1), "it crossed");
    single.wait(20 * SECOND);
    assert_eq!(single.offered(), [(1, name(1))], "once, and not to who has it");
}

#[test]
fn candidates_are_the_oldest_that_fit() {
    let mut single = Single::new(config());
    for (n, length) in [(1, 100), (2, 300), (3, 20), (4, 20)] {
        let bytes = long(n, length);
        let name = Name::of(TRANSACTION, &bytes);
        single.give(Input::Submit { ticket: Ticket(0), kind: TRANSACTION, bytes });
        single.give(Input::Judged { name, verdict: Verdict::Accept });
    }
    let lengths = |max| -> Vec<usize> {
        single
            .state
            .candidates(TRANSACTION, max, &BTreeSet::new())
            .iter()
            .map(|(_, bytes)| bytes.len())
            .collect()
    };
    assert_eq!(lengths(10_000), [100, 300, 20, 20]);
    // As byte strings they take 102, 303, 21 and 21 bytes.
    assert_eq!(lengths(102 + 303 + 21), [100, 300, 20]);
    assert_eq!(lengths(102 + 302), [100, 20, 20], "what does not fit is passed over");
    assert_eq!(lengths(101), [20, 20]);
    assert_eq!(lengths(0), [0; 0]);
    let first = Name::of(TRANSACTION, &long(1, 100)).id;
    assert_eq!(single.state.candidates(TRANSACTION, 10_000, &BTreeSet::from([first])).len(), 3);
    assert_eq!(single.state.status().pooled, 4, "they stay");
}

#[test]
fn what_is_included_is_gone_and_not_asked_for_again() {
    let mut single = Single::with_peers(config(), 2);
    single.bring(0, 1);
    single.offers(0, &[2]);
    single.offers(0, &[3]);
    single.data(0, 3);
    single.include(&[1, 2, 3, 4]);
    assert_eq!(single.state.status().pooled + single.state.status().judging, 0);
    single.data(0, 2);
    assert!(single.violations().is_empty() && !single.is_judged(2), "it was asked for");
    single.judged(3, Verdict::Accept);
    single.offers(1, &[1, 2, 3, 4]);
    assert!(single.wants().is_empty());
    assert!(single.state.candidates(TRANSACTION, 1_000, &BTreeSet::new()).is_empty());
    single.hear(1, Message::Want(vec![name(1)]));
    assert_eq!(single.sent().collect::<Vec<_>>(), [(1, &Message::No(vec![name(1)]))]);
}

#[test]
fn an_accepted_item_that_turns_out_wrong_is_dropped() {
    let mut single = Single::with_peers(config(), 1);
    single.own(1);
    single.judged(1, Verdict::Reject);
    assert_eq!(single.said[0], Output::Progressed { name: name(1), stage: Stage::Rejected });
    assert_eq!(single.state.status().pooled, 0);
    single.wait(60 * SECOND);
    assert!(single.offered().is_empty());
}

#[test]
fn nothing_is_pooled_for_ever() {
    let mut single = Single::with_peers(config(), 1);
    single.own(1);
    single.wait(config().kinds[&TRANSACTION].lifetime);
    assert!(single.said.contains(&Output::Progressed { name: name(1), stage: Stage::Expired }));
    assert_eq!(single.state.status().pooled, 0);
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

#[test]
fn too_much_granted_is_an_offence() {
    let mut single = Single::with_peers(config(), 1);
    single.hear(0, Message::More { offers: 1 });
    assert_eq!(single.violations(), [(0, Violation::TooMuchGranted)]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut single = Single::with_peers(Config { max_seen: 2, max_bad: 1, ..config() }, 1);
    single.include(&[1, 2, 3]);
    assert_eq!([1, 2, 3].map(|n| single.stage(n)), [None, Some(Stage::Included), Some(Stage::Included)]);
    for n in [4, 5] {
        single.submit(n);
        single.judged(n, Verdict::Reject);
    }
    assert_eq!([4, 5].map(|n| single.stage(n)), [None, Some(Stage::Rejected)]);
}

#[test]
fn the_limits_of_a_kind_fit_a_message() {
    let rules = Rules::transactions(usize::MAX);
    assert_eq!(rules.max_item_bytes, crate::relay::MAX_ITEM_BYTES);
}
