//! The messages of the control channel: hello, ping, pong, credit, close.
//!
//! Each is the body of a note on [`crate::channel::CONTROL`]: a definite CBOR array headed by its number. Reading is
//! strict, so that each message has one encoding: numbers in their shortest form, nothing after the end.
//! A message of a number that this version does not know is an error that costs a strike and no more, so that a
//! later version may add some.
//!
//! Deliberately not here: what to do with them. Hello is judged in [`crate::agreement`], pings in [`crate::ping`].

#[cfg(test)]
mod tests;

use minicbor::Decoder;

use crate::Protocol;
use crate::channel::MAX_CHANNELS;
use crate::reason::Code;

/// How many versions a hello may name: a guess that leaves room for decades.
pub const MAX_VERSIONS: usize = 16;

/// The longest text with which a peer names its program, in bytes.
pub const MAX_AGENT_BYTES: usize = 64;

/// A message of the control channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first message of each side.
    Hello(Hello),
    /// Are you there?
    Ping {
        /// Comes back in the pong.
        id: u32,
        /// The sender's wall clock, in µs since the Unix epoch; comes back in the pong.
        sent_us: u64,
    },
    /// Yes.
    Pong {
        /// Of the ping.
        id: u32,
        /// Of the ping.
        sent_us: u64,
        /// The wall clock of the pong's sender when the ping came, in µs since the Unix epoch.
        received_us: u64,
    },
    /// So many more bytes may be sent on a channel.
    Credit {
        /// The channel.
        channel: Protocol,
        /// How many more.
        bytes: u32,
    },
    /// The sender closes the link; the last message.
    Close {
        /// Why.
        code: Code,
    },
}

/// What a side says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The versions of the link's messages that it speaks, ascending; at least one, at most [`MAX_VERSIONS`].
    pub versions: Vec<u16>,
    /// Which chain it is on. Said again inside the session, whatever the session proves.
    pub network_id: [u8; 32],
    /// The channels that it reads, ascending and without control; at most [`MAX_CHANNELS`].
    pub channels: Vec<Terms>,
    /// Its program and version: printable ASCII, at most [`MAX_AGENT_BYTES`].
    pub agent: String,
}

/// On what terms a side reads a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The channel.
    pub channel: Protocol,
    /// The longest message that it takes, without the head.
    pub max_message_bytes: u32,
    /// How much may be under way to it; see [`crate::channel::cost`].
    pub window_bytes: u32,
}

/// Why bytes are not a control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else stands where this should.
    #[error("no {what} at byte {at}")]
    Expected {
        /// What should be there.
        what: &'static str,
        /// Where, counted from the start of the message.
        at: usize,
    },
    /// No message has this number, in this version.
    #[error("no control message has number {number}")]
    Unknown {
        /// The number that heads it.
        number: u64,
    },
    /// Bytes follow after the message.
    #[error("bytes after the end of the message, at byte {at}")]
    Trailing {
        /// Where the message ends.
        at: usize,
    },
}

impl Message {
    /// Reads the message that these bytes are.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { decoder: Decoder::new(bytes) };
        let fields = reader.array("message")?;
        let number = reader.uint(u64::MAX, "message number")?;
        let message = match (number, fields) {
            (0, 5) => Self::Hello(Hello::read(&mut reader)?),
            (1, 3) => Self::Ping { id: reader.u32("id")?, sent_us: reader.time()? },
            (2, 4) => {
                Self::Pong { id: reader.u32("id")?, sent_us: reader.time()?, received_us: reader.time()? }
            }
            (3, 3) => Self::Credit { channel: reader.channel()?, bytes: reader.u32("number of bytes")? },
            (4, 2) => Self::Close { code: Code::from_u8(reader.uint(0xff, "code")? as u8) },
            (0..=4, _) => return Err(Error::Expected { what: "message of its own length", at: 0 }),
            (number, _) => return Err(Error::Unknown { number }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => hello.write(out),
            Self::Ping { id, sent_us } => {
                put_message(out, 3, 1);
                put_uint(out, u64::from(*id));
                put_uint(out, *sent_us);
            }
            Self::Pong { id, sent_us, received_us } => {
                put_message(out, 4, 2);
                put_uint(out, u64::from(*id));
                put_uint(out, *sent_us);
                put_uint(out, *received_us);
            }
            Self::Credit { channel, bytes } => {
                put_message(out, 3, 3);
                put_uint(out, u64::from(channel.0));
                put_uint(out, u64::from(*bytes));
            }
            Self::Close { code } => {
                put_message(out, 2, 4);
                put_uint(out, u64::from(code.to_u8()));
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Credit { .. } => "credit",
            Self::Close { .. } => "close",
        }
    }
}

impl Hello {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let versions = reader.list(MAX_VERSIONS, "list of versions", |reader| {
            Ok(reader.uint(u64::from(u16::MAX), "version")? as u16)
        })?;
        let at = reader.decoder.position();
        if versions.is_empty() || !versions.is_sorted_by(|a, b| a < b) {
            return Err(Error::Expected { what: "ascending list of versions before here", at });
        }
        let network_id = reader.network_id()?;
        let channels = reader.list(MAX_CHANNELS, "list of channels", Terms::read)?;
        let at = reader.decoder.position();
        if !channels.is_sorted_by(|a, b| a.channel < b.channel)
            || channels.iter().any(|terms| terms.channel == crate::channel::CONTROL)
        {
            return Err(Error::Expected { what: "ascending list of channels before here", at });
        }
        Ok(Self { versions, network_id, channels, agent: reader.agent()? })
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_message(out, 5, 0);
        put_head(out, ARRAY, self.versions.len() as u64);
        for version in &self.versions {
            put_uint(out, u64::from(*version));
        }
        put_head(out, BYTES, self.network_id.len() as u64);
        out.extend_from_slice(&self.network_id);
        put_head(out, ARRAY, self.channels.len() as u64);
        for terms in &self.channels {
            put_head(out, ARRAY, 3);
            put_uint(out, u64::from(terms.channel.0));
            put_uint(out, u64::from(terms.max_message_bytes));
            put_uint(out, u64::from(terms.window_bytes));
        }
        put_head(out, TEXT, self.agent.len() as u64);
        out.extend_from_slice(self.agent.as_bytes());
    }
}

