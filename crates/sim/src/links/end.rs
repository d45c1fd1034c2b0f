//! One end of a connection: the machines of a link, driven as the network module drives them.

use std::sync::Arc;
use std::time::Duration;

use link::budget::{FLOOR_BYTES, Share};
use link::inbound::{self, Inbound};
use link::link as machine;
use link::outbound::{self, Batch, Outbound};
use link::reason::Reason;
use link::session::{self, Sealer};
use link::{Link, Protocol};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::check::{Broken, ConnectionId};
use super::config::{Behaviour, Sabotage};
use super::forge::{bad_frame, forge};
use super::line::{Line, tamper};
use super::world::{Connection, Event, World};

/// Which chain the peers are on.
const NETWORK_ID: [u8; 32] = [7; 32];

/// The chance that a forger changes a segment, and that it sends a frame that is none.
const FORGED: f64 = 0.02;
const BAD_FRAME: f64 = 0.01;

/// The chance that something happens on its way to what is written at once.
const TAMPERED: f64 = 0.02;

/// One end.
pub(super) struct End {
    pub(super) stage: Stage,
    /// The soonest tick that is scheduled.
    wake: Option<Duration>,
    /// When the bearer takes more, while it does not.
    room: Option<Duration>,
    /// What is set aside for a link that is about to open.
    share: Option<Share>,
    /// How many pongs have come, and when the last one did; at first, when the link was opened.
    pub(super) pongs: (u64, Duration),
}

/// How far it has come.
pub(super) enum Stage {
    /// Not open yet.
    Shaking(Box<Link>),
    /// Open, or closing.
    Open(Box<Halves>),
    /// Over.
    Gone,
}

/// The halves of an open link.
pub(super) struct Halves {
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    sealer: Sealer,
}

impl End {
    fn new(link: Link) -> Self {
        let stage = Stage::Shaking(Box::new(link));
        Self { stage, wake: None, room: None, share: None, pongs: (0, Duration::ZERO) }
    }

    /// It is over, and holds nothing any more.
    pub(super) fn end(&mut self) {
        (self.stage, self.share) = (Stage::Gone, None);
    }

    /// When a machine is due. What there is to send is not due before there is room for it.
    fn next_deadline(&self, now: Duration) -> Option<Duration> {
        match &self.stage {
            Stage::Shaking(link) => link.next_deadline(),
            Stage::Open(halves) => {
                let sends = halves.outbound.next_deadline();
                let sends = sends.filter(|deadline| *deadline > now || self.room.is_none());
                [halves.inbound.next_deadline(), sends].into_iter().flatten().min()
            }
            Stage::Gone => None,
        }
    }
}

impl World {
    /// Two peers connect.
    pub(super) fn dial(&mut self, a: usize, b: usize) -> Result<(), Broken> {
        let (now, connection) = (self.schedule.now(), self.next_connection);
        self.next_connection += 1;
        self.report.connections += 1;
        let mut rng = ChaCha20Rng::from_rng(&mut self.rng);
        let session = session::Config { network_id: NETWORK_ID, security: self.config.security };
        let config =
            |host: usize| Arc::new(machine::Config::new(session, self.rules_of(self.hosts[host].behaviour)));
        let peer = self.hosts[b].identity.peer_id();
        let ends = [
            End::new(Link::dial(now, config(a), &self.hosts[a].identity, Some(peer), &mut rng)),
            End::new(Link::accept(now, config(b), &self.hosts[b].identity, &mut rng)),
        ];
        let lines = [Line::new(self.config.line), Line::new(self.config.line)];
        let made = Connection { hosts: [a, b], ends, lines, harmed: None, cut: None };
        self.connections.insert(connection, made);
        self.note(&format!("connection {connection}: {a} dials {b}"));
        for side in [0, 1] {
            self.tell_link(connection, side, machine::Input::BearerUp)?;
            self.pump(connection, side)?;
        }
        Ok(())
    }

