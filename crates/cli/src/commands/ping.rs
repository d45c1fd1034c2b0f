//! `ping`: a link with a peer for a moment: how long it takes to get there, what it says, how fast it echoes.

use std::time::Duration;

use anabranch::config::Config;
use anabranch::link::agreement::Disagreement;
use anabranch::link::reason::{Code, Reason};
use anabranch::link::{self, channel, session};
use anabranch::network::probe::{EchoError, Probe};
use anabranch::network_id::NetworkId;
use anabranch::runtime;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{key, serve};
use crate::args::Ping;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{settings, shutdown};

/// Between two pings: what a peer answers without taking it for a flood.
const INTERVAL: Duration = Duration::from_millis(250);

/// For how long messages are echoed.
const ECHO: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &Ping, config: &Config, output: Output) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    shutdown::watch(stop.clone())?;
    tokio::select! {
        pinged = pinged(args, config, output) => pinged,
        () = stop.cancelled() => Ok(()),
    }
}

async fn pinged(args: &Ping, config: &Config, output: Output) -> Result<(), Failure> {
    let network =
        NetworkId::find(&settings::network(config)?).map_err(|error| Failure::new(Kind::Config, error))?;
    let identity = match &args.identity.identity {
        Some(path) => key::read(path)?,
        None => runtime::passing_identity()?,
    };
    let failed = |reason| failure(args, &network, reason);
    let probe = runtime::probe(config, &network, &identity, &args.peer).await.map_err(serve::in_the_way)?;
    let mut probe = probe.map_err(failed)?;
    connected(&probe, args, output)?;
    let mut seen = 0;
    for number in 1..=args.count.get() {
        if number > 1 {
            tokio::time::sleep(INTERVAL).await;
            probe.ping();
        }
        let pong = probe.pong(seen).await.map_err(failed)?;
        seen = pong.pongs;
        let (trip, out, back) = (ms(pong.last), ms(pong.out), ms(pong.back));
        let line = json!({
            "event": "pong", "number": number, "round_trip_ms": trip, "there_ms": out, "back_ms": back,
            "least_ms": ms(pong.least),
        });
        output.line(&line, || {
            format!("{number:>4}  round trip {trip:.3} ms, about {out:.3} there and {back:.3} back")
        })?;
    }
    if let Some(size) = args.size {
        echo(&mut probe, size.get(), output).await.map_err(|error| match error {
            Echo::Failed(EchoError::Ended(reason)) => failed(reason),
            Echo::Failed(error) => Failure::new(Kind::Network, error),
            Echo::Output(error) => error.into(),
        })?;
    }
    probe.close().await;
    Ok(())
}

fn connected(probe: &Probe, args: &Ping, output: Output) -> std::io::Result<()> {
    let agreed = probe.agreed();
    let in_lane = |lane| {
        let channels = agreed.channels.iter().map(|agreed| agreed.channel);
        let names: Vec<&str> =
            channels.filter(|channel| channel.lane == lane).map(|channel| channel.name).collect();
        names.join(", ")
    };
    let lanes: Vec<_> = agreed
        .channels
        .iter()
        .map(|agreed| {
            json!({
                "channel": agreed.channel.name,
                "lane": lane(agreed.channel.lane),
                "peer_max_message_bytes": agreed.peer_max_message_bytes,
                "peer_window_bytes": agreed.peer_window_bytes,
            })
        })
        .collect();
    let (dial, handshake) = (ms(probe.dial), ms(probe.handshake));
    let line = json!({
        "event": "connected", "peer": args.peer.key.to_string(), "address": args.peer.address.to_string(),
        "dial_ms": dial, "handshake_ms": handshake, "version": agreed.version, "agent": agreed.agent,
        "channels": lanes,
    });
    output.line(&line, || {
        format!(
            "linked with {}\ndial {dial:.3} ms, handshake {handshake:.3} ms\nversion {} of {}\n\
             lanes, the most urgent first: control; {}; {}; in bulk {}",
            args.peer,
            agreed.version,
            agreed.agent,
            in_lane(channel::Lane::Consensus),
            in_lane(channel::Lane::Routing),
            in_lane(channel::Lane::Bulk),
        )
    })
}

