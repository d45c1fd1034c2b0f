//! `run`: follows upstream servers, or takes part in a chain that validators agree on, and serves clients until stopped.

use std::path::Path;
use std::sync::Arc;

use anabranch::chain::Format;
use anabranch::config::Config;
use anabranch::network_id::NetworkId;
use anabranch::peers::key_file;
use anabranch::runtime::{Application, Role};
use anabranch_cli::kv::Kv;

use super::{key, report, serve};
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::settings;

pub(super) async fn run(config: Config, output: Output) -> Result<(), Failure> {
    let network =
        NetworkId::find(&settings::network(&config)?).map_err(|error| Failure::new(Kind::Config, error))?;
    let data_dir = settings::data_dir(&config)?;
    let chain = !config.upstream.addresses.is_empty() || !config.downstream.listen.is_empty();
    if !chain && config.peers.listen.is_empty() && config.peers.dial.is_empty() {
        return Err(Failure::new(
            Kind::Config,
            "nothing to do: neither an upstream, nor a downstream, nor a peer is configured",
        )
        .hint(
            "give --upstream HOST:PORT to follow, --downstream ADDR to serve, --listen ADDR or --peer \
             KEY@HOST:PORT to link with peers",
        ));
    }
    let role = role(&config, &network, &data_dir)?;
    let running = serve::start(config, network, data_dir, role, output).await?;
    let reporting = tokio::spawn(report::run(running.insight().clone()));
    let ended = running.stopped().await;
    reporting.abort();
    ended.map_err(serve::in_the_way)?;
    output.line(&serde_json::json!({ "event": "stopped" }), || "stopped".into())?;
    Ok(())
}

/// What the node is there for: to follow its upstreams, or, where it has none but peers, to take part in a chain that
/// validators agree on.
fn role(config: &Config, network: &NetworkId, data_dir: &Path) -> Result<Role, Failure> {
    let has_peers = !config.peers.listen.is_empty() || !config.peers.dial.is_empty();
    let Format::Native(params) = &network.format else { return Ok(Role::Follow) };
    if !config.upstream.addresses.is_empty() || !has_peers {
        return Ok(Role::Follow);
    }
    let key = key_file::validator(config.consensus.key.as_deref(), data_dir).map_err(key::in_the_way)?;
    let (data_dir, params) = (data_dir.to_owned(), params.clone());
    let every = config.application.snapshot_every;
    let kv = Application::later(move || Ok(Arc::new(Kv::open_in(&data_dir, params)?.with_snapshots(every))));
    Ok(Role::Member { key, logic: Some(kv) })
}
