//! The machine against a client that says what the test wants, and against our own initiators.

mod chain_sync;
mod connection;
mod fetching;
mod pair;
mod segments;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::view::{ChunkEntry, Entry, Orphans};
use chain::{Chunk, Cursor, Hash, Header, Height, Point, Position, Slot, Tip, View};
use link::mux::{Demux, Limit, Policy};
use link::{Mode, Protocol, Time, segment};

use super::*;
use crate::framing::Framer;
use crate::handshake::Versions;

const MAGIC: u32 = 2;

/// How many of the log's blocks the views hold too.
const RECENT: usize = 3;

/// All protocols, as the client's side sees them.
const ALL: &[Limit] = &[
    Limit { protocol: crate::limits::HANDSHAKE, ingress_bytes: u32::MAX },
    Limit { protocol: CHAIN_SYNC, ingress_bytes: u32::MAX },
    Limit { protocol: BLOCK_FETCH, ingress_bytes: u32::MAX },
    Limit { protocol: TX_SUBMISSION, ingress_bytes: u32::MAX },
    Limit { protocol: KEEP_ALIVE, ingress_bytes: u32::MAX },
    Limit { protocol: PEER_SHARING, ingress_bytes: u32::MAX },
];

fn time(mono: Duration) -> Time {
    Time { mono, wall: mono }
}

/// A made chain: some blocks in a log, some above it, and views of it.
#[derive(Debug, Clone)]
struct Made {
    entries: Vec<Arc<Entry>>,
    settled: usize,
    epoch: u64,
    orphans: Vec<(Hash, usize)>,
    /// What left the chain, in full.
    left: Vec<Arc<Entry>>,
}

impl Made {
    /// `count` blocks, the first `settled` of them in the log.
    fn new(settled: usize, count: usize) -> Self {
        let mut made = Self { entries: Vec::new(), settled, epoch: 0, orphans: Vec::new(), left: Vec::new() };
        made.grow(count, 0);
        made
    }

    /// Adds blocks; those of another `branch` have other hashes.
    fn grow(&mut self, count: usize, branch: u8) {
        for _ in 0..count {
            let position = self.entries.len() as u64;
            let slot = position * 2 + 1;
            let mut id = [branch; 32];
            id[..8].copy_from_slice(&position.to_be_bytes());
            let mut wire = vec![0x82, 0x05, 0xd8, 24, 0x58, 32];
            wire.extend_from_slice(&id);
            let header = Header {
                id: Hash(id),
                prev: self.entries.last().map(|entry| entry.header.id),
                slot: Slot(slot),
                height: Height(position),
                boundary: false,
                wire: wire.into(),
            };
            // Blocks of many lengths, some above a segment's.
            let len = 10 + (position as usize * 7_919) % 30_000;
            let block = Bytes::from(vec![branch ^ position as u8; len]);
            self.entries.push(Arc::new(Entry { position: Position(position), header, block }));
        }
        self.epoch += 1;
    }

    /// Leaves the last `count` blocks.
    fn roll_back(&mut self, count: usize) {
        let kept = self.entries.len() - count;
        assert!(kept >= self.settled, "what is in the log stays");
        self.orphans.iter_mut().for_each(|(_, ancestor)| *ancestor = kept.min(*ancestor));
        self.orphans.extend(self.entries[kept..].iter().map(|entry| (entry.header.id, kept)));
        self.left.extend(self.entries.drain(kept..));
        self.epoch += 1;
    }

    fn settle(&mut self, settled: usize) {
        self.settled = settled;
        self.epoch += 1;
    }

    fn cursor(&self, next: usize) -> Cursor {
        let point = next.checked_sub(1).map_or(Point::Origin, |at| self.point(at));
        Cursor::new(Position(next as u64), point)
    }

    fn point(&self, at: usize) -> Point {
        self.entries[at].header.point()
    }

    fn tip(&self) -> Tip {
        self.entries.last().map_or(Tip::default(), |entry| entry.header.tip())
    }

    fn view(&self) -> View {
        let last = self.settled.checked_sub(1);
        let irreversible = last.map_or(Tip::default(), |at| self.entries[at].header.tip());
        let orphans = self.orphans.iter().map(|(id, ancestor)| (*id, self.cursor(*ancestor)));
        let mut orphans = orphans.collect::<Orphans>();
        orphans.keep(self.left.iter().cloned());
        View::new(
            self.epoch,
            irreversible,
            self.settled as u64,
            self.entries[self.settled.saturating_sub(RECENT)..self.settled].into(),
            self.entries[self.settled..].into(),
            Arc::new(orphans),
        )
    }

    fn locate(&self, point: &Point) -> Option<Position> {
        let at = self.entries[..self.settled].iter().position(|entry| entry.header.point() == *point)?;
        Some(Position(at as u64))
    }

