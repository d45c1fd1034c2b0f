//! The program `anabranch` as processes of its own: validators of a chain of one's own, and nodes that follow it.
//!
//! Nothing of the program is built in: what runs is the release build beside this one, or what `ANABRANCH_BIN` names,
//! with its default settings but for what a benchmark says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anabranch::network_id::NetworkId;
use anabranch::peers::key_file;
use anyhow::{Context, ensure};
use chain::native::{Key, Params, Validator};
use minicbor::Encoder;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

/// A chain, and where its nodes keep theirs.
pub(crate) struct Chain {
    dir: TempDir,
    program: PathBuf,
    pub(crate) params: Params,
    /// The validators' keys.
    pub(crate) keys: Vec<Key>,
}

/// A node; killed when dropped.
pub(crate) struct Node {
    child: Child,
    /// `KEY@HOST:PORT`.
    pub(crate) peer: String,
    /// Where it serves clients.
    pub(crate) downstream: SocketAddr,
    /// Where its admin API is.
    pub(crate) admin: PathBuf,
}

impl Chain {
    /// A chain that begins now, with so many validators of one weight, which may make a block a millisecond.
    pub(crate) fn new(dir: Option<&Path>, validators: usize, max_body_bytes: u64) -> anyhow::Result<Self> {
        Self::begun(dir, validators, max_body_bytes, SystemTime::now().duration_since(UNIX_EPOCH)?)
    }

    /// The same, begun so long after the Unix epoch.
    pub(crate) fn begun(
        dir: Option<&Path>,
        validators: usize,
        max_body_bytes: u64,
        start: Duration,
    ) -> anyhow::Result<Self> {
        Ok(Self { program: program()?, ..Self::laid(dir, validators, max_body_bytes, start)? })
    }

    /// The same, without a program to run its nodes.
    pub(crate) fn laid(
        dir: Option<&Path>,
        validators: usize,
        max_body_bytes: u64,
        start: Duration,
    ) -> anyhow::Result<Self> {
        let dir = match dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let mut keys = Vec::new();
        for number in 0..validators {
            let place = dir.path().join(number.to_string());
            std::fs::create_dir(&place)?;
            keys.push(key_file::generate_validator(&place.join(key_file::VALIDATOR_NAME))?);
        }
        let start_ms = u64::try_from(start.as_millis())?;
        let validator = |key: &Key| Validator { key: key.public(), weight: NonZeroU64::MIN };
        let params = Params {
            slot_length_ms: NonZeroU32::MIN,
            max_body_bytes: NonZeroU64::new(max_body_bytes).context("blocks hold something")?,
            validators: keys.iter().map(validator).collect(),
            ..Params::solo("bench", 7, start_ms, [0; 32])
        };
        std::fs::write(dir.path().join("network.toml"), NetworkId::native(params.clone()).to_toml())?;
        Ok(Self { dir, program: PathBuf::new(), params, keys })
    }

    /// What its nodes are told of it.
    pub(crate) fn network(&self) -> NetworkId {
        NetworkId::native(self.params.clone())
    }

    /// The directory of a node; a number beyond the validators' is a node's that follows.
    pub(crate) fn data_dir(&self, number: usize) -> PathBuf {
        self.dir.path().join(number.to_string())
    }

    /// Starts a node, which dials these.
    pub(crate) fn start(&self, number: usize, peers: &[&str]) -> anyhow::Result<Node> {
        let data_dir = self.data_dir(number);
        let mut command = Command::new(&self.program);
        command.args(["run", "--json", "--listen", "127.0.0.1:0", "--downstream", "127.0.0.1:0"]);
        command.arg("--network").arg(self.dir.path().join("network.toml"));
        command.arg("--data-dir").arg(&data_dir).env("ANABRANCH_LOG", "error");
        for peer in peers {
            command.args(["--peer", peer]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("a piped stdout")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        // Whatever else it says is taken, so that it never waits.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
        let started: Value = serde_json::from_str(&line).with_context(|| format!("it started: {line}"))?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        let peer = format!("{}@{}", text(&started["peer"])?, text(&started["listen"][0])?);
        let downstream = text(&started["downstream"][0])?.parse()?;
        Ok(Node { child, peer, downstream, admin: data_dir.join("admin.sock") })
    }

    /// Starts all validators, each of which dials those before it.
    pub(crate) fn start_validators(&self) -> anyhow::Result<Vec<Node>> {
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..self.keys.len() {
            let peers: Vec<_> = nodes.iter().map(|node| node.peer.as_str()).collect();
            let node = self.start(number, &peers)?;
            nodes.push(node);
        }
        Ok(nodes)
    }
}

impl Node {
    /// Asks its admin API.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut stream = UnixStream::connect(&self.admin)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: anabranch\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        serde_json::from_str(body).with_context(|| format!("not what was expected: {body}"))
    }

    /// Stops it as an operator does, and waits until it has ended.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process")?;
        rustix::process::kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it did not end well: {status}");
        Ok(())
    }

    /// The CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        crate::process::cpu(self.child.id())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A put of this length, unlike that with any other number.
pub(crate) fn transaction(number: u64, bytes: usize) -> Vec<u8> {
    let key = format!("key-{number:016x}");
    let mut tx = Vec::with_capacity(bytes);
    // A list of three, a small number, a key of 20 bytes, and a value with two bytes in front.
    let value = "v".repeat(bytes - (1 + 1 + 21 + 2));
    let mut out = Encoder::new(&mut tx);
    let Ok(_) = out.array(3).and_then(|out| out.u8(0)?.str(&key)?.str(&value)) else {
        unreachable!("memory takes what it is given")
    };
    tx
}

fn program() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("ANABRANCH_BIN").map(PathBuf::from);
    let beside = std::env::current_exe()?.with_file_name("anabranch");
    let found = named.unwrap_or(beside);
    ensure!(found.exists(), "no {}: build it with `cargo build --release -p anabranch-cli`", found.display());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_have_the_length_that_was_asked_for() {
        assert_eq!(transaction(u64::MAX, 100).len(), 100);
        assert_ne!(transaction(1, 100), transaction(2, 100));
    }
}
