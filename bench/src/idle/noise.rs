//! A task for each connection, with a Noise session, a buffer for what comes in and one for what goes out.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use snow::TransportState;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::end::{AT_ONCE, Listening};
use crate::link::noise::{read, shake, write};
use crate::process;

/// As long as our longest frame.
const BUFFER_BYTES: usize = link::frame::Limits::TRANSPORT.max as usize;

/// Listens; how many links are open.
pub(super) fn listen(runtime: &Runtime) -> anyhow::Result<Box<dyn Fn() -> usize>> {
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    process::say(&Listening { port: listener.local_addr()?.port() })?;
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let open = open.clone();
            tokio::spawn(async move {
                open.fetch_add(1, Ordering::Relaxed);
                let ended = send_back(stream).await;
                open.fetch_sub(1, Ordering::Relaxed);
                ended
            });
        }
    });
    Ok(Box::new(move || count.load(Ordering::Relaxed)))
}

async fn send_back(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut noise = shake(&mut stream, false).await?;
    let (mut sealed, mut message) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let length = read(&mut stream, &mut sealed).await?;
        let length = noise.read_message(&sealed[..length], &mut message)?;
        let length = noise.write_message(&message[..length], &mut sealed)?;
        write(&mut stream, &sealed[..length]).await?;
    }
}

/// Makes so many links more and keeps them.
pub(super) fn dial(
    runtime: &Runtime,
    port: u16,
    messages: usize,
    bytes: usize,
) -> Box<dyn FnMut(usize) -> anyhow::Result<()>> {
    let handle = runtime.handle().clone();
    let mut links = Vec::new();
    Box::new(move |count| {
        handle.block_on(async {
            let mut under_way = JoinSet::new();
            for _ in 0..count {
                if under_way.len() == AT_ONCE {
                    links.extend(under_way.join_next().await.transpose()?.transpose()?);
                }
                under_way.spawn(link(port, messages, bytes));
            }
            while let Some(link) = under_way.join_next().await {
                links.push(link??);
            }
            Ok(())
        })
    })
}

/// A link that has carried its messages and rests.
async fn link(port: u16, messages: usize, bytes: usize) -> anyhow::Result<(TcpStream, TransportState)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    let mut noise = shake(&mut stream, true).await?;
    let message = vec![0xa5; bytes];
    let (mut sealed, mut back) = (vec![0; bytes + 16], vec![0; bytes + 16]);
    for _ in 0..messages {
        let length = noise.write_message(&message, &mut sealed)?;
        write(&mut stream, &sealed[..length]).await?;
        let length = read(&mut stream, &mut sealed).await?;
        let length = noise.read_message(&sealed[..length], &mut back)?;
        ensure!(back[..length] == message, "a message changed on its way");
    }
    Ok((stream, noise))
}
