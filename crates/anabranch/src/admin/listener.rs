//! Where the admin API listens: a Unix socket that its owner alone may use, or a loopback address.

use std::io;
use std::path::Path;

use tokio::net::{TcpListener, UnixListener};

use crate::config::AdminAddress;
use crate::unix_socket::{self, SocketFile};

/// Connections that may wait to be accepted: an operator and a scraper or two.
const BACKLOG: i32 = 16;

/// Who may connect to the Unix socket.
const OWNER_ONLY: u32 = 0o600;

/// A bound listener.
#[derive(Debug)]
pub(crate) enum Listener {
    /// On a Unix socket, which is removed when the guard is dropped.
    Unix(UnixListener, SocketFile),
    /// On a loopback address.
    Tcp(TcpListener),
}

impl Listener {
    /// Where it listens: of an address with port 0, the port that the system chose.
    pub(crate) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Unix(_, SocketFile(path)) => Ok(AdminAddress::Unix(path.clone())),
            Self::Tcp(listener) => listener.local_addr().map(AdminAddress::Tcp),
        }
    }
}

/// Binds. The data directory's lock is held by now, so a socket left there is a dead process's.
pub(crate) async fn bind(address: &AdminAddress) -> io::Result<Listener> {
    match address {
        AdminAddress::Unix(path) => bind_unix(path),
        AdminAddress::Tcp(address) => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
    }
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    let (listener, file) = unix_socket::bind(path, OWNER_ONLY, BACKLOG)?;
    Ok(Listener::Unix(UnixListener::from_std(listener)?, file))
}