    /// Bytes arrive at an end.
    pub(super) fn on_bytes(
        &mut self,
        connection: ConnectionId,
        side: usize,
        mut bytes: &mut [u8],
    ) -> Result<(), Broken> {
        self.tell_link(connection, side, machine::Input::Received(&mut bytes))?;
        if !bytes.is_empty() {
            self.tell_inbound(connection, side, inbound::Input::Received(bytes))?;
        }
        self.pump(connection, side)
    }

    /// The other end has ended what it sends, or the connection broke.
    pub(super) fn on_end_of_line(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        if self.config.sabotage == Some(Sabotage::ClosesSilently) {
            return self.on_gone(connection, side, None);
        }
        self.close(connection, side, Reason::Eof)
    }

    /// A link is to end.
    pub(super) fn close(
        &mut self,
        connection: ConnectionId,
        side: usize,
        reason: Reason,
    ) -> Result<(), Broken> {
        self.tell_link(connection, side, machine::Input::Close(reason.clone()))?;
        self.tell_outbound(connection, side, outbound::Input::Close(reason))?;
        self.pump(connection, side)
    }

    pub(super) fn on_tick(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
        it.ends[side].wake = None;
        if self.config.sabotage == Some(Sabotage::IgnoresDeadlines) {
            return Ok(());
        }
        self.tell_link(connection, side, machine::Input::Tick)?;
        self.tell_inbound(connection, side, inbound::Input::Tick)?;
        self.tell_outbound(connection, side, outbound::Input::Tick)?;
        self.pump(connection, side)
    }

    pub(super) fn on_room(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
        it.ends[side].room = None;
        self.pump(connection, side)
    }

    /// The application is done with messages of an end.
    pub(super) fn taken(
        &mut self,
        connection: ConnectionId,
        side: usize,
        channel: Protocol,
        bytes: u32,
    ) -> Result<(), Broken> {
        self.tell_inbound(connection, side, inbound::Input::Taken { channel, bytes })
    }

    /// Writes what there is to write, as far as the bearer takes it, and sees to the next deadline.
    pub(super) fn pump(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        let now = self.schedule.now().mono;
        loop {
            let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
            let (end, line) = (&mut it.ends[side], &it.lines[side]);
            if let Some(room) = line.full_until(now, self.config.write_bytes) {
                if end.room.is_none() {
                    end.room = Some(room);
                    self.schedule.at(room, Event::Room { connection, side });
                }
                break;
            }
            let bytes = self.take(connection, side);
            if bytes.is_empty() {
                break;
            }
            self.put(connection, side, bytes);
            self.tell_link(connection, side, machine::Input::Flushed)?;
            self.tell_outbound(connection, side, outbound::Input::Flushed)?;
        }
        self.wake(connection, side);
        Ok(())
    }

    /// Takes from an end's machines what is to be written at once.
    fn take(&mut self, connection: ConnectionId, side: usize) -> Vec<u8> {
        let (now, mut bytes) = (self.schedule.now(), Vec::new());
        let forges = self.is_chaos() && self.behaviour(connection, side) == Behaviour::Forger;
        let Some(it) = self.connections.get_mut(&connection) else { return bytes };
        match &mut it.ends[side].stage {
            Stage::Gone => {}
            Stage::Shaking(link) => link.transmit(&mut bytes),
            Stage::Open(halves) => {
                let mut batch = Batch::new();
                halves.outbound.take(now, self.config.write_bytes, &mut batch);
                halves.inbound.check_invariants();
                halves.outbound.check_invariants();
                if !forges {
                    batch.seal(&mut halves.sealer, &mut bytes).expect("few frames are sealed");
                    return bytes;
                }
                for (mut head, payload) in batch.segments() {
                    let mut payload = payload.flatten().copied().collect::<Vec<u8>>();
                    if self.rng.random_bool(FORGED) {
                        forge(&mut head, &mut payload, &mut self.rng);
                    }
                    if self.rng.random_bool(BAD_FRAME) {
                        bytes.extend_from_slice(&bad_frame(&mut self.rng));
                    }
                    halves.sealer.seal(head, [payload], &mut bytes).expect("few frames are sealed");
                }
            }
        }
        bytes
    }

