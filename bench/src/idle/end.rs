//! One end of many links, as a process of its own. It lives as long as its standard input.

use std::io::BufRead;

use anyhow::{bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::{noise, ours};
use crate::process;

/// The threads of each end's runtime: as many as the machine has processors.
const THREADS: usize = 2;

/// How many links are being made, or carry messages, at a time. Few, since what they hold meanwhile is not what is
/// weighed.
pub(super) const AT_ONCE: usize = 4;

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    /// The network module.
    Ours,
    /// Noise over tokio.
    Snow,
}

/// What an end does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Listens, and sends back what comes.
    Listen,
    /// Dials as often as it is told.
    Dial,
}

/// How an end is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    side: Side,
    #[arg(value_enum)]
    role: Role,
    /// Where the other end listens.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many messages a new link carries each way.
    #[arg(long, default_value_t = 0)]
    pub(super) messages: usize,
    /// How long they are.
    #[arg(long, default_value_t = 0)]
    pub(super) bytes: usize,
}

/// What a listener says first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listening {
    pub(super) port: u16,
}

/// What a listener says when asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) open: usize,
}

/// What a dialler says when as many links as it was told of have carried their messages.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opened {}

/// The arguments that start an end.
pub(super) fn arguments(side: Side, role: Role, flags: &[String]) -> Vec<String> {
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let mut arguments = vec![
        "idle_links_end".into(),
        name(clap::ValueEnum::to_possible_value(&side)),
        name(clap::ValueEnum::to_possible_value(&role)),
    ];
    arguments.extend_from_slice(flags);
    arguments
}

/// Runs an end.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let lines = std::io::stdin().lock().lines();
    match args.role {
        Role::Listen => {
            let open: Box<dyn Fn() -> usize> = match args.side {
                Side::Ours => ours::listen(&runtime)?,
                Side::Snow => noise::listen(&runtime)?,
            };
            for line in lines {
                ensure!(line? == "count", "a listener is asked to count and nothing else");
                process::say(&Counted { open: open() })?;
            }
        }
        Role::Dial => {
            let mut open: Box<dyn FnMut(usize) -> anyhow::Result<()>> = match args.side {
                Side::Ours => ours::dial(&runtime, args.port, args.messages, args.bytes),
                Side::Snow => noise::dial(&runtime, args.port, args.messages, args.bytes),
            };
            for line in lines {
                open(line?.parse()?)?;
                process::say(&Opened {})?;
            }
        }
    }
    Ok(())
}

/// Each link has a file descriptor at either end.
fn raise_open_files() -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        bail!("the system does not raise the limit of open files")
    }
    Ok(())
}
