//! Making a bearer to where a peer listens.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use link::reason::Reason;
use tokio::net::{TcpStream, UnixStream};

use super::address::{Address, Remote};
use super::socket::Bearer;

/// The most addresses of one host that are tried: a name with more is a mistake, or somebody's joke. A guess.
const MAX_ADDRESSES: usize = 8;

/// Makes a bearer; also says where it leads, if that has become clearer.
///
/// # Errors
/// When the host is not known, nobody answers, or it takes longer than `timeout`.
pub(super) async fn dial(address: &Address, timeout: Duration) -> Result<(Bearer, Option<Remote>), Reason> {
    match tokio::time::timeout(timeout, connect(address, timeout)).await {
        Ok(made) => made,
        Err(_) => Err(Reason::DialTimeout),
    }
}

async fn connect(address: &Address, timeout: Duration) -> Result<(Bearer, Option<Remote>), Reason> {
    let failed = |error: io::Error| Reason::DialFailed(error.kind());
    match address {
        Address::Tcp { host, port } => {
            let (stream, to) = connect_host(host, *port, timeout).await?;
            Ok((Bearer::tcp(stream).map_err(failed)?, Some(Remote::Ip(to))))
        }
        Address::Unix(path) => Ok((Bearer::Unix(UnixStream::connect(path).await.map_err(failed)?), None)),
        Address::Pipe(pipe) => Ok((Bearer::Pipe(pipe.connect().await.map_err(failed)?), None)),
    }
}

/// Tries the addresses of a host in turn; each may take its part of the time.
async fn connect_host(host: &str, port: u16, timeout: Duration) -> Result<(TcpStream, SocketAddr), Reason> {
    let looked_up = tokio::net::lookup_host((host, port)).await.map_err(|_| Reason::UnknownHost)?;
    let addresses: Vec<SocketAddr> = looked_up.take(MAX_ADDRESSES).collect();
    let each = timeout / addresses.len().max(1) as u32;
    let mut last = Reason::UnknownHost;
    for address in addresses {
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => last = Reason::DialFailed(error.kind()),
            Err(_) => last = Reason::DialTimeout,
        }
    }
    Err(last)
}
