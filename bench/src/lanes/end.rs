//! The two ends: who sends blocks and urgent messages, and who looks at the clock.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::link::ours::{Receiver, Sender};
use crate::process::{self, clock_ns};

/// The length of a block.
const BLOCK_BYTES: usize = 10_000_000;

/// The length of an urgent message.
const URGENT_BYTES: usize = 100;

/// How long blocks stream before the first urgent message counts.
const WARM_UP: Duration = Duration::from_secs(2);

/// In which lane urgent messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Lane {
    /// In their own.
    Consensus,
    /// Behind the blocks.
    Bodies,
}

/// How an end is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Sends to this port; without one, receives.
    #[arg(long)]
    port: Option<u16>,
    #[arg(long, value_enum, default_value = "consensus")]
    lane: Lane,
}

/// All urgent messages have been handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sent {
    messages: usize,
}

/// What a receiver saw since it was last asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delays {
    /// Of each urgent message, in milliseconds.
    pub(super) ms: Vec<f64>,
    /// How many whole blocks came.
    pub(super) blocks: u64,
}

/// The arguments that start a receiver.
pub(super) fn receiver() -> Vec<String> {
    vec!["lanes-end".into()]
}

/// The arguments that start a sender.
pub(super) fn sender(port: u16, lane: Lane) -> Vec<String> {
    let lane = match lane {
        Lane::Consensus => "consensus",
        Lane::Bodies => "bodies",
    };
    vec!["lanes-end".into(), format!("--port={port}"), format!("--lane={lane}")]
}

/// Runs an end as long as standard input lasts.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.port {
        Some(port) => send(port, args.lane),
        None => receive(),
    }
}

fn send(port: u16, lane: Lane) -> anyhow::Result<()> {
    let sender = Arc::new(Sender::connect(port)?);
    let channel = match lane {
        Lane::Consensus => link::channel::CONSENSUS,
        Lane::Bodies => link::channel::BODIES,
    };
    let mut is_busy = false;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (what, messages) = line.split_once(' ').context("a command and a number")?;
        let messages = messages.parse()?;
        if what == "busy" && !is_busy {
            is_busy = true;
            let blocks = sender.clone();
            std::thread::spawn(move || {
                let block = Bytes::from(vec![0xb1; BLOCK_BYTES]);
                while blocks.send(link::channel::BODIES, block.clone()).is_ok() {}
            });
            std::thread::sleep(WARM_UP);
        }
        for number in 0..messages {
            // Uneven pauses, so that nothing that repeats is met at the same point again and again.
            std::thread::sleep(Duration::from_micros(5_000 + 1_337 * (number as u64 * 7 % 11)));
            let mut urgent = vec![0; URGENT_BYTES];
            urgent[..8].copy_from_slice(&clock_ns().to_be_bytes());
            sender.send(channel, urgent.into())?;
        }
        process::say(&Sent { messages })?;
    }
    Ok(())
}

fn receive() -> anyhow::Result<()> {
    let seen = Arc::new((Mutex::new(Vec::new()), AtomicU64::new(0)));
    let (arrived, news) = std::sync::mpsc::channel();
    let counts = seen.clone();
    Receiver::listen()?.receive(move |message| {
        if message.len() == URGENT_BYTES {
            let sent = message.first_chunk().map_or(0, |time| u64::from_be_bytes(*time));
            let ms = clock_ns().saturating_sub(sent) as f64 / 1e6;
            counts.0.lock().expect("nobody panics with it").push(ms);
            let _ = arrived.send(());
        } else {
            anyhow::ensure!(message.len() == BLOCK_BYTES, "a message of {} bytes", message.len());
            counts.1.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let Some(wanted) = line.strip_prefix("take ") else { bail!("a receiver does not know `{line}`") };
        for _ in 0..wanted.parse::<usize>()? {
            news.recv_timeout(Duration::from_secs(60)).context("an urgent message did not come")?;
        }
        let ms = std::mem::take(&mut *seen.0.lock().expect("nobody panics with it"));
        process::say(&Delays { ms, blocks: seen.1.swap(0, Ordering::Relaxed) })?;
    }
    Ok(())
}
