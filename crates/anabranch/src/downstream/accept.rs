//! Accepting: a task of its own, which nothing that a client does can stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Connections that were accepted and not admitted yet. When it is full, new ones wait in the kernel.
pub(super) const HAND_OVER: usize = 128;

/// After an error, accepting pauses this long, then twice as long, and so on. The system is out of something,
/// descriptors mostly, and trying at once would only burn the CPU that could free some.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that was accepted.
pub(super) type Accepted = (TcpStream, SocketAddr);

/// Accepts until stopped.
pub(super) async fn run(listener: TcpListener, to: mpsc::Sender<Accepted>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                if pause > FIRST_PAUSE {
                    tracing::info!("accepting clients again");
                    pause = FIRST_PAUSE;
                }
                // The receiver ends with the server.
                if to.send(accepted).await.is_err() {
                    return;
                }
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if pause == FIRST_PAUSE {
                    tracing::warn!(%error, "cannot accept clients, trying again; are there enough file descriptors?");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        }
    }
}

/// Whether the connection that was to be accepted failed, and not the accepting.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
