//! What the other side says about what we send, and what those above find of what it says.

use std::sync::Arc;
use std::time::Duration;

use link::control::Message;
use link::{Protocol, Violation, inbound, outbound};

use super::handle::Socket;

impl Socket {
    /// The peer said something about what we send; what was wrong with it.
    pub(super) fn hear(self: &Arc<Self>, message: Message) -> Option<Violation> {
        let is_pong = matches!(message, Message::Pong { .. });
        let (fault, has_grown, is_measured) = self.act(|outbound, now, out| {
            let pongs = outbound.figures().map_or(0, |figures| figures.pongs);
            outbound.handle(now, outbound::Input::Control(message), out);
            let fault = out.iter().find_map(|output| match output {
                outbound::Output::Fault(fault) => Some(*fault),
                outbound::Output::Room | outbound::Output::Closed(_) => None,
            });
            let is_measured = outbound.figures().is_some_and(|figures| figures.pongs > pongs);
            (fault, out.contains(&outbound::Output::Room), is_measured)
        });
        if is_pong {
            self.make_room();
        }
        if has_grown {
            self.tell_room();
        }
        if is_measured && let Some(above) = self.above() {
            above.on_rtt();
        }
        fault
    }

    /// There is more room than was seen.
    pub(super) fn tell_room(&self) {
        if let Some(above) = self.above() {
            above.on_room();
        }
    }

    /// How many bytes each channel takes now. From now on [`Above::on_room`](super::Above::on_room) tells of more.
    pub(in crate::network) fn look(&self) -> Vec<(Protocol, u64)> {
        self.half().outbound.look()
    }

    /// The channels of which more was told, and that nobody looked at since.
    pub(in crate::network) fn grown(&self) -> Vec<Protocol> {
        self.half().outbound.grown().collect()
    }

    /// The same as [`look`](Self::look) for one channel.
    pub(in crate::network) fn look_at(&self, channel: Protocol) -> Option<u64> {
        self.half().outbound.look_at(channel)
    }

    /// The round trip, smoothed, once measured.
    pub(in crate::network) fn rtt(&self) -> Option<Duration> {
        self.half().outbound.figures().map(|figures| figures.smoothed)
    }

    /// Something that came over it was at fault: counted under this name, and a strike.
    pub(in crate::network) fn strike(self: &Arc<Self>, name: &'static str) {
        let mut out = Vec::new();
        let now = self.clock().now();
        self.inbound().handle(now, inbound::Input::Fault(Violation::Content { name }), &mut out);
        for output in out {
            match output {
                inbound::Output::Closed(reason) => self.close(reason),
                // What took too long on the way may be noticed now as well.
                inbound::Output::Grant { channel, bytes } => self.grant(channel, bytes),
                inbound::Output::Rejected(violation) => {
                    tracing::debug!(peer = %self.peer(), %violation, "rejected what a peer sent");
                }
                inbound::Output::Message { .. } | inbound::Output::Control(_) => {
                    unreachable!("nothing was received")
                }
            }
        }
    }
}
