//! The machine itself: mux and conversations.

use std::time::Duration;

use link::mux::{self, Demux, Mux, Part, Policy};
use link::{Mode, Time};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Command, Config, Event, Input, Reason, Refused};
use crate::conversation::{Conversation, Speaker};
use crate::handshake::{self, Outcome, VersionData};
use crate::{Violation, block_fetch, chain_sync, keep_alive, limits, peer_sharing, tx_submission};

/// Where the connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    Running { peer_sharing: bool },
    Closed,
}

/// One connection to one server.
#[derive(Debug, Clone)]
pub struct State {
    phase: Phase,
    demux: Demux,
    mux: Mux,
    /// Since when a segment has been arriving.
    segment_since: Option<Duration>,
    handshake: Conversation<handshake::Initiator>,
    chain_sync: Conversation<chain_sync::Initiator>,
    block_fetch: Conversation<block_fetch::Initiator>,
    tx_submission: Conversation<tx_submission::Initiator>,
    keep_alive: Conversation<keep_alive::Initiator>,
    peer_sharing: Conversation<peer_sharing::Initiator>,
}

impl State {
    /// A fresh connection: the proposal is ready to be transmitted. `rng` draws random time limits.
    pub fn new(config: &Config, now: Time, mut rng: ChaCha8Rng) -> Self {
        let data = VersionData {
            magic: config.magic,
            initiator_only: true,
            peer_sharing: config.peer_sharing,
            query: false,
            peras: false,
        };
        let proposed = config.versions.iter().map(|version| (*version, data)).collect();
        let keep_alive = keep_alive::Initiator::new(config.keep_alive, rng.random());
        let chain_sync = chain_sync::Initiator::new(config.requests_in_flight.get(), rng);
        Self {
            phase: Phase::Handshake,
            demux: Demux::new(Mode::Initiator, Policy::Close, limits::HANDSHAKE_LIMITS),
            mux: Mux::new(Mode::Initiator),
            segment_since: None,
            handshake: Conversation::new(handshake::Initiator::new(now.mono, proposed)),
            chain_sync: Conversation::new(chain_sync),
            block_fetch: Conversation::new(block_fetch::Initiator::new()),
            tx_submission: Conversation::new(tx_submission::Initiator::new()),
            keep_alive: Conversation::new(keep_alive),
            peer_sharing: Conversation::new(peer_sharing::Initiator::new()),
        }
    }

