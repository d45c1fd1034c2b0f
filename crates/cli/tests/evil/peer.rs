//! An open link, by hand: segments, messages and credit, each of them open to lies. The honest client of the suite is
//! one too, which keeps the rules.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::control::{Control, Hello, Offer};
use crate::noise::{Claim, Session};
use crate::wire::{PATIENCE, Wire, framed};

pub(crate) const CONTROL: u16 = 0;
pub(crate) const CONSENSUS: u16 = 1;
pub(crate) const SYNC: u16 = 3;
pub(crate) const BODIES: u16 = 5;
pub(crate) const ECHO: u16 = 7;

/// The payload of a segment.
pub(crate) const PAYLOAD_BYTES: usize = 12_288;

/// What a message costs of its channel's credit, beside its head and body.
const OVERHEAD_BYTES: u64 = 64;

/// What heads a message.
pub(crate) const HEAD_BYTES: usize = 9;

/// What the wire calls the kinds of messages.
pub(crate) const NOTE: u8 = 0;
pub(crate) const REQUEST: u8 = 1;
pub(crate) const REPLY: u8 = 2;

/// The bit in a segment's header that the dialled side sets.
pub(crate) const DIALLED: u16 = 0x8000;

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) channel: u16,
    pub(crate) kind: u8,
    pub(crate) number: u32,
    pub(crate) body: Vec<u8>,
}

/// One open link.
pub(crate) struct Peer {
    pub(crate) wire: Wire,
    /// Our key, in the status' words.
    pub(crate) key: String,
    pub(crate) session: Session,
    /// What our segments' headers carry for the direction.
    side: u16,
    /// What the victim said of itself, once it has.
    pub(crate) hello: Option<Hello>,
    /// The reason that the victim gave for its end.
    pub(crate) close: Option<u8>,
    /// Per channel, what we may still send.
    credit: BTreeMap<u16, u64>,
    /// Per channel, bytes that are no whole message yet.
    partial: BTreeMap<u16, Vec<u8>>,
    /// Messages that came and were not asked for.
    waiting: VecDeque<Message>,
    pongs: u64,
    pings: u32,
    began: Instant,
}

impl Peer {
    /// A link that is open, dialled by an honest peer.
    pub(crate) fn open(address: SocketAddr, claim: &Claim) -> io::Result<Self> {
        Self::authenticated(Wire::connect(address)?, claim)?.agree(claim)
    }

    /// The same from another address of this machine.
    pub(crate) fn open_from(here: IpAddr, address: SocketAddr, claim: &Claim) -> io::Result<Self> {
        Self::authenticated(Wire::connect_from(here, address)?, claim)?.agree(claim)
    }

    /// A link whose keys are proven, and nothing agreed.
    pub(crate) fn authenticated(mut wire: Wire, claim: &Claim) -> io::Result<Self> {
        let session = wire.greet(claim)?;
        Ok(Self::after(wire, session, claim))
    }

    /// A link after the handshake that we dialled.
    pub(crate) fn after(wire: Wire, session: Session, claim: &Claim) -> Self {
        Self::over(wire, session, claim, 0)
    }

    /// The same, answering who dialled us; gives who that is.
    pub(crate) fn answered(mut wire: Wire, claim: &Claim) -> io::Result<(Self, [u8; 32])> {
        let (session, dialler) = wire.be_greeted(claim)?;
        Ok((Self::over(wire, session, claim, DIALLED), dialler))
    }

    fn over(wire: Wire, session: Session, claim: &Claim, side: u16) -> Self {
        Self {
            wire,
            key: claim.key.hex(),
            session,
            side,
            hello: None,
            close: None,
            credit: BTreeMap::new(),
            partial: BTreeMap::new(),
            waiting: VecDeque::new(),
            pongs: 0,
            pings: 0,
            began: Instant::now(),
        }
    }

    /// Says hello, waits for the victim's.
    pub(crate) fn agree(mut self, claim: &Claim) -> io::Result<Self> {
        self.greet(&hello(claim.network))?;
        Ok(self)
    }

