//! Stopping: the first signal asks for a graceful end, the second ends at once.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that a second signal ended: 128 + SIGINT, as shells expect it.
const KILLED: i32 = 130;

/// Cancels `token` on the first SIGINT or SIGTERM and leaves the process on the second.
///
/// # Errors
/// When the system refuses a signal handler.
pub(crate) fn watch(token: CancellationToken) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stopping {
                process::exit(KILLED);
            }
            stopping = true;
            token.cancel();
            eprintln!("stopping; a second signal ends at once");
        }
    });
    Ok(())
}

/// The same for work without a runtime of its own: a flag that the work looks at.
///
/// # Errors
/// When the runtime or a signal handler cannot be had.
pub(crate) fn flag() -> std::io::Result<Flag> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let token = CancellationToken::new();
    let raised = Arc::new(AtomicBool::new(false));
    let entered = runtime.enter();
    watch(token.clone())?;
    let raise = Arc::clone(&raised);
    runtime.spawn(async move {
        token.cancelled().await;
        raise.store(true, Ordering::Relaxed);
    });
    drop(entered);
    Ok(Flag { raised, _runtime: runtime })
}

/// Whether a signal has asked to stop.
#[derive(Debug)]
pub(crate) struct Flag {
    raised: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

impl Flag {
    /// True from the first signal on.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }
}
