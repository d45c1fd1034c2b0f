//! The messages of peer-sharing (`peer-sharing-v14.cddl`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::codec::{self, Element, Error, Form, List, Reader};

/// A message of peer-sharing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The initiator wants addresses.
    ShareRequest {
        /// How many at most.
        amount: u8,
    },
    /// Some addresses.
    SharePeers {
        /// The addresses.
        peers: List<'a, Peer>,
    },
    /// The initiator ends the protocol.
    Done,
}

/// The address of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl<'a> Message<'a> {
    /// Reads the message that these bytes are.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let message = match reader.message()? {
            (2, 0) => Self::ShareRequest { amount: reader.u8("amount")? },
            (2, 1) => Self::SharePeers { peers: List::read(&mut reader)? },
            (1, 2) => Self::Done,
            (fields, number) => return Err(Error::Unknown { number, fields }),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::ShareRequest { amount } => {
                codec::put_message(out, 2, 0);
                codec::put_uint(out, u64::from(*amount));
            }
            Self::SharePeers { peers } => {
                codec::put_message(out, 2, 1);
                peers.write(out);
            }
            Self::Done => codec::put_message(out, 1, 2),
        }
    }

    /// What the CDDL calls it, less the prefix.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ShareRequest { .. } => "ShareRequest",
            Self::SharePeers { .. } => "SharePeers",
            Self::Done => "Done",
        }
    }
}

/// An IPv4 address travels as the number that its bytes are to a little-endian machine, an IPv6 address as four
/// big-endian numbers: so the reference's sockets hold them.
impl<'a> Element<'a> for Peer {
    const WHAT: &'static str = "list of addresses";
    const FORM: Form = Form::Either;

    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        codec::element(bytes, |reader| {
            let address = match reader.message()? {
                (3, 0) => IpAddr::V4(Ipv4Addr::from(reader.u32("IPv4 address")?.to_le_bytes())),
                (6, 1) => {
                    let mut words = [0; 4];
                    for word in &mut words {
                        *word = reader.u32("IPv6 address")?;
                    }
                    let [a, b, c, d] = words.map(u128::from);
                    IpAddr::V6(Ipv6Addr::from(a << 96 | b << 64 | c << 32 | d))
                }
                (fields, number) => return Err(Error::Unknown { number, fields }),
            };
            Ok(Self(SocketAddr::new(address, reader.u16("port")?)))
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self.0.ip() {
            IpAddr::V4(address) => {
                codec::put_message(out, 3, 0);
                codec::put_uint(out, u64::from(u32::from_le_bytes(address.octets())));
            }
            IpAddr::V6(address) => {
                codec::put_message(out, 6, 1);
                let bits = u128::from(address);
                for shift in [96, 64, 32, 0] {
                    codec::put_uint(out, u64::from((bits >> shift) as u32));
                }
            }
        }
        codec::put_uint(out, u64::from(self.0.port()));
    }
}