    /// Says this hello, waits for the victim's.
    pub(crate) fn greet(&mut self, hello: &Hello) -> io::Result<()> {
        self.control(&Control::Hello(hello.clone()))?;
        self.await_hello()
    }

    /// Waits for the victim's hello.
    pub(crate) fn await_hello(&mut self) -> io::Result<()> {
        self.wait(|peer| peer.hello.is_some())
    }

    /// One frame that holds these bytes, sealed.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> io::Result<()> {
        let frame = self.session.seal(plain);
        self.wire.frame(&frame)
    }

    /// One segment.
    pub(crate) fn segment(&mut self, channel: u16, payload: &[u8]) -> io::Result<()> {
        let segment = segment(channel | self.side, payload);
        self.seal(&segment)
    }

    /// One message, cut into segments; nothing looks at the credit.
    pub(crate) fn message(&mut self, channel: u16, kind: u8, number: u32, body: &[u8]) -> io::Result<()> {
        let message = [&head(kind, number, body.len() as u32)[..], body].concat();
        let mut bytes = Vec::new();
        for payload in message.chunks(PAYLOAD_BYTES) {
            bytes.extend(framed(&self.session.seal(&segment(channel | self.side, payload))));
        }
        self.wire.raw(&bytes)
    }

    pub(crate) fn control(&mut self, message: &Control) -> io::Result<()> {
        self.message(CONTROL, NOTE, 0, &message.bytes())
    }

    /// A request on the echo channel, once there is credit for it.
    pub(crate) fn ask_echo(&mut self, number: u32, body: &[u8]) -> io::Result<()> {
        let cost = cost(body.len());
        self.wait(|peer| peer.credit(ECHO) >= cost)?;
        *self.credit.entry(ECHO).or_default() -= cost;
        self.message(ECHO, REQUEST, number, body)
    }

    /// What may still be sent on a channel.
    pub(crate) fn credit(&self, channel: u16) -> u64 {
        self.credit.get(&channel).copied().unwrap_or_default()
    }

    /// A request and its answer, which holds the same bytes.
    pub(crate) fn echo(&mut self, number: u32, body: &[u8]) -> io::Result<()> {
        self.ask_echo(number, body)?;
        let answer = self.answer()?;
        assert_eq!((answer.number, &answer.body[..]), (number, body), "the echo of what was sent");
        Ok(())
    }

    /// The same for whoever may be interrupted.
    pub(crate) fn try_echo(&mut self, body: &[u8]) -> io::Result<()> {
        self.ask_echo(1, body)?;
        self.answer().map(drop)
    }

    /// The next answer on the echo channel; it is taken, so that its credit goes back.
    pub(crate) fn answer(&mut self) -> io::Result<Message> {
        let is_answer = |message: &Message| message.channel == ECHO && message.kind == REPLY;
        self.wait(|peer| peer.waiting.iter().any(is_answer))?;
        let at = self.waiting.iter().position(is_answer).expect("it has come");
        let answer = self.waiting.remove(at).expect("it is there");
        self.control(&Control::Credit { channel: ECHO, bytes: cost(answer.body.len()) as u32 })?;
        Ok(answer)
    }

    /// A ping, answered.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.pings += 1;
        let awaited = self.pongs + 1;
        self.control(&Control::Ping { id: self.pings, sent_us: self.now_us() })?;
        self.wait(|peer| peer.pongs >= awaited)
    }

    /// Reads until it is so.
    fn wait(&mut self, mut is_so: impl FnMut(&Self) -> bool) -> io::Result<()> {
        let begun = Instant::now();
        while !is_so(self) {
            // The victim pings, so that reading alone may go on for ever.
            if begun.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.receive()?;
        }
        Ok(())
    }

    /// How many pongs came.
    pub(crate) fn pongs(&self) -> u64 {
        self.pongs
    }

    /// Reads one frame and does what an honest peer does about it.
    pub(crate) fn receive(&mut self) -> io::Result<()> {
        let frame = self.wire.read_frame()?;
        let plain = self.session.open(&frame).map_err(io::Error::other)?;
        let (header, payload) = plain.split_at(8);
        let number = u16::from_be_bytes([header[4], header[5]]);
        assert_eq!(number & DIALLED, self.side ^ DIALLED, "the victim speaks for its own side");
        assert_eq!(usize::from(u16::from_be_bytes([header[6], header[7]])), payload.len());
        assert!((1..=PAYLOAD_BYTES).contains(&payload.len()), "a segment of {} bytes", payload.len());
        let channel = number & !DIALLED;
        self.partial.entry(channel).or_default().extend(payload);
        while let Some(message) = self.whole(channel) {
            if channel == CONTROL {
                self.on_control(&message.body)?;
            } else {
                self.waiting.push_back(message);
            }
        }
        Ok(())
    }

    /// The next whole message of a channel.
    fn whole(&mut self, channel: u16) -> Option<Message> {
        let bytes = self.partial.get_mut(&channel)?;
        let head: [u8; HEAD_BYTES] = *bytes.first_chunk()?;
        let [kind, n0, n1, n2, n3, l0, l1, l2, l3] = head;
        let end = HEAD_BYTES + u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if bytes.len() < end {
            return None;
        }
        let body = bytes[HEAD_BYTES..end].to_vec();
        bytes.drain(..end);
        Some(Message { channel, kind, number: u32::from_be_bytes([n0, n1, n2, n3]), body })
    }

    fn on_control(&mut self, body: &[u8]) -> io::Result<()> {
        match Control::read(body).unwrap_or_else(|error| panic!("{error}: {}", hex::encode(body))) {
            Control::Hello(hello) => {
                for Offer { channel, window, .. } in &hello.channels {
                    self.credit.insert(*channel, u64::from(*window));
                }
                self.hello = Some(hello);
            }
            Control::Ping { id, sent_us } => {
                let received_us = self.now_us();
                self.control(&Control::Pong { id, sent_us, received_us })?;
            }
            Control::Pong { .. } => self.pongs += 1,
            Control::Credit { channel, bytes } => {
                *self.credit.entry(channel).or_default() += u64::from(bytes);
            }
            Control::Close { code } => self.close = Some(code),
        }
        Ok(())
    }

    /// Reads to the end; the reason that the victim gave, if it gave one.
    pub(crate) fn until_closed(&mut self) -> Option<u8> {
        while self.receive().is_ok() {}
        self.close
    }

    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}

