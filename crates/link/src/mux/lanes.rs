//! Who goes first on a link between peers: strict priority, and below it shares.
//!
//! Control before consensus before routing: as long as one of these has something to send, nothing below it goes.
//! What is left of the line belongs to the bulk channels, each in relation to its share, by deficit round robin
//! (Shreedhar and Varghese, 1995) in the form in which a turn may overdraw and pays it back at the next.
//!
//! It knows nothing of messages or credit: a channel that may not send now is one that has nothing to send, and the
//! others go on.
//!
//! **Invariant:** while two bulk channels both have something to send, what they sent differs from their shares by at
//! most one turn and one segment.

use super::egress::Order;
use crate::Protocol;
use crate::channel::{Channel, Lane};
use crate::segment::MAX_SENT_BYTES;

/// What a channel of share 1 may send in a turn: one full segment.
const QUANTUM_BYTES: i32 = MAX_SENT_BYTES as i32;

/// What is left of a budget is used for a cut segment only when this much fits: a frame costs 26 bytes and a
/// microsecond.
const MIN_CUT_BYTES: usize = 1_024;

/// The channels of a link in the order of their lanes, and the state of the shares.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// Lane by lane.
    strict: Vec<Protocol>,
    bulk: Box<[Share]>,
    /// Whose turn it is among the bulk channels.
    turn: usize,
    /// Whether that one got its quantum for this turn.
    is_paid: bool,
}

/// A bulk channel.
#[derive(Debug, Clone)]
struct Share {
    protocol: Protocol,
    quantum: i32,
    /// What it may still send in this turn; negative where it owes.
    deficit: i32,
}

/// One pass over the channels: a channel that had nothing to send is not asked again.
pub(super) struct Pass<'a> {
    lanes: &'a mut Lanes,
    strict: usize,
    silent: usize,
}

impl Lanes {
    /// For these channels; control comes first and is not among them.
    pub fn new<'a>(channels: impl IntoIterator<Item = &'a Channel>) -> Self {
        let mut strict = vec![(Lane::Control, crate::channel::CONTROL)];
        let mut bulk = Vec::new();
        for channel in channels {
            match channel.lane {
                Lane::Bulk => bulk.push(Share {
                    protocol: channel.number,
                    quantum: QUANTUM_BYTES * i32::from(channel.share.max(1)),
                    deficit: 0,
                }),
                lane => strict.push((lane, channel.number)),
            }
        }
        strict.sort_unstable();
        let strict = strict.into_iter().map(|(_, protocol)| protocol).collect();
        Self { strict, bulk: bulk.into(), turn: 0, is_paid: false }
    }

    pub(super) fn begin(&mut self) -> Pass<'_> {
        Pass { lanes: self, strict: 0, silent: 0 }
    }

    fn pass_turn(&mut self) {
        self.turn = (self.turn + 1) % self.bulk.len();
        self.is_paid = false;
    }
}

impl Order for Pass<'_> {
    fn next(&mut self) -> Option<Protocol> {
        let lanes = &mut *self.lanes;
        if let Some(protocol) = lanes.strict.get(self.strict) {
            return Some(*protocol);
        }
        if self.silent >= lanes.bulk.len() {
            return None;
        }
        let share = &mut lanes.bulk[lanes.turn];
        if !lanes.is_paid {
            // A turn overdraws by less than a segment, and a quantum is at least one: it is above 0 now.
            share.deficit += share.quantum;
            lanes.is_paid = true;
        }
        Some(share.protocol)
    }

    fn sent(&mut self, bytes: usize) {
        if self.strict < self.lanes.strict.len() {
            self.strict += usize::from(bytes == 0);
            return;
        }
        let share = &mut self.lanes.bulk[self.lanes.turn];
        if bytes == 0 {
            // Nobody saves up for later.
            share.deficit = 0;
            self.silent += 1;
            return self.lanes.pass_turn();
        }
        self.silent = 0;
        share.deficit -= bytes as i32;
        if share.deficit <= 0 {
            self.lanes.pass_turn();
        }
    }

    fn room(&self, left: usize, overhead: usize, is_first: bool) -> usize {
        let room = left.saturating_sub(overhead).min(MAX_SENT_BYTES);
        match room {
            MIN_CUT_BYTES.. => room,
            _ if is_first => MIN_CUT_BYTES,
            _ => 0,
        }
    }
}
