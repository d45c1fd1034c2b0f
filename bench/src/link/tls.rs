//! TLS 1.3 through rustls, over blocking sockets, as rustls' own `Stream` does it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::MESSAGE_BYTES;
use super::end::{Check, Make, on_a_thread, say_listening};
use crate::tls;

/// Sends for ever.
pub(super) fn send(port: u16) -> anyhow::Result<()> {
    let (config, _) = tls::configs()?;
    on_a_thread(move || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        let session = ClientConnection::new(config, tls::server_name())?;
        let mut stream = StreamOwned::new(session, stream);
        let mut make = Make::new();
        loop {
            stream.write_all(make.next())?;
        }
    });
    Ok(())
}

/// Receives from one sender.
pub(super) fn receive() -> anyhow::Result<()> {
    let (_, config) = tls::configs()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    say_listening(listener.local_addr()?.port())?;
    on_a_thread(move || {
        let (stream, _) = listener.accept()?;
        let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
        let mut message = vec![0; MESSAGE_BYTES];
        let mut check = Check::default();
        loop {
            stream.read_exact(&mut message)?;
            check.take(&message)?;
        }
    });
    Ok(())
}
