//! A line of a fixed rate: a relay with small buffers that passes bytes on by a token bucket.

use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::link::Listening;
use crate::process;

/// Of each of the relay's sockets; the system takes it twice, for its own use.
const BUFFER_BYTES: usize = 16 << 10;

/// Passed on at once: some packets of an Ethernet.
const QUANTUM_BYTES: usize = 4_096;

/// What an Ethernet carries in a packet. Loopback's packets of 64 KiB would not fit the buffers.
const PACKET_BYTES: u32 = 1_448;

/// How a relay is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Where it connects to.
    #[arg(long)]
    port: u16,
    #[arg(long)]
    mbit_per_s: u64,
}

/// The arguments that start one.
pub(super) fn arguments(port: u16, mbit_per_s: u64) -> Vec<String> {
    vec!["lanes-relay".into(), format!("--port={port}"), format!("--mbit-per-s={mbit_per_s}")]
}

/// Relays one connection, as long as standard input lasts.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let listener = socket()?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listener.listen(1)?;
    let address = listener.local_addr()?.as_socket().map_or(0, |address| address.port());
    process::say(&Listening { port: address })?;
    let Args { port, mbit_per_s } = *args;
    std::thread::spawn(move || {
        let connect = || -> std::io::Result<(TcpStream, TcpStream)> {
            let (near, _) = listener.accept()?;
            let far = socket()?;
            far.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
            near.set_tcp_nodelay(true)?;
            Ok((near.into(), far.into()))
        };
        let pair = connect().and_then(|(near, far)| Ok((near.try_clone()?, far.try_clone()?, near, far)));
        match pair {
            Ok((near, far, near_again, far_again)) => {
                std::thread::spawn(move || pass(near, far, mbit_per_s));
                std::thread::spawn(move || pass(far_again, near_again, mbit_per_s));
            }
            Err(error) => eprintln!("the relay failed: {error}"),
        }
    });
    for line in std::io::stdin().lock().lines() {
        line?;
    }
    Ok(())
}

fn socket() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_tcp_mss(PACKET_BYTES)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Passes bytes on until one of the ends is gone.
fn pass(mut from: TcpStream, mut to: TcpStream, mbit_per_s: u64) {
    let mut quantum = [0; QUANTUM_BYTES];
    let mut free_at = Instant::now();
    loop {
        let Ok(bytes @ 1..) = from.read(&mut quantum) else { return };
        let now = Instant::now();
        // A line that was idle owes nothing for the time; it begins with this quantum.
        free_at = free_at.max(now) + Duration::from_nanos(bytes as u64 * 8_000 / mbit_per_s);
        std::thread::sleep(free_at.saturating_duration_since(now));
        if to.write_all(&quantum[..bytes]).is_err() {
            return;
        }
    }
}
