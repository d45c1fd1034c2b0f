//! A peer that does what it likes: the bytes of a link, written by hand over a pipe.

use link::budget::Budget;
use link::link::{Halves, Input, Link, Output};
use link::message::{self, Kind};
use link::segment;
use link::{Mode, Protocol, inbound};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// A pipe to a node, and nothing else.
pub(super) async fn pipe_to(node: &Node) -> DuplexStream {
    let Address::Pipe(pipe) = &node.address else { panic!("it listens at a pipe") };
    pipe.connect().await.expect("it listens")
}

/// A peer with an open link to a node, which it dialled.
pub(super) struct Raw {
    pub(super) id: PeerId,
    pub(super) pipe: DuplexStream,
    clock: Clock,
    halves: Halves,
}

impl Raw {
    /// Dials with the identity of a number.
    pub(super) async fn dial(node: &Node, number: u8) -> Self {
        Self::open(node, number, false).await.0
    }

    /// The same, but the hello, the last that the node waits for, is not sent.
    pub(super) async fn dial_without_hello(node: &Node, number: u8) -> (Self, Vec<u8>) {
        Self::open(node, number, true).await
    }

    async fn open(node: &Node, number: u8, keeps_hello: bool) -> (Self, Vec<u8>) {
        let (mut pipe, clock) = (pipe_to(node).await, Clock::start());
        let config = Config::new(NETWORK_ID).link;
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(number) << 8);
        let mut link = Link::dial(clock.now(), config, &identity(number), Some(node.id()), &mut rng);
        let (mut events, mut is_open) = (Vec::new(), false);
        link.handle(clock.now(), Input::BearerUp, &mut events);
        let (mut early, mut hello) = (Vec::new(), Vec::new());
        loop {
            for event in std::mem::take(&mut events) {
                match event {
                    Output::Authenticated { .. } => link.handle(clock.now(), Input::Allowed, &mut events),
                    Output::Open => is_open = true,
                    Output::Closed(reason) => panic!("no link: {reason}"),
                }
            }
            let mut out = Vec::new();
            link.transmit(&mut out);
            // Behind the last message of the handshake, which is a frame.
            if let Some((length, _)) = out.split_first_chunk()
                && keeps_hello
                && link.peer().is_some()
            {
                hello = out.split_off(2 + usize::from(u16::from_be_bytes(*length)));
            }
            pipe.write_all(&out).await.expect("the node reads");
            if is_open {
                break;
            }
            let mut buffer = [0; 4_096];
            let got = pipe.read(&mut buffer).await.expect("the node writes");
            assert!(got > 0, "the node hung up");
            let mut bytes = &mut buffer[..got];
            link.handle(clock.now(), Input::Received(&mut bytes), &mut events);
            early.extend_from_slice(bytes);
        }
        let share = Budget::new(1 << 30).share(1 << 20).expect("there is enough");
        let mut halves = link.split(clock.now(), share);
        halves.inbound.handle(clock.now(), inbound::Input::Received(&mut early), &mut Vec::new());
        (Self { id: identity(number).peer_id(), pipe, clock, halves }, hello)
    }

    /// What a message looks like on the wire, in one frame.
    pub(super) fn sealed(&mut self, channel: Protocol, kind: Kind, body: &[u8]) -> Vec<u8> {
        let head = message::Head { kind, length: body.len() as u32 }.encode();
        let payload = [&head[..], body].concat();
        let length = u16::try_from(payload.len()).expect("a segment");
        let header = segment::Header { sent_us: 0, mode: Mode::Initiator, protocol: channel, length };
        let mut out = Vec::new();
        self.halves.sealer.seal(header.encode(), [&payload], &mut out).expect("numbers are left");
        out
    }

    /// Writes one segment as a frame.
    pub(super) async fn segment(&mut self, mode: Mode, channel: Protocol, payload: &[u8]) {
        let length = u16::try_from(payload.len()).expect("a segment");
        let header = segment::Header { sent_us: 0, mode, protocol: channel, length };
        self.frame(header.encode(), payload).await;
    }

    /// Writes one frame.
    pub(super) async fn frame(&mut self, head: [u8; 8], payload: &[u8]) {
        let mut out = Vec::new();
        self.halves.sealer.seal(head, [payload], &mut out).expect("numbers are left");
        self.bytes(&out).await;
    }

    /// Writes bytes as they are. That the node has hung up is for the node's status to say.
    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.pipe.write_all(bytes).await;
    }

    /// Sends a message in one segment.
    pub(super) async fn say(&mut self, channel: Protocol, kind: Kind, body: &[u8]) {
        let frame = self.sealed(channel, kind, body);
        self.bytes(&frame).await;
    }

    /// The next message that is not about the link itself.
    pub(super) async fn hear(&mut self) -> (Protocol, Kind, Bytes) {
        let mut buffer = vec![0; 65_536];
        loop {
            let got = tokio::time::timeout(PATIENCE, self.pipe.read(&mut buffer)).await;
            let got = got.expect("the node says something").expect("the pipe is whole");
            assert!(got > 0, "the node hung up");
            let mut out = Vec::new();
            let input = inbound::Input::Received(&mut buffer[..got]);
            self.halves.inbound.handle(self.clock.now(), input, &mut out);
            for output in out {
                if let inbound::Output::Message { channel, kind, body, .. } = output {
                    return (channel, kind, body);
                }
            }
        }
    }
}
