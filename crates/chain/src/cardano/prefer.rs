//! Which of two chains to hold on to, by their heads.
//!
//! Follows `comparePraos` of ouroboros-consensus and, for Byron, the order of PBFT.

use std::cmp::Ordering;

use super::era::Era;
use super::header::{Parts, unwrap};
use crate::Header;

/// From Conway on a lottery decides only between blocks that are no further apart than this: the time that
/// a block takes to get everywhere.
const MAX_TIE_SLOTS: u64 = 5;

/// `Greater` when `a` is the better head, `Equal` when neither is: then one keeps what one has.
pub(crate) fn prefer(a: &Header, b: &Header) -> Ordering {
    a.height.cmp(&b.height).then_with(|| a.boundary.cmp(&b.boundary)).then_with(|| break_tie(a, b))
}

/// Headers here were decoded once already; if one is not readable, there is no reason to prefer it.
fn break_tie(a: &Header, b: &Header) -> Ordering {
    let (Ok((era_a, bytes_a)), Ok((era_b, bytes_b))) = (unwrap(&a.wire), unwrap(&b.wire)) else {
        return Ordering::Equal;
    };
    if era_a == Era::Byron || era_b == Era::Byron {
        return Ordering::Equal;
    }
    let (Ok(a), Ok(b)) = (Parts::decode(era_a, bytes_a), Parts::decode(era_b, bytes_b)) else {
        return Ordering::Equal;
    };
    if a.slot == b.slot && a.issuer == b.issuer {
        let newer = a.certificate.counter.cmp(&b.certificate.counter);
        if newer != Ordering::Equal {
            return newer;
        }
    }
    let apart = a.slot.0.abs_diff(b.slot.0);
    if era_a.max(era_b) >= Era::Conway && apart > MAX_TIE_SLOTS {
        return Ordering::Equal;
    }
    b.vrf.leader_output().cmp(a.vrf.leader_output())
}
