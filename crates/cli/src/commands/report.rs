//! What a running node says in its log of its own accord: each change of state, and how a sync goes.

use std::time::Duration;

use anabranch::runtime::Insight;
use anabranch::status::{State, Status};

/// How often the node is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often progress is told while the state stays the same.
const PROGRESS: u32 = 10;

/// Logs until the node stops answering.
pub(super) async fn run(insight: Insight) {
    let mut last = "";
    let mut looks = 0;
    // A node that has just begun has nothing to tell yet.
    tokio::time::sleep(LOOK).await;
    while let Some(status) = insight.status().await {
        looks += 1;
        let is_syncing = matches!(status.state, State::Syncing { .. });
        if status.state.name() != last || (is_syncing && looks % PROGRESS == 0) {
            last = status.state.name();
            looks = 0;
            tell(&status);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(status: &Status) {
    let Status { state, reason, hint, .. } = status;
    let (name, height) = (state.name(), status.head.height);
    match state {
        State::Starting | State::CaughtUp | State::Validating => {
            tracing::info!(height, "{name}: {reason}");
        }
        State::Syncing { percent, left_s } => {
            let left = left_s.map_or(String::new(), |left| format!(", about {left} s left"));
            tracing::info!(height, "{name}: {percent:.1} %{left}");
        }
        State::NoUpstreams if status.upstreams.of == 0 => tracing::info!(height, "{name}: {reason}"),
        State::NoUpstreams | State::NoPeers | State::Stalled | State::Undecided | State::Failed => {
            tracing::warn!(height, "{name}: {reason}; {hint}");
        }
    }
}
