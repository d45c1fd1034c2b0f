//! The floor: a loop of system calls around answers made beforehand.
//!
//! It parses no more than it must to know which answer is due, checks nothing, and holds every answer in
//! memory as it goes out. No server that does its work can be much faster.

use std::io::BufRead;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::data::{self, Item};
use crate::process::{self, Ready};
use crate::wire::{self, Point};
use crate::{Serve, wire::FROM_RESPONDER};

const LISTENER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
/// As much as one write of a stream offers to the kernel.
const WRITE_BYTES: usize = 1 << 18;
const READ_BYTES: usize = 1 << 16;

/// When a server published its next block.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Swapped {
    /// On the clock that all processes share.
    pub(crate) at_ns: u64,
}

/// Every answer, made beforehand.
struct Answers {
    /// All RollForwards, each in a segment of its own.
    forwards: Vec<u8>,
    /// Where each RollForward begins; one more at the end.
    starts: Vec<usize>,
    /// The whole chain as one block-fetch batch, in segments.
    batch: Vec<u8>,
    /// Handshake accepted.
    accept: Vec<u8>,
    /// AwaitReply.
    wait: Vec<u8>,
    /// How many blocks are shown.
    shown: AtomicUsize,
    first: Point,
    last: Point,
    tip: Vec<u8>,
}

impl Answers {
    fn new(items: &[Item], shown: usize) -> Self {
        let last = &items[shown - 1];
        let tip = wire::tip(&last.point, last.height);
        let mut forwards = Vec::new();
        let mut starts = vec![0];
        for item in items {
            let message = [&[0x83, 0x02], item.wire.as_slice(), &tip].concat();
            wire::segments(wire::CHAIN_SYNC | FROM_RESPONDER, &message, &mut forwards);
            starts.push(forwards.len());
        }
        Self {
            forwards,
            starts,
            batch: batch(&items[..shown]),
            accept: framed(wire::HANDSHAKE, &wire::accept()),
            wait: framed(wire::CHAIN_SYNC, &[0x81, 0x01]),
            shown: AtomicUsize::new(shown),
            first: items[0].point,
            last: last.point,
            tip,
        }
    }
}

/// The whole chain as block-fetch sends it.
fn batch(items: &[Item]) -> Vec<u8> {
    let mut message = vec![0x81, 0x02];
    let mut out = Vec::new();
    for item in items {
        message.extend_from_slice(&[0x82, 0x04, 0xd8, 0x18]);
        message.extend_from_slice(&wire::cbor(|e| drop(e.bytes(&item.raw))));
        let whole = message.len() / wire::SEGMENT_PAYLOAD * wire::SEGMENT_PAYLOAD;
        wire::segments(wire::BLOCK_FETCH | FROM_RESPONDER, &message[..whole], &mut out);
        message.drain(..whole);
    }
    message.extend_from_slice(&[0x81, 0x05]);
    wire::segments(wire::BLOCK_FETCH | FROM_RESPONDER, &message, &mut out);
    out
}

fn framed(protocol: u16, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::segments(protocol | FROM_RESPONDER, message, &mut out);
    out
}

/// Serves until standard input ends; `swap` shows one block more.
pub(crate) fn run(serve: &Serve) -> anyhow::Result<()> {
    let items = data::chain(serve.source)?;
    let shown = items.len() - serve.hold_back;
    let bytes = items[..shown].iter().map(|item| item.raw.len()).sum();
    let answers = Arc::new(Answers::new(&items, shown));
    let (first, last) = (answers.first.to_string(), answers.last.to_string());
    drop(items);
    let mut port = 0;
    let mut wakes = Vec::new();
    for _ in 0..serve.threads {
        let listener = listen(port)?;
        port = listener.local_addr()?.port();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK)?);
        wakes.push(wake.clone());
        let answers = answers.clone();
        std::thread::spawn(move || Loop::new(listener, wake, answers).and_then(|mut l| l.run()));
    }
    process::say(&Ready { port, first, last, blocks: shown, bytes })?;
    for line in std::io::stdin().lock().lines() {
        anyhow::ensure!(line? == "swap", "a server knows `swap` alone");
        let at_ns = process::clock_ns();
        answers.shown.fetch_add(1, Ordering::Release);
        for wake in &wakes {
            rustix::io::write(wake, &1u64.to_ne_bytes())?;
        }
        process::say(&Swapped { at_ns })?;
    }
    Ok(())
}

