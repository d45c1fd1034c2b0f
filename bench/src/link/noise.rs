//! Noise XX as snow's examples do it: a length, a Noise message, read and written with tokio's own helpers.

use std::net::Ipv4Addr;

use snow::{Builder, HandshakeState, TransportState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::MESSAGE_BYTES;
use super::end::{Check, Make, on_a_thread, say_listening};

const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";

/// The longest Noise message, and its payload.
const LONGEST: usize = 65_535;
const LONGEST_PAYLOAD: usize = LONGEST - 16;

/// Sends for ever.
pub(super) fn send(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    on_a_thread(move || {
        runtime.block_on(async move {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            stream.set_nodelay(true)?;
            let mut noise = shake(&mut stream, true).await?;
            let mut make = Make::new();
            let mut sealed = vec![0; LONGEST];
            loop {
                for part in make.next().chunks(LONGEST_PAYLOAD) {
                    let length = noise.write_message(part, &mut sealed)?;
                    write(&mut stream, &sealed[..length]).await?;
                }
            }
        })
    });
    Ok(())
}

/// Receives from one sender.
pub(super) fn receive() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    say_listening(listener.local_addr()?.port())?;
    on_a_thread(move || {
        runtime.block_on(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut noise = shake(&mut stream, false).await?;
            let mut check = Check::default();
            let (mut sealed, mut message) = (vec![0; LONGEST], vec![0; MESSAGE_BYTES + LONGEST]);
            loop {
                let mut have = 0;
                while have < MESSAGE_BYTES {
                    let length = read(&mut stream, &mut sealed).await?;
                    have += noise.read_message(&sealed[..length], &mut message[have..])?;
                }
                check.take(&message[..have])?;
            }
        })
    });
    Ok(())
}

/// Shakes hands.
pub(crate) async fn shake(stream: &mut TcpStream, dialled: bool) -> anyhow::Result<TransportState> {
    let builder = Builder::new(PATTERN.parse()?);
    let key = builder.generate_keypair()?.private;
    let builder = builder.local_private_key(&key)?;
    let mut noise: HandshakeState =
        if dialled { builder.build_initiator()? } else { builder.build_responder()? };
    let (mut ours, mut theirs) = (vec![0; LONGEST], vec![0; LONGEST]);
    while !noise.is_handshake_finished() {
        if noise.is_my_turn() {
            let length = noise.write_message(&[], &mut ours)?;
            write(stream, &ours[..length]).await?;
        } else {
            let length = read(stream, &mut theirs).await?;
            noise.read_message(&theirs[..length], &mut ours)?;
        }
    }
    Ok(noise.into_transport_mode()?)
}

/// Writes one Noise message.
pub(crate) async fn write(stream: &mut TcpStream, message: &[u8]) -> anyhow::Result<()> {
    stream.write_all(&(message.len() as u16).to_be_bytes()).await?;
    Ok(stream.write_all(message).await?)
}

/// Reads one; how long it is.
pub(crate) async fn read(stream: &mut TcpStream, message: &mut [u8]) -> anyhow::Result<usize> {
    let length = usize::from(stream.read_u16().await?);
    stream.read_exact(&mut message[..length]).await?;
    Ok(length)
}
