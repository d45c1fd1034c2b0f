//! One connection's side of header sync: what the peer has, what it is sent next, what its messages mean.
//!
//! The rules are those of spec/block-sync.md, "Rules"; each handler names its own. The two directions are independent:
//! there is no high and no low side, and no way back to [`Phase::Start`].
//!
//! What the driver owes: it performs [`Output::Insert`] before the connection's next message, and gives
//! [`Input::Moved`] to this connection after it, and to all whenever the best chain or the LIB changed; it gives
//! [`Input::Settling`] to all before the tree is pruned. Messages reach the machine in the order of the channel.

use std::num::NonZeroUsize;

use chain::{Hash, Header, Point, Tip};

use super::{
    Chain, Fin, Hello, Input, MAX_LOCATOR, Message, Next, Output, Phase, Place, Status, Violation, Why, rank,
};

/// What a message costs of the link's window besides its body: its head, and the link's flat charge.
const OVERHEAD_BYTES: u64 = 9 + 64;

/// The bounds of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Config {
    /// How many tidings of finality wait for their headers. On an honest connection none does, unless our tree had no
    /// room for a header. A guess.
    pub parked_fins: NonZeroUsize,
}

impl Default for Config {
    fn default() -> Self {
        Self { parked_fins: NonZeroUsize::new(16).expect("a bound is not zero") }
    }
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    config: Config,
    phase: Phase,
    /// S: a block of our best chain whose header the peer has or is about to have.
    sent: Option<Place>,
    /// R: the last header received; once it is pruned, the last block that it shared with our chain.
    received: Option<Place>,
    plib: Tip,
    /// Where the peer's LIB stands, once it stood in our tree: in the log it is not looked for.
    plib_at: Option<Place>,
    /// The LIB that our hello named.
    told: Tip,
    best: Tip,
    fin: Tip,
    /// The highest finality received.
    heard: Option<Tip>,
    /// While the log is asked for the peer's points: our LIB when it was.
    finding: Option<Tip>,
    loading: bool,
    /// The last header that was passed over: its children are, too.
    passed: Option<Hash>,
    /// Finality of headers that have not come. Dropped with the connection.
    parked: Vec<Fin>,
    room: u64,
}

