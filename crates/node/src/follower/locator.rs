//! The points that are offered to an upstream to find where its chain and ours part.
//!
//! Newest first, the gaps doubling: few points, and yet no more than twice the headers that are truly
//! missing are asked for.

use chain::tree::Tree;
use chain::{Point, Position};

/// The settled positions whose points are wanted, newest first; the irreversible tip itself is not among
/// them, for the tree knows it.
pub(crate) fn positions(settled: u64) -> Vec<Position> {
    let doubling = (0..u64::BITS).map(|power| 1_u64 << power);
    doubling.map_while(|back| settled.checked_sub(1 + back)).map(Position).collect()
}

/// What to offer: the chain from its head down to the irreversible tip, then the settled points, then origin.
pub(crate) fn points<S>(tree: &Tree<S>, settled: Vec<Point>) -> Vec<Point> {
    let above: Vec<Point> = tree.chain().rev().map(|entry| entry.header.point()).collect();
    let doubling = (0..usize::BITS).map(|power| (1_usize << power) - 1);
    let mut points: Vec<Point> = doubling.map_while(|back| above.get(back).copied()).collect();
    points.push(tree.root().tip.point);
    points.extend(settled);
    if points.last() != Some(&Point::Origin) {
        points.push(Point::Origin);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_positions_have_doubling_gaps_and_end_at_the_first_block() {
        assert_eq!(positions(0), []);
        assert_eq!(positions(1), [], "the only block is the irreversible tip");
        assert_eq!(positions(2), [Position(0)]);
        assert_eq!(positions(12), [10, 9, 7, 3].map(Position));
        assert_eq!(positions(u64::MAX).len(), 64);
    }
}
