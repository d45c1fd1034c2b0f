//! The node-to-node wire, written by hand over a plain socket: nothing of the product is used, so that its faults
//! are not shared, and everything wrong can be said.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

pub(crate) const HANDSHAKE: u16 = 0;
pub(crate) const CHAIN_SYNC: u16 = 2;
pub(crate) const BLOCK_FETCH: u16 = 3;
pub(crate) const TX_SUBMISSION: u16 = 4;
pub(crate) const KEEP_ALIVE: u16 = 8;
pub(crate) const PEER_SHARING: u16 = 10;

/// The longest wait for anything: a test fails then, it does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a segment from the server carries in its protocol field.
const RESPONDER: u16 = 0x8000;

/// One connection, as a stranger may use it.
pub(crate) struct Wire {
    pub(crate) socket: TcpStream,
    /// Per protocol, what arrived and was not asked for yet.
    waiting: BTreeMap<u16, Waiting>,
}

/// Bytes that arrived, and how many of them were taken.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    taken: usize,
}

impl Waiting {
    fn take(&mut self) -> Option<Vec<u8>> {
        let length = item_length(&self.bytes[self.taken..])?;
        let message = self.bytes[self.taken..self.taken + length].to_vec();
        self.taken += length;
        // Now and then, so that a long stream is not moved once per message.
        if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        Some(message)
    }
}

impl Wire {
    /// A TCP connection, and nothing said on it.
    pub(crate) fn silent(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    fn over(socket: TcpStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, waiting: BTreeMap::new() })
    }

    /// A connection with its handshake done.
    pub(crate) fn greeted(address: SocketAddr, magic: u32) -> io::Result<Self> {
        Self::silent(address)?.greet(magic)
    }

    /// The same from another address of this machine.
    pub(crate) fn greeted_from(here: IpAddr, address: SocketAddr, magic: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(here, 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Self::over(socket.into())?.greet(magic)
    }

    fn greet(self, magic: u32) -> io::Result<Self> {
        let mut wire = self;
        wire.send(HANDSHAKE, &proposal(magic))?;
        let answer = wire.message(HANDSHAKE)?;
        if answer.starts_with(&[0x83, 0x01]) {
            Ok(wire)
        } else {
            Err(io::Error::other(format!("refused: {}", hex::encode(answer))))
        }
    }

    /// One segment with this payload, whatever it is.
    pub(crate) fn send(&mut self, protocol: u16, payload: &[u8]) -> io::Result<()> {
        self.socket.write_all(&segment(protocol, payload))
    }

    /// The next whole message of a protocol; what comes for others is kept.
    pub(crate) fn message(&mut self, protocol: u16) -> io::Result<Vec<u8>> {
        loop {
            if let Some(message) = self.waiting.entry(protocol).or_default().take() {
                return Ok(message);
            }
            self.receive()?;
        }
    }

    /// Reads one segment.
    fn receive(&mut self) -> io::Result<()> {
        let mut head = [0; 8];
        self.socket.read_exact(&mut head)?;
        let number = u16::from_be_bytes([head[4], head[5]]);
        assert!(number & RESPONDER != 0, "the server answers as the responder");
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[6], head[7]]))];
        self.socket.read_exact(&mut payload)?;
        self.waiting.entry(number & !RESPONDER).or_default().bytes.extend(payload);
        Ok(())
    }

    /// How many bytes of a protocol arrived and were not taken.
    pub(crate) fn untaken(&self, protocol: u16) -> usize {
        self.waiting.get(&protocol).map_or(0, |waiting| waiting.bytes.len() - waiting.taken)
    }

    /// Reads until the server closes; false when it still has not after [`PATIENCE`].
    pub(crate) fn is_closed_by_server(&mut self) -> bool {
        let mut sink = [0; 4_096];
        loop {
            match self.socket.read(&mut sink) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }

    /// A keep-alive, answered.
    pub(crate) fn keep_alive(&mut self, cookie: u16) -> io::Result<()> {
        let [high, low] = cookie.to_be_bytes();
        self.send(KEEP_ALIVE, &[0x82, 0x00, 0x19, high, low])?;
        let answer = self.message(KEEP_ALIVE)?;
        // Its cookie comes back in the shortest form that holds it: choose cookies above 255.
        assert_eq!(answer, [0x82, 0x01, 0x19, high, low]);
        Ok(())
    }
}

