//! Following any node-to-node server without keeping anything: what it rolls forward and back to, and the
//! blocks on demand.
//!
//! Nothing is checked that needs the chain before: a header's hash is computed from its bytes, a block must be
//! the one of its header, and that is all. [`crate::runtime`] is for who wants to trust what comes.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::format::Reason;
use chain::{Block, DecodeError, Format, Hash, Header, Point, Tip, cardano, native};
use ouroboros::upstream::{self, Command};

use crate::clock::Clock;
use crate::connection::{self, Connection, Told};
use crate::network_id::NetworkId;

/// Headers asked for ahead: as many as reference clients pipeline.
const WINDOW: u32 = 300;

/// Blocks asked for at once: enough that the round trip does not show.
const MAX_RANGE: usize = 128;

/// The handshake's own limit.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server, as `HOST:PORT`.
    pub server: String,
    /// What to speak with it.
    pub speech: Speech,
    /// Where to begin.
    pub start: Start,
    /// Whether to fetch each block too.
    pub blocks: bool,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the server's tip.
    Tip,
    /// At a point, or at origin.
    Point(Point),
}

/// The magic to greet with, and how to read what comes.
#[derive(Debug, Clone)]
pub struct Speech {
    magic: u32,
    formats: Vec<Format>,
}

impl Speech {
    /// A network's own.
    pub fn of(network: &NetworkId) -> Self {
        Self { magic: network.magic, formats: vec![network.format.clone()] }
    }

    /// A network of which no more than the magic is known: headers of either kind are read.
    pub fn of_magic(magic: u32) -> Self {
        let known = ["mainnet", "preprod", "preview"].into_iter().filter_map(cardano::Params::built_in);
        let known = known.into_iter().find(|params| params.magic == magic);
        let fallback = || cardano::Params::built_in("preview").expect("preview is built in");
        let cardano = Format::Cardano(Arc::new(known.unwrap_or_else(fallback)));
        // Reading a native header needs none of its genesis.
        let native = Format::Native(Arc::new(native::Params::solo("unknown", magic, 0, [0; 32])));
        Self { magic, formats: vec![native, cardano] }
    }

    fn read<T>(&self, read: impl Fn(&Format) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let mut tried = self.formats.iter().map(read);
        let first = tried.next().expect("there is at least one format");
        first.or_else(|error| tried.find_map(Result::ok).ok_or(error))
    }
}

/// What the server's chain did.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly every event is a Forward")]
pub enum Event {
    /// It goes on with this header.
    Forward {
        /// The header.
        header: Header,
        /// The block, if blocks are wanted and the server still has it.
        block: Option<Block>,
        /// Where the chain ends.
        tip: Tip,
    },
    /// It goes on from here.
    Backward {
        /// The point.
        point: Point,
        /// Where the chain ends.
        tip: Tip,
    },
}

/// Why following ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection.
    #[error("cannot connect to {server}: {source}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        source: connection::Error,
    },
    /// The server refused the handshake.
    #[error("{server}: {reason}")]
    Refused {
        /// The server.
        server: String,
        /// In its words.
        reason: String,
    },
    /// The connection ended.
    #[error("the connection ended: {reason}")]
    Closed {
        /// Why.
        reason: String,
    },
    /// The server does not have the point to begin at.
    #[error("the server's chain does not have {point}")]
    NoIntersection {
        /// The point.
        point: Point,
    },
    /// A header or a block that cannot be read.
    #[error("the server sent something that cannot be read: {0}")]
    Undecodable(#[from] DecodeError),
    /// A block that was not asked for.
    #[error("the server sent block {found} in place of {wanted}")]
    OtherBlock {
        /// What came.
        found: Hash,
        /// What was due.
        wanted: Hash,
    },
    /// A block that is not the one of its header.
    #[error("the server sent a block that does not fit its header: {0}")]
    BadBlock(Reason),
}

/// A connection that follows a chain.
#[derive(Debug)]
pub struct Follower {
    connection: Connection,
    server: String,
    speech: Speech,
    blocks: bool,
    /// What has come and was not handed out, in order.
    waiting: VecDeque<Event>,
    /// The headers, the first of `waiting`, whose blocks have been asked for.
    in_range: usize,
    /// Blocks of the range that have come.
    received: usize,
    /// A range was asked for, and its end has not come: it may come after the last block was handed out.
    under_way: bool,
}

