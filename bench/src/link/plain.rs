//! TCP as it is: one system call a message, nothing else. The floor.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::MESSAGE_BYTES;
use super::end::{Check, Make, on_a_thread, say_listening};

/// Sends for ever.
pub(super) fn send(port: u16) {
    on_a_thread(move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        let mut make = Make::new();
        loop {
            stream.write_all(make.next())?;
        }
    });
}

/// Receives from one sender.
pub(super) fn receive() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    say_listening(listener.local_addr()?.port())?;
    on_a_thread(move || {
        let (mut stream, _) = listener.accept()?;
        let mut message = vec![0; MESSAGE_BYTES];
        let mut check = Check::default();
        loop {
            stream.read_exact(&mut message)?;
            check.take(&message)?;
        }
    });
    Ok(())
}
