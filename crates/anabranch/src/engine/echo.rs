//! Questions on the echo channel, which are answered with what they carry: for operators who measure a link.

use link::channel::ECHO;

use crate::network::Delivery;

/// Answers, where it is one; else it comes back. Who asks on and on and does not take the answers loses those that find
/// no room.
pub(super) fn answer(delivery: Delivery) -> Option<Delivery> {
    if delivery.channel != ECHO {
        return Some(delivery);
    }
    let body = delivery.body.clone();
    if let Some(asker) = delivery.into_asker() {
        // Where there is no room, or nobody any more, the answer is lost.
        let _ = asker.try_reply(body);
    }
    None
}
