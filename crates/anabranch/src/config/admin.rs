//! `[admin]`: where the admin API listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;

/// The admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// A loopback address, or the path of a Unix socket; `admin.sock` in the data directory where it is
    /// not set.
    pub listen: Option<String>,
}

/// Where the admin API is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A loopback address.
    Tcp(SocketAddr),
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

impl Admin {
    /// The socket's name inside a data directory.
    pub const SOCKET: &str = "admin.sock";

    /// Where a node with this data directory listens.
    pub fn address(&self, data_dir: &Path) -> AdminAddress {
        match &self.listen {
            None => AdminAddress::Unix(data_dir.join(Self::SOCKET)),
            Some(listen) => match listen.parse() {
                Ok(address) => AdminAddress::Tcp(address),
                Err(_) => AdminAddress::Unix(listen.into()),
            },
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let Some(listen) = &self.listen else { return Ok(()) };
        match self.address(Path::new("")) {
            AdminAddress::Tcp(address) if !address.ip().is_loopback() => Err(Error::AdminAddress { address }),
            // A mistyped address shall not become a file somewhere.
            AdminAddress::Unix(_) if !listen.contains('/') => {
                Err(Error::AdminListen { listen: listen.clone() })
            }
            AdminAddress::Tcp(_) | AdminAddress::Unix(_) => Ok(()),
        }
    }
}
