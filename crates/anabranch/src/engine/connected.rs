//! The task of one connection to an upstream: what its machine says goes to the engine, the engine's commands to it.

use node::UpstreamId;
use ouroboros::upstream;
use tokio::sync::mpsc;

use super::Event;
use crate::connection::{self, Connection, Told};

/// The task of one connection.
pub(super) struct Task {
    pub(super) id: UpstreamId,
    pub(super) dial: u64,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) commands: mpsc::Receiver<upstream::Command>,
}

impl Task {
    /// Runs until the connection is over, or nobody commands it any more.
    pub(super) async fn run(mut self, dialled: impl Future<Output = Result<Connection, connection::Error>>) {
        let (id, dial) = (self.id, self.dial);
        let mut connection = match dialled.await {
            Ok(connection) => connection,
            Err(error) => {
                let event = Event::Lost { id, dial, error: error.to_string() };
                // Fails when the engine is stopping.
                let _ = self.events.send(event).await;
                return;
            }
        };
        loop {
            let told = tokio::select! {
                told = connection.next() => told,
                command = self.commands.recv() => {
                    let Some(command) = command else { return };
                    connection.command(command);
                    continue;
                }
            };
            let (event, is_over) = match told {
                Told::Events(events) => {
                    let is_over = events.iter().any(|event| matches!(event, upstream::Event::Closed { .. }));
                    (Event::Upstream { id, dial, events }, is_over)
                }
                Told::Lost(error) => (Event::Lost { id, dial, error }, true),
            };
            // Fails when the engine is stopping.
            if self.events.send(event).await.is_err() || is_over {
                return;
            }
        }
    }
}
