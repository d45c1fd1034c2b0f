//! Words of the layers below, until those layers have them. The names and fields stay.

/// Will be `ouroboros::upstream`.
pub(crate) mod upstream {
    use std::time::Duration;

    use bytes::Bytes;
    use chain::{Point, Tip};

    /// What an upstream's machine says.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Event {
        /// The handshake is done.
        Ready {
            /// The version agreed on.
            version: u16,
        },
        /// The server has one of the points.
        Intersected {
            /// The first of ours that it has.
            point: Point,
            /// The end of its chain.
            tip: Tip,
        },
        /// The server has none of the points.
        NotIntersected {
            /// The end of its chain.
            tip: Tip,
        },
        /// The next header.
        Forward {
            /// As it travels.
            wire: Bytes,
            /// The end of its chain.
            tip: Tip,
        },
        /// Its chain goes on from here.
        Backward {
            /// Where to.
            point: Point,
            /// The end of its chain.
            tip: Tip,
        },
        /// We have everything it has.
        Waiting,
        /// A range begins.
        BatchStarted,
        /// The next block of a range.
        Block {
            /// `[era, block]`.
            raw: Bytes,
        },
        /// A range ended.
        BatchDone,
        /// The server does not have a range.
        NoBlocks,
        /// A round trip was measured.
        Rtt {
            /// How long.
            rtt: Duration,
        },
        /// Addresses of other servers.
        Peers {
            /// Which.
            peers: Vec<std::net::SocketAddr>,
        },
        /// The connection is over.
        Closed {
            /// Why.
            reason: String,
        },
    }

    /// What an upstream's machine shall do.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Command {
        /// Find the first of these that the server has.
        Intersect {
            /// Newest first.
            points: Vec<Point>,
        },
        /// So many more headers are welcome.
        Demand {
            /// How many.
            n: u32,
        },
        /// Fetch these blocks.
        Fetch {
            /// The first.
            from: Point,
            /// The last.
            to: Point,
        },
        /// Ask for addresses.
        SharePeers {
            /// How many.
            n: u8,
        },
        /// Part in peace.
        Done,
    }
}
