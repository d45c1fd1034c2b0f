//! How people write peers and places: `KEY@HOST:PORT`, or `KEY@unix:PATH` on one machine.
//!
//! A host is a name or an address; names are looked up afresh at each dial, so nothing is looked up here. A pipe
//! cannot be written: it is handed over by whoever made it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use link::{PeerId, identity};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::network::{Address, PeerAddress};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// The longest path of a Unix socket: what Linux has room for, without the zero at the end.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The longest host: what the domain name system allows.
const MAX_HOST_BYTES: usize = 253;

/// Where this node listens for peers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// At a TCP port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// At a Unix socket.
    Unix(PathBuf),
}

/// A peer as operators name it: by its key, with its address where that matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Named {
    /// Who.
    pub key: PeerId,
    /// Where it is, if that was said.
    pub address: Option<Address>,
}

/// Why a text names no peer, or no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no `@`.
    #[error("`{text}` names no key: give KEY@HOST:PORT (`anabranch key show` tells a node's KEY)")]
    NoKey {
        /// What was given.
        text: String,
    },
    /// What stands in its place is no key.
    #[error("`{text}` is no key: {reason} (`anabranch key show` tells a node's KEY)")]
    Key {
        /// What stood there.
        text: String,
        /// What is wrong with it.
        reason: identity::ParseError,
    },
    /// What stands behind the `@` is no place.
    #[error("`{text}` behind the @ is no place: give HOST:PORT, [ADDRESS]:PORT or unix:PATH")]
    Place {
        /// What stood there.
        text: String,
    },
    /// A place to listen at that is none.
    #[error("`{text}` is no place to listen at: give ADDRESS:PORT such as 0.0.0.0:4001, or unix:PATH")]
    Listen {
        /// What was given.
        text: String,
    },
    /// The system has no room for such a path.
    #[error("the path `{text}` has {} bytes, a Unix socket's may have {MAX_SOCKET_PATH_BYTES}", text.len())]
    LongPath {
        /// What was given.
        text: String,
    },
}

impl FromStr for PeerAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some((key, place)) = text.split_once('@') else {
            return Err(ParseError::NoKey { text: text.into() });
        };
        let key = key.parse().map_err(|reason| ParseError::Key { text: key.into(), reason })?;
        Ok(Self { key, address: place.parse()? })
    }
}

impl FromStr for Named {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.contains('@') {
            let PeerAddress { key, address } = text.parse()?;
            return Ok(Self { key, address: Some(address) });
        }
        let key = text.parse().map_err(|reason| ParseError::Key { text: text.into(), reason })?;
        Ok(Self { key, address: None })
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refused = || ParseError::Place { text: text.into() };
        if let Some(path) = text.strip_prefix(UNIX) {
            return if path.is_empty() { Err(refused()) } else { Ok(Self::Unix(socket_path(path)?)) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(refused)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse::<std::net::Ipv6Addr>().map_err(|_| refused())?.to_string(),
            None if is_host(host) => host.to_owned(),
            None => return Err(refused()),
        };
        Ok(Self::Tcp { host, port })
    }
}

impl FromStr for Listen {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refused = || ParseError::Listen { text: text.into() };
        match text.strip_prefix(UNIX) {
            Some("") => Err(refused()),
            Some(path) => socket_path(path).map(Self::Unix),
            None => text.parse().map(Self::Tcp).map_err(|_| refused()),
        }
    }
}

/// Whether this could be the name or the IPv4 address of a host.
fn is_host(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=MAX_HOST_BYTES).contains(&text.len()) && text.bytes().all(is_letter)
}

fn socket_path(path: &str) -> Result<PathBuf, ParseError> {
    if path.len() > MAX_SOCKET_PATH_BYTES {
        return Err(ParseError::LongPath { text: path.into() });
    }
    Ok(path.into())
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{}@{address}", self.key),
            None => self.key.fmt(f),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for PeerAddress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl TryFrom<String> for Named {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Named> for String {
    fn from(named: Named) -> Self {
        named.to_string()
    }
}

impl TryFrom<String> for Listen {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        link::Identity::from_seed(&[7; 32]).peer_id().to_string()
    }

    #[test]
    fn an_address_survives_its_text() {
        for place in
            ["relay.example.org:4001", "10.0.0.1:1", "[::1]:65535", "unix:/run/peer.sock", "unix:here"]
        {
            let text = format!("{}@{place}", key());
            let address: PeerAddress = text.parse().expect(place);
            assert_eq!(address.to_string(), text);
            assert_eq!(address.key.to_string(), key());
        }
        for listen in ["0.0.0.0:4001", "[::]:0", "unix:/run/peer.sock"] {
            assert_eq!(listen.parse::<Listen>().expect(listen).to_string(), listen);
        }
    }

    #[test]
    fn says_which_part_of_an_address_is_wrong() {
        let parse = |text: &str| text.parse::<PeerAddress>().expect_err(text);
        assert!(matches!(parse("relay:4001"), ParseError::NoKey { .. }));
        assert!(matches!(parse(""), ParseError::NoKey { .. }));
        assert!(matches!(parse("12@relay:4001"), ParseError::Key { .. }));
        assert!(matches!(parse("@relay:4001"), ParseError::Key { .. }));
        for place in
            ["relay", "relay:0", "relay:65536", ":1", "::1:1", "[relay]:1", "a b:1", "a@b:1", "unix:", ""]
        {
            assert!(matches!(parse(&format!("{}@{place}", key())), ParseError::Place { .. }), "{place}");
        }
        let long = format!("{}@unix:/{}", key(), "x".repeat(MAX_SOCKET_PATH_BYTES));
        assert!(matches!(parse(&long), ParseError::LongPath { .. }));
    }

    #[test]
    fn a_peer_is_named_with_or_without_its_address() {
        for text in [key(), format!("{}@relay:1", key())] {
            assert_eq!(text.parse::<Named>().expect("named").to_string(), text);
        }
        assert!(matches!("relay:1".parse::<Named>(), Err(ParseError::Key { .. })));
    }

    #[test]
    fn listens_at_addresses_not_at_names() {
        for text in ["relay:4001", "4001", "127.0.0.1", "unix:", ""] {
            assert!(matches!(text.parse::<Listen>(), Err(ParseError::Listen { .. })), "{text}");
        }
    }
}
