//! The network module with its default settings; only the caps, and the budget that they need, are raised.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use anabranch::network::{Address, Config, Listener, Network, Open, PeerAddress, Sink};
use anabranch::peers::Listen;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use link::Identity;
use link::channel::SYNC;
use rand::rngs::SysRng;
use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha20Rng;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::end::{AT_ONCE, Listening};
use crate::process;

/// More links than there are ports to dial from.
const MANY: usize = 65_536;

/// The number of the listener's identity; diallers have those above.
const LISTENER: u64 = 0;

/// Listens; how many links are open.
pub(super) fn listen(runtime: &Runtime) -> anyhow::Result<Box<dyn Fn() -> usize>> {
    let _inside = runtime.enter();
    let listener = Listener::bind(&Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    let mut config = config();
    config.caps.connections = NonZeroUsize::new(MANY).context("not zero")?;
    config.caps.inbound = MANY;
    config.caps.per_address = config.caps.connections;
    config.budget_bytes =
        NonZeroU64::new(2 * MANY as u64 * u64::from(config.floor_bytes.get())).context("not zero")?;
    let (network, mut sink) = start(config, LISTENER, vec![listener])?;
    let Some(&Address::Tcp { port, .. }) = network.local_addrs().first() else {
        bail!("it listens on no port")
    };
    process::say(&Listening { port })?;
    let answering = network.clone();
    runtime.spawn(async move {
        while let Some(delivery) = sink.next().await {
            let sent = answering.send(delivery.peer, delivery.channel, delivery.body).await;
            if let Err(error) = sent {
                eprintln!("cannot answer: {error}");
            }
        }
    });
    Ok(Box::new(move || network.totals().open))
}

/// Makes so many links more, each from a peer of its own, and keeps them.
pub(super) fn dial(
    runtime: &Runtime,
    port: u16,
    messages: usize,
    bytes: usize,
) -> Box<dyn FnMut(usize) -> anyhow::Result<()>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into();
    let listener = PeerAddress { key: identity(LISTENER).peer_id(), address };
    let (config, body) = (config(), Bytes::from(vec![0xa5; bytes]));
    let handle = runtime.handle().clone();
    let mut links = Vec::new();
    Box::new(move |count| {
        handle.block_on(async {
            let mut under_way = JoinSet::new();
            for number in links.len()..links.len() + count {
                if under_way.len() == AT_ONCE {
                    links.extend(under_way.join_next().await.transpose()?.transpose()?);
                }
                let number = LISTENER + 1 + number as u64;
                let (config, listener) = (config.clone(), listener.clone());
                under_way.spawn(link(config, number, listener, messages, body.clone()));
            }
            while let Some(link) = under_way.join_next().await {
                links.push(link??);
            }
            Ok(())
        })
    })
}

/// A link that has carried its messages and rests.
async fn link(
    config: Config,
    number: u64,
    listener: PeerAddress,
    messages: usize,
    body: Bytes,
) -> anyhow::Result<(Network, Sink)> {
    let (network, mut sink) = start(config, number, Vec::new())?;
    network.connect(&listener).await?;
    for _ in 0..messages {
        network.send(listener.key, SYNC, body.clone()).await?;
    }
    for _ in 0..messages {
        let delivery = sink.next().await.context("the network runs")?;
        ensure!(delivery.body == body, "a message changed on its way");
    }
    network.ping(listener.key)?;
    Ok((network, sink))
}

fn config() -> Config {
    Config::new([7; 32])
}

fn identity(number: u64) -> Identity {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    Identity::from_seed(&seed)
}

fn start(config: Config, number: u64, listeners: Vec<Listener>) -> anyhow::Result<(Network, Sink)> {
    let mut random = [0; 32];
    SysRng.try_fill_bytes(&mut random).context("the system's randomness")?;
    let rng = ChaCha20Rng::from_seed(random);
    Ok(Network::start(config, identity(number), Arc::new(Open), listeners, rng)?)
}
