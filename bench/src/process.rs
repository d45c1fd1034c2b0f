//! Servers and loads as processes of their own: started, spoken to by lines, measured through `/proc`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::Serve;

/// What a server says once it listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// The port on loopback.
    pub(crate) port: u16,
    /// The point of the first block.
    pub(crate) first: String,
    /// The point of the last block that it shows.
    pub(crate) last: String,
    /// How many blocks it shows.
    pub(crate) blocks: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
}

/// A process of this program under another name; killed when dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program with `args`.
    pub(crate) fn start(args: &[String]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("a piped stdin")?;
        let output = BufReader::new(child.stdout.take().context("a piped stdout")?);
        Ok(Self { child, input, output })
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn server(serve: &Serve) -> anyhow::Result<(Self, Ready)> {
        let kind = clap::ValueEnum::to_possible_value(&serve.kind).context("a named kind")?;
        let mut server = Self::start(&[
            "serve".into(),
            kind.get_name().into(),
            format!("--source={}", serve.source),
            format!("--hold-back={}", serve.hold_back),
            format!("--threads={}", serve.threads),
        ])?;
        let ready = server.read()?;
        Ok((server, ready))
    }

    /// Reads one line of JSON.
    pub(crate) fn read<T: for<'a> Deserialize<'a>>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "a benchmark's process ended early");
        serde_json::from_str(&line).with_context(|| format!("not what was expected: {line}"))
    }

    /// Sends one line.
    pub(crate) fn write(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }

    /// The CPU time that its threads have used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(self.child.id())
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        resident_bytes(&self.child.id().to_string())
    }
}

/// The CPU time that the threads of a process have used so far.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().context("time on the CPU")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The resident memory of this process in bytes.
pub(crate) fn own_resident_bytes() -> anyhow::Result<u64> {
    resident_bytes("self")
}

fn resident_bytes(process: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
    let kib = line.split_whitespace().nth(1).context("a number of kB")?.parse::<u64>()?;
    Ok(kib * 1_024)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says one line of JSON to the parent.
pub(crate) fn say<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(value)?)?;
    Ok(out.flush()?)
}

/// Nanoseconds of the clock that all processes of the machine share.
pub(crate) fn clock_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
