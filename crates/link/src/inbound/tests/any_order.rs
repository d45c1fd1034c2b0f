//! Any interleaving of channels, segments, cuts and faults delivers each message once, whole and in the order of
//! its channel, or closes with a reason; and memory stays within the budget all the while.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::budget::Charge;
use crate::channel::cost;
use crate::reason::Reason;
use crate::segment::MAX_SENT_BYTES;

/// What the peer wants to say.
#[derive(Debug, Clone)]
enum Say {
    /// A message of this length on one of the channels.
    Message { channel: usize, length: usize },
    /// One that is too long for its channel.
    TooLong { channel: usize },
    /// One of no known kind.
    UnknownKind { channel: usize, length: usize },
}

/// What it does wrong between its segments.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    FrameLength,
    Channel,
    Mode,
    Cut,
    Control,
}

#[derive(Debug, Clone)]
struct Plan {
    says: Vec<Say>,
    /// One of so many segments is followed by a fault; 0: none is.
    faults: u32,
    /// Strikes that are borne; 0: any number.
    strikes: u32,
    budget: u64,
    /// How slowly the application takes: after one of so many reads.
    slowness: u32,
    /// Once in so many reads so much time passes that what is under way is given up; 0: never.
    stalls: u32,
    /// Whether it sends without credit.
    is_rude: bool,
    seed: u64,
}

fn say() -> impl Strategy<Value = Say> {
    let channel = 0..3usize;
    let length = prop_oneof![3 => 0..60usize, 2 => 0..1_000usize, 1 => 0..20_000usize];
    prop_oneof![
        12 => (channel.clone(), length).prop_map(|(channel, length)| Say::Message { channel, length }),
        1 => (1..3usize, 20_000..60_001usize).prop_map(|_| Say::Message { channel: 1, length: 60_000 }),
        1 => channel.clone().prop_map(|channel| Say::TooLong { channel }),
        1 => (channel, 0..1_000usize).prop_map(|(channel, length)| Say::UnknownKind { channel, length }),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::collection::vec(say(), 1..60),
        prop_oneof![Just(0u32), 1..10u32],
        prop_oneof![3 => Just(0u32), 1 => 1..20u32],
        prop_oneof![Just(10u64 << 20), 66_000..300_000u64],
        1..20u32,
        prop_oneof![2 => Just(0u32), 1 => 5..50u32],
        prop::bool::weighted(0.2),
        any::<u64>(),
    )
        .prop_map(|(says, faults, strikes, budget, slowness, stalls, is_rude, seed)| Plan {
            says,
            faults,
            strikes,
            budget,
            slowness,
            stalls,
            is_rude,
            seed,
        })
}

/// What was said well, and what of it arrived.
#[derive(Debug, Default)]
struct Ledger {
    said: BTreeMap<(Protocol, u32), usize>,
    last: BTreeMap<Protocol, u32>,
    delivered: usize,
}

impl Ledger {
    fn arrived(&mut self, channel: Protocol, kind: Kind, body: &[u8]) -> Result<(), String> {
        let number = match kind {
            Kind::Request(number) | Kind::Reply(number) => number,
            Kind::Note => return Err("nobody said a note".to_owned()),
        };
        let Some(length) = self.said.get(&(channel, number)) else {
            return Err(format!("message {number} of channel {channel} was never said"));
        };
        if self.last.get(&channel).is_some_and(|last| *last >= number) {
            return Err(format!("message {number} of channel {channel} came again or late"));
        }
        if body != content(channel, number, *length) {
            return Err(format!("message {number} of channel {channel} is not what was said"));
        }
        self.last.insert(channel, number);
        self.delivered += 1;
        Ok(())
    }
}

fn content(channel: Protocol, number: u32, length: usize) -> Vec<u8> {
    let mark = number.wrapping_mul(31).wrapping_add(u32::from(channel.0)).to_be_bytes();
    mark.into_iter().cycle().take(length).collect()
}

/// One channel of the peer: what it has begun to say, what it will say, and the credit that it has.
struct Speaker {
    channel: Channel,
    waiting: VecDeque<Vec<u8>>,
    stream: VecDeque<u8>,
    credit: u64,
}

