//! What comes in from peers and is for nobody else: questions on the echo channel are answered with what they
//! carry; the rest is for parts that this node does not have, and is dropped.
//!
//! It waits for no peer: one that asks on and on and does not take the answers loses those that find no room.

use link::channel;
use tokio_util::sync::CancellationToken;

use crate::network::Sink;

/// Answers until the network has stopped, or `ended`.
pub(super) async fn run(mut sink: Sink, ended: CancellationToken) {
    loop {
        let next = tokio::select! {
            next = sink.next() => next,
            () = ended.cancelled() => return,
        };
        let Some(delivery) = next else { return };
        if delivery.channel != channel::ECHO {
            continue;
        }
        let body = delivery.body.clone();
        if let Some(asker) = delivery.into_asker() {
            // Where there is no room, or nobody any more, the answer is lost.
            let _ = asker.try_reply(body);
        }
    }
}
