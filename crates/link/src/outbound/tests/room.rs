//! How much room there is, and when it is worth telling that there is more.

use std::collections::VecDeque;

use crate::channel::cost;

use super::*;

fn room(outbound: &mut Outbound, channel: Protocol) -> u64 {
    outbound.look_at(channel).expect("an agreed channel")
}

/// What there is of the channels that have grown.
fn look_at_grown(outbound: &mut Outbound) -> Vec<(Protocol, u64)> {
    let grown: Vec<_> = outbound.grown().collect();
    grown.into_iter().map(|channel| (channel, room(outbound, channel))).collect()
}

/// Takes everything that may go; whether that made room worth telling.
fn grown(outbound: &mut Outbound) -> bool {
    let took = outbound.take(at(1), usize::MAX, &mut Batch::new());
    outbound.check_invariants();
    took.grown
}

#[test]
fn room_is_what_goes_without_waiting_for_credit() {
    let config = Config { queue_bytes: NonZeroU32::new(3_000).unwrap(), ..Config::default() };
    let mut outbound = outbound(config, 4_000);
    assert_eq!(room(&mut outbound, SYNC), 3_000);
    note(&mut outbound, SYNC, 927).unwrap();
    assert_eq!(room(&mut outbound, SYNC), 2_000, "what waits takes its place in the queue");
    taken(&mut outbound, usize::MAX);
    assert_eq!(room(&mut outbound, SYNC), 3_000, "and gives it back");
    note(&mut outbound, SYNC, 927).unwrap();
    note(&mut outbound, SYNC, 927).unwrap();
    assert_eq!(room(&mut outbound, SYNC), 1_000, "of the window, three messages are used");
    taken(&mut outbound, usize::MAX);
    assert_eq!(room(&mut outbound, SYNC), 1_000);
}

#[test]
fn a_message_that_is_under_way_has_its_credit_already() {
    let mut outbound = outbound(Config::default(), 40_146);
    note(&mut outbound, BODIES, 20_000).unwrap();
    assert_eq!(room(&mut outbound, BODIES), 20_073);
    assert_eq!(taken(&mut outbound, 1), [(BODIES, 1_024)]);
    assert_eq!(room(&mut outbound, BODIES), 20_073);
}

#[test]
fn the_longest_message_has_room_where_nothing_waits() {
    let config = Config { queue_bytes: NonZeroU32::new(1_000).unwrap(), ..Config::default() };
    let mut outbound = outbound(config, 100_000);
    assert_eq!(room(&mut outbound, SYNC), 50_000);
    note(&mut outbound, SYNC, 0).unwrap();
    assert_eq!(room(&mut outbound, SYNC), 49_927, "beside it, what finds no place yet");
}

#[test]
fn who_never_looked_is_told_nothing() {
    let mut outbound = outbound(Config::default(), 2_000);
    for _ in 0..100 {
        note(&mut outbound, SYNC, 900).unwrap();
        assert!(!grown(&mut outbound));
        assert_eq!(credit(&mut outbound, SYNC, 973), []);
    }
    assert_eq!(look_at_grown(&mut outbound), []);
}

#[test]
fn more_room_is_told_in_lumps_and_once_until_somebody_looks() {
    let mut outbound = outbound(Config::default(), 80_000);
    assert_eq!(room(&mut outbound, SYNC), 80_000);
    for _ in 0..80 {
        note(&mut outbound, SYNC, 927).unwrap();
    }
    assert!(!grown(&mut outbound), "all of it is under way now");
    let told: Vec<_> = (0..30).map(|_| credit(&mut outbound, SYNC, 1_000).len()).collect();
    let first = told.iter().position(|told| *told == 1);
    assert_eq!((first, told.iter().sum::<usize>()), (Some(9), 1), "an eighth of the window");
    assert_eq!(look_at_grown(&mut outbound), [(SYNC, 30_000)]);
    assert_eq!(look_at_grown(&mut outbound), []);
    assert_eq!(credit(&mut outbound, SYNC, 9_999), []);
    assert_eq!(credit(&mut outbound, SYNC, 1), [Output::Room]);
}

