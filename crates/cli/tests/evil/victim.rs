//! The real program in a process of its own, and what can be seen of it from outside.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::wire::PATIENCE;

/// The program.
pub(crate) struct Victim {
    child: Child,
    /// Where it listens for peers.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    /// Its key.
    pub(crate) key: [u8; 32],
    /// Which chain it is of.
    pub(crate) network: [u8; 32],
    reader: Option<std::thread::JoinHandle<()>>,
    _dir: TempDir,
}

impl Victim {
    /// A node with these lines in its configuration and these further arguments, started by `wrapper` (such as a
    /// shell that lowers a limit first) when there is one.
    pub(crate) fn start(config: &str, arguments: &[&str], wrapper: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("anabranch.toml");
        fs::write(&file, config).expect("the configuration is written");
        let mut child = command(dir.path(), &file, arguments, wrapper).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("a line");
        let started: Value = serde_json::from_str(&first)
            .unwrap_or_else(|error| panic!("the program says where it is ({error}): `{first}`"));
        assert_eq!(started["event"], "started", "{first}");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {first}")).to_owned();
        // To the end, so that the program never waits for a reader.
        let reader = std::thread::spawn(move || lines.lines().for_each(drop));
        Self {
            child,
            address: text(&started["listen"][0]).parse().expect("an address"),
            admin: text(&started["admin"]).parse().expect("an address"),
            key: thirty_two(&text(&started["peer"])),
            network: thirty_two(&text(&started["network_id"])),
            reader: Some(reader),
            _dir: dir,
        }
    }

    /// An answer of the admin API.
    pub(crate) fn get(&self, path: &str) -> Value {
        let body = self.ask("GET", path, "");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {path}: {body}"))
    }

    /// Asks the admin API for something; what it answers.
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        self.ask("POST", path, body)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut socket = TcpStream::connect_timeout(&self.admin, PATIENCE).expect("the admin API accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        );
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let code = head.split_whitespace().nth(1);
        assert!(code.is_some_and(|code| code.starts_with('2')), "{method} {path}: {answer}");
        if head.to_lowercase().contains("transfer-encoding: chunked") { unchunked(body) } else { body.into() }
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("the program runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    pub(crate) fn open_descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("the program runs").count()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    /// Stops it as an operator would; how long that took.
    pub(crate) fn stop(mut self) -> Duration {
        let begun = Instant::now();
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg("-TERM").arg(pid).status().expect("kill runs");
        assert!(sent.success());
        assert!(self.child.wait().expect("it ends").success(), "a graceful stop");
        self.reader.take().expect("not stopped before").join().expect("the reader does not panic");
        begun.elapsed()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, config: &Path, arguments: &[&str], wrapper: &[&str]) -> Command {
    let mut command = match wrapper {
        [] => Command::new(program()),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program());
            command
        }
    };
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("ANABRANCH_")) {
        command.env_remove(key);
    }
    command
        .args(["run", "--json", "--network", "preview", "--listen", "127.0.0.1:0"])
        .args(["--admin", "127.0.0.1:0", "--data-dir"])
        .arg(dir.join("data"))
        .arg("--config")
        .arg(config)
        .args(arguments)
        .env("ANABRANCH_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// The program built with this test, or another build of it.
fn program() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_anabranch").into();
    std::env::var_os("ANABRANCH_BIN").map_or_else(built, PathBuf::from)
}

fn thirty_two(digits: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).unwrap_or_else(|error| panic!("{error}: {digits}"));
    bytes
}

/// The body of an answer that came in chunks.
fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((length, tail)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).expect("a length");
        whole.push_str(&tail[..length]);
        rest = tail[length..].trim_start_matches("\r\n");
    }
    whole
}