impl State {
    /// A connection on which nothing was said.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            phase: Phase::Start,
            sent: None,
            received: None,
            plib: Tip::default(),
            plib_at: None,
            told: Tip::default(),
            best: Tip::default(),
            fin: Tip::default(),
            heard: None,
            finding: None,
            loading: false,
            passed: None,
            parked: Vec::new(),
            room: 0,
        }
    }

    /// Takes in what happened, and says what is to be done.
    ///
    /// # Panics
    /// When the driver answers what was not asked, or prunes what it did not announce.
    pub fn handle(&mut self, chain: &impl Chain, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Start => self.on_start(chain, out),
            Input::Hello(hello) => self.on_hello(chain, hello, out),
            Input::Header(header) => self.on_header(chain, header, out),
            Input::Refused(tip) => self.on_refused(tip, out),
            Input::Fin(fin) => self.on_fin(chain, fin, out),
            Input::Found(place) => self.on_found(chain, place, out),
            Input::Loaded => self.on_loaded(chain, out),
            Input::Room { bytes } => self.on_room(chain, bytes, out),
            Input::Settling(place) => self.on_settling(chain, place, out),
            Input::Moved => self.on_moved(chain, out),
        }
    }

    /// What operators may see.
    pub fn status(&self) -> Status {
        let Self { phase, sent, received, plib, best, fin, .. } = *self;
        Status { phase, sent, received, lib: plib, best, fin }
    }

    /// Whether both hellos have come.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether the peer has this block's header, or is about to have it, as far as we know.
    pub fn has(&self, chain: &impl Chain, block: &Place) -> bool {
        let reaches = |cursor: &Option<Place>| {
            cursor.is_some_and(|cursor| {
                cursor.count >= block.count && chain.common(block, &cursor).as_ref() == Some(block)
            })
        };
        reaches(&self.sent) || reaches(&self.received)
    }

    /// Panics where P6 or a bound does not hold.
    pub fn check_invariants(&self, chain: &impl Chain) {
        let on_chain =
            |place: &Place| place.count <= chain.lib().count || chain.at(place.count).as_ref() == Some(place);
        assert!(self.sent.as_ref().is_none_or(on_chain), "P6: the sent cursor is on the best chain");
        assert!(self.parked.len() <= self.config.parked_fins.get(), "what is parked is bounded");
        assert!(self.phase == Phase::Ready || self.sent.is_none(), "nothing is sent before both hellos");
    }

    fn on_start(&mut self, chain: &impl Chain, out: &mut Vec<Output>) {
        assert_eq!(self.phase, Phase::Start, "a connection starts once");
        let hello = hello(chain);
        self.told = hello.lib;
        self.phase = Phase::HelloSent;
        self.send(Message::Hello(hello), out);
    }

    /// Rule 1.
    fn on_hello(&mut self, chain: &impl Chain, hello: Hello, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Start => panic!("our hello goes out when the link opens"),
            Phase::HelloSent => {}
            Phase::Ready => return out.push(Output::Violation(Violation::SecondHello)),
        }
        self.phase = Phase::Ready;
        self.plib = hello.lib;
        let highest = hello.locator[0];
        // Only the LIB comes with its height; the first header will say more.
        self.best = if highest == hello.lib.point { hello.lib } else { Tip { point: highest, ..hello.lib } };
        let known = |point: &Point| chain.find(point.hash()).filter(|place| place.point() == *point);
        if let Some(place) = hello.locator.iter().find_map(known) {
            self.raise(chain, &place);
            return self.go_on(chain, out);
        }
        let lib = chain.lib().tip;
        let in_log = |point: &&Point| point.slot() <= lib.point.slot();
        let points: Vec<Point> = hello.locator.iter().filter(in_log).copied().collect();
        if !points.is_empty() {
            self.finding = Some(lib);
            return out.push(Output::Find { points });
        }
        if rank(&lib) < rank(&hello.oldest) {
            out.push(Output::Behind { oldest: hello.oldest });
        }
    }

    /// Rule 1, when the log was asked.
    fn on_found(&mut self, chain: &impl Chain, place: Option<Place>, out: &mut Vec<Output>) {
        let ours = self.finding.take().expect("what is found was asked for");
        if let Some(place) = place {
            self.raise(chain, &place);
            return self.go_on(chain, out);
        }
        let theirs = self.plib;
        if rank(&theirs) < rank(&chain.oldest()) {
            out.push(Output::PeerBehind { lib: theirs });
        } else if rank(&theirs) <= rank(&ours) {
            // Judged by the LIB of then: what became irreversible since was not looked for (P5).
            out.push(Output::Violation(Violation::Conflict { theirs, ours }));
        }
    }

    /// Rule 3.
    fn on_header(&mut self, chain: &impl Chain, header: Header, out: &mut Vec<Output>) {
        if self.phase != Phase::Ready {
            return out.push(Output::Violation(Violation::BeforeHello));
        }
        let tip = header.tip();
        if rank(&tip) <= rank(&self.told) {
            return out.push(Output::Violation(Violation::HeaderBelow { header: tip }));
        }
        self.best = tip;
        if let Some(place) = chain.find(Some(header.id)) {
            self.received = Some(place);
            return self.on_moved(chain, out);
        }
        let lib = chain.lib().tip;
        if rank(&tip) <= rank(&lib) {
            self.passed = Some(header.id);
            return out.push(Output::Passed { header: tip, why: Why::Old });
        }
        if let Some(parent) = chain.find(header.prev) {
            self.received = Some(parent.then(&header));
            return out.push(Output::Insert(header));
        }
        // Once the peer's LIB is at or above ours, a correct peer sends nothing that ours has cut off. Before, we
        // cannot know: what was pruned is forgotten.
        let is_blameless =
            rank(&self.plib) < rank(&lib) || (header.prev == self.passed && self.passed.is_some());
        self.passed = Some(header.id);
        out.push(match is_blameless {
            true => Output::Passed { header: tip, why: Why::Conflict },
            false => Output::Violation(Violation::HeaderUnlinked { header: tip }),
        });
    }

    /// Rule 3, for a header that whoever keeps the tree has no place for.
    fn on_refused(&mut self, tip: Tip, out: &mut Vec<Output>) {
        if self.phase != Phase::Ready {
            return out.push(Output::Violation(Violation::BeforeHello));
        }
        if rank(&tip) <= rank(&self.told) {
            return out.push(Output::Violation(Violation::HeaderBelow { header: tip }));
        }
        self.best = tip;
        self.passed = tip.point.hash();
    }

    /// Rule 5, the receiver's side.
    fn on_fin(&mut self, chain: &impl Chain, fin: Fin, out: &mut Vec<Output>) {
        if self.phase != Phase::Ready {
            return out.push(Output::Violation(Violation::BeforeHello));
        }
        if self.heard.is_some_and(|heard| rank(&fin.tip) <= rank(&heard)) {
            return out.push(Output::Violation(Violation::FinBack { block: fin.tip }));
        }
        self.heard = Some(fin.tip);
        if rank(&fin.tip) > rank(&self.plib) {
            self.plib = fin.tip;
            self.plib_at = None;
        }
        let lib = chain.lib().tip;
        if rank(&fin.tip) == rank(&lib) && fin.tip != lib {
            return out.push(Output::Violation(Violation::Conflict { theirs: fin.tip, ours: lib }));
        }
        if self.parked.len() < self.config.parked_fins.get() {
            self.parked.push(fin);
        } else {
            out.push(Output::Violation(Violation::FinUnknown { block: fin.tip }));
        }
        self.on_moved(chain, out);
    }

    fn on_loaded(&mut self, chain: &impl Chain, out: &mut Vec<Output>) {
        assert!(self.loading, "what is loaded was asked for");
        self.loading = false;
        self.pump(chain, out);
    }

    fn on_room(&mut self, chain: &impl Chain, bytes: u64, out: &mut Vec<Output>) {
        self.room = bytes;
        self.pump(chain, out);
    }

    /// Before the tree is pruned: what of a cursor will not stand above `place` falls back to the way there.
    fn on_settling(&mut self, chain: &impl Chain, place: Place, out: &mut Vec<Output>) {
        let lib = chain.lib();
        for cursor in [&mut self.sent, &mut self.received] {
            if let Some(at) = cursor.filter(|at| at.count > lib.count) {
                let shared = chain.common(&at, &place);
                if shared != Some(place) {
                    *cursor = shared;
                }
            }
        }
        self.find_plib(chain);
        let Some(theirs) = self.plib_at.filter(|theirs| theirs.count > lib.count) else { return };
        self.plib_at = None;
        // Where it had to make room in the tree, nothing is known.
        let Some(shared) = chain.common(&theirs, &place) else { return };
        if shared == theirs || shared == place {
            self.plib_at = Some(theirs);
        } else {
            out.push(Output::Violation(Violation::Conflict { theirs: theirs.tip, ours: place.tip }));
        }
    }

    /// Looks for the peer's LIB while it is in the tree.
    fn find_plib(&mut self, chain: &impl Chain) {
        if self.phase == Phase::Ready && self.plib_at.is_none() {
            self.plib_at = chain.find(self.plib.point.hash()).filter(|place| place.tip == self.plib);
        }
    }

    fn on_moved(&mut self, chain: &impl Chain, out: &mut Vec<Output>) {
        self.commit_parked(chain, out);
        self.go_on(chain, out);
    }

    /// Finality whose header has come is applied, and what is old news is dropped (P4).
    fn commit_parked(&mut self, chain: &impl Chain, out: &mut Vec<Output>) {
        let lib = rank(&chain.lib().tip);
        let known = |fin: &Fin| chain.find(fin.tip.point.hash()).is_some_and(|place| place.tip == fin.tip);
        let commits = self.parked.extract_if(.., |fin| rank(&fin.tip) <= lib || known(fin));
        out.extend(commits.filter(|fin| rank(&fin.tip) > lib).map(Output::Commit));
    }

    fn go_on(&mut self, chain: &impl Chain, out: &mut Vec<Output>) {
        if self.phase == Phase::Ready {
            self.follow(chain);
            self.pump(chain, out);
        }
    }

    /// Rule 4: the sent cursor follows the best chain, and what the peer has is not sent to it.
    fn follow(&mut self, chain: &impl Chain) {
        let head = chain.head();
        if let Some(sent) = &self.sent {
            let shared = chain.common(sent, &head);
            self.sent = Some(shared.expect("settling is announced before the tree is pruned"));
        }
        if let Some(received) = self.received {
            match chain.common(&received, &head) {
                Some(shared) => self.raise_to(shared),
                // It had to make room in the tree.
                None => self.received = None,
            }
        }
        self.find_plib(chain);
        let is_ours = |at: &Place| at.count <= chain.lib().count || chain.at(at.count).as_ref() == Some(at);
        if let Some(lib) = self.plib_at.filter(is_ours) {
            self.raise_to(lib);
        }
    }

    /// The peer has this block: the sent cursor goes up to where our best chain leaves it.
    fn raise(&mut self, chain: &impl Chain, place: &Place) {
        let shared = chain.common(place, &chain.head());
        self.raise_to(shared.expect("what was just found is there"));
    }

    fn raise_to(&mut self, place: Place) {
        if self.sent.is_none_or(|sent| sent.count < place.count) {
            self.sent = Some(place);
        }
    }

    /// Rules 2 and 5: as many headers as there is room for, and finality as soon as the peer has its header.
    fn pump(&mut self, chain: &impl Chain, out: &mut Vec<Output>) {
        while let Some(sent) = self.sent
            && self.tell_finality(chain, &sent, out)
            && !self.loading
        {
            match chain.after(&sent) {
                Next::End => return,
                Next::Load(from) => {
                    self.loading = true;
                    out.push(Output::Load { from });
                }
                Next::Header(header) => {
                    let next = sent.then(&header);
                    if !self.offer(chain, header, out) {
                        return;
                    }
                    self.sent = Some(next);
                }
            }
        }
    }

    /// Sends the header unless the peer has it. Says whether the cursor may go past it.
    fn offer(&mut self, chain: &impl Chain, header: Header, out: &mut Vec<Output>) -> bool {
        if rank(&header.tip()) > rank(&self.plib) {
            let fits = self.has_room(header.wire.len());
            if fits {
                self.send(Message::Header(header.wire), out);
            }
            return fits;
        }
        // Below what is irreversible on both sides it is the same chain. Where the peer's LIB is above ours and off
        // our best chain, what we have is of no use to it: its headers and its finality will come.
        rank(&self.plib) <= rank(&chain.lib().tip)
    }

    /// Rule 5. Says no when there is no room for it: headers do not overtake it.
    fn tell_finality(&mut self, chain: &impl Chain, sent: &Place, out: &mut Vec<Output>) -> bool {
        let lib = chain.lib();
        let has_lib = lib.count <= sent.count
            || self.received.is_some_and(|received| chain.common(&lib, &received) == Some(lib));
        let due = if has_lib { lib } else { *sent };
        if rank(&due.tip) <= rank(&self.fin).max(rank(&self.plib)) {
            return true;
        }
        let Some(certificate) = chain.certificate(&due) else { return true };
        let fits = self.has_room(certificate.len());
        if fits {
            self.fin = due.tip;
            self.send(Message::Fin(Fin { tip: due.tip, certificate }), out);
        }
        fits
    }

    /// Whether a message around so many bytes fits; its numbers, hash and heads are put at most.
    fn has_room(&self, bytes: usize) -> bool {
        self.room >= bytes as u64 + 80 + OVERHEAD_BYTES
    }

    fn send(&mut self, message: Message, out: &mut Vec<Output>) {
        let cost = message.to_bytes().len() as u64 + OVERHEAD_BYTES;
        self.room = self.room.saturating_sub(cost);
        out.push(Output::Send(message));
    }
}

/// Points of the best chain from its head down to the LIB: the gaps double, so that where two chains part is found to
/// within twice the distance.
fn hello(chain: &impl Chain) -> Hello {
    let (lib, head) = (chain.lib(), chain.head());
    let mut locator = Vec::new();
    let counts = (0..u64::BITS).map_while(|power| head.count.checked_sub((1 << power) - 1));
    for count in counts.take_while(|count| *count > lib.count) {
        locator.push(chain.at(count).expect("the best chain has no gaps").point());
    }
    locator.push(lib.point());
    debug_assert!(locator.len() <= MAX_LOCATOR, "64 powers of two");
    Hello { locator, lib: lib.tip, oldest: chain.oldest() }
}