#[test]
fn all_room_is_told_however_little_it_is_more() {
    let mut outbound = outbound(Config::default(), 80_000);
    room(&mut outbound, SYNC);
    note(&mut outbound, SYNC, 0).unwrap();
    taken(&mut outbound, usize::MAX);
    assert_eq!(credit(&mut outbound, SYNC, 72), []);
    assert_eq!(credit(&mut outbound, SYNC, 1), [Output::Room]);
}

#[test]
fn who_found_no_place_among_many_messages_hears_of_it() {
    let config = Config { queue_messages: NonZeroU32::new(4).unwrap(), ..Config::default() };
    let mut outbound = outbound(config, 1 << 20);
    room(&mut outbound, SYNC);
    for _ in 0..4 {
        note(&mut outbound, SYNC, 0).unwrap();
    }
    assert_eq!(note(&mut outbound, SYNC, 0), Err(Why::Full { channel: SYNC }));
    assert!(grown(&mut outbound));
    assert_eq!(look_at_grown(&mut outbound), [(SYNC, (1 << 20) - 4 * 73)]);
}

/// Who sends what it was told of room for, and keeps what finds no place yet, as the node's driver does.
struct Sender {
    outbound: Outbound,
    has: u64,
    kept: VecDeque<usize>,
    told: usize,
}

impl Sender {
    fn send(&mut self, length: usize) -> bool {
        let cost = cost(length as u32);
        let may = cost <= self.has;
        if may {
            self.has -= cost;
            self.kept.push_back(length);
            self.flush();
        }
        may
    }

    fn flush(&mut self) {
        while let Some(length) = self.kept.front() {
            match note(&mut self.outbound, SYNC, *length) {
                Ok(()) => _ = self.kept.pop_front(),
                Err(Why::Full { .. }) => return,
                Err(why) => panic!("{why}"),
            }
        }
    }

    fn on_room(&mut self) {
        self.told += 1;
        self.flush();
        let [(SYNC, room)] = look_at_grown(&mut self.outbound)[..] else { panic!("one channel grows") };
        let kept: u64 = self.kept.iter().map(|length| cost(*length as u32)).sum();
        assert!(room - kept >= self.has, "{} bytes were promised, there are {room} for {kept}", self.has);
        self.has = room - kept;
    }
}

proptest! {
    /// Whoever sends only what it was told of room for gets everything sent, whatever the lengths; a peer grants in
    /// quarters of its window, as late as it may.
    #[test]
    fn who_waits_for_room_never_waits_for_ever(
        window in 2_000u32..60_000,
        queue_bytes in 100u32..60_000,
        queue_messages in 1u32..20,
        parts in prop::collection::vec(0u32..=1_000, 1..80),
        budgets in prop::collection::vec(1usize..20_000, 1..20),
    ) {
        let some = |number| NonZeroU32::new(number).unwrap();
        let config = Config {
            queue_bytes: some(queue_bytes), queue_messages: some(queue_messages), ..Config::default()
        };
        let mut outbound = outbound(config, window);
        let longest = u64::from(window / 2 - 73);
        let mut lengths = parts.iter().map(|part| (longest * u64::from(*part) / 1_000) as usize).peekable();
        let has = room(&mut outbound, SYNC);
        let mut sender = Sender { outbound, has, kept: VecDeque::new(), told: 0 };
        let mut idle = 0;
        for budget in budgets.iter().cycle() {
            while lengths.peek().is_some_and(|length| sender.send(*length)) {
                lengths.next();
            }
            let outbound = &mut sender.outbound;
            let mut grows = outbound.take(at(1), *budget, &mut Batch::new()).grown;
            let sync = outbound.status().find(|status| status.channel == SYNC).unwrap();
            let used = u64::from(window) - sync.credit_bytes;
            // What has gone is taken, and given back in lumps.
            if sync.waiting_messages == 0 && used >= u64::from(window / 4) {
                grows |= credit(outbound, SYNC, used as u32).contains(&Output::Room);
            }
            idle = if grows { 0 } else { idle + 1 };
            if grows {
                sender.on_room();
            } else if sync.waiting_messages == 0 && lengths.peek().is_none() && sender.kept.is_empty() {
                break;
            }
            prop_assert!(idle < 1_000, "{:?} and {:?} wait, {sync:?}", sender.kept, lengths.peek());
        }
        prop_assert!(sender.told <= 4 * parts.len(), "told {} times", sender.told);
    }
}
