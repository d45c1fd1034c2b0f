//! What can be set about a store, and its bounds.

/// The longest block a record holds. Cardano's block-fetch allows 2,500,000 B a message; room is left for
/// chains of our own. A length above it in a file is damage.
pub const MAX_BLOCK_BYTES: u32 = 16 << 20;

/// How the log is read on start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scan {
    /// The last segment only: what came before was durable when it began.
    #[default]
    Tail,
    /// All of it, cutting at the first damage: a repair.
    Whole,
}

/// The settings of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How the log is read on start.
    pub scan: Scan,
    /// A segment of the log is sealed when the next block would take it over this. A start reads one segment,
    /// so it is also the work of a start: 64 MiB are about a second.
    pub log_segment_bytes: u32,
    /// The same for the segments of the fork tree; small, since they go away whole. A guess.
    pub fork_segment_bytes: u32,
    /// A snapshot of the header state is taken when so many blocks were settled since the last: the headers
    /// that a start replays. 2,000 headers replay in well under a second.
    pub snapshot_every_blocks: u64,
    /// Bytes of header chunks kept in memory for all readers together. A chunk of preview is 220 KB.
    pub cache_bytes: usize,
    /// Segments that readers keep open: file descriptors. A guess.
    pub open_segments: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scan: Scan::Tail,
            log_segment_bytes: 64 << 20,
            fork_segment_bytes: 8 << 20,
            snapshot_every_blocks: 2_000,
            cache_bytes: 64 << 20,
            open_segments: 64,
        }
    }
}
