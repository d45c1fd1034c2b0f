//! Orders to a running devnet: a Unix socket in its directory, a line each way.
//!
//! ```text
//! kill NODE / start NODE                 ; asked
//! ok TEXT / no TEXT                      ; answered
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::args::DevnetOrder;
use crate::exit::{Failure, Kind};
use crate::output::Output;

/// The socket's name in the devnet's directory.
const SOCKET: &str = "devnet.sock";

/// The longest line either way.
const MAX_LINE_BYTES: u64 = 4_096;

/// How long whoever gives an order may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an order may take: a node that is started reads its chain.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// What a devnet may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// End this node at once.
    Kill(String),
    /// Start this node again.
    Start(String),
}

/// An order, and who waits for the answer.
pub(super) struct Given {
    pub(super) what: Order,
    by: UnixStream,
}

/// Where orders come in. They are read in a task of its own: whoever waits for one may wait for something else as well.
pub(super) struct Listener {
    orders: mpsc::Receiver<Given>,
    reading: JoinHandle<()>,
    path: PathBuf,
}

impl Listener {
    pub(super) fn bind(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(SOCKET);
        // One that is left over from a crash is in the way; that nobody listens there any more, the nodes' locks say.
        let _ = std::fs::remove_file(&path);
        let socket = UnixListener::bind(&path).map_err(|error| {
            Failure::new(Kind::DataDir, format!("cannot listen at {}: {error}", path.display()))
                .hint("give a --data-dir with a shorter path: a socket's has 100 bytes at most")
        })?;
        let (given, orders) = mpsc::channel(1);
        let reading = tokio::spawn(listen(socket, given));
        Ok(Self { orders, reading, path })
    }

    /// The next order. Cancel-safe.
    pub(super) async fn next(&mut self) -> Given {
        self.orders.recv().await.expect("its task ends with the listener")
    }
}

/// Reads one order after the other. What is none is answered and passed over.
async fn listen(socket: UnixListener, given: mpsc::Sender<Given>) {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            // Out of descriptors, say: it may be better soon.
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        if let Ok(Ok(Some(order))) = tokio::time::timeout(PATIENCE, read(stream)).await
            && given.send(order).await.is_err()
        {
            return;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reading.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn read(stream: UnixStream) -> io::Result<Option<Given>> {
    let mut reader = BufReader::new(stream.take(MAX_LINE_BYTES));
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let mut by = reader.into_inner().into_inner();
    match parse(&line) {
        Some(what) => Ok(Some(Given { what, by })),
        None => {
            by.write_all(b"no this is no order\n").await?;
            Ok(None)
        }
    }
}

fn parse(line: &str) -> Option<Order> {
    let (verb, name) = line.strip_suffix('\n')?.split_once(' ')?;
    match verb {
        "kill" => Some(Order::Kill(name.to_owned())),
        "start" => Some(Order::Start(name.to_owned())),
        _ => None,
    }
}

impl Given {
    /// Answers, in a task of its own: nobody waits for one who does not read.
    pub(super) fn answer(mut self, answer: Result<String, String>) {
        let line = match answer {
            Ok(text) => format!("ok {}\n", text.replace('\n', " ")),
            Err(text) => format!("no {}\n", text.replace('\n', " ")),
        };
        tokio::spawn(async move {
            // Who asked may have gone.
            let _ = tokio::time::timeout(PATIENCE, self.by.write_all(line.as_bytes())).await;
        });
    }
}

/// Gives an order to the devnet of a directory, and prints its answer.
pub(super) async fn give(order: &DevnetOrder, output: Output) -> Result<(), Failure> {
    let (verb, target) = match order {
        DevnetOrder::Kill(target) => ("kill", target),
        DevnetOrder::Start(target) => ("start", target),
    };
    let path = target.data_dir.join(SOCKET);
    let absent = |error: io::Error| {
        Failure::new(Kind::NotRunning, format!("no devnet answers at {}: {error}", path.display()))
            .hint("give the --data-dir that `anabranch devnet` printed")
    };
    let asked = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(format!("{verb} {}\n", target.node).as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(stream.take(MAX_LINE_BYTES)).read_line(&mut line).await?;
        Ok(line)
    };
    let line = match tokio::time::timeout(ANSWERED_WITHIN, asked).await {
        Ok(answered) => answered.map_err(absent)?,
        Err(_) => return Err(absent(io::ErrorKind::TimedOut.into())),
    };
    match line.trim_end().split_once(' ') {
        Some(("ok", text)) => Ok(output.line(&json!({ "done": text }), || text.to_owned())?),
        Some(("no", text)) => Err(Failure::new(Kind::Failed, text)),
        _ => Err(absent(io::ErrorKind::UnexpectedEof.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_orders_and_nothing_else() {
        assert_eq!(parse("kill 2\n"), Some(Order::Kill("2".into())));
        assert_eq!(parse("start follower-1\n"), Some(Order::Start("follower-1".into())));
        for wrong in ["", "kill", "kill 2", "stop 2\n", " kill 2\n", "killall 2\n"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
