//! `follow`: a line for each roll-forward and roll-back of any node-to-node server. Keeps nothing.

use anabranch::follow::{self, Event, Follower};
use anabranch::network_id::{self, NetworkId};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::{Follow, From};
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::shutdown;

pub(super) async fn run(args: &Follow, output: Output) -> Result<(), Failure> {
    let config = follow::Config {
        server: args.server.clone(),
        speech: speech(&args.network)?,
        start: match args.from {
            From::Tip => follow::Start::Tip,
            From::Point(point) => follow::Start::Point(point),
        },
        blocks: args.blocks,
    };
    let stop = CancellationToken::new();
    shutdown::watch(stop.clone())?;
    let mut follower = tokio::select! {
        follower = Follower::connect(config) => follower.map_err(|error| failure(&args.network, error))?,
        () = stop.cancelled() => return Ok(()),
    };
    let mut left = args.count.map(std::num::NonZeroU64::get);
    while left != Some(0) {
        let event = tokio::select! {
            event = follower.next() => event.map_err(|error| failure(&args.network, error))?,
            () = stop.cancelled() => break,
        };
        if let (Event::Forward { .. }, Some(left)) = (&event, &mut left) {
            *left -= 1;
        }
        output.line(&object(&event), || text(&event))?;
    }
    follower.finish().await;
    Ok(())
}

/// A name, a network file, or a bare magic.
fn speech(network: &str) -> Result<follow::Speech, Failure> {
    if let Ok(magic) = network.parse() {
        return Ok(follow::Speech::of_magic(magic));
    }
    if network == network_id::DEVNET {
        return Ok(follow::Speech::of_magic(network_id::DEVNET_MAGIC));
    }
    let network = NetworkId::find(network).map_err(|error| Failure::new(Kind::Config, error))?;
    Ok(follow::Speech::of(&network))
}

fn failure(network: &str, error: follow::Error) -> Failure {
    let hint = match &error {
        follow::Error::Unreachable { .. } => {
            "is the address right, and does a server listen there?".to_owned()
        }
        follow::Error::Refused { .. } => {
            format!("is that server on the network `{network}`? --network says which one to speak of")
        }
        follow::Error::NoIntersection { .. } => "give --from tip or --from origin".to_owned(),
        follow::Error::Closed { .. } => "run it again to go on from the last line with --from".to_owned(),
        follow::Error::OtherBlock { .. } | follow::Error::BadBlock(_) => {
            "that server is broken or lies: follow another".to_owned()
        }
        follow::Error::Undecodable { .. } => {
            "is that server of another kind of chain? --network says which one to read".to_owned()
        }
    };
    Failure::new(Kind::Network, error).hint(hint)
}

fn object(event: &Event) -> Value {
    match event {
        Event::Forward { header, block, tip } => json!({
            "event": "forward",
            "slot": header.slot.0,
            "height": header.height.0,
            "hash": header.id.to_string(),
            "header_bytes": header.wire.len(),
            "block_bytes": block.as_ref().map(|block| block.raw.len()),
            "tip": { "point": tip.point.to_string(), "height": tip.height.0 },
        }),
        Event::Backward { point, tip } => json!({
            "event": "backward",
            "point": point.to_string(),
            "tip": { "point": tip.point.to_string(), "height": tip.height.0 },
        }),
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::Forward { header, block, tip } => {
            let size = block.as_ref().map_or(String::new(), |block| format!("  {} B", block.raw.len()));
            let behind = tip.height.0.saturating_sub(header.height.0);
            let rest = if behind == 0 { String::new() } else { format!("  {behind} behind the tip") };
            format!("forward   height {}  {}{size}{rest}", header.height, header.point())
        }
        Event::Backward { point, .. } => format!("backward  to {point}"),
    }
}
