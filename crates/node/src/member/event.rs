//! What happens on the link with a peer.

use std::time::Duration;

use bytes::Bytes;
use link::Protocol;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It opened.
    Joined {
        /// The round trip, where it was measured already.
        rtt: Option<Duration>,
        /// Whether the peer keeps its place whatever it does.
        pinned: bool,
        /// How many bytes each channel takes now: body, head and the link's flat charge of each message
        /// ([`link::channel::cost`]).
        room: Vec<(Protocol, u64)>,
    },
    /// It closed, with all that was under way on it.
    Left,
    /// Whether the peer keeps its place whatever it does has changed.
    Pinned(bool),
    /// A round trip was measured; the smoothed one.
    Rtt(Duration),
    /// How many bytes a channel takes now.
    Room {
        /// Which.
        channel: Protocol,
        /// In bytes, as in [`Event::Joined`].
        bytes: u64,
    },
    /// Messages of it lie unread at this moment: what we wait for may be among them. Said right before a
    /// [`Input::Tick`](crate::Input::Tick), at which whoever is late is judged.
    Unread,
    /// A message came, in the order of its channel. It keeps its place in the channel's window until
    /// [`Output::Took`](crate::Output::Took) says that it is done with.
    Message {
        /// On which channel.
        channel: Protocol,
        /// The message.
        body: Bytes,
    },
}
