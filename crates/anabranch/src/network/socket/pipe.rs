//! Bearers inside one process: for tests, and for nodes that live side by side.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// What a pipe holds in each direction: as much as a small kernel buffer.
const PIPE_BYTES: usize = 64 * 1024;

/// Pipes that were dialled and not accepted yet; who dials when it is full waits.
const BACKLOG: usize = 128;

/// Where a listener in this process is reached.
#[derive(Debug, Clone)]
pub struct PipeAddress {
    number: u64,
    to: mpsc::Sender<DuplexStream>,
}

/// The accepting side of a [`PipeAddress`].
#[derive(Debug)]
pub(in crate::network) struct PipeListener {
    /// So that it has no end of its own.
    _address: PipeAddress,
    pub(in crate::network) accepted: mpsc::Receiver<DuplexStream>,
}

/// A listener, and where it is reached.
pub(in crate::network) fn listen() -> (PipeListener, PipeAddress) {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let (to, accepted) = mpsc::channel(BACKLOG);
    let address = PipeAddress { number: NUMBERS.fetch_add(1, Ordering::Relaxed), to };
    (PipeListener { _address: address.clone(), accepted }, address)
}

impl PipeAddress {
    /// Makes a pipe to the listener.
    pub(in crate::network) async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        match self.to.send(theirs).await {
            Ok(()) => Ok(ours),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl PartialEq for PipeAddress {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for PipeAddress {}

impl fmt::Display for PipeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipe:{}", self.number)
    }
}
