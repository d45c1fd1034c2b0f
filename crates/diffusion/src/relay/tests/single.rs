//! One node, told everything by hand.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use crate::relay::{
    Config, Input, Kind, MAX_MORE, Message, Name, Offer, Output, Rules, Stage, State, TRANSACTION, Ticket,
    Verdict, Violation,
};

/// What a link takes unless a test says otherwise.
pub(super) const ROOM: u64 = 4 << 20;

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) type Out = Output<u8>;

/// An item, told apart by a number.
pub(super) fn item(n: u32) -> Bytes {
    long(n, 100)
}

pub(super) fn long(n: u32, length: usize) -> Bytes {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(length, 0);
    bytes.into()
}

pub(super) fn name(n: u32) -> Name {
    Name::of(TRANSACTION, &item(n))
}

pub(super) fn offer(n: u32) -> Offer {
    Offer { name: name(n), size: 100 }
}

pub(super) fn config() -> Config {
    Config::transactions(16 << 10)
}

/// One node and what it said last.
pub(super) struct Single {
    pub(super) state: State<u8>,
    pub(super) now: Duration,
    pub(super) said: Vec<Out>,
}

impl Single {
    pub(super) fn new(config: Config) -> Self {
        let state = State::new(config, ChaCha12Rng::from_seed([7; 32]));
        Self { state, now: Duration::ZERO, said: Vec::new() }
    }

    /// With these peers, each of which wants offers.
    pub(super) fn with_peers(config: Config, peers: u8) -> Self {
        let mut single = Self::new(config);
        (0..peers).for_each(|peer| single.join(peer));
        single
    }

    pub(super) fn join(&mut self, peer: u8) {
        self.give(Input::Joined { peer, room: ROOM });
        self.hear(peer, Message::More { offers: MAX_MORE });
    }

    pub(super) fn give(&mut self, input: Input<u8>) {
        self.said.clear();
        self.state.handle(self.now, input, &mut self.said);
        self.state.check_invariants();
        let due = self.state.next_deadline();
        assert!(due.is_none_or(|due| due > self.now), "what was due is done");
    }

    /// Lets time pass, tick by tick; what is said meanwhile is kept.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        let mut said = Vec::new();
        while let Some(due) = self.state.next_deadline().filter(|due| *due <= until) {
            self.now = due;
            self.give(Input::Tick);
            said.append(&mut self.said);
        }
        self.now = until;
        self.said = said;
    }

    pub(super) fn hear(&mut self, peer: u8, message: Message) {
        let message = Message::decode(&message.to_bytes()).expect("it can be read");
        self.give(Input::Message { peer, message });
    }

    pub(super) fn offers(&mut self, peer: u8, items: &[u32]) {
        self.hear(peer, Message::Offer(items.iter().map(|n| offer(*n)).collect()));
    }

    pub(super) fn data(&mut self, peer: u8, n: u32) {
        self.hear(peer, Message::Data { kind: TRANSACTION, bytes: item(n) });
    }

    pub(super) fn judged(&mut self, n: u32, verdict: Verdict) {
        self.give(Input::Judged { name: name(n), verdict });
    }

    pub(super) fn submit(&mut self, n: u32) {
        self.give(Input::Submit { ticket: Ticket(n.into()), kind: TRANSACTION, bytes: item(n) });
    }

    /// Submitted and accepted.
    pub(super) fn own(&mut self, n: u32) {
        self.submit(n);
        self.judged(n, Verdict::Accept);
    }

    /// From a peer and accepted.
    pub(super) fn bring(&mut self, peer: u8, n: u32) {
        self.offers(peer, &[n]);
        self.data(peer, n);
        self.judged(n, Verdict::Accept);
    }

    pub(super) fn include(&mut self, items: &[u32]) {
        let ids = items.iter().map(|n| name(*n).id).collect();
        self.give(Input::Included { kind: TRANSACTION, ids });
    }

    /// Who was asked for what, in the order in which it was said.
    pub(super) fn wants(&self) -> Vec<(u8, Name)> {
        let wants = self.sent().filter_map(|(peer, message)| match message {
            Message::Want(names) => Some(names.iter().map(move |name| (peer, *name))),
            _ => None,
        });
        wants.flatten().collect()
    }

    /// Who was offered what.
    pub(super) fn offered(&self) -> Vec<(u8, Name)> {
        let offers = self.sent().filter_map(|(peer, message)| match message {
            Message::Offer(offers) => Some(offers.iter().map(move |offer| (peer, offer.name))),
            _ => None,
        });
        offers.flatten().collect()
    }

    pub(super) fn sent(&self) -> impl Iterator<Item = (u8, &Message)> {
        self.said.iter().filter_map(|output| match output {
            Output::Send { peer, message } => Some((*peer, message)),
            _ => None,
        })
    }

    pub(super) fn violations(&self) -> Vec<(u8, Violation)> {
        let blamed = |output: &Out| match output {
            Output::Misbehaved { peer, violation } => Some((*peer, *violation)),
            _ => None,
        };
        self.said.iter().filter_map(blamed).collect()
    }

    pub(super) fn stage(&self, n: u32) -> Option<Stage> {
        self.state.progress(&name(n)).map(|progress| progress.stage)
    }

    pub(super) fn is_judged(&self, n: u32) -> bool {
        self.said
            .iter()
            .any(|output| matches!(output, Output::Judge { name: judged, .. } if *judged == name(n)))
    }
}

/// Another kind beside transactions.
pub(super) const VOTE: Kind = Kind(7);

pub(super) fn two_kinds() -> Config {
    let mut config = config();
    let rules = Rules { name: "vote", max_count: 2, ..Rules::transactions(1_000) };
    config.kinds.insert(VOTE, rules);
    config
}
