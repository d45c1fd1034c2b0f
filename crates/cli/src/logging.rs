//! Logs: on standard error, as text or JSON.

use std::io::IsTerminal;

use anabranch::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Kind};

/// The consensus engine tells of each vote; a filter that names it says otherwise.
const ENGINE: &str = "arc_malachitebft=warn";

/// Starts logging for the rest of the process.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(format!("{ENGINE},{}", log.filter)).map_err(|error| {
        Failure::new(Kind::Config, format!("the log filter `{}` cannot be read: {error}", log.filter))
            .hint("give a level (error, warn, info, debug, trace) or `info,anabranch::upstream=debug`")
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => logs.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    started.map_err(|error| Failure::new(Kind::Failed, error))
}
