//! From a bearer to an open socket: the handshake and the hellos, as one future.
//!
//! It drives a [`Link`] over the bearer and asks whoever called it about the key that the peer proved. It runs in a
//! task that is counted apart from the sockets'; dropping it drops the bearer. Deadlines are the link's own.

use std::any::Any;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};

use link::budget::Budget;
use link::link::{Halves, Input, Link, Output};
use link::reason::Reason;
use link::session::Sealer;
use link::{PeerId, Time};
use tokio_util::task::TaskTracker;

use super::alarm::Alarm;
use super::bearer::{Bearer, Reader, Writer};
use super::buffers;
use super::config::Config;
use super::handle::{Above, Socket};
use super::{read, write};
use crate::network::clock::Clock;
use crate::network::status::Direction;

/// What becomes a socket, if all goes well.
pub(in crate::network) struct Opening {
    pub(in crate::network) bearer: Bearer,
    /// New: its bearer is not up yet for all that it knows.
    pub(in crate::network) link: Link,
    pub(in crate::network) direction: Direction,
    /// Of which the link gets its part when it opens.
    pub(in crate::network) budget: Budget,
    /// What is always its own of it.
    pub(in crate::network) floor_bytes: u32,
    pub(in crate::network) config: Config,
    pub(in crate::network) clock: Clock,
}

/// A socket whose routines do not run yet.
pub(in crate::network) struct Opened {
    socket: Arc<Socket>,
    reader: Reader,
    writer: Writer,
    sealer: Sealer,
    early: Vec<u8>,
}

/// Brings a link up. `allow` is asked once, when the peer has proved its key.
///
/// # Errors
/// When the link has ended on the way.
pub(in crate::network) async fn open(
    opening: Opening,
    allow: impl FnOnce(PeerId) -> Result<(), Reason>,
) -> Result<Opened, Reason> {
    let Opening { bearer, link, direction, budget, floor_bytes, config, clock } = opening;
    let (reader, writer) = bearer.split();
    let mut steps = Steps {
        link,
        reader,
        writer,
        alarm: Alarm::default(),
        config,
        clock,
        allow: Some(allow),
        unsent: Vec::new(),
        early: Vec::new(),
        is_open: false,
    };
    steps.handle(Input::BearerUp);
    let ended = poll_fn(|cx| steps.turn(cx)).await;
    let share = budget.share(floor_bytes);
    let reason = ended.or(share.is_none().then_some(Reason::NoPlace));
    let (None, Some(share)) = (&reason, share) else {
        return Err(reason.expect("there is a reason"));
    };
    let Halves { peer, agreed, inbound, outbound, sealer } = steps.link.split(clock.now(), share);
    let socket = Socket::new(peer, direction, agreed, (inbound, outbound), config, clock);
    let Steps { reader, writer, early, .. } = steps;
    Ok(Opened { socket, reader, writer, sealer, early })
}

impl Opened {
    /// The socket, to be shown around before its first message is delivered.
    pub(in crate::network) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Starts the two routines. `place` is dropped when both have ended.
    pub(in crate::network) fn start(
        self,
        above: Arc<dyn Above>,
        place: Box<dyn Any + Send>,
        tasks: &TaskTracker,
    ) {
        let Self { socket, reader, writer, sealer, early } = self;
        socket.own(above.clone(), place);
        tasks.spawn(write::Routine::new(socket.clone(), writer, sealer));
        tasks.spawn(read::Routine::new(socket, above, reader, early));
    }
}

/// What is under way.
struct Steps<F> {
    link: Link,
    reader: Reader,
    writer: Writer,
    alarm: Alarm,
    config: Config,
    clock: Clock,
    allow: Option<F>,
    /// Not taken by the bearer yet.
    unsent: Vec<u8>,
    /// What came behind the frame that opened the link.
    early: Vec<u8>,
    is_open: bool,
}

impl<F: FnOnce(PeerId) -> Result<(), Reason>> Steps<F> {
    /// Goes as far as it can; ready when the link is open, or has ended for the reason that is given.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        loop {
            let is_sent = self.write(cx).is_ready();
            if let Some(reason) = self.ended() {
                return Poll::Ready(Some(reason));
            }
            if self.is_open && is_sent {
                return Poll::Ready(None);
            }
            let is_waiting = self.is_open || !self.link.life().state().is_live();
            if !is_waiting && self.read(cx).is_ready() {
                continue;
            }
            let deadline = self.link.next_deadline();
            if self.alarm.poll(cx, &self.clock, deadline).is_pending() {
                return Poll::Pending;
            }
            self.handle(Input::Tick);
        }
    }

    /// Writes what the link has to say; ready when all of it is gone.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.transmit(&mut self.unsent);
        while !self.unsent.is_empty() {
            match self.writer.poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(wrote)) if wrote > 0 => drop(self.unsent.drain(..wrote)),
                Poll::Ready(wrote) => {
                    let kind = wrote.map_or_else(|error| error.kind(), |_| ErrorKind::WriteZero);
                    self.unsent.clear();
                    self.handle(Input::Close(Reason::WriteFailed(kind)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.link.life().state().is_live() {
            self.handle(Input::Flushed);
        }
        Poll::Ready(())
    }

    /// Reads once; pending where nothing has come.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        buffers::with_read(self.config.read_bytes, |scratch| {
            let read = self.reader.poll_read(cx, scratch);
            read.map(|read| match read {
                Ok(0) => self.handle(Input::Close(Reason::Eof)),
                Ok(bytes) => {
                    let mut bytes = &mut scratch[..bytes];
                    self.handle(Input::Received(&mut bytes));
                    self.early.extend_from_slice(bytes);
                }
                Err(error) => self.handle(Input::Close(Reason::ReadFailed(error.kind()))),
            })
        })
    }

    fn handle(&mut self, input: Input<'_, '_>) {
        let mut outputs = Vec::new();
        let now: Time = self.clock.now();
        self.link.handle(now, input, &mut outputs);
        for output in outputs {
            match output {
                Output::Authenticated { peer } => {
                    let allow = self.allow.take().expect("a key is proven once");
                    self.handle(allow(peer).map_or_else(Input::Close, |()| Input::Allowed));
                }
                Output::Open => self.is_open = true,
                // The link's life says so as well.
                Output::Closed(_) => {}
            }
        }
    }

    /// Why it is over, if it is.
    fn ended(&self) -> Option<Reason> {
        let life = self.link.life();
        life.reason().cloned().filter(|_| life.state() == link::state::State::Closed)
    }
}
