//! `peer add`, `pin`, `unpin`, `drop`, `ban`, `unban`, `mode`: what an operator says about peers while a node runs.

use anabranch::config::Config;
use anabranch::peers::Named;
use anabranch::status::{self, Done, ModeOrder, PeerOrder};
use serde_json::Value;

use crate::args::{Mode, Peer, Who};
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{remote, settings};

pub(super) async fn run(command: &Peer, config: &Config, output: Output) -> Result<(), Failure> {
    let (order, done, peer) = match command {
        Peer::Add { peer, .. } => {
            ("add", "added", Named { key: peer.key, address: Some(peer.address.clone()) })
        }
        Peer::Pin(Who { peer, .. }) => ("pin", "pinned", peer.clone()),
        Peer::Unpin(Who { peer, .. }) => ("unpin", "unpinned", peer.clone()),
        Peer::Drop(Who { peer, .. }) => ("drop", "dropped", peer.clone()),
        Peer::Ban(Who { peer, .. }) => ("ban", "banned", peer.clone()),
        Peer::Unban(Who { peer, .. }) => ("unban", "unbanned", peer.clone()),
        Peer::Mode { who, mode } => return set_mode(who, *mode, config, output).await,
    };
    let name = peer.to_string();
    let body = serde_json::to_vec(&PeerOrder { peer }).map_err(|error| Failure::new(Kind::Failed, error))?;
    let path = format!("/peers/{order}");
    let answer: Value = remote::post(&settings::admin(config)?, &path, body.into()).await?;
    output.line(&answer, || format!("{done}: {name}"))?;
    Ok(())
}

async fn set_mode(who: &Who, mode: Mode, config: &Config, output: Output) -> Result<(), Failure> {
    let mode = match mode {
        Mode::Active => status::Mode::Active,
        Mode::Backup => status::Mode::Backup,
        Mode::Off => status::Mode::Off,
        Mode::Auto => status::Mode::Auto,
    };
    let order = ModeOrder { peer: who.peer.clone(), mode };
    let body = serde_json::to_vec(&order).map_err(|error| Failure::new(Kind::Failed, error))?;
    let answer: Done = remote::post(&settings::admin(config)?, "/peers/mode", body.into()).await?;
    output.line(&answer, || answer.done.clone())?;
    Ok(())
}
