//! A probe against networks in this process, honest and not.

use bytes::Bytes;
use link::channel::{self, Channel};
use link::{PeerId, Violation, session};
use rand::SeedableRng;

use super::*;
use crate::network::{Address, Listener, Network, Open, Sink};

const ID: [u8; 32] = [7; 32];

fn identity(n: u8) -> Identity {
    Identity::from_seed(&[n; 32])
}

fn rng(n: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(n)
}

/// A network that listens on a pipe, what comes in there, and where to find it.
fn network(channels: Vec<Channel>) -> (Network, Sink, Address) {
    let (listener, pipe) = Listener::pipe();
    let config = Config::with_channels(ID, channels).expect("sound");
    let (network, sink) =
        Network::start(config, identity(1), Arc::new(Open), vec![listener], rng(1)).expect("starts");
    (network, sink, Address::Pipe(pipe))
}

async fn probe(key: PeerId, address: Address) -> Result<Probe, Reason> {
    Probe::start(&Config::new(ID), &identity(2), &PeerAddress { key, address }, &mut rng(2)).await
}

/// Answers questions with what `answer` makes of them.
fn echo(mut sink: Sink, answer: fn(Bytes) -> Bytes) {
    tokio::spawn(async move {
        while let Some(delivery) = sink.next().await {
            let body = delivery.body.clone();
            let asker = delivery.into_asker().expect("a question");
            asker.reply(answer(body)).await.expect("taken");
        }
    });
}

const A_MOMENT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn measures_a_peer_and_leaves() {
    let (network, sink, address) = network(channel::defaults());
    echo(sink, |body| body);
    let mut probe = probe(network.peer_id(), address).await.expect("linked");
    assert_eq!(probe.agreed().channels.len(), channel::defaults().len());
    let first = probe.pong(0).await.expect("answered");
    probe.ping();
    let second = probe.pong(first.pongs).await.expect("answered");
    assert!(second.pongs > first.pongs && second.least <= second.last);
    let echoed = probe.echo(1_000, A_MOMENT).await.expect("echoed");
    assert!(echoed.messages > 0 && echoed.bytes == 1_000 * echoed.messages && echoed.took >= A_MOMENT);
    probe.close().await;
    let mut changes = network.changes();
    while !network.peers().is_empty() {
        changes.changed().await.expect("it runs");
    }
    assert_eq!(network.departed().counts.keys().collect::<Vec<_>>(), [&"by_peer"]);
}

#[tokio::test]
async fn tells_a_wrong_key_from_everything_else() {
    let (network, _sink, address) = network(channel::defaults());
    let (expected, found) = (identity(3).peer_id(), network.peer_id());
    let wrong = session::Violation::WrongKey { expected, found };
    let refused = probe(expected, address).await.err();
    assert_eq!(refused, Some(Reason::Violation(Violation::Session(wrong))));
}

#[tokio::test]
async fn sees_that_other_bytes_came_back() {
    let (network, sink, address) = network(channel::defaults());
    echo(sink, |body| body.slice(1..));
    let mut probe = probe(network.peer_id(), address).await.expect("linked");
    assert_eq!(probe.echo(1_000, A_MOMENT).await, Err(EchoError::Altered));
}

#[tokio::test]
async fn knows_what_a_peer_does_not_echo() {
    let (network, _sink, address) = network(channel::defaults());
    let mut linked = probe(network.peer_id(), address).await.expect("linked");
    let limit = 64 << 10;
    assert_eq!(linked.echo(limit + 1, A_MOMENT).await, Err(EchoError::TooLong { limit }));
    let channels =
        channel::defaults().into_iter().filter(|channel| channel.number != channel::ECHO).collect();
    let (network, _sink, address) = self::network(channels);
    let mut linked = probe(network.peer_id(), address).await.expect("linked");
    assert_eq!(linked.echo(1, A_MOMENT).await, Err(EchoError::NoChannel));
}

#[tokio::test]
async fn a_peer_that_leaves_ends_the_wait_for_it() {
    let (network, _sink, address) = network(channel::defaults());
    let mut probe = probe(network.peer_id(), address).await.expect("linked");
    probe.pong(0).await.expect("answered");
    let waiting = tokio::spawn(async move { probe.echo(1_000, A_MOMENT).await });
    network.stop().await;
    let ended = waiting.await.expect("no panic");
    assert_eq!(ended, Err(EchoError::Ended(Reason::ByPeer(link::reason::Code::Stopping))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_what_it_should_echo_is_not_waited_for_for_ever() {
    let (network, _sink, address) = network(channel::defaults());
    let mut probe = probe(network.peer_id(), address).await.expect("linked");
    // It is alive all the while: pings are answered.
    let echoed = tokio::time::timeout(Duration::from_secs(3_600), probe.echo(1_000, A_MOMENT)).await;
    assert_eq!(echoed.expect("it ends"), Err(EchoError::Lost { after: Duration::from_secs(75) }));
}
