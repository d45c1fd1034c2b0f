//! What carries a link's bytes: TCP, a Unix socket, or a pipe in memory.
//!
//! A bearer moves bytes and knows nothing of them. It is split into the half that the read routine owns and the half
//! that the write routine owns; both are polled, so that neither needs a buffer while it waits.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// What carries bytes between two peers.
#[derive(Debug)]
pub enum Bearer {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// A pipe in memory, within one process.
    Pipe(DuplexStream),
}

/// The half that brings bytes.
#[derive(Debug)]
pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Pipe(tokio::io::ReadHalf<DuplexStream>),
}

/// The half that takes bytes. Dropping it tells the peer that no more come.
#[derive(Debug)]
pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Pipe(tokio::io::WriteHalf<DuplexStream>),
}

impl Bearer {
    /// A TCP stream that sends what it is given at once: a write is a whole batch, waiting for more only delays it.
    ///
    /// # Errors
    /// When the system refuses the option, as it does on a connection that is already broken.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Two ends of a pipe in memory that holds at most `bytes` each way.
    pub fn pipe(bytes: usize) -> (Self, Self) {
        let (near, far) = tokio::io::duplex(bytes);
        (Self::Pipe(near), Self::Pipe(far))
    }

    /// The address of the other end, where it has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) | Self::Pipe(_) => None,
        }
    }

    /// Writes a few bytes if that can be done at once; it does not matter whether they arrive.
    pub(in crate::network) fn try_write(&self, bytes: &[u8]) {
        let _ = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            // Whoever dialled from within this process sees the end of the pipe.
            Self::Pipe(_) => Ok(0),
        };
    }

    /// The two halves.
    pub(super) fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            Self::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
            Self::Pipe(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Reader::Pipe(reader), Writer::Pipe(writer))
            }
        }
    }
}

impl Reader {
    /// Reads what is there into `buffer`; how much, 0 at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, &mut buffer),
            Self::Unix(half) => Pin::new(half).poll_read(cx, &mut buffer),
            Self::Pipe(half) => Pin::new(half).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }
}

impl Writer {
    /// Writes as much of `bytes` as is taken; how much.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Unix(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Pipe(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    /// Says that no more bytes come; what was written still goes out.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Pipe(half) => Pin::new(half).poll_shutdown(cx),
        }
    }

    /// Bounds how much of what was written may wait in the kernel unsent, where the bearer has such a bound.
    pub(super) fn set_unsent_bytes(&self, bytes: u32) -> io::Result<()> {
        match self {
            Self::Tcp(half) => SockRef::from(half.as_ref()).set_tcp_notsent_lowat(bytes),
            Self::Unix(_) | Self::Pipe(_) => Ok(()),
        }
    }
}
