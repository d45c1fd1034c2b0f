//! One connection to a server that we follow: a TCP stream driven by ouroboros' upstream machine.
//!
//! Used by the engine, and by [`Follower`](crate::follow::Follower) for a look at any server. It waits for the
//! socket or the machine's deadline and hands up what the machine says; it judges nothing.

use std::io;
use std::time::Duration;

use link::Time;
use ouroboros::upstream::{self, Command, Event, Input};
use rand::rngs::SysRng;
use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::clock::Clock;

/// Read at once: some large segments.
const READ_BYTES: usize = 128 << 10;

/// Read before what was said is handed up: bounds the events of one turn.
const TURN_BYTES: usize = 4 * READ_BYTES;

/// Written at once: what an initiator has to say is small.
const WRITE_BYTES: usize = 64 << 10;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How to speak with a server, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The machine's own.
    pub machine: upstream::Config,
    /// How long a dial may take, the look-up of its name included.
    pub dial_timeout: Duration,
}

/// Why a dial came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It took too long.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a connection has to tell.
#[derive(Debug)]
pub enum Told {
    /// What the machine said, in order; not empty.
    Events(Vec<Event>),
    /// The connection is gone without the machine having a part in it.
    Lost(String),
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    machine: upstream::State,
    clock: Clock,
    received: Box<[u8]>,
    unsent: Vec<u8>,
    sent: usize,
    events: Vec<Event>,
}

impl Connection {
    /// Dials `HOST:PORT`; the machine's proposal is sent with the first [`next`](Self::next).
    ///
    /// # Errors
    /// When there is no connection in time.
    pub async fn dial(address: String, config: Config, clock: Clock) -> Result<Self, Error> {
        let dial = tokio::time::timeout(config.dial_timeout, TcpStream::connect(&address));
        let stream = dial.await.map_err(|_| Error::Timeout(config.dial_timeout))??;
        // Requests are small and answers are waited for.
        stream.set_nodelay(true)?;
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        let machine = upstream::State::new(&config.machine, clock.now(), ChaCha8Rng::from_seed(seed));
        Ok(Self {
            stream,
            machine,
            clock,
            received: vec![0; READ_BYTES].into(),
            unsent: Vec::new(),
            sent: 0,
            events: Vec::new(),
        })
    }

    /// Hands a command to the machine; what it says to it comes with [`next`](Self::next).
    pub fn command(&mut self, command: Command) {
        self.machine.handle(self.clock.now(), Input::Command(command), &mut self.events);
    }

    /// Waits until there is something to tell. May be cancelled at any time without loss.
    pub async fn next(&mut self) -> Told {
        loop {
            let sent = self.send();
            if !self.events.is_empty() {
                return Told::Events(std::mem::take(&mut self.events));
            }
            if let Err(error) = sent {
                return lost(&error);
            }
            let mut interest = Interest::READABLE;
            if self.sent < self.unsent.len() {
                interest |= Interest::WRITABLE;
            }
            let deadline = self.machine.next_deadline().unwrap_or(Duration::MAX);
            let ready = tokio::select! {
                biased;
                ready = self.stream.ready(interest) => Some(ready),
                () = tokio::time::sleep_until(self.clock.instant(deadline)) => None,
            };
            let done = match ready {
                Some(Ok(ready)) if ready.is_readable() => self.receive(),
                Some(Ok(_)) => Ok(()),
                Some(Err(error)) => Err(error),
                None => {
                    // What has come counts as come, also where nobody had the time to read it.
                    let received = self.receive();
                    self.machine.handle(self.clock.now(), Input::Tick, &mut self.events);
                    received
                }
            };
            if let Err(error) = done
                && self.events.is_empty()
            {
                return lost(&error);
            }
        }
    }

    /// Says farewell and closes; gives up after a second.
    pub async fn finish(mut self) {
        self.command(Command::Done);
        let flushed = async {
            while self.send().is_ok() && self.sent < self.unsent.len() {
                if self.stream.writable().await.is_err() {
                    return;
                }
            }
        };
        // A server that does not take the farewell sees the connection close instead.
        let _ = tokio::time::timeout(FAREWELL, flushed).await;
    }

    /// Reads what has come, up to a turn's worth.
    fn receive(&mut self) -> io::Result<()> {
        let mut turn = 0;
        while turn < TURN_BYTES {
            match self.stream.try_read(&mut self.received) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
                Ok(count) => {
                    let now: Time = self.clock.now();
                    let input = Input::Received(&self.received[..count]);
                    self.machine.handle(now, input, &mut self.events);
                    turn += count;
                    if count < self.received.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what the machine has to say, until the socket takes no more.
    fn send(&mut self) -> io::Result<()> {
        loop {
            if self.sent == self.unsent.len() {
                self.unsent.clear();
                self.sent = 0;
                self.machine.transmit(self.clock.now(), WRITE_BYTES, &mut self.unsent);
                if self.unsent.is_empty() {
                    // Between its messages a connection keeps no buffer.
                    self.unsent = Vec::new();
                    return Ok(());
                }
            }
            match self.stream.try_write(&self.unsent[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn lost(error: &io::Error) -> Told {
    Told::Lost(error.to_string())
}
