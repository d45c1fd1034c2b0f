//! The network module as an application uses it: two nodes with the default settings, one connection.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anabranch::network::{self, Listener, Network, PeerAddress, Sink};
use anabranch::peers::Listen;
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use link::channel::BODIES;
use link::{Identity, PeerId, Protocol};
use rand::rngs::SysRng;
use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha20Rng;
use tokio::runtime::Runtime;

use super::end::{Check, Make, on_a_thread, say_listening};

const NETWORK_ID: [u8; 32] = [7; 32];
const SENDER: [u8; 32] = [1; 32];
const RECEIVER: [u8; 32] = [2; 32];

/// The threads of each end's runtime: as many as the machine has processors.
const THREADS: usize = 2;

/// A node that has dialled another.
pub(crate) struct Sender {
    runtime: Runtime,
    network: Network,
    _sink: Sink,
    to: PeerId,
}

/// A node that listens.
pub(crate) struct Receiver {
    runtime: Runtime,
    network: Network,
    sink: Sink,
}

impl Sender {
    /// Connects to a receiver.
    pub(crate) fn connect(port: u16) -> anyhow::Result<Self> {
        let (runtime, network, sink) = start(SENDER, Vec::new())?;
        let to = Identity::from_seed(&RECEIVER).peer_id();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into();
        runtime.block_on(network.connect(&PeerAddress { key: to, address }))?;
        Ok(Self { runtime, network, _sink: sink, to })
    }

    /// Sends a message when there is room.
    pub(crate) fn send(&self, channel: Protocol, body: Bytes) -> anyhow::Result<()> {
        Ok(self.runtime.block_on(self.network.send(self.to, channel, body))?)
    }
}

impl Receiver {
    /// Listens on a port of loopback.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listener = Listener::bind(&Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
        let (runtime, network, sink) = start(RECEIVER, vec![listener])?;
        Ok(Self { runtime, network, sink })
    }

    /// Says where it listens, and has every message looked at on a task of its own.
    pub(crate) fn receive(
        self,
        mut look: impl FnMut(&[u8]) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let Self { runtime, network, mut sink } = self;
        let Some(network::Address::Tcp { port, .. }) = network.local_addrs().first() else {
            bail!("it listens on no port")
        };
        say_listening(*port)?;
        on_a_thread(move || {
            let _network = network;
            runtime.block_on(async move {
                // As an application does it: on the runtime's own threads.
                let taking = tokio::spawn(async move {
                    while let Some(delivery) = sink.next().await {
                        look(&delivery.body)?;
                    }
                    anyhow::Ok(())
                });
                taking.await?
            })
        });
        Ok(())
    }
}

/// Sends for ever.
pub(super) fn send(port: u16) -> anyhow::Result<()> {
    let Sender { runtime, network, _sink, to } = Sender::connect(port)?;
    on_a_thread(move || {
        let _sink = _sink;
        runtime.block_on(async move {
            let sending = tokio::spawn(async move {
                let mut messages = Messages::default();
                loop {
                    network.send(to, BODIES, messages.next()).await?;
                }
            });
            sending.await?
        })
    });
    Ok(())
}

/// Messages in buffers that the network has let go of: none is copied to be sent, as on the other sides.
#[derive(Debug, Default)]
struct Messages {
    made: u64,
    lent: VecDeque<Bytes>,
}

impl Messages {
    fn next(&mut self) -> Bytes {
        let oldest = self.lent.pop_front().map(Bytes::try_into_mut);
        let mut message = match oldest {
            Some(Ok(free)) => free,
            still_lent => {
                self.lent.extend(still_lent.and_then(Result::err));
                BytesMut::from(Make::new().next())
            }
        };
        message[..8].copy_from_slice(&self.made.to_be_bytes());
        self.made += 1;
        let message = message.freeze();
        self.lent.push_back(message.clone());
        message
    }
}

/// Receives from one sender.
pub(super) fn receive() -> anyhow::Result<()> {
    let mut check = Check::default();
    Receiver::listen()?.receive(move |message| check.take(message))
}

fn start(seed: [u8; 32], listeners: Vec<Listener>) -> anyhow::Result<(Runtime, Network, Sink)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let mut random = [0; 32];
    SysRng.try_fill_bytes(&mut random).context("the system's randomness")?;
    let (network, sink) = {
        let _inside = runtime.enter();
        Network::start(
            network::Config::new(NETWORK_ID),
            Identity::from_seed(&seed),
            Arc::new(network::Open),
            listeners,
            ChaCha20Rng::from_seed(random),
        )?
    };
    Ok((runtime, network, sink))
}