impl Speaker {
    /// Begins the messages that the credit covers.
    fn begin(&mut self) {
        while let Some(next) = self.waiting.front() {
            let price = cost(next.len() as u32 - 9);
            if price > self.credit {
                return;
            }
            self.credit -= price;
            self.stream.extend(self.waiting.pop_front().expect("seen"));
        }
    }
}

struct World {
    scene: Scene,
    plan: Plan,
    rng: ChaCha8Rng,
    speakers: Vec<Speaker>,
    ledger: Ledger,
    /// Delivered and not taken.
    kept: VecDeque<(Protocol, u64, Charge)>,
    wire: Vec<u8>,
    rejected: BTreeMap<&'static str, usize>,
    closed: Option<Reason>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let config = Config { strikes: strikes(plan.strikes), ..Config::new(channels()) };
        let scene = Scene::with(config, Budget::new(plan.budget), Security::Plain);
        let is_rude = plan.is_rude;
        let speaker = |channel: Channel| Speaker {
            channel,
            waiting: VecDeque::new(),
            stream: VecDeque::new(),
            credit: if is_rude { u64::MAX / 2 } else { u64::from(channel.window_bytes) },
        };
        let mut world = Self {
            scene,
            rng: ChaCha8Rng::seed_from_u64(plan.seed),
            speakers: channels().into_iter().map(speaker).collect(),
            ledger: Ledger::default(),
            kept: VecDeque::new(),
            wire: Vec::new(),
            rejected: BTreeMap::new(),
            closed: None,
            plan,
        };
        for number in 0..world.plan.says.len() {
            world.say(number);
        }
        world
    }

    fn say(&mut self, number: usize) {
        let at = match self.plan.says[number] {
            Say::Message { channel, .. } | Say::TooLong { channel } | Say::UnknownKind { channel, .. } => {
                channel
            }
        };
        let speaker = &mut self.speakers[at];
        let channel = speaker.channel;
        let limit = channel.max_message_bytes as usize;
        let bytes = match self.plan.says[number] {
            Say::Message { length, .. } => {
                let length = length.min(limit);
                let number = number as u32;
                self.ledger.said.insert((channel.number, number), length);
                let kind = if number.is_multiple_of(2) { Kind::Request(number) } else { Kind::Reply(number) };
                message_bytes(kind, &content(channel.number, number, length))
            }
            Say::TooLong { .. } => message_bytes(Kind::Note, &vec![0xee; limit + 1]),
            Say::UnknownKind { length, .. } => {
                let mut bytes = message_bytes(Kind::Note, &vec![0xdd; length.min(limit)]);
                bytes[0] = 77;
                bytes
            }
        };
        speaker.waiting.push_back(bytes);
    }

    /// Runs until all is said, or the link is closed.
    fn run(&mut self) -> Result<(), TestCaseError> {
        let mut is_done = false;
        while self.closed.is_none() && !is_done {
            let all_taken = self.kept.is_empty();
            let speaks = self.speak();
            self.read()?;
            if !speaks {
                is_done = all_taken;
                self.take(usize::MAX)?;
            }
        }
        Ok(())
    }

    /// Puts a few segments on the wire; false when there is nothing to say (now).
    fn speak(&mut self) -> bool {
        self.speakers.iter_mut().for_each(Speaker::begin);
        let speaks = self.speakers.iter().any(|speaker| !speaker.stream.is_empty());
        for _ in 0..self.rng.random_range(1..6) {
            let at = self.rng.random_range(0..self.speakers.len());
            let speaker = &mut self.speakers[at];
            let room = if self.rng.random_bool(0.5) { MAX_SENT_BYTES } else { 40 };
            let length = self.rng.random_range(1..=room).min(speaker.stream.len());
            if length > 0 {
                let payload: Vec<u8> = speaker.stream.drain(..length).collect();
                let content = segment(speaker.channel.number, Mode::Initiator, &payload);
                let frame = self.scene.sealed(&content);
                self.wire.extend(frame);
            }
            if self.plan.faults > 0 && self.rng.random_ratio(1, self.plan.faults) {
                self.do_wrong();
            }
        }
        speaks
    }

    fn do_wrong(&mut self) {
        let wrongs = [Wrong::FrameLength, Wrong::Channel, Wrong::Mode, Wrong::Cut, Wrong::Control];
        let frame = match wrongs[self.rng.random_range(0..wrongs.len())] {
            Wrong::FrameLength => {
                let length: u16 = if self.rng.random() { self.rng.random_range(0..25) } else { 20_000 };
                [&length.to_be_bytes()[..], &vec![1; usize::from(length)]].concat()
            }
            Wrong::Channel => self.scene.sealed(&segment(UNKNOWN, Mode::Initiator, b"who?")),
            Wrong::Mode => self.scene.sealed(&segment(BULK, Mode::Responder, &[2; 300])),
            Wrong::Cut => {
                let mut content = segment(BULK, Mode::Initiator, &[3; 300]);
                content.truncate(self.rng.random_range(9..content.len()));
                self.scene.sealed(&content)
            }
            Wrong::Control => {
                self.scene.sealed(&segment(CONTROL, Mode::Initiator, &message_bytes(Kind::Note, b"?")))
            }
        };
        self.wire.extend(frame);
    }

    /// Hands over some of the wire, in any cuts.
    fn read(&mut self) -> Result<(), TestCaseError> {
        while !self.wire.is_empty() && self.closed.is_none() {
            let most = if self.rng.random_bool(0.3) { 30 } else { 30_000 };
            let cut = self.rng.random_range(1..=most).min(self.wire.len());
            let rest = self.wire.split_off(cut);
            let piece = std::mem::replace(&mut self.wire, rest);
            self.scene.feed(piece);
            if self.plan.stalls > 0 && self.rng.random_ratio(1, self.plan.stalls) {
                self.scene.pass(Duration::from_secs(11));
            }
            self.look()?;
            if self.rng.random_ratio(1, self.plan.slowness) {
                let some = self.rng.random_range(1..10);
                self.take(some)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<(), TestCaseError> {
        for _ in 0..count.min(self.kept.len()) {
            let at = self.rng.random_range(0..self.kept.len());
            let (channel, price, charge) = self.kept.swap_remove_back(at).expect("it is there");
            drop(charge);
            if self.closed.is_none() {
                self.scene.taken(channel, price);
                self.look()?;
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), TestCaseError> {
        let outputs = std::mem::take(&mut self.scene.out);
        for output in outputs {
            prop_assert!(self.closed.is_none(), "it goes on after its end");
            match output {
                Output::Message { channel, kind, body, charge } => {
                    self.ledger.arrived(channel, kind, &body).map_err(TestCaseError::fail)?;
                    prop_assert!(charge.bytes() >= body.len() as u64);
                    self.kept.push_back((channel, cost(body.len() as u32), charge));
                }
                Output::Grant { channel, bytes } => self.grant(channel, bytes)?,
                Output::Rejected(fault) => *self.rejected.entry(fault.name()).or_default() += 1,
                Output::Closed(reason) => self.closed = Some(reason),
                Output::Control(message) => {
                    return Err(TestCaseError::fail(format!("{message:?} was never said")));
                }
            }
        }
        let held: u64 = self.kept.iter().map(|(_, _, charge)| charge.bytes()).sum();
        let used = self.scene.budget.used_bytes();
        prop_assert!(held <= used && used <= self.plan.budget, "{held} held, {used} used");
        Ok(())
    }

    fn grant(&mut self, channel: Protocol, bytes: u32) -> Result<(), TestCaseError> {
        let speaker = self.speakers.iter_mut().find(|speaker| speaker.channel.number == channel);
        let speaker = speaker.expect("one of ours");
        speaker.credit += u64::from(bytes);
        let window = u64::from(speaker.channel.window_bytes);
        prop_assert!(
            self.plan.is_rude || speaker.credit <= window,
            "more credit for {channel} than its window"
        );
        Ok(())
    }

    fn rejected(&self, name: &str) -> usize {
        self.rejected.get(name).copied().unwrap_or(0)
    }

    /// Whatever went before, the next message of each channel is understood.
    fn probe(&mut self) -> Result<(), TestCaseError> {
        for at in 0..self.speakers.len() {
            let credit = &mut self.speakers[at].credit;
            *credit = credit.saturating_sub(cost(10));
            let channel = self.speakers[at].channel;
            let number = 1_000_000;
            self.ledger.said.insert((channel.number, number), 10);
            let bytes = message_bytes(Kind::Request(number), &content(channel.number, number, 10));
            let (delivered, closed) = (self.ledger.delivered, self.closed.is_some());
            self.scene.send(channel.number, &bytes);
            self.look()?;
            prop_assert!(closed || self.ledger.delivered > delivered, "{} is out of step", channel.number);
        }
        self.take(usize::MAX)
    }

    /// What must hold in the end.
    fn judge(&self) -> Result<(), TestCaseError> {
        if let Some(reason) = &self.closed {
            let due = match reason {
                Reason::Violation(Violation::Strikes { count }) => *count > 0 && *count == self.plan.strikes,
                Reason::Violation(Violation::SlowFrame) | Reason::Silent => self.plan.stalls > 0,
                _ => false,
            };
            prop_assert!(due, "closed for {reason}");
            return Ok(());
        }
        for Speaker { channel, waiting, stream, credit } in &self.speakers {
            prop_assert!(waiting.is_empty() && stream.is_empty(), "channel {} is stuck", channel.number);
            let least = u64::from(channel.window_bytes) * 3 / 4;
            prop_assert!(*credit >= least, "credit is lost");
        }
        prop_assert!(self.scene.inbound.is_idle());
        prop_assert_eq!(self.scene.budget.used_bytes(), u64::from(FLOOR_BYTES), "memory is lost");
        if self.plan.is_rude {
            return Ok(());
        }
        prop_assert_eq!(self.rejected("overrun"), 0, "the peer kept to its credit");
        let lost = self.ledger.said.len() - self.ledger.delivered;
        let excused = self.rejected("over_budget") + self.rejected("slow_message");
        prop_assert!(lost <= excused, "{} messages are lost, {} are accounted for", lost, excused);
        prop_assert!(lost >= self.rejected("over_budget"), "rejected, and delivered all the same");
        Ok(())
    }
}

proptest! {
    #[test]
    fn each_message_comes_once_whole_and_in_its_turn_or_the_link_closes(plan in plan()) {
        let mut world = World::new(plan);
        world.run()?;
        world.probe()?;
        world.judge()?;
    }

    #[test]
    fn no_frames_make_it_panic_or_exceed_its_memory(
        contents in prop::collection::vec(
            (0u16..8, any::<bool>(), prop::collection::vec(0u8..12, 1..400), any::<bool>()),
            1..60,
        ),
        budget in 66_000u64..80_000,
    ) {
        let mut scene = Scene::with(Config::new(channels()), Budget::new(budget), Security::Plain);
        let mut kept = Vec::new();
        for (number, ours, payload, lies) in contents {
            let mode = if ours { Mode::Responder } else { Mode::Initiator };
            let mut content = segment(Protocol(number), mode, &payload);
            content[7] ^= u8::from(lies);
            let wire = scene.sealed(&content);
            scene.feed(wire);
            scene.pass(Duration::from_millis(500));
            kept.append(&mut scene.out);
            prop_assert!(scene.budget.used_bytes() <= budget);
        }
    }
}

#[test]
fn the_ledger_finds_what_it_is_there_to_find() {
    let ledger = || Ledger {
        said: BTreeMap::from([((BULK, 4), 10), ((BULK, 6), 10), ((URGENT, 5), 0)]),
        ..Ledger::default()
    };
    let body = |number| content(BULK, number, 10);
    let mut good = ledger();
    assert_eq!(good.arrived(BULK, Kind::Request(4), &body(4)), Ok(()));
    assert_eq!(good.arrived(URGENT, Kind::Reply(5), b""), Ok(()));
    assert_eq!(good.arrived(BULK, Kind::Request(6), &body(6)), Ok(()));
    assert!(good.arrived(BULK, Kind::Request(6), &body(6)).is_err(), "twice");
    let mut swapped = ledger();
    assert_eq!(swapped.arrived(BULK, Kind::Request(6), &body(6)), Ok(()));
    assert!(swapped.arrived(BULK, Kind::Request(4), &body(4)).is_err(), "out of its turn");
    assert!(ledger().arrived(BULK, Kind::Request(4), &body(4)[..9]).is_err(), "cut");
    assert!(ledger().arrived(BULK, Kind::Request(4), &body(6)).is_err(), "another's body");
    assert!(ledger().arrived(URGENT, Kind::Request(4), &body(4)).is_err(), "on another channel");
}