    /// Takes an input; appends what the server said to `out`.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Vec<Event>) {
        if self.phase == Phase::Closed {
            return;
        }
        let now = now.mono;
        let result = match input {
            Input::Received(bytes) => self.on_received(now, bytes, out),
            Input::Command(command) => self.on_command(now, command, out),
            Input::Tick => self.on_tick(now).map_err(Reason::from),
        };
        if let Err(reason) = result {
            self.phase = Phase::Closed;
            out.push(Event::Closed { reason });
        }
    }

    /// Appends what there is to send, until about `budget` bytes were added; returns whether there may be more.
    pub fn transmit(&mut self, now: Time, budget: usize, out: &mut Vec<u8>) -> bool {
        let limits = match self.phase {
            Phase::Handshake => limits::HANDSHAKE_LIMITS,
            Phase::Running { .. } | Phase::Closed => limits::LIMITS,
        };
        let Self { mux, handshake, chain_sync, block_fetch, tx_submission, keep_alive, peer_sharing, .. } =
            self;
        mux.transmit(now, limits, budget, out, |protocol, room, out| {
            let outbox = match protocol {
                limits::HANDSHAKE => handshake.speaker.outbox(),
                limits::CHAIN_SYNC => chain_sync.speaker.outbox(),
                limits::BLOCK_FETCH => block_fetch.speaker.outbox(),
                limits::TX_SUBMISSION => tx_submission.speaker.outbox(),
                limits::KEEP_ALIVE => keep_alive.speaker.outbox(),
                limits::PEER_SHARING => peer_sharing.speaker.outbox(),
                _ => return,
            };
            outbox.fill(room, out);
        })
    }

    /// When to tick, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        let protocols = match self.phase {
            Phase::Closed => return None,
            Phase::Handshake => self.handshake.speaker.next_deadline(),
            Phase::Running { .. } => [
                self.chain_sync.speaker.next_deadline(),
                self.block_fetch.speaker.next_deadline(),
                self.tx_submission.speaker.next_deadline(),
                self.keep_alive.speaker.next_deadline(),
                self.peer_sharing.speaker.next_deadline(),
            ]
            .into_iter()
            .flatten()
            .min(),
        };
        protocols.into_iter().chain(self.segment_deadline()).min()
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Panics where the parts do not hold together.
    pub fn check_invariants(&self) {
        self.chain_sync.speaker.check_invariants();
        self.block_fetch.speaker.check_invariants();
        if let Phase::Running { .. } = self.phase {
            let kept = [
                (limits::CHAIN_SYNC, self.chain_sync.kept()),
                (limits::BLOCK_FETCH, self.block_fetch.kept()),
                (limits::TX_SUBMISSION, self.tx_submission.kept()),
                (limits::KEEP_ALIVE, self.keep_alive.kept()),
                (limits::PEER_SHARING, self.peer_sharing.kept()),
            ];
            for (protocol, kept) in kept {
                let held = self.demux.held(protocol) as usize;
                assert_eq!(held, kept, "the mux counts what protocol {protocol} keeps");
            }
        }
    }

    fn on_received(&mut self, now: Duration, mut bytes: &[u8], out: &mut Vec<Event>) -> Result<(), Reason> {
        while let Some(part) = self.demux.next(&mut bytes).map_err(Violation::from)? {
            if !self.demux.is_inside_segment() {
                self.segment_since = None;
            }
            self.on_part(now, part, out)?;
        }
        if self.demux.is_inside_segment() {
            self.segment_since.get_or_insert(now);
        }
        Ok(())
    }

    fn on_part(&mut self, now: Duration, part: Part<'_>, out: &mut Vec<Event>) -> Result<(), Reason> {
        let mut tell = |event| out.push(event);
        let kept = match part.protocol {
            limits::HANDSHAKE => return self.on_handshake_part(now, part, out),
            limits::CHAIN_SYNC => self.chain_sync.receive(now, part.bytes, &mut tell)?,
            limits::BLOCK_FETCH => self.block_fetch.receive(now, part.bytes, &mut tell)?,
            limits::TX_SUBMISSION => self.tx_submission.receive(now, part.bytes, |never| match never {})?,
            limits::KEEP_ALIVE => self.keep_alive.receive(now, part.bytes, &mut tell)?,
            limits::PEER_SHARING => self.peer_sharing.receive(now, part.bytes, &mut tell)?,
            protocol => unreachable!("the mux passes only protocols that run: {protocol}"),
        };
        let held = self.demux.held(part.protocol) as usize;
        self.demux.release(part.protocol, held - kept);
        Ok(())
    }

    fn on_handshake_part(
        &mut self,
        now: Duration,
        part: Part<'_>,
        out: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let mut outcome = None;
        let kept = self.handshake.receive(now, part.bytes, |ended| outcome = Some(ended))?;
        let Some(outcome) = outcome else {
            return Ok(());
        };
        if kept > 0 {
            // The handshake is over in the middle of its own segment: what follows belongs to nobody.
            let fault = mux::Violation::UnknownProtocol { protocol: part.protocol };
            return Err(Violation::Mux(fault).into());
        }
        if let Some(refused) = Refused::from_outcome(&outcome) {
            return Err(Reason::Handshake(refused));
        }
        if let Outcome::Accepted { version, data } = outcome {
            self.demux.enter(limits::LIMITS);
            self.phase = Phase::Running { peer_sharing: data.peer_sharing };
            self.tx_submission.speaker.start();
            self.keep_alive.speaker.start(now);
            out.push(Event::Ready { version });
        }
        Ok(())
    }

    fn on_command(&mut self, now: Duration, command: Command, out: &mut Vec<Event>) -> Result<(), Reason> {
        let Phase::Running { peer_sharing } = self.phase else {
            // Only parting makes sense before the handshake is over.
            assert_eq!(command, Command::Done, "a command before the handshake was done");
            return Err(Reason::Done);
        };
        match command {
            Command::Intersect { points } => self.chain_sync.speaker.intersect(now, &points),
            Command::Demand { n } => self.chain_sync.speaker.demand(now, n),
            Command::Fetch { from, to } => self.block_fetch.speaker.fetch(now, from, to),
            Command::SharePeers { n } if peer_sharing => self.peer_sharing.speaker.ask(now, n),
            Command::SharePeers { .. } => out.push(Event::Peers { peers: Vec::new() }),
            Command::Done => {
                self.chain_sync.speaker.done();
                self.block_fetch.speaker.done();
                self.tx_submission.speaker.done();
                self.keep_alive.speaker.done();
                // Where it was not agreed on, the server does not run it.
                if peer_sharing {
                    self.peer_sharing.speaker.done();
                }
                return Err(Reason::Done);
            }
        }
        Ok(())
    }

    fn on_tick(&mut self, now: Duration) -> Result<(), Violation> {
        if self.segment_deadline().is_some_and(|deadline| now >= deadline) {
            return Err(Violation::SlowSegment);
        }
        if self.phase == Phase::Handshake {
            return self.handshake.speaker.on_tick(now);
        }
        self.chain_sync.speaker.on_tick(now)?;
        self.block_fetch.speaker.on_tick(now)?;
        self.tx_submission.speaker.on_tick(now)?;
        self.keep_alive.speaker.on_tick(now)?;
        self.peer_sharing.speaker.on_tick(now)
    }

    fn segment_deadline(&self) -> Option<Duration> {
        let allowed = match self.phase {
            Phase::Handshake => limits::HANDSHAKE_SEGMENT,
            Phase::Running { .. } | Phase::Closed => limits::SEGMENT,
        };
        self.segment_since.map(|since| since + allowed)
    }
}
