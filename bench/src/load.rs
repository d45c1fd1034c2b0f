//! The load: followers in a process of their own, one epoll loop, every header and block decoded.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rustix::event::epoll;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::process;
use crate::wire::{self, Batch, FROM_RESPONDER, Point, Said};

/// As much as one read of a stream may bring.
const READ_BYTES: usize = 1 << 18;

/// What the followers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Ask for headers, `window` at a time, and begin again at origin when they have all.
    Follow,
    /// Wait at the tip.
    Tip,
    /// Ask for all blocks again and again.
    Blocks,
}

/// How a load is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    pub(crate) role: Role,
    #[arg(long)]
    pub(crate) port: u16,
    /// How many followers.
    #[arg(long, default_value_t = 1)]
    pub(crate) count: usize,
    /// How many requests a follower has under way.
    #[arg(long, default_value_t = 1)]
    pub(crate) window: usize,
    /// Stop after this time.
    #[arg(long, default_value_t = 3_600.0)]
    pub(crate) seconds: f64,
    /// Stop each follower after so many headers.
    #[arg(long)]
    pub(crate) each: Option<u64>,
    /// The first block of the chain.
    #[arg(long, default_value = "origin")]
    pub(crate) first: Point,
    /// The last block of the chain.
    #[arg(long, default_value = "origin")]
    pub(crate) last: Point,
    /// How many blocks the chain has.
    #[arg(long, default_value_t = usize::MAX - 1)]
    pub(crate) blocks: usize,
}

/// All followers stand where they shall.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Connected {
    /// How many.
    pub(crate) connected: usize,
}

/// What a load got.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Got {
    /// Headers or blocks decoded.
    pub(crate) items: u64,
    /// Their bytes (blocks alone).
    pub(crate) bytes: u64,
    /// In which time.
    pub(crate) seconds: f64,
}

/// When the last follower had the new tip.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Last {
    /// On the clock that all processes share.
    pub(crate) last_ns: u64,
}

/// Runs a load; it ends with its standard input.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let start = if args.role == Role::Tip { args.last } else { Point(None) };
    let mut followers = Vec::with_capacity(args.count);
    for _ in 0..args.count {
        followers.push(Follower::connect(args, start)?);
    }
    let mut load = Load::new(followers)?;
    process::say(&Connected { connected: args.count })?;
    let mut lines = std::io::stdin().lock().lines();
    while let Some(line) = lines.next().transpose()? {
        ensure!(line == "go", "a load knows `go` alone");
        match args.role {
            Role::Tip => process::say(&load.tip()?)?,
            Role::Follow | Role::Blocks => process::say(&load.pull(args)?)?,
        }
    }
    Ok(())
}

struct Load {
    epoll: OwnedFd,
    followers: Vec<Follower>,
    scratch: Vec<u8>,
}

impl Load {
    fn new(followers: Vec<Follower>) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, follower) in followers.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &follower.socket, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        }
        Ok(Self { epoll, followers, scratch: vec![0; READ_BYTES] })
    }

    /// Has all followers ask until the time is over or each has its number.
    fn pull(&mut self, args: &Args) -> anyhow::Result<Got> {
        let started = Instant::now();
        let end = started + Duration::from_secs_f64(args.seconds);
        for follower in &mut self.followers {
            follower.ask(args.window)?;
        }
        let mut events = Vec::with_capacity(1_024);
        let mut open = self.followers.len();
        while open > 0 && Instant::now() < end {
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timespec(&end)))?;
            for event in events.drain(..) {
                let follower = &mut self.followers[event.data.u64() as usize];
                let was = follower.items;
                follower.read(&mut self.scratch)?;
                match args.each {
                    Some(each) if was < each && follower.items >= each => open -= 1,
                    Some(each) if follower.items >= each => {}
                    _ => follower.continue_with()?,
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let items = self.followers.iter().map(|f| f.items).sum();
        Ok(Got { items, bytes: self.followers.iter().map(|f| f.bytes).sum(), seconds })
    }

    /// Waits until every follower has one header more and stands at the tip again.
    fn tip(&mut self) -> anyhow::Result<Last> {
        let target = self.followers[0].items + 1;
        let mut last_ns = 0;
        self.until(|follower| follower.items >= target, Some(&mut last_ns))?;
        for follower in &mut self.followers {
            follower.send(&wire::REQUEST_NEXT)?;
        }
        self.until(|follower| follower.waiting, None)?;
        Ok(Last { last_ns })
    }

    fn until(&mut self, done: impl Fn(&Follower) -> bool, mut last: Option<&mut u64>) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(1_024);
        let mut open = self.followers.iter().filter(|follower| !done(follower)).count();
        while open > 0 {
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                let follower = &mut self.followers[event.data.u64() as usize];
                let before = done(follower);
                follower.read(&mut self.scratch)?;
                open -= usize::from(!before && done(follower));
            }
            if let Some(last) = &mut last {
                **last = process::clock_ns();
            }
        }
        Ok(())
    }
}