/// A listener on loopback that shares its port with those of the other threads.
fn listen(port: u16) -> anyhow::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(4_096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// One client.
struct Conn {
    fd: OwnedFd,
    /// The next header it gets.
    next: usize,
    /// RequestNexts not answered.
    pending: usize,
    /// Whether RollBackward is due before the next header, and to where.
    back: Option<Point>,
    /// Whether it was told to wait.
    waits: bool,
    /// What of the batch it has still to get.
    batch: Range<usize>,
    /// What of the headers' bytes it has still to get.
    headers: Range<usize>,
}

struct Loop {
    listener: std::net::TcpListener,
    wake: Arc<OwnedFd>,
    epoll: OwnedFd,
    conns: Vec<Option<Conn>>,
    answers: Arc<Answers>,
    scratch: Vec<u8>,
}

impl Loop {
    fn new(l: std::net::TcpListener, wake: Arc<OwnedFd>, answers: Arc<Answers>) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &l, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self { listener: l, wake, epoll, conns: Vec::new(), answers, scratch: vec![0; READ_BYTES] })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(1_024);
        loop {
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    WAKE => self.announce()?,
                    index => self.ready(index as usize),
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(self.conns.len() as u64), flags)?;
            self.conns.push(Some(Conn {
                fd: stream.into(),
                next: 0,
                pending: 0,
                back: None,
                waits: false,
                batch: 0..0,
                headers: 0..0,
            }));
        }
        Ok(())
    }

    fn announce(&mut self) -> anyhow::Result<()> {
        rustix::io::read(&self.wake, &mut [0; 8])?;
        for conn in self.conns.iter_mut().flatten().filter(|conn| conn.waits) {
            conn.waits = false;
            conn.serve(&self.answers)?;
        }
        Ok(())
    }

    fn ready(&mut self, index: usize) {
        let Some(conn) = &mut self.conns[index] else { return };
        if conn.ready(&self.answers, &mut self.scratch).is_err() {
            self.conns[index] = None;
        }
    }
}

impl Conn {
    fn ready(&mut self, answers: &Answers, scratch: &mut [u8]) -> anyhow::Result<()> {
        self.push(answers)?;
        loop {
            let got = match rustix::io::read(self.fd.as_fd(), &mut *scratch) {
                Ok(0) => bail!("closed"),
                Ok(got) => got,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut rest = &scratch[..got];
            // The loads never split a segment, so neither does loopback at these sizes.
            while rest.len() >= wire::SEGMENT_HEADER {
                let length = u16::from_be_bytes([rest[6], rest[7]]) as usize;
                let payload = rest.get(8..8 + length).context("a split segment")?;
                self.take(u16::from_be_bytes([rest[4], rest[5]]), payload, answers)?;
                rest = &rest[8 + length..];
            }
            self.serve(answers)?;
            if got < scratch.len() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, protocol: u16, payload: &[u8], answers: &Answers) -> anyhow::Result<()> {
        match (protocol, payload) {
            (wire::HANDSHAKE, _) => self.write(&answers.accept),
            (wire::BLOCK_FETCH, _) => {
                anyhow::ensure!(self.batch.is_empty(), "one range at a time");
                self.batch = 0..answers.batch.len();
                Ok(())
            }
            (_, [0x81, 0x00, ..]) => {
                self.pending += payload.len() / 2;
                Ok(())
            }
            _ => {
                let last = payload[3..] == wire::point(&answers.last);
                let point = if last { answers.last } else { Point(None) };
                self.next = if last { answers.shown.load(Ordering::Acquire) } else { 0 };
                self.back = Some(point);
                let found = [&[0x83, 0x05], wire::point(&point).as_slice(), &answers.tip].concat();
                self.write(&framed(wire::CHAIN_SYNC, &found))
            }
        }
    }

    /// Answers what is pending as far as the chain goes.
    fn serve(&mut self, answers: &Answers) -> anyhow::Result<()> {
        if self.pending > 0
            && let Some(point) = self.back.take()
        {
            self.pending -= 1;
            let back = [&[0x83, 0x03], wire::point(&point).as_slice(), &answers.tip].concat();
            self.write(&framed(wire::CHAIN_SYNC, &back))?;
        }
        let shown = answers.shown.load(Ordering::Acquire);
        let ends = (self.next + self.pending).min(shown);
        if self.pending > 0 && self.headers.is_empty() && ends > self.next {
            self.headers = answers.starts[self.next]..answers.starts[ends];
            self.pending -= ends - self.next;
            self.next = ends;
        }
        if self.pending > 0 && self.next == shown && !self.waits {
            self.waits = true;
            self.push(answers)?;
            self.write(&answers.wait)?;
        }
        self.push(answers)
    }

    /// Writes what the kernel takes of what is due.
    fn push(&mut self, answers: &Answers) -> anyhow::Result<()> {
        for (range, bytes) in [(&mut self.headers, &answers.forwards), (&mut self.batch, &answers.batch)] {
            while range.start < range.end {
                let end = range.end.min(range.start + WRITE_BYTES);
                match rustix::io::write(&self.fd, &bytes[range.start..end]) {
                    Ok(wrote) => range.start += wrote,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let wrote = rustix::io::write(&self.fd, bytes)?;
        anyhow::ensure!(wrote == bytes.len(), "a small message did not fit");
        Ok(())
    }
}
