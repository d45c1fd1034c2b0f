//! One end of a link, as a process of its own. It lives as long as its standard input.

use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{MESSAGE_BYTES, noise, ours, plain, tls};
use crate::process;

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    /// The network module.
    Ours,
    /// TCP.
    Plain,
    /// Noise over tokio.
    Snow,
    /// TLS 1.3.
    Rustls,
}

/// What an end does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Connects and sends without end.
    Send,
    /// Listens, receives, and counts.
    Receive,
}

/// How an end is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    side: Side,
    #[arg(value_enum)]
    role: Role,
    /// Where the receiver listens.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// What a receiver says first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listening {
    /// Its port on loopback.
    pub(crate) port: u16,
}

/// What a receiver says when asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Bytes of whole messages.
    pub(crate) bytes: u64,
}

/// The arguments that start an end.
pub(crate) fn arguments(side: Side, role: Role, receiver: Option<&Listening>) -> Vec<String> {
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let mut arguments = vec![
        "link-end".into(),
        name(clap::ValueEnum::to_possible_value(&side)),
        name(clap::ValueEnum::to_possible_value(&role)),
    ];
    arguments.extend(receiver.map(|receiver| format!("--port={}", receiver.port)));
    arguments
}

/// Runs an end.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match (args.side, args.role) {
        (Side::Ours, Role::Send) => ours::send(args.port)?,
        (Side::Ours, Role::Receive) => ours::receive()?,
        (Side::Plain, Role::Send) => plain::send(args.port),
        (Side::Plain, Role::Receive) => plain::receive()?,
        (Side::Snow, Role::Send) => noise::send(args.port)?,
        (Side::Snow, Role::Receive) => noise::receive()?,
        (Side::Rustls, Role::Send) => tls::send(args.port)?,
        (Side::Rustls, Role::Receive) => tls::receive()?,
    }
    for line in std::io::stdin().lock().lines() {
        match (args.role, line?.as_str()) {
            (Role::Receive, "count") => process::say(&Counted { bytes: BYTES.load(Ordering::Relaxed) })?,
            (_, line) => bail!("an end does not know `{line}`"),
        }
    }
    Ok(())
}

/// Says where a receiver listens.
pub(super) fn say_listening(port: u16) -> anyhow::Result<()> {
    process::say(&Listening { port })
}

static BYTES: AtomicU64 = AtomicU64::new(0);

/// Looks at the messages that a receiver gets.
#[derive(Debug, Default)]
pub(super) struct Check {
    next: u64,
}

impl Check {
    /// Counts a message, if it is the next one.
    pub(super) fn take(&mut self, message: &[u8]) -> anyhow::Result<()> {
        ensure!(message.len() == MESSAGE_BYTES, "a message of {} bytes", message.len());
        let number = message.first_chunk().context("a number")?;
        ensure!(u64::from_be_bytes(*number) == self.next, "not message {}", self.next);
        ensure!(message.last() == Some(&0xa5), "a message without its end");
        self.next += 1;
        BYTES.fetch_add(MESSAGE_BYTES as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Makes the messages that a sender sends.
#[derive(Debug)]
pub(super) struct Make {
    next: u64,
    message: Vec<u8>,
}

impl Make {
    /// Begins with number 0.
    pub(super) fn new() -> Self {
        Self { next: 0, message: vec![0xa5; MESSAGE_BYTES] }
    }

    /// The next message.
    pub(super) fn next(&mut self) -> &[u8] {
        self.message[..8].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        &self.message
    }
}

/// Runs one end on a thread of its own. Its end is the process's: the benchmark sees that nothing comes.
pub(super) fn on_a_thread(end: impl FnOnce() -> anyhow::Result<()> + Send + 'static) {
    std::thread::spawn(move || {
        if let Err(error) = end() {
            // The other end is killed when enough was measured.
            let is_over = error.downcast_ref::<std::io::Error>().is_some();
            if !is_over {
                eprintln!("an end failed: {error:#}");
            }
            std::process::exit(1);
        }
    });
}
