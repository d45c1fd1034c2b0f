//! `config show` and `config check`.

use anabranch::config::Config;

use crate::args::ConfigCommand;
use crate::exit::{Failure, Kind};
use crate::output::Output;

pub(super) fn run(command: &ConfigCommand, config: &Config, output: Output) -> Result<(), Failure> {
    if let Some(network) = &config.network {
        anabranch::network_id::NetworkId::find(network).map_err(|error| Failure::new(Kind::Config, error))?;
    }
    match command {
        ConfigCommand::Show(_) => {
            let text = toml::to_string(config).map_err(|error| Failure::new(Kind::Failed, error))?;
            output.line(config, || text.trim_end().to_owned())?;
        }
        ConfigCommand::Check(_) => {
            output.line(&serde_json::json!({ "sound": true }), || "the configuration is sound".into())?;
        }
    }
    Ok(())
}
