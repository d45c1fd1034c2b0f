//! How much a node holds: the bounds that follow from its configuration.

use std::num::NonZeroUsize;

use chain::{Format, tree};
use consensus::depth;

/// Headers beyond what must be kept to decide, that a node takes before their bodies: enough that bodies
/// never wait for headers. A guess: some seconds of fetching.
const HEADERS_AHEAD: u64 = 1_024;

/// Bytes of bodies on their way to the disk: no more is asked for above it. A guess: some large syncs.
pub(crate) const MAX_STORING_BYTES: usize = 32 << 20;

/// What a block has beside its body and its header: two lists and a number.
const ENVELOPE_BYTES: u64 = 16;

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    depth: u64,
    upstreams: u64,
    /// The most that one block takes in the fork tree, which keeps its header a second time.
    block_bytes: u64,
}

impl Bounds {
    /// For a node that keeps so many blocks of this format volatile, and follows so many upstreams.
    pub(crate) fn new(format: &Format, follow: &depth::Config) -> Self {
        let header = format.max_header_bytes() as u64;
        let block_bytes = 2 * header + format.max_body_bytes() + ENVELOPE_BYTES;
        Self { depth: follow.depth.get(), upstreams: u64::from(follow.upstreams), block_bytes }
    }

    /// k: how many blocks are kept volatile.
    pub(crate) fn depth(&self) -> u64 {
        self.depth
    }

    /// How many headers of one chain are taken above the irreversible tip.
    pub(crate) fn headers_ahead(&self) -> u64 {
        self.depth + HEADERS_AHEAD
    }

    /// How many headers one upstream may bring: its chain, and as many again on forks that it left.
    pub(crate) fn headers_each(&self) -> usize {
        (self.headers_ahead() * 2) as usize
    }

    /// The fork tree's bounds: no upstream can use up another's share, in headers or in bytes, so it never has to
    /// drop a branch. One more share is for what came back from the disk, of which no more is put back. Only the liars among the upstreams use
    /// up theirs: an honest one's chain is mostly the others' as well, and a block is kept once.
    pub(crate) fn tree(&self) -> tree::Config {
        let headers = self.headers_each() as u64 * (self.upstreams + 1);
        let some = |n: u64| NonZeroUsize::new(usize::try_from(n).unwrap_or(usize::MAX));
        let max_headers = some(headers).unwrap_or(NonZeroUsize::MIN);
        let max_bytes = some(headers.saturating_mul(self.block_bytes)).unwrap_or(NonZeroUsize::MIN);
        tree::Config { max_headers, max_branches: max_headers, max_bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};
    use std::sync::Arc;

    use chain::cardano;

    use super::*;

    #[test]
    fn a_liar_cannot_fill_the_tree_with_large_bodies() {
        let params = cardano::Params::built_in("mainnet").expect("a built-in network");
        let depth = NonZeroU64::new(params.security).expect("not zero");
        let follow = depth::Config { depth, agree: NonZeroU32::MIN, upstreams: 3 };
        let format = Format::Cardano(Arc::new(params));
        let bounds = Bounds::new(&format, &follow);
        let most =
            bounds.headers_each() as u64 * (format.max_body_bytes() + format.max_header_bytes() as u64);
        let one_honest_chain = bounds.headers_ahead() * format.max_body_bytes();
        assert!(bounds.tree().max_bytes.get() as u64 > 2 * most + one_honest_chain, "two liars of three");
    }
}
