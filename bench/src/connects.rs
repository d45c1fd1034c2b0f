//! Whole connections between peers over loopback: dialled, authenticated, agreed, open, and closed again.
//!
//! Some peers dial one, each again as soon as its last connection is gone. All are networks of the product in this
//! process; what is counted is its CPU time, so that the figure is a core's.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch::network::{Config, Listener, Network, Open, PeerAddress, Sink};
use anabranch::peers::Listen;
use anyhow::Context;
use link::Identity;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

/// Peers that dial at once.
const DIALLERS: u8 = 8;

/// How many connections a core makes and ends in a second, both ends of each.
pub(crate) fn per_core_second(seconds: f64) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(Duration::from_secs_f64(seconds)))
}

async fn measure(time: Duration) -> anyhow::Result<f64> {
    let listen = Listen::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    let (accepting, _sink) = start(0, vec![Listener::bind(&listen)?])?;
    let address = accepting.local_addrs().first().context("it listens")?.clone();
    let mut diallers = JoinSet::new();
    let mut networks = Vec::new();
    let cpu = cpu_time();
    let until = Instant::now() + time;
    for number in 1..=DIALLERS {
        let (network, sink) = start(number, Vec::new())?;
        let peer = PeerAddress { key: accepting.peer_id(), address: address.clone() };
        diallers.spawn(dial_again_and_again(network.clone(), peer, until));
        networks.push((network, sink));
    }
    let mut count = 0;
    while let Some(dialled) = diallers.join_next().await {
        count += dialled??;
    }
    let spent = cpu_time().saturating_sub(cpu);
    for (network, _) in &networks {
        network.stop().await;
    }
    accepting.stop().await;
    Ok(f64::from(count) / spent.as_secs_f64())
}

async fn dial_again_and_again(network: Network, peer: PeerAddress, until: Instant) -> anyhow::Result<u32> {
    let mut count = 0;
    while Instant::now() < until {
        network.connect(&peer).await?;
        count += 1;
        let mut changes = network.changes();
        network.drop_peer(peer.key);
        while network.totals().connections > 0 {
            changes.changed().await?;
        }
    }
    Ok(count)
}

fn start(number: u8, listeners: Vec<Listener>) -> anyhow::Result<(Network, Sink)> {
    let identity = Identity::from_seed(&[number; 32]);
    let rng = ChaCha20Rng::seed_from_u64(number.into());
    Ok(Network::start(Config::new([7; 32]), identity, Arc::new(Open), listeners, rng)?)
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
