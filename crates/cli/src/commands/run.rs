//! `run`: follows upstream servers and serves downstream clients until stopped.

use anabranch::config::Config;
use anabranch::network_id::NetworkId;
use anabranch::runtime::Role;

use super::{report, serve};
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
    let running = serve::start(config, network, data_dir, Role::Follow, output).await?;
    let reporting = tokio::spawn(report::run(running.insight().clone()));
    let ended = running.stopped().await;
    reporting.abort();
    ended.map_err(serve::in_the_way)?;
    output.line(&serde_json::json!({ "event": "stopped" }), || "stopped".into())?;
    Ok(())
}