fn timespec(end: &Instant) -> rustix::time::Timespec {
    let left = end.saturating_duration_since(Instant::now());
    rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
}

/// One follower.
struct Follower {
    socket: TcpStream,
    role: Role,
    window: usize,
    first: Point,
    last: Point,
    blocks: usize,
    /// How many requests it may still make before it begins again.
    left: usize,
    /// Bytes of a segment that has not come whole.
    rest: Vec<u8>,
    /// Bytes of a message that has not come whole.
    message: Vec<u8>,
    /// Headers or blocks so far.
    items: u64,
    bytes: u64,
    /// Requests without an answer.
    under_way: usize,
    /// The slot (headers) or block number (blocks) of the last; they must grow.
    grows: Option<u64>,
    /// Whether the server said to wait.
    waiting: bool,
}

impl Follower {
    /// Connects, shakes hands, goes to `start`, and up to where the first header would come.
    fn connect(args: &Args, start: Point) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", args.port))?;
        socket.set_nodelay(true)?;
        let mut follower = Self {
            socket,
            role: args.role,
            window: args.window,
            first: args.first,
            last: args.last,
            blocks: args.blocks,
            left: if args.role == Role::Blocks { usize::MAX } else { args.blocks },
            rest: Vec::new(),
            message: Vec::new(),
            items: 0,
            bytes: 0,
            under_way: 0,
            grows: None,
            waiting: false,
        };
        follower.exchange(wire::HANDSHAKE, &wire::propose())?;
        if args.role != Role::Blocks {
            let found = follower.exchange(wire::CHAIN_SYNC, &wire::find_intersect(&start))?;
            ensure!(matches!(wire::chain_sync(&found)?, Some((Said::Found, _))), "no intersection");
            let back = follower.exchange(wire::CHAIN_SYNC, &[0x81, 0x00])?;
            ensure!(matches!(wire::chain_sync(&back)?, Some((Said::Backward, _))), "no roll-back");
        }
        if args.role == Role::Tip {
            let wait = follower.exchange(wire::CHAIN_SYNC, &[0x81, 0x00])?;
            ensure!(matches!(wire::chain_sync(&wait)?, Some((Said::Await, _))), "not at the tip");
            follower.waiting = true;
        }
        follower.socket.set_nonblocking(true)?;
        Ok(follower)
    }

    /// Sends one message and returns the payload of the one segment that answers.
    fn exchange(&mut self, protocol: u16, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut out = Vec::new();
        wire::segments(protocol, message, &mut out);
        self.socket.write_all(&out)?;
        let mut header = [0; wire::SEGMENT_HEADER];
        self.socket.read_exact(&mut header)?;
        let mut payload = vec![0; u16::from_be_bytes([header[6], header[7]]) as usize];
        self.socket.read_exact(&mut payload)?;
        ensure!(u16::from_be_bytes([header[4], header[5]]) == protocol | FROM_RESPONDER, "another protocol");
        Ok(payload)
    }

    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let wrote = self.socket.write(bytes)?;
        ensure!(wrote == bytes.len(), "a request did not fit");
        Ok(())
    }

    /// Sends `count` requests, or as many as the chain has left.
    fn ask(&mut self, count: usize) -> anyhow::Result<()> {
        let count = count.min(self.left);
        self.left -= count;
        match self.role {
            _ if count == 0 => {}
            Role::Follow | Role::Tip if count == 1 => self.send(&wire::REQUEST_NEXT)?,
            Role::Follow | Role::Tip => {
                let mut out = Vec::new();
                wire::segments(wire::CHAIN_SYNC, &[0x81, 0x00].repeat(count), &mut out);
                self.send(&out)?;
            }
            Role::Blocks => {
                let mut out = Vec::new();
                let request = wire::request_range(&self.first, &self.last);
                wire::segments(wire::BLOCK_FETCH, &request, &mut out);
                self.send(&out)?;
            }
        }
        self.under_way += count;
        Ok(())
    }

    /// Asks for what the window allows; begins again at origin when everything has come.
    fn continue_with(&mut self) -> anyhow::Result<()> {
        if self.left == 0 && self.under_way == 0 {
            self.grows = None;
            self.left = self.blocks;
            if self.role == Role::Follow {
                let mut out = Vec::new();
                wire::segments(wire::CHAIN_SYNC, &wire::find_intersect(&Point(None)), &mut out);
                self.send(&out)?;
                // The first answer is the roll-back.
                self.left += 1;
            }
            return self.ask(self.window);
        }
        // Refilled when half is gone, as the reference's clients do: fewer, larger writes.
        if self.under_way * 2 <= self.window {
            self.ask(self.window - self.under_way)?;
        }
        Ok(())
    }

    /// Reads and decodes all that the socket has.
    fn read(&mut self, scratch: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let got = match rustix::io::read(self.socket.as_fd(), &mut *scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(got) => got,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if self.rest.is_empty() {
                let left = self.segments(&scratch[..got])?;
                self.rest.extend_from_slice(left);
            } else {
                let mut bytes = std::mem::take(&mut self.rest);
                bytes.extend_from_slice(&scratch[..got]);
                let left = self.segments(&bytes)?.len();
                bytes.drain(..bytes.len() - left);
                self.rest = bytes;
            }
            if got < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Takes the whole segments; returns what is left over.
    fn segments<'a>(&mut self, mut bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        while bytes.len() >= wire::SEGMENT_HEADER {
            let end = 8 + u16::from_be_bytes([bytes[6], bytes[7]]) as usize;
            if bytes.len() < end {
                break;
            }
            if self.message.is_empty() {
                let left = self.messages(&bytes[8..end])?;
                self.message.extend_from_slice(left);
            } else {
                let mut message = std::mem::take(&mut self.message);
                message.extend_from_slice(&bytes[8..end]);
                let left = self.messages(&message)?.len();
                message.drain(..message.len() - left);
                self.message = message;
            }
            bytes = &bytes[end..];
        }
        Ok(bytes)
    }

    /// Takes the whole messages; returns what is left over.
    fn messages<'a>(&mut self, mut bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        while !bytes.is_empty() {
            let used = match self.role {
                Role::Follow | Role::Tip => match wire::chain_sync(bytes)? {
                    Some((said, used)) => {
                        self.on_header(said)?;
                        used
                    }
                    None => break,
                },
                Role::Blocks => match wire::block_fetch(bytes)? {
                    Some((said, used)) => {
                        self.on_batch(said)?;
                        used
                    }
                    None => break,
                },
            };
            bytes = &bytes[used..];
        }
        Ok(bytes)
    }

    fn on_header(&mut self, said: Said) -> anyhow::Result<()> {
        match said {
            Said::Forward { slot, .. } => {
                ensure!(self.grows.is_none_or(|last| last < slot), "slot {slot} out of order");
                self.grows = Some(slot);
                self.items += 1;
                self.waiting = false;
                self.under_way = self.under_way.saturating_sub(1);
            }
            Said::Backward => self.under_way -= 1,
            Said::Await => self.waiting = true,
            Said::Found => {}
        }
        Ok(())
    }

    fn on_batch(&mut self, said: Batch) -> anyhow::Result<()> {
        match said {
            Batch::Start => {}
            Batch::Block { bytes, height } => {
                ensure!(self.grows.is_none_or(|last| last < height), "block {height} out of order");
                self.grows = Some(height);
                self.items += 1;
                self.bytes += bytes as u64;
            }
            Batch::Done => {
                self.under_way -= 1;
                self.grows = None;
            }
        }
        Ok(())
    }
}
