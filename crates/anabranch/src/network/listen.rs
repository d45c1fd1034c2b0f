//! Accepting: one task per listener, which nothing that a peer does can end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::address::{Address, Remote};
use super::socket::Bearer;
use super::socket::{PipeAddress, PipeListener, listen_on_pipe};
use crate::peers::Listen;
use crate::unix_socket::{self, SocketFile};

/// Connections that may wait in the kernel: what it allows at most by default.
const BACKLOG: i32 = 4_096;

/// Who may connect to a Unix socket: everybody, as to a port. It is the key that counts.
const EVERYBODY: u32 = 0o666;

/// After an error, accepting pauses this long, then twice as long, and so on. The system is out of something,
/// descriptors mostly, and trying at once would only burn the CPU that could free some.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where connections come in.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    address: Address,
}

#[derive(Debug)]
enum Source {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, SocketFile),
    Pipe(PipeListener),
}

/// The same, on the runtime.
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
    Pipe(PipeListener),
}

/// Why it cannot be listened at a place.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "cannot listen for peers at {at}: it is in use (by another node? give another port with --listen)"
    )]
    InUse {
        /// Where.
        at: Listen,
    },
    /// The system refuses.
    #[error("cannot listen for peers at {at}: {source}")]
    Refused {
        /// Where.
        at: Listen,
        /// What it said.
        source: io::Error,
    },
}

impl Listener {
    /// Binds, so that it is known before anything is started whether that works.
    ///
    /// # Errors
    /// When the place is taken, or the system refuses.
    pub fn bind(at: &Listen) -> Result<Self, BindError> {
        let bound = match at {
            Listen::Tcp(address) => bind_tcp(*address),
            Listen::Unix(path) => unix_socket::bind(path, EVERYBODY, BACKLOG).map(|(listener, file)| Self {
                source: Source::Unix(listener, file),
                address: Address::Unix(path.clone()),
            }),
        };
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { at: at.clone() },
            _ => BindError::Refused { at: at.clone(), source },
        })
    }

    /// A listener for connections from within this process, and where to dial them.
    pub fn pipe() -> (Self, PipeAddress) {
        let (listener, address) = listen_on_pipe();
        (Self { source: Source::Pipe(listener), address: Address::Pipe(address.clone()) }, address)
    }

    /// Where it listens: of a place with port 0, the port that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Hands it to the runtime that calls this.
    pub(super) fn start(self) -> io::Result<Accepting> {
        Ok(match self.source {
            Source::Tcp(listener) => Accepting::Tcp(TcpListener::from_std(listener)?),
            Source::Unix(listener, file) => {
                Accepting::Unix { listener: UnixListener::from_std(listener)?, _file: file }
            }
            Source::Pipe(listener) => Accepting::Pipe(listener),
        })
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // So that a restart does not wait for the connections of before.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener: std::net::TcpListener = socket.into();
    let address = Address::from(listener.local_addr()?);
    Ok(Listener { source: Source::Tcp(listener), address })
}

impl Accepting {
    /// The next connection.
    async fn accept(&mut self) -> io::Result<(Bearer, Remote)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((Bearer::tcp(stream)?, Remote::Ip(from)))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Bearer::Unix(stream), Remote::Unix))
            }
            // The listener holds the address, so that it never ends.
            Self::Pipe(listener) => match listener.accepted.recv().await {
                Some(stream) => Ok((Bearer::Pipe(stream), Remote::Pipe)),
                None => std::future::pending().await,
            },
        }
    }
}

/// Accepts until stopped.
pub(super) async fn run(
    mut listener: Accepting,
    stop: CancellationToken,
    take: impl Fn(Bearer, Remote) + Send + Sync,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((bearer, remote)) => {
                if pause > FIRST_PAUSE {
                    tracing::info!("accepting peers again");
                    pause = FIRST_PAUSE;
                }
                take(bearer, remote);
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if pause == FIRST_PAUSE {
                    tracing::warn!(%error, "cannot accept peers, trying again; are there enough file descriptors?");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        }
    }
}

/// Whether the connection that was to be accepted failed, and not the accepting. (An option that the system refuses
/// is refused on connections that are broken already.)
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
    )
}