    /// Gives bytes to the bearer.
    fn put(&mut self, connection: ConnectionId, side: usize, mut bytes: Vec<u8>) {
        let now = self.schedule.now().mono;
        let tampers = self.is_chaos() && self.behaviour(connection, side) == Behaviour::Tampered;
        let Some(it) = self.connections.get_mut(&connection) else { return };
        if tampers && self.rng.random_bool(TAMPERED) {
            it.harmed.get_or_insert(now);
            tamper(&mut bytes, &mut self.rng);
        }
        for at in it.lines[side].send(now, &bytes, &mut self.rng) {
            self.schedule.at(at, Event::Arrive { connection, side: 1 - side });
        }
    }

    /// Schedules the next tick of an end, unless a sooner one is.
    fn wake(&mut self, connection: ConnectionId, side: usize) {
        let now = self.schedule.now().mono;
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let end = &mut it.ends[side];
        let Some(deadline) = end.next_deadline(now) else { return };
        if end.wake.is_none_or(|wake| deadline < wake) {
            end.wake = Some(deadline);
            self.schedule.at(deadline, Event::Tick { connection, side });
        }
    }

    /// Tells the machine of a link that is not open, if it is not.
    fn tell_link(
        &mut self,
        connection: ConnectionId,
        side: usize,
        input: machine::Input<'_, '_>,
    ) -> Result<(), Broken> {
        let now = self.schedule.now();
        let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
        let Stage::Shaking(link) = &mut it.ends[side].stage else { return Ok(()) };
        let mut out = Vec::new();
        link.handle(now, input, &mut out);
        for output in out {
            match output {
                machine::Output::Authenticated { .. } => {
                    let verdict = self.verdict(connection, side);
                    self.tell_link(connection, side, verdict)?;
                }
                machine::Output::Open => self.open(connection, side)?,
                machine::Output::Closed(reason) => self.on_gone(connection, side, Some(reason))?,
            }
        }
        Ok(())
    }

    /// Lets a peer in, where there is memory for another link: what dead links brought may still hold it all.
    fn verdict(&mut self, connection: ConnectionId, side: usize) -> machine::Input<'static, 'static> {
        let Some(it) = self.connections.get_mut(&connection) else { return machine::Input::Tick };
        let share = self.hosts[it.hosts[side]].budget.share(FLOOR_BYTES);
        let verdict = match share {
            Some(_) => machine::Input::Allowed,
            None => machine::Input::Close(Reason::NoPlace),
        };
        it.ends[side].share = share;
        verdict
    }

    /// A link is open: it is taken apart, and the application begins to talk.
    fn open(&mut self, connection: ConnectionId, side: usize) -> Result<(), Broken> {
        let now = self.schedule.now();
        let bytes = self.take(connection, side);
        if !bytes.is_empty() {
            self.put(connection, side, bytes);
        }
        let Some(it) = self.connections.get_mut(&connection) else { return Ok(()) };
        let (host, end) = (it.hosts[side], &mut it.ends[side]);
        let share = end.share.take().expect("it was set aside when the peer was let in");
        let Stage::Shaking(link) = std::mem::replace(&mut end.stage, Stage::Gone) else { return Ok(()) };
        let machine::Halves { inbound, outbound, sealer, .. } = link.split(now, share);
        end.stage = Stage::Open(Box::new(Halves { inbound, outbound, sealer }));
        end.pongs = (0, now.mono);
        self.note(&format!("connection {connection} is open at {host}"));
        self.begin_talk(connection, side);
        Ok(())
    }
}