/// A segment from the initiator.
pub(crate) fn segment(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(protocol.to_be_bytes());
    bytes.extend(u16::try_from(payload.len()).expect("one segment").to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a relay proposes: versions 14 and 15, both directions, willing to share peers.
pub(crate) fn proposal(magic: u32) -> Vec<u8> {
    let mut bytes = vec![0x82, 0x00, 0xa2];
    for version in [14, 15] {
        bytes.extend([version, 0x84, 0x1a]);
        bytes.extend(magic.to_be_bytes());
        bytes.extend([0xf4, 0x01, 0xf4]);
    }
    bytes
}

/// `FindIntersect` with these points.
pub(crate) fn find_intersect(points: &[Point]) -> Vec<u8> {
    let mut bytes = vec![0x82, 0x04, 0x9f];
    points.iter().for_each(|point| bytes.extend(point.bytes()));
    bytes.push(0xff);
    bytes
}

/// `RequestRange`, both ends included.
pub(crate) fn request_range(from: &Point, to: &Point) -> Vec<u8> {
    [&[0x83, 0x00][..], &from.bytes(), &to.bytes()].concat()
}

pub(crate) const REQUEST_NEXT: [u8; 2] = [0x81, 0x00];
pub(crate) const AWAIT_REPLY: [u8; 2] = [0x81, 0x01];
pub(crate) const BATCH_DONE: [u8; 2] = [0x81, 0x05];

/// A block's place, or origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Point {
    Origin,
    Block { slot: u64, hash: [u8; 32] },
}

impl Point {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Origin => vec![0x80],
            Self::Block { slot, hash } => {
                let mut bytes = vec![0x82, 0x1b];
                bytes.extend(slot.to_be_bytes());
                bytes.extend([0x58, 0x20]);
                bytes.extend(hash);
                bytes
            }
        }
    }
}

/// What a chain-sync server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Await,
    /// The header in its wire form.
    Forward {
        header: Vec<u8>,
    },
    Backward,
    Found,
    NotFound,
}

/// Reads a chain-sync message of the server.
pub(crate) fn said(message: &[u8]) -> Said {
    match message {
        [0x81, 0x01] => Said::Await,
        [0x83, 0x02, rest @ ..] => {
            let length = item_length(rest).expect("a header");
            Said::Forward { header: rest[..length].to_vec() }
        }
        [0x83, 0x03, ..] => Said::Backward,
        [0x83, 0x05, ..] => Said::Found,
        [0x82, 0x06, ..] => Said::NotFound,
        other => panic!("no chain-sync message: {}", hex::encode(other)),
    }
}

/// How long the CBOR item at the front is, once it is whole. For what the server sends, which is well-formed.
pub(crate) fn item_length(bytes: &[u8]) -> Option<usize> {
    let (&first, rest) = bytes.split_first()?;
    let (major, info) = (first >> 5, first & 31);
    let extra = match info {
        24..=27 => 1 << (info - 24),
        _ => 0,
    };
    let argument = match info {
        0..=23 => u64::from(info),
        _ => rest.get(..extra)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let mut at = 1 + extra;
    let items = match (major, info) {
        (2 | 3, 0..=27) => {
            at += usize::try_from(argument).ok()?;
            return (bytes.len() >= at).then_some(at);
        }
        (2..=5, 31) => {
            while *bytes.get(at)? != 0xff {
                at += item_length(&bytes[at..])?;
            }
            return Some(at + 1);
        }
        (4, _) => argument,
        (5, _) => 2 * argument,
        (6, _) => 1,
        _ => 0,
    };
    for _ in 0..items {
        at += item_length(bytes.get(at..)?)?;
    }
    Some(at)
}
