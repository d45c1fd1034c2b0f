//! What a message is given for bytes of its read that are still to be looked at.

use super::*;
use crate::budget::MIN_FLOOR_BYTES;

/// The beginning of a message of so many bytes, of which `come` have come.
fn begun(length: u32, come: usize) -> Vec<u8> {
    let head = Head { kind: Kind::Note, length }.encode();
    [&head[..], &vec![7; come]].concat()
}

fn read(scene: &mut Scene, segments: &[(Protocol, Vec<u8>)]) -> Vec<u8> {
    let sealed = segments.iter().map(|(channel, payload)| {
        let content = segment(*channel, Mode::Initiator, payload);
        scene.sealed(&content)
    });
    sealed.collect::<Vec<_>>().concat()
}

#[test]
fn a_message_whose_rest_is_in_the_same_read_is_given_out_from_where_it_was_put() {
    let mut scene = Scene::new();
    let body: Vec<u8> = (0..50_000_u32).map(|byte| byte as u8).collect();
    let parts: Vec<_> =
        message_bytes(Kind::Note, &body).chunks(12_000).map(|part| (BULK, part.to_vec())).collect();
    let wire = read(&mut scene, &parts);
    scene.feed(wire);
    assert_eq!(scene.seen(), [Seen::Message(BULK, Kind::Note, body)]);
}

#[test]
fn what_was_taken_for_others_bytes_goes_back_at_the_end_of_the_read() {
    let mut scene = Scene::new();
    let before = scene.budget.used_bytes();
    let filler = (URGENT, message_bytes(Kind::Note, &[1; 900]));
    let segments = [
        (BULK, begun(60_000, 100)),
        (OTHER, begun(20_000, 100)),
        filler.clone(),
        filler.clone(),
        filler.clone(),
        filler,
    ];
    let wire = read(&mut scene, &segments);
    scene.feed(wire);
    // The floor is set aside for the link anyway; the invariants say how much each message has.
    assert_eq!(scene.seen().len(), 4);
    assert_eq!(scene.budget.used_bytes(), before, "two hundred bytes of two messages fit the link's floor");
}

#[test]
fn where_there_is_no_budget_for_what_may_come_the_message_begins_with_what_is_due() {
    let (config, budget) = (Config::new(channels()), Budget::new(u64::from(FLOOR_BYTES)));
    let mut scene = Scene::with(config, budget, Security::Plain);
    // Half of the floor is for what is urgent, and the unfinished frame has its part.
    let own = u64::from(FLOOR_BYTES / 2 - MIN_FLOOR_BYTES);
    assert!((16_400..20_000).contains(&own), "the sizes below no longer fit: {own}");
    let wire = read(&mut scene, &[(BULK, begun(60_000, 8_000)), (OTHER, vec![0; 12_000])]);
    scene.feed(wire);
    let of_bulk = |seen: &Seen| matches!(seen, Seen::Rejected(Violation::OverBudget { channel: BULK, .. }));
    let seen = scene.seen();
    assert!(!seen.iter().any(of_bulk), "{seen:?}");
}
