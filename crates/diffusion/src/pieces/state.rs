//! The machine: who gives what, what is wanted, who is asked for it.

use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use chain::native::StateRoot;

use super::{Message, Violation};

/// The bounds and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How many pieces one peer is asked for at once. A guess: the next is on its way while one is looked at.
    pub asked: NonZeroUsize,
    /// How many pieces are on the way or shown to the application, all peers together: what they hold in memory is so
    /// many times [`MAX_PIECE_BYTES`](super::MAX_PIECE_BYTES) at most. A guess.
    pub open: NonZeroUsize,
    /// How long a piece may take. A guess: a large one over a slow line, behind bodies of blocks.
    pub patience: Duration,
    /// How long nobody may be there who can be asked before the state counts as gone. A guess: longer than a link takes to
    /// come back.
    pub lonely: Duration,
    /// How long no right piece may come, whoever can be asked, before the state counts as gone. A guess: far longer than a
    /// piece may take, for several who are late come one after the other.
    pub stalled: Duration,
    /// How often a peer may refuse pieces of a state that it offers, until one of its pieces is right. A guess: its application may
    /// have too much to do, several times in a row.
    pub refusals: NonZeroU32,
    /// How long a peer that has just refused is not asked. A guess: what made it refuse may have passed.
    pub rest: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let some = |n| NonZeroUsize::new(n).expect("a bound is not zero");
        Self {
            asked: some(2),
            open: some(16),
            patience: Duration::from_secs(20),
            lonely: Duration::from_secs(30),
            stalled: Duration::from_secs(300),
            refusals: NonZeroU32::new(8).expect("a bound is not zero"),
            rest: Duration::from_secs(1),
        }
    }
}

/// Something that happened. `P` names a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<P> {
    /// A connection is there.
    Joined {
        /// With whom.
        peer: P,
    },
    /// A connection is gone.
    Left {
        /// With whom.
        peer: P,
    },
    /// A peer gives pieces of these states, and of no other.
    Offered {
        /// Who.
        peer: P,
        /// Of which, newest first.
        states: Vec<StateRoot>,
    },
    /// A peer has answered its oldest ask; with no bytes where it does not give the piece.
    Piece {
        /// Who.
        peer: P,
        /// The piece.
        piece: Bytes,
    },
    /// A state is to be taken, in the place of the one before; these pieces are wanted first.
    Begin {
        /// Which.
        of: StateRoot,
        /// The names of the pieces.
        names: Vec<Bytes>,
    },
    /// The application has looked at a piece.
    Judged {
        /// Of which state.
        of: StateRoot,
        /// The piece's name.
        name: Bytes,
        /// What it says.
        verdict: Verdict,
    },
    /// Nothing is to be taken any more.
    Stop,
    /// Nothing but the time has changed.
    Tick,
}

/// What an application says of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is right, and these are wanted as well.
    Right {
        /// Their names.
        more: Vec<Bytes>,
    },
    /// It is wrong.
    Wrong {
        /// Why.
        reason: String,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this.
    Send {
        /// To whom.
        peer: P,
        /// A [`Message::Ask`].
        message: Message,
    },
    /// Show the application a piece. Comes back as [`Input::Judged`].
    Judge {
        /// Of which state.
        of: StateRoot,
        /// The piece's name.
        name: Bytes,
        /// The piece.
        piece: Bytes,
    },
    /// All pieces are there.
    Done {
        /// Of which state.
        of: StateRoot,
    },
    /// Nobody gives pieces of it any more: another is to be taken.
    Gone {
        /// Of which state.
        of: StateRoot,
    },
    /// A peer broke a rule.
    Violation {
        /// Who.
        peer: P,
        /// Which.
        violation: Violation,
    },
}

/// What operators may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The state that is being taken.
    pub of: StateRoot,
    /// How many pieces were taken.
    pub taken: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// How many are known to be wanted, those under way included. More may show.
    pub wanted: usize,
    /// How many peers give it.
    pub peers: usize,
}

/// One peer.
#[derive(Debug, Clone, Default)]
struct Peer {
    offers: Vec<StateRoot>,
    /// Whether it has said what it gives, nothing perhaps.
    has_said: bool,
    /// What it was asked for and has not answered, oldest first.
    asked: VecDeque<Asked>,
    /// It gave what is wrong: nothing more is asked of it.
    is_out: bool,
    /// How often it refused since a piece of it was right. Offers do not change it.
    refusals: u32,
    /// Whether it has just refused, and is not asked until then.
    is_resting: bool,
    rests: Duration,
}

impl Peer {
    /// Whether it can be asked at all.
    fn is_usable(&self, config: &Config) -> bool {
        !self.is_out && self.refusals < config.refusals.get()
    }
}