    /// The log's answer to a question; `None` for what is no question to it.
    fn answer(&self, output: &Output) -> Option<Input<'static>> {
        Some(match output {
            Output::FirstInLog(points) => {
                let found = points.iter().find_map(|point| Some((self.locate(point)?, *point)));
                Input::FirstInLog(found.map(|(at, point)| Cursor::settled(at.next(), point)))
            }
            Output::Chunk(position) => Input::Chunk(self.chunk(*position)),
            Output::Check(at, point) => {
                let at = at.0 as usize;
                Input::Checked(at < self.settled && self.point(at) == *point)
            }
            Output::Range(from, to) => Input::Range(self.locate(from), self.locate(to)),
            Output::Blocks(from, to) => {
                assert!(to.0 < self.settled as u64, "only the log's blocks are asked of it");
                let last = to.0.min(from.0 + 3) as usize;
                let blocks = self.entries[from.0 as usize..=last].iter();
                Input::Blocks(*from, blocks.map(|entry| entry.block.clone()).collect())
            }
            _ => return None,
        })
    }

    /// A chunk of four headers.
    fn chunk(&self, position: Position) -> Arc<Chunk> {
        let first = position.0 / 4 * 4;
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for entry in self.entries[..self.settled].iter().skip(first as usize).take(4) {
            bytes.extend_from_slice(&entry.header.wire);
            entries.push(ChunkEntry { end: bytes.len() as u32, point: entry.header.point() });
        }
        Arc::new(Chunk { first: Position(first), bytes: bytes.into(), entries: entries.into() })
    }
}

/// A machine with a client that speaks bytes.
struct World {
    made: Made,
    client: Client,
    now: Duration,
    demux: Demux,
    framers: BTreeMap<Protocol, Framer>,
    /// Outputs that were not questions to the log.
    outputs: Vec<Output>,
    /// Whether the log answers.
    has_log: bool,
}

impl World {
    fn new(made: Made) -> Self {
        let now = Duration::from_secs(100);
        let config = Arc::new(Config { offer: handshake::Offer::new(MAGIC, true) });
        Self {
            made,
            client: Client::new(config, time(now)),
            now,
            demux: Demux::new(Mode::Initiator, Policy::Close, ALL),
            framers: BTreeMap::new(),
            outputs: Vec::new(),
            has_log: true,
        }
    }

    /// After a handshake as a node that relays makes it.
    fn open(made: Made) -> Self {
        let mut world = Self::new(made);
        let replies = world.say(crate::limits::HANDSHAKE, &propose(MAGIC, true));
        assert_eq!(replies.len(), 1, "{:?}", world.outputs);
        assert!(matches!(world.outputs[..], [Output::Opened { .. }]), "{:?}", world.outputs);
        world.outputs.clear();
        world
    }

    /// Sends a message; the machine's messages upon it.
    fn say(&mut self, protocol: Protocol, message: &[u8]) -> Vec<(Protocol, Vec<u8>)> {
        self.receive(&frame(protocol, message));
        self.hear()
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input(Input::Received(bytes));
    }

    fn input(&mut self, input: Input<'_>) {
        let view = self.made.view();
        let mut outputs = Vec::new();
        self.client.handle(time(self.now), input, &view, &mut outputs);
        self.client.check_invariants();
        self.perform(outputs);
    }

    fn perform(&mut self, mut outputs: Vec<Output>) {
        let view = self.made.view();
        while !outputs.is_empty() {
            let output = outputs.remove(0);
            match self.made.answer(&output).filter(|_| self.has_log) {
                Some(answer) => self.client.handle(time(self.now), answer, &view, &mut outputs),
                None => self.outputs.push(output),
            }
            self.client.check_invariants();
        }
    }

    /// Takes `budget` bytes of what the machine has to send, and whether there may be more.
    fn take(&mut self, budget: usize) -> (Vec<u8>, bool) {
        let (mut buffer, mut outputs) = (Vec::new(), Vec::new());
        let view = self.made.view();
        let more = self.client.transmit(time(self.now), &view, budget, &mut buffer, &mut outputs);
        self.client.check_invariants();
        let asked = !outputs.is_empty();
        self.perform(outputs);
        (buffer, more || asked)
    }

    /// All that the machine says now.
    fn hear(&mut self) -> Vec<(Protocol, Vec<u8>)> {
        let mut said = Vec::new();
        loop {
            let (bytes, more) = self.take(20_000);
            self.decode(&bytes, &mut said);
            if !more && bytes.is_empty() {
                return said;
            }
        }
    }

    fn decode(&mut self, mut bytes: &[u8], said: &mut Vec<(Protocol, Vec<u8>)>) {
        while let Some(part) = self.demux.next(&mut bytes).expect("the server keeps to the mux") {
            let framer = self.framers.entry(part.protocol).or_default();
            let mut rest = part.bytes;
            while let Some(item) = framer.next(&mut rest, 2_500_000).expect("the server says CBOR") {
                said.push((part.protocol, item.bytes().to_vec()));
            }
        }
    }

    fn closed(&self) -> Option<Reason> {
        self.outputs.iter().find_map(|output| match output {
            Output::Closed(reason) => Some(*reason),
            _ => None,
        })
    }

    fn tick_after(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Tick);
    }
}

/// A message in as many segments as it needs.
fn frame(protocol: Protocol, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in message.chunks(segment::MAX_SENT_BYTES) {
        let length = part.len() as u16;
        let header = segment::Header { sent_us: 0, mode: Mode::Initiator, protocol, length };
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

fn propose(magic: u32, peer_sharing: bool) -> Vec<u8> {
    let data = VersionData { magic, initiator_only: false, peer_sharing, query: false, peras: false };
    let table = [(Version::V14, data), (Version::V15, data)];
    let versions = Versions::new(&table);
    encoded(|out| handshake::Message::ProposeVersions { versions }.encode(out))
}
