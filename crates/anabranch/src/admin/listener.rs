//! Where the admin API listens: a Unix socket that its owner alone may use, or a loopback address.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::AdminAddress;

/// Connections that may wait to be accepted: an operator and a scraper or two.
const BACKLOG: i32 = 16;

/// A bound listener.
#[derive(Debug)]
pub(crate) enum Listener {
    /// On a Unix socket, which is removed when the guard is dropped.
    Unix(UnixListener, SocketFile),
    /// On a loopback address.
    Tcp(TcpListener),
}

/// Removes the socket's file at the end.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
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

/// Between `bind` and `listen` nobody can connect: the permissions are set there.
fn bind_unix(path: &Path) -> io::Result<Listener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there"));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !is_socket(&found) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener: std::os::unix::net::UnixListener = socket.into();
    Ok(Listener::Unix(UnixListener::from_std(listener)?, file))
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}