impl Terms {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let at = reader.decoder.position();
        if reader.array("terms of a channel")? != 3 {
            return Err(Error::Expected { what: "terms of a channel", at });
        }
        Ok(Self {
            channel: reader.channel()?,
            max_message_bytes: reader.u32("greatest length")?,
            window_bytes: reader.u32("window")?,
        })
    }
}

/// Whether a text may name a program: it is shown on terminals as it stands.
pub fn is_agent(text: &str) -> bool {
    text.len() <= MAX_AGENT_BYTES && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// Reads one message from front to back.
struct Reader<'a> {
    decoder: Decoder<'a>,
}

impl Reader<'_> {
    fn array(&mut self, what: &'static str) -> Result<u64, Error> {
        self.take(what, |decoder| {
            let length = decoder.array().ok()??;
            Some((length, head_bytes(length)))
        })
    }

    fn uint(&mut self, max: u64, what: &'static str) -> Result<u64, Error> {
        self.take(what, |decoder| {
            let value = decoder.u64().ok().filter(|value| *value <= max)?;
            Some((value, head_bytes(value)))
        })
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        Ok(self.uint(u64::from(u32::MAX), what)? as u32)
    }

    fn time(&mut self) -> Result<u64, Error> {
        self.uint(u64::MAX, "time")
    }

    /// A number of 15 bits: the segment's header has no more.
    fn channel(&mut self) -> Result<Protocol, Error> {
        Ok(Protocol(self.uint(0x7fff, "channel")? as u16))
    }

    fn network_id(&mut self) -> Result<[u8; 32], Error> {
        self.take("network id of 32 bytes", |decoder| {
            let id: [u8; 32] = decoder.bytes().ok()?.try_into().ok()?;
            Some((id, head_bytes(32) + 32))
        })
    }

    fn agent(&mut self) -> Result<String, Error> {
        self.take("short printable text", |decoder| {
            let text = decoder.str().ok().filter(|text| is_agent(text))?;
            Some((text.to_owned(), head_bytes(text.len() as u64) + text.len()))
        })
    }

    /// At most `max` elements; nothing is allocated on the word of the head alone.
    fn list<T>(
        &mut self,
        max: usize,
        what: &'static str,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let at = self.decoder.position();
        let length = self.array(what)?;
        if length > max as u64 {
            return Err(Error::Expected { what, at });
        }
        (0..length).map(|_| element(self)).collect()
    }

    fn end(&self) -> Result<(), Error> {
        let at = self.decoder.position();
        if at == self.decoder.input().len() { Ok(()) } else { Err(Error::Trailing { at }) }
    }

    /// One item, in its shortest form: the reader says how long that is.
    fn take<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder<'_>) -> Option<(T, usize)>,
    ) -> Result<T, Error> {
        let at = self.decoder.position();
        match read(&mut self.decoder) {
            Some((value, shortest)) if self.decoder.position() == at + shortest => Ok(value),
            _ => Err(Error::Expected { what, at }),
        }
    }
}

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;

/// How long the shortest head with this argument is.
fn head_bytes(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn put_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match head_bytes(argument) {
        1 => out.push(major | argument as u8),
        2 => out.extend_from_slice(&[major | 24, argument as u8]),
        3 => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        5 => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

fn put_uint(out: &mut Vec<u8>, value: u64) {
    put_head(out, UINT, value);
}

fn put_message(out: &mut Vec<u8>, fields: u64, number: u64) {
    put_head(out, ARRAY, fields);
    put_uint(out, number);
}