impl Follower {
    /// Connects, and stands where [`Config::start`] says.
    ///
    /// # Errors
    /// When there is no connection, no common network, or no such point.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        let Config { server, speech, start, blocks } = config;
        let machine = upstream::Config::new(speech.magic);
        let line = connection::Config { machine, dial_timeout: DIAL_TIMEOUT };
        let connection = Connection::dial(server.clone(), line, Clock::start())
            .await
            .map_err(|source| Error::Unreachable { server: server.clone(), source })?;
        let waiting = VecDeque::new();
        let mut follower =
            Self { connection, server, speech, blocks, waiting, in_range: 0, received: 0, under_way: false };
        follower.expect_ready().await?;
        let point = match start {
            Start::Point(point) => point,
            Start::Tip => follower.intersect(Vec::new()).await?.1.point,
        };
        if follower.intersect(vec![point]).await?.0.is_none() {
            return Err(Error::NoIntersection { point });
        }
        follower.connection.command(Command::Demand { n: WINDOW });
        Ok(follower)
    }

    /// The next thing that the chain does. May be cancelled without loss.
    ///
    /// # Errors
    /// When the connection ends or the server sends nonsense.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.take() {
                if self.waiting.is_empty() && self.waiting.capacity() > WINDOW as usize {
                    self.waiting.shrink_to(WINDOW as usize);
                }
                self.connection.command(Command::Demand { n: 1 });
                return Ok(event);
            }
            self.ask_blocks();
            for event in self.told().await? {
                self.on_event(event)?;
            }
        }
    }

    /// Says farewell.
    pub async fn finish(self) {
        self.connection.finish().await;
    }

    /// The first waiting event, once nothing is missing of it.
    fn take(&mut self) -> Option<Event> {
        if self.blocks && matches!(self.waiting.front()?, Event::Forward { .. }) {
            self.received = self.received.checked_sub(1)?;
            self.in_range -= 1;
        }
        self.waiting.pop_front()
    }

    /// Asks for the blocks of the first waiting headers, unless a range is under way.
    fn ask_blocks(&mut self) {
        if !self.blocks || self.under_way {
            return;
        }
        let points: Vec<Point> = self.waiting.iter().take(MAX_RANGE).map_while(Event::forward_to).collect();
        if let (Some(from), Some(to)) = (points.first(), points.last()) {
            self.in_range = points.len();
            self.under_way = true;
            self.connection.command(Command::Fetch { from: *from, to: *to });
        }
    }

    fn on_event(&mut self, event: upstream::Event) -> Result<(), Error> {
        match event {
            upstream::Event::Forward { wire, tip } => {
                let header = self.speech.read(|format| format.header(&wire))?;
                self.waiting.push_back(Event::Forward { header, block: None, tip });
            }
            upstream::Event::Backward { point, tip } => {
                self.waiting.push_back(Event::Backward { point, tip });
            }
            upstream::Event::Block { raw } => self.on_block(&raw)?,
            // Rolled back meanwhile, or fewer than announced: the rest goes without.
            upstream::Event::NoBlocks | upstream::Event::BatchDone => {
                self.received = self.in_range;
                self.under_way = false;
            }
            upstream::Event::Ready { .. }
            | upstream::Event::Intersected { .. }
            | upstream::Event::NotIntersected { .. }
            | upstream::Event::Waiting
            | upstream::Event::BatchStarted
            | upstream::Event::Rtt { .. }
            | upstream::Event::Peers { .. }
            | upstream::Event::Closed { .. } => {}
        }
        Ok(())
    }

    fn on_block(&mut self, raw: &Bytes) -> Result<(), Error> {
        let read = self.speech.read(|format| Ok((format.block(raw)?, format.clone())))?;
        let (found, format) = read;
        let due = self.waiting.get_mut(self.received);
        let Some(Event::Forward { header, block, .. }) = due.filter(|_| self.received < self.in_range) else {
            let wanted = Hash::default();
            return Err(Error::OtherBlock { found: found.header.id, wanted });
        };
        if found.header.id != header.id {
            return Err(Error::OtherBlock { found: found.header.id, wanted: header.id });
        }
        format.check_body(&found).map_err(Error::BadBlock)?;
        *block = Some(found);
        self.received += 1;
        Ok(())
    }

    async fn expect_ready(&mut self) -> Result<(), Error> {
        loop {
            let told = self.connection.next().await;
            let refused = |reason: String| Error::Refused { server: self.server.clone(), reason };
            match told {
                Told::Lost(reason) => return Err(refused(reason)),
                Told::Events(events) => {
                    for event in events {
                        match event {
                            upstream::Event::Ready { .. } => return Ok(()),
                            upstream::Event::Closed { reason } => return Err(refused(reason.to_string())),
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    /// Asks for an intersection; gives the point found, if any, and the server's tip.
    async fn intersect(&mut self, points: Vec<Point>) -> Result<(Option<Point>, Tip), Error> {
        self.connection.command(Command::Intersect { points });
        loop {
            for event in self.told().await? {
                match event {
                    upstream::Event::Intersected { point, tip } => return Ok((Some(point), tip)),
                    upstream::Event::NotIntersected { tip } => return Ok((None, tip)),
                    _ => {}
                }
            }
        }
    }

    async fn told(&mut self) -> Result<Vec<upstream::Event>, Error> {
        match self.connection.next().await {
            Told::Lost(reason) => Err(Error::Closed { reason }),
            Told::Events(events) => {
                let closed = events.iter().find_map(|event| match event {
                    upstream::Event::Closed { reason } => Some(reason.to_string()),
                    _ => None,
                });
                closed.map_or(Ok(events), |reason| Err(Error::Closed { reason }))
            }
        }
    }
}

impl Event {
    fn forward_to(&self) -> Option<Point> {
        match self {
            Self::Forward { header, .. } => Some(header.point()),
            Self::Backward { .. } => None,
        }
    }
}
