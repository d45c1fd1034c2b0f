//! Where a peer is, and who it is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use link::PeerId;
use serde::{Serialize, Serializer};

use super::socket::PipeAddress;

/// Where somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// At a port of a host.
    Tcp {
        /// A name or an IP address (IPv6 without brackets).
        host: String,
        /// The port.
        port: u16,
    },
    /// At a Unix socket.
    Unix(PathBuf),
    /// In this process.
    Pipe(PipeAddress),
}

/// Who a peer is and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// The key that it must prove.
    pub key: PeerId,
    /// Where to dial.
    pub address: Address,
}

/// The other end of a bearer, as the system names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A host and port.
    Ip(SocketAddr),
    /// Not known yet, or without a name: what was dialled.
    Dialled(Address),
    /// Somebody on this machine, through a Unix socket.
    Unix,
    /// Somebody in this process.
    Pipe,
}

impl Remote {
    /// Its IP address, where it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Dialled(_) | Self::Unix | Self::Pipe => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dialled(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Pipe => f.write_str("pipe"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Pipe(pipe) => pipe.fmt(f),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.address)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp { host: address.ip().to_string(), port: address.port() }
    }
}

/// Serialises something as its text.
pub(super) fn as_text<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        as_text(self, to)
    }
}

impl Serialize for PeerAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        as_text(self, to)
    }
}

impl Serialize for Remote {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        as_text(self, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_dialled() {
        let of = |text: &str| Address::from(text.parse::<SocketAddr>().expect("an address")).to_string();
        assert_eq!(of("10.0.0.1:3000"), "10.0.0.1:3000");
        assert_eq!(of("[::1]:3000"), "[::1]:3000");
        assert_eq!(Address::Unix("/run/peer".into()).to_string(), "unix:/run/peer");
    }
}
