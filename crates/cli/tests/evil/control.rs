//! The control channel's notes: CBOR arrays, a number for what it is first.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// What is agreed of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) channel: u16,
    pub(crate) max_message: u32,
    pub(crate) window: u32,
}

/// What a side says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) versions: Vec<u16>,
    pub(crate) network: [u8; 32],
    pub(crate) channels: Vec<Offer>,
    pub(crate) agent: String,
}

/// A control message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    Hello(Hello),
    Ping { id: u32, sent_us: u64 },
    Pong { id: u32, sent_us: u64, received_us: u64 },
    Credit { channel: u16, bytes: u32 },
    Close { code: u8 },
}

const HELLO: u8 = 0;
const PING: u8 = 1;
const PONG: u8 = 2;
const CREDIT: u8 = 3;
const CLOSE: u8 = 4;

impl Control {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => hello.bytes(),
            Self::Ping { id, sent_us } => numbers(PING, &[u64::from(*id), *sent_us]),
            Self::Pong { id, sent_us, received_us } => {
                numbers(PONG, &[u64::from(*id), *sent_us, *received_us])
            }
            Self::Credit { channel, bytes } => numbers(CREDIT, &[u64::from(*channel), u64::from(*bytes)]),
            Self::Close { code } => numbers(CLOSE, &[u64::from(*code)]),
        }
    }

    /// Reads what the victim says, which is well-formed.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let mut from = Decoder::new(bytes);
        from.array()?;
        Ok(match from.u8()? {
            HELLO => Self::Hello(Hello::read(&mut from)?),
            PING => Self::Ping { id: from.u32()?, sent_us: from.u64()? },
            PONG => Self::Pong { id: from.u32()?, sent_us: from.u64()?, received_us: from.u64()? },
            CREDIT => Self::Credit { channel: from.u16()?, bytes: from.u32()? },
            CLOSE => Self::Close { code: from.u8()? },
            tag => return Err(minicbor::decode::Error::message(format!("control message {tag}"))),
        })
    }
}

impl Hello {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut to = Encoder::new(&mut bytes);
        to.array(5).and_then(|to| to.u8(HELLO)).expect("a vector");
        to.array(self.versions.len() as u64).expect("a vector");
        self.versions.iter().for_each(|version| drop(to.u16(*version)));
        to.bytes(&self.network).and_then(|to| to.array(self.channels.len() as u64)).expect("a vector");
        for offer in &self.channels {
            to.array(3)
                .and_then(|to| to.u16(offer.channel)?.u32(offer.max_message)?.u32(offer.window))
                .expect("a vector");
        }
        to.str(&self.agent).expect("a vector");
        bytes
    }

    fn read(from: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let versions = list(from, |from| from.u16())?;
        let network = from.bytes()?.try_into().map_err(minicbor::decode::Error::custom)?;
        let channels = list(from, |from| {
            from.array()?;
            Ok(Offer { channel: from.u16()?, max_message: from.u32()?, window: from.u32()? })
        })?;
        Ok(Self { versions, network, channels, agent: from.str()?.to_owned() })
    }
}

fn list<T>(
    from: &mut Decoder<'_>,
    mut item: impl FnMut(&mut Decoder<'_>) -> Result<T, minicbor::decode::Error>,
) -> Result<Vec<T>, minicbor::decode::Error> {
    let length = from.array()?.unwrap_or(u64::MAX);
    let mut items = Vec::new();
    while (items.len() as u64) < length && from.datatype()? != Type::Break {
        items.push(item(from)?);
    }
    Ok(items)
}

/// An array of a tag and numbers.
pub(crate) fn numbers(tag: u8, numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut to = Encoder::new(&mut bytes);
    to.array(numbers.len() as u64 + 1).and_then(|to| to.u8(tag)).expect("a vector");
    numbers.iter().for_each(|number| drop(to.u64(*number)));
    bytes
}
