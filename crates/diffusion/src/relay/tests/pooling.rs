//! The rules, one by one: what is submitted, judged and pooled.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::single::{SECOND, Single, VOTE, config, item, long, name, two_kinds};
use crate::relay::{
    Config, Input, Kind, Message, Name, Offer, Output, Progress, Refusal, Rules, Stage, TRANSACTION, Ticket,
    Verdict,
};

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