/// A piece that a peer was asked for.
#[derive(Debug, Clone)]
struct Asked {
    name: Bytes,
    until: Duration,
    /// Whether it is still waited for; else the answer is passed over.
    is_open: bool,
}

/// A state that is being taken.
#[derive(Debug, Clone)]
struct Taking<P> {
    of: StateRoot,
    /// What nobody is asked for; the last is asked for first, so that few are known at a time.
    wanted: Vec<Bytes>,
    /// What the application looks at, who gave it and how many bytes it has.
    judging: BTreeMap<Bytes, (P, usize)>,
    taken: u64,
    bytes: u64,
    /// Since when nobody can be asked.
    lonely: Option<Duration>,
    /// When a piece was right the last time, or it began.
    moved: Duration,
}

/// The machine of one node. `P` names a peer.
#[derive(Debug)]
pub struct State<P> {
    config: Config,
    peers: BTreeMap<P, Peer>,
    taking: Option<Taking<P>>,
}

impl<P: Copy + Ord> State<P> {
    /// A node that wants nothing and knows nobody.
    pub fn new(config: Config) -> Self {
        Self { config, peers: BTreeMap::new(), taking: None }
    }

    /// Takes in what happened, and says what to do. What concerns a peer that is not there is ignored.
    pub fn handle(&mut self, now: Duration, input: Input<P>, out: &mut Vec<Output<P>>) {
        match input {
            Input::Joined { peer } => drop(self.peers.insert(peer, Peer::default())),
            Input::Left { peer } => self.on_left(peer),
            Input::Offered { peer, states } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    (peer.offers, peer.has_said) = (states, true);
                }
            }
            Input::Piece { peer, piece } => self.on_piece(now, peer, piece, out),
            Input::Begin { of, names } => self.on_begin(now, of, names),
            Input::Judged { of, name, verdict } => self.on_judged(now, of, &name, verdict, out),
            Input::Stop => self.stop(),
            Input::Tick => {}
        }
        self.expire(now, out);
        self.ask(now, out);
        self.end(now, out);
    }

    /// When to come back with a tick at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        let open = self.peers.values().flat_map(|peer| &peer.asked).filter(|asked| asked.is_open);
        let taking = self.taking.as_ref()?;
        // While the application looks at pieces, it is its turn.
        let is_idle = taking.judging.is_empty();
        let lonely = taking.lonely.map(|since| since.saturating_add(self.config.lonely));
        let stalled = is_idle.then(|| taking.moved.saturating_add(self.config.stalled));
        let resting = self.peers.values().filter(|peer| peer.is_usable(&self.config) && peer.is_resting);
        let rested = resting.map(|peer| peer.rests);
        open.map(|asked| asked.until).chain(lonely).chain(stalled).chain(rested).min()
    }

    /// Who offers which state.
    pub fn offered(&self) -> impl Iterator<Item = (P, StateRoot)> + '_ {
        let usable = self.peers.iter().filter(|(_, peer)| peer.is_usable(&self.config));
        usable.flat_map(|(id, peer)| peer.offers.iter().map(|state| (*id, *state)))
    }

    /// Whether a peer has said what it gives.
    pub fn has_said(&self, peer: &P) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.has_said)
    }

    /// What operators may see, while a state is being taken.
    pub fn status(&self) -> Option<Status> {
        let taking = self.taking.as_ref()?;
        let wanted = taking.wanted.len() + taking.judging.len() + self.on_the_way();
        let peers = self.offered().filter(|(_, state)| *state == taking.of).count();
        Some(Status { of: taking.of, taken: taking.taken, bytes: taking.bytes, wanted, peers })
    }

    /// Panics where a bound or the books do not hold.
    pub fn check_invariants(&self) {
        for peer in self.peers.values() {
            assert!(peer.asked.len() <= self.config.asked.get(), "what a peer is asked for is bounded");
        }
        let Some(taking) = &self.taking else {
            return assert_eq!(self.on_the_way(), 0, "nothing is waited for when nothing is taken");
        };
        let judging = taking.judging.len();
        assert!(judging + self.on_the_way() <= self.config.open.get(), "what is open is bounded");
        let mut names: Vec<&Bytes> = taking.wanted.iter().chain(taking.judging.keys()).collect();
        let open = self.peers.values().flat_map(|peer| &peer.asked).filter(|asked| asked.is_open);
        names.extend(open.map(|asked| &asked.name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a piece is wanted, on the way, or looked at");
    }

    /// How many pieces are waited for.
    fn on_the_way(&self) -> usize {
        self.peers.values().flat_map(|peer| &peer.asked).filter(|asked| asked.is_open).count()
    }

    fn on_left(&mut self, id: P) {
        let Some(peer) = self.peers.remove(&id) else { return };
        if let Some(taking) = &mut self.taking {
            taking.wanted.extend(peer.asked.into_iter().filter(|asked| asked.is_open).map(|it| it.name));
        }
    }

    fn on_begin(&mut self, now: Duration, of: StateRoot, names: Vec<Bytes>) {
        self.stop();
        self.peers.values_mut().for_each(|peer| peer.refusals = 0);
        let (judging, lonely) = (BTreeMap::new(), None);
        self.taking = Some(Taking { of, wanted: names, judging, taken: 0, bytes: 0, lonely, moved: now });
    }

    fn stop(&mut self) {
        self.taking = None;
        // The answers still come, in their order.
        self.peers.values_mut().flat_map(|peer| &mut peer.asked).for_each(|asked| asked.is_open = false);
    }

    fn on_piece(&mut self, now: Duration, id: P, piece: Bytes, out: &mut Vec<Output<P>>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(asked) = peer.asked.pop_front() else {
            return out.push(Output::Violation { peer: id, violation: Violation::Unasked });
        };
        let Some(taking) = self.taking.as_mut().filter(|_| asked.is_open) else { return };
        if piece.is_empty() {
            // It does not have it any more, which it will say, or too much to do.
            peer.refusals = peer.refusals.saturating_add(1);
            (peer.is_resting, peer.rests) = (true, now.saturating_add(self.config.rest));
            return taking.wanted.push(asked.name);
        }
        taking.judging.insert(asked.name.clone(), (id, piece.len()));
        out.push(Output::Judge { of: taking.of, name: asked.name, piece });
    }

    fn on_judged(
        &mut self,
        now: Duration,
        of: StateRoot,
        name: &Bytes,
        verdict: Verdict,
        out: &mut Vec<Output<P>>,
    ) {
        let Some(taking) = self.taking.as_mut().filter(|taking| taking.of == of) else { return };
        let Some((name, (giver, bytes))) = taking.judging.remove_entry(name) else { return };
        match verdict {
            Verdict::Right { more } => {
                taking.taken += 1;
                taking.bytes += bytes as u64;
                taking.moved = now;
                taking.wanted.extend(more);
                if let Some(peer) = self.peers.get_mut(&giver) {
                    peer.refusals = 0;
                }
            }
            Verdict::Wrong { reason } => {
                taking.wanted.push(name);
                if let Some(peer) = self.peers.get_mut(&giver) {
                    peer.is_out = true;
                    out.push(Output::Violation { peer: giver, violation: Violation::Wrong { reason } });
                }
            }
        }
    }

    /// What did not come in time is asked of another; the peer is asked for more only once it has answered.
    fn expire(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        let Some(taking) = &mut self.taking else { return };
        for (id, peer) in &mut self.peers {
            for asked in peer.asked.iter_mut().filter(|asked| asked.is_open && asked.until <= now) {
                asked.is_open = false;
                taking.wanted.push(asked.name.clone());
                out.push(Output::Violation { peer: *id, violation: Violation::Late });
            }
        }
    }

    /// Asks for what is wanted, each time the peer that has least to do.
    fn ask(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        let Some(of) = self.taking.as_ref().map(|taking| taking.of) else { return };
        for peer in self.peers.values_mut() {
            peer.is_resting &= peer.rests > now;
        }
        loop {
            let on_the_way = self.on_the_way();
            let taking = self.taking.as_mut().expect("a state is being taken");
            if on_the_way + taking.judging.len() >= self.config.open.get() {
                return;
            }
            let config = &self.config;
            let gives = |peer: &Peer| peer.is_usable(config) && !peer.is_resting && peer.offers.contains(&of);
            let free = self.peers.iter_mut().filter(|(_, peer)| gives(peer));
            let free = free.filter(|(_, peer)| peer.asked.len() < self.config.asked.get());
            let Some((id, peer)) = free.min_by_key(|(_, peer)| peer.asked.len()) else { return };
            let Some(name) = taking.wanted.pop() else { return };
            let until = now.saturating_add(self.config.patience);
            peer.asked.push_back(Asked { name: name.clone(), until, is_open: true });
            out.push(Output::Send { peer: *id, message: Message::Ask { of, name } });
        }
    }

    /// Says so when all is there, or when nobody gives it any more.
    fn end(&mut self, now: Duration, out: &mut Vec<Output<P>>) {
        let on_the_way = self.on_the_way();
        let Some(taking) = &mut self.taking else { return };
        let of = taking.of;
        if !taking.judging.is_empty() {
            taking.lonely = None;
            return;
        }
        if on_the_way == 0 && taking.wanted.is_empty() {
            out.push(Output::Done { of });
            return self.stop();
        }
        let is_lonely = match on_the_way {
            0 => taking.lonely.get_or_insert(now).saturating_add(self.config.lonely) <= now,
            _ => {
                taking.lonely = None;
                false
            }
        };
        if is_lonely || taking.moved.saturating_add(self.config.stalled) <= now {
            out.push(Output::Gone { of });
            self.stop();
        }
    }
}