/// What a message of this length costs of its channel's credit.
pub(crate) fn cost(body_bytes: usize) -> u64 {
    HEAD_BYTES as u64 + body_bytes as u64 + OVERHEAD_BYTES
}

/// A segment; `number` is the channel with the bit of the side.
pub(crate) fn segment(number: u16, payload: &[u8]) -> Vec<u8> {
    segment_of(number, payload.len() as u16, payload)
}

/// The same with any length in its header.
pub(crate) fn segment_of(number: u16, length: u16, payload: &[u8]) -> Vec<u8> {
    [&[0; 4][..], &number.to_be_bytes(), &length.to_be_bytes(), payload].concat()
}

/// The head of a message.
pub(crate) fn head(kind: u8, number: u32, length: u32) -> [u8; HEAD_BYTES] {
    let [n0, n1, n2, n3] = number.to_be_bytes();
    let [l0, l1, l2, l3] = length.to_be_bytes();
    [kind, n0, n1, n2, n3, l0, l1, l2, l3]
}

/// What an honest peer says of itself: all channels, with room for several echoes.
pub(crate) fn hello(network: [u8; 32]) -> Hello {
    let offer = |channel| Offer { channel, max_message: 65_536, window: 1 << 20 };
    let channels = (CONSENSUS..=ECHO).map(offer).collect();
    Hello { versions: vec![1], network, channels, agent: "stranger".into() }
}
