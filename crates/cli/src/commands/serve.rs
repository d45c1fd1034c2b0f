//! What `run` and `devnet` share: starting a node, saying where it is, and what was in its way.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anabranch::config::Config;
use anabranch::network_id::NetworkId;
use anabranch::peers::book;
use anabranch::runtime::{self, Role, Running};
use serde::Serialize;

use super::key;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::shutdown;

/// The first line of a running node.
#[derive(Debug, Serialize)]
struct Started<'a> {
    event: &'static str,
    /// Which of several in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    network: &'a str,
    magic: u32,
    data_dir: String,
    network_id: String,
    peer: String,
    listen: Vec<String>,
    downstream: &'a [std::net::SocketAddr],
    admin: String,
    settled: u64,
    forks: usize,
    cuts: &'a [String],
}

/// Starts a node that a signal stops, and prints where it is.
///
/// # Errors
/// When something is in the way.
pub(super) async fn start(
    config: Config,
    network: NetworkId,
    data_dir: PathBuf,
    role: Role,
    output: Output,
) -> Result<Running, Failure> {
    let running = start_quietly(config, &network, &data_dir, role).await?;
    // Before anyone can know that it runs, and so have it stopped.
    shutdown::watch(running.stop_token())?;
    say_where(&running, &network, &data_dir, None, output)?;
    Ok(running)
}

/// Starts one of several nodes of this process, and prints where it is. Whoever holds it stops it.
///
/// # Errors
/// When something is in the way.
pub(super) async fn start_one(
    config: Config,
    network: NetworkId,
    data_dir: &Path,
    role: Role,
    node: Option<&str>,
    output: Output,
) -> Result<Running, Failure> {
    let running = start_quietly(config, &network, data_dir, role).await?;
    say_where(&running, &network, data_dir, node, output)?;
    Ok(running)
}

async fn start_quietly(
    config: Config,
    network: &NetworkId,
    data_dir: &Path,
    role: Role,
) -> Result<Running, Failure> {
    runtime::start(config, network.clone(), data_dir.to_owned(), role).await.map_err(in_the_way)
}

fn say_where(
    running: &Running,
    network: &NetworkId,
    data_dir: &Path,
    node: Option<&str>,
    output: Output,
) -> std::io::Result<()> {
    let recovered = running.recovered();
    let started = Started {
        event: "started",
        node,
        network: &network.name,
        magic: network.magic,
        data_dir: data_dir.display().to_string(),
        network_id: network.format.chain_id().to_string(),
        peer: running.peer_id().to_string(),
        listen: running.listens().iter().map(ToString::to_string).collect(),
        downstream: running.downstream(),
        admin: running.admin().to_string(),
        settled: recovered.settled,
        forks: recovered.forks,
        cuts: &recovered.cuts,
    };
    output.line(&started, || text(&started))
}

fn text(started: &Started<'_>) -> String {
    let mut lines: Vec<_> = started.node.iter().map(|node| format!("node        {node}")).collect();
    lines.push(format!("network     {} (magic {})", started.network, started.magic));
    lines.push(format!("data        {}, {} blocks in the log", started.data_dir, started.settled));
    lines.extend(started.cuts.iter().map(|cut| format!("cut back    {cut}")));
    lines.extend(started.downstream.iter().map(|address| format!("serving     {address}")));
    lines.extend(started.listen.iter().map(|at| format!("peers       {}@{at}", started.peer)));
    lines.push(format!("admin       {}", started.admin));
    lines.join("\n")
}

/// Why a node did not start, and what to do.
pub(super) fn in_the_way(error: runtime::Error) -> Failure {
    match error {
        runtime::Error::Config(error) => Failure::new(Kind::Config, error),
        runtime::Error::Role(error) => Failure::new(Kind::Config, error),
        runtime::Error::Store(error) => store(&error),
        runtime::Error::OtherChain { .. }
        | runtime::Error::OtherJournal { .. }
        | runtime::Error::ApplicationData { .. } => Failure::new(Kind::DataDir, error),
        runtime::Error::Downstream { address, source } => {
            let hint = match source.kind() {
                ErrorKind::AddrInUse => {
                    "another program listens there: stop it, or give another --downstream (port 0 lets the \
                     system choose)"
                }
                ErrorKind::PermissionDenied => "give a port above 1023, or allow this one to the program",
                ErrorKind::AddrNotAvailable => "give an address of this machine, such as 0.0.0.0:3001",
                _ => "give another --downstream",
            };
            Failure::new(Kind::Network, format!("cannot listen on {address} for clients: {source}"))
                .hint(hint)
        }
        runtime::Error::Admin { .. } => Failure::new(Kind::Network, error).hint(
            "give another --admin: a loopback address, or the path of a Unix socket (100 bytes at most)",
        ),
        runtime::Error::Identity(error) => key::in_the_way(error),
        runtime::Error::OwnKey { .. } | runtime::Error::Network(_) | runtime::Error::Known(_) => {
            Failure::new(Kind::Config, error)
        }
        runtime::Error::Peers(_) => Failure::new(Kind::Network, error).hint("give another --listen, an address of this machine such as 0.0.0.0:4001; port 0 lets the system choose"),
        runtime::Error::Book(error) => book(error),
        runtime::Error::Failed { .. } => Failure::new(Kind::Failed, error)
            .hint("free or replace the disk, then start again; nothing acknowledged is lost"),
        runtime::Error::Clock { .. } | runtime::Error::Application { .. } | runtime::Error::System(_) => {
            Failure::new(Kind::Failed, error)
        }
    }
}

/// Why what was said of peers cannot be read.
fn book(error: book::Error) -> Failure {
    let kind = match error {
        book::Error::Damaged { .. } => Kind::Damaged,
        book::Error::Version { .. } | book::Error::InUse { .. } => Kind::DataDir,
        book::Error::Disk { .. } | book::Error::Full => Kind::Failed,
    };
    Failure::new(kind, error)
}

/// Why a data directory cannot be used; the store's own words say what to do.
pub(super) fn store(error: &anabranch::store::Error) -> Failure {
    use anabranch::store::Error;
    let kind = match error {
        Error::Damaged { .. } | Error::Refused { .. } => Kind::Damaged,
        Error::Failed => Kind::Failed,
        _ => Kind::DataDir,
    };
    Failure::new(kind, error)
}
