//! The program as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest wait for anything that a node is to reach.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// The program that was built beside this test, or the one that `ANABRANCH_BIN` names.
pub(crate) fn path() -> Option<PathBuf> {
    let named = std::env::var_os("ANABRANCH_BIN").map(PathBuf::from);
    let test = std::env::current_exe().expect("this test is a file");
    let beside = test.ancestors().nth(2).expect("in the build folder").join("anabranch");
    let found = named.unwrap_or(beside);
    if found.exists() {
        Some(found)
    } else {
        eprintln!("SKIPPED: no {}; build it with `cargo build --release -p anabranch-cli`", found.display());
        None
    }
}

/// Runs a command to its end.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> Output {
    let output = command(program, arguments).output().expect("the program starts");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command that must succeed; its last line as JSON.
pub(crate) fn answer(program: &Path, arguments: &[&str]) -> Value {
    let output = run(program, arguments);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{arguments:?}: {}: {text}", output.status);
    let last = text.lines().last().expect("a line");
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {last}"))
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg("--json").env("ANABRANCH_LOG", "warn").stdin(Stdio::null());
    command
}

/// A node that runs until it is dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
    data_dir: PathBuf,
    program: PathBuf,
}

impl Node {
    /// `run` on a data directory of the preview network, with more arguments.
    pub(crate) fn run(program: &Path, data_dir: &Path, more: &[&str]) -> Self {
        let dir = data_dir.to_str().expect("text");
        let base = ["run", "--network", "preview", "--data-dir", dir, "--downstream", "127.0.0.1:0"];
        let mut child = command(program, &[&base, more].concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut first = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        lines.read_line(&mut first).expect("a line");
        let started: Value = serde_json::from_str(&first)
            .unwrap_or_else(|error| panic!("the node says where it is ({error}): {first}"));
        let address = started["downstream"][0].as_str().expect("an address").parse().expect("an address");
        // Whatever else it says is taken, so that it never waits.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
        Self { child, address, data_dir: data_dir.into(), program: program.into() }
    }

    pub(crate) fn status(&self) -> Value {
        answer(&self.program, &["status", "--data-dir", self.data_dir.to_str().expect("text")])
    }

    /// Waits until the node's head has this height; another process has no event to wait on.
    pub(crate) fn reaches(&self, height: u64) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status();
            if status["head"]["height"].as_u64().is_some_and(|reached| reached >= height) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "not at {height} within {PATIENCE:?}: {status}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// As when its machine loses power: no goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