fn lane(lane: channel::Lane) -> &'static str {
    match lane {
        channel::Lane::Control => "control",
        channel::Lane::Consensus => "consensus",
        channel::Lane::Routing => "routing",
        channel::Lane::Bulk => "bulk",
    }
}

enum Echo {
    Failed(EchoError),
    Output(std::io::Error),
}

async fn echo(probe: &mut Probe, size: u32, output: Output) -> Result<(), Echo> {
    let echoed = probe.echo(size, ECHO).await.map_err(Echo::Failed)?;
    let rate = echoed.bytes as f64 / 1e6 / echoed.took.as_secs_f64();
    let line = json!({
        "event": "echo", "size": size, "messages": echoed.messages, "bytes": echoed.bytes,
        "took_ms": ms(echoed.took), "mb_per_s": rate,
    });
    output
        .line(&line, || {
            format!("echo  {} messages of {size} B there and back, {rate:.1} MB/s each way", echoed.messages)
        })
        .map_err(Echo::Output)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Why there is no link, or why it ended, and what to do.
fn failure(args: &Ping, network: &NetworkId, reason: Reason) -> Failure {
    let peer = &args.peer;
    let failed = |what: &str| Failure::new(Kind::Network, format!("{what}: {reason}"));
    match &reason {
        Reason::Violation(link::Violation::Session(violation)) => untrusted(args, violation),
        Reason::UnknownHost => {
            Failure::new(Kind::Network, format!("the host of {} is not known", peer.address))
                .hint("is the name right, and does this machine's look-up of names work?")
        }
        Reason::DialFailed(_) | Reason::DialTimeout => failed(&format!("cannot reach {}", peer.address))
            .hint("is the address right, and does a node listen there (`run --listen`)?"),
        Reason::Eof => failed(&format!("no link with {peer}")).hint(
            "is it an Anabranch node that listens there? One takes a try from each address every few seconds: try again \
             in a moment",
        ),
        Reason::Refused(Code::OtherNetwork)
        | Reason::ByPeer(Code::OtherNetwork)
        | Reason::Disagreed(Disagreement::OtherNetwork { .. }) => {
            failed(&format!("{peer} is on another network than `{}`", network.name))
                .hint("--network says which one to speak of; both sides need the same network file")
        }
        Reason::Refused(Code::OtherCipher) => failed(&format!("no link with {peer}"))
            .hint("give both sides the same `cipher` in the table [link] of their configuration"),
        Reason::ByPeer(Code::NotAllowed | Code::Banned) => failed(&format!("{peer} does not let us in"))
            .hint("its operator allows keys, and bans them; --identity says which one is ours"),
        _ => failed(&format!("no link with {peer}"))
            .hint("is it an Anabranch node that listens there, of a version like ours?"),
    }
}

/// Who answers is not who was asked for, or did not prove it.
fn untrusted(args: &Ping, violation: &session::Violation) -> Failure {
    use session::Violation;
    let peer = &args.peer;
    match violation {
        Violation::WrongKey { expected, found } => Failure::new(
            Kind::Security,
            format!("another node answers at {}: it proved the key {found}, not {expected}", peer.address),
        )
        .hint(
            "do not trust that address: ask the peer's operator, over another way, what `anabranch key show` prints \
             there",
        ),
        Violation::OwnKey => Failure::new(Kind::Config, format!("{peer} has our own key: it is this node"))
            .hint("give another --identity, or ping another peer"),
        Violation::Unproven { .. } | Violation::Unauthentic | Violation::WeakKey => {
            Failure::new(Kind::Security, format!("who answers at {} proved no key: {violation}", peer.address))
                .hint("somebody pretends to be a node there, or changes what it says on the way")
        }
        _ => Failure::new(Kind::Network, format!("no link with {peer}: {violation}"))
            .hint("is it an Anabranch node that listens there, of a version like ours?"),
    }
}
