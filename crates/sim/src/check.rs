//! The checkers: what must hold in every world, whatever goes wrong.
//!
//! They see what a reader sees (published views, the log) and what an operator sees (the status), and know
//! which blocks honest servers made. Each has a test that breaks its rule on purpose and sees it fire.

use std::collections::BTreeSet;
use std::sync::Arc;

use chain::{Format, Hash, Header, Point, Position, State, Tip, View};
use node::violation::Cause;
use node::{Status, UpstreamId, status};
use store::Recovered;

/// What was found broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A view's blocks are not one chain of sound blocks.
    #[error("a published view is no chain: {what}")]
    Unlinked {
        /// Where and how.
        what: String,
    },
    /// A block in a view is against its format's rules.
    #[error("an invalid block {id:.8} was published: {reason}")]
    Invalid {
        /// Which.
        id: Hash,
        /// Which rule.
        reason: String,
    },
    /// What was irreversible is not any more.
    #[error("irreversible moved back: {what}")]
    MovedBack {
        /// Where and how.
        what: String,
    },
    /// A block of a liar became irreversible.
    #[error("block {id:.8}, which no honest server made, became irreversible")]
    Dishonest {
        /// Which.
        id: Hash,
    },
    /// A server that keeps to the rules was let go as a liar.
    #[error("{id} keeps to the rules and was let go: {cause}")]
    Slandered {
        /// Which.
        id: UpstreamId,
        /// What it was charged with.
        cause: Box<Cause>,
    },
    /// What readers were shown did not come back after a power cut.
    #[error("lost in a power cut: {what}")]
    Lost {
        /// What.
        what: String,
    },
    /// Something grows without its bound.
    #[error("{what}: {found}, at most {bound} are allowed")]
    Unbounded {
        /// What.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        bound: usize,
    },
    /// In the end the node does not have what the honest servers have.
    #[error("in the end the node stands at {found:.8}, the honest servers at {expected:.8}")]
    Diverged {
        /// Where the node stands.
        found: Point,
        /// Where they do.
        expected: Point,
    },
    /// In the end less is irreversible than could be.
    #[error("in the end {found} blocks are irreversible, {expected} could be")]
    Unsettled {
        /// How many are.
        found: u64,
        /// How many could be.
        expected: u64,
    },
}

/// What the checkers remember.
pub(crate) struct Checker {
    format: Format,
    depth: u64,
    upstreams: usize,
    /// Every block that became irreversible, by position.
    settled: Vec<Hash>,
    /// Blocks whose checks passed here.
    sound: BTreeSet<Hash>,
    /// The last view shown since the last start.
    view: Option<Arc<View>>,
    /// Blocks made by honest servers.
    honest: BTreeSet<Hash>,
}

impl Checker {
    pub(crate) fn new(format: Format, depth: u64, upstreams: usize) -> Self {
        let (settled, sound, honest) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { format, depth, upstreams, settled, sound, view: None, honest }
    }

    /// An honest server made a block.
    pub(crate) fn on_made(&mut self, id: Hash) {
        self.honest.insert(id);
    }

    /// A view was published; `point_at` reads the log and `state` knows the state after any block.
    pub(crate) fn on_view<'a>(
        &mut self,
        view: Arc<View>,
        point_at: impl Fn(Position) -> Option<Point>,
        state: impl Fn(Option<Hash>) -> &'a State,
    ) -> Result<(), Broken> {
        self.check_links(&view)?;
        for entry in view.volatile.iter() {
            self.check_sound(&entry.header, &entry.block, state(entry.header.prev))?;
        }
        if view.settled < self.settled.len() as u64 {
            let what = format!("{} blocks after {}", view.settled, self.settled.len());
            return Err(Broken::MovedBack { what });
        }
        self.check_log(view.settled, view.irreversible, point_at)?;
        self.view = Some(view);
        Ok(())
    }

    /// The node starts again with what the store recovered.
    pub(crate) fn on_restart(
        &mut self,
        recovered: &Recovered,
        point_at: impl Fn(Position) -> Option<Point>,
    ) -> Result<(), Broken> {
        if recovered.settled < self.settled.len() as u64 {
            let what = format!("{} of {} irreversible blocks", recovered.settled, self.settled.len());
            return Err(Broken::Lost { what });
        }
        self.check_log(recovered.settled, recovered.irreversible, point_at)?;
        let Some(view) = self.view.take() else { return Ok(()) };
        let came_back: BTreeSet<Hash> = recovered.forks.iter().map(|block| block.header.id).collect();
        let at = |position: u64| view.entry(Position(position)).map(|entry| entry.header.id);
        // Where more had become irreversible than was shown, on another fork, what was shown is history.
        let shown = if recovered.settled == view.settled {
            true
        } else {
            at(recovered.settled - 1) == recovered.irreversible.point.hash()
        };
        let above = view.volatile.iter().filter(|entry| entry.position.0 >= recovered.settled);
        for entry in above.filter(|_| shown) {
            if !came_back.contains(&entry.header.id) {
                let what = format!("block {:.8} at {}", entry.header.id, entry.position);
                return Err(Broken::Lost { what });
            }
        }
        Ok(())
    }

    /// The node lets a server go that keeps to the rules.
    pub(crate) fn on_honest_let_go(&self, id: UpstreamId, cause: &Cause) -> Result<(), Broken> {
        match cause {
            Cause::Violation(_) | Cause::Conflict | Cause::NoIntersection | Cause::Crowded => {
                Err(Broken::Slandered { id, cause: Box::new(cause.clone()) })
            }
            // Its line may be slow, it may have rolled back, and the node may have failed.
            Cause::Closed(_)
            | Cause::Lost(_)
            | Cause::Unreachable(_)
            | Cause::Stalled
            | Cause::NoBlocks
            | Cause::Failed => Ok(()),
        }
    }

    /// The node's books after a step.
    pub(crate) fn on_step(&self, status: &Status) -> Result<(), Broken> {
        // What one upstream may bring, for each and once more for what came back from the disk; twice the
        // window of headers (1,024) and depth, as the node's bounds have it.
        let headers = 2 * (self.depth as usize + 1_024) * (self.upstreams + 1);
        self.bound("headers above the irreversible tip", status.headers, headers)?;
        self.bound("headers being checked", status.verifying, 1_024 * self.upstreams)?;
        self.bound("wanted bodies", status.wanted, headers)
    }

    /// The end: all is quiet.
    pub(crate) fn on_end(&self, status: &Status, expected: Tip) -> Result<(), Broken> {
        if let status::State::Failed { error } = &status.state {
            return Err(Broken::Lost { what: format!("the node itself: {error}") });
        }
        if status.head != expected {
            return Err(Broken::Diverged { found: status.head.point, expected: expected.point });
        }
        self.bound("headers kept in the end", status.headers, 3 * self.depth as usize)?;
        self.bound("headers being checked in the end", status.verifying, 0)?;
        self.bound("bodies wanted in the end", status.wanted, 0)?;
        // The first block has height 0.
        let possible = (expected.height.0 + 1).saturating_sub(self.depth);
        if status.settled < possible {
            return Err(Broken::Unsettled { found: status.settled, expected: possible });
        }
        Ok(())
    }

    /// How many blocks became irreversible.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.len() as u64
    }

    fn check_links(&self, view: &View) -> Result<(), Broken> {
        let mut last = view.irreversible.point.hash();
        for (position, entry) in (view.settled..).zip(view.volatile.iter()) {
            if entry.header.prev != last || entry.position.0 != position {
                let what = format!("{:.8} at {} is not the next", entry.header.id, entry.position);
                return Err(Broken::Unlinked { what });
            }
            last = Some(entry.header.id);
        }
        if view.head.point.hash() != last {
            return Err(Broken::Unlinked { what: format!("the head is not {:.8?}", last) });
        }
        Ok(())
    }

    fn check_sound(&mut self, header: &Header, raw: &bytes::Bytes, parent: &State) -> Result<(), Broken> {
        if self.sound.contains(&header.id) {
            return Ok(());
        }
        let invalid = |reason: String| Broken::Invalid { id: header.id, reason };
        let block = self.format.block(raw).map_err(|error| invalid(error.to_string()))?;
        if block.header != *header {
            return Err(invalid("another block is filed under its header".into()));
        }
        self.format.next(parent, header).map_err(|reason| invalid(reason.to_string()))?;
        self.format.checks(parent, header).run().map_err(|reason| invalid(reason.to_string()))?;
        self.format.check_body(&block).map_err(|reason| invalid(reason.to_string()))?;
        self.sound.insert(header.id);
        Ok(())
    }

    /// What is settled stays where it is, is honest, and is in the log.
    fn check_log(
        &mut self,
        settled: u64,
        tip: Tip,
        point_at: impl Fn(Position) -> Option<Point>,
    ) -> Result<(), Broken> {
        if let Some(last) = self.settled.len().checked_sub(1) {
            let found = point_at(Position(last as u64)).and_then(|point| point.hash());
            if found != Some(self.settled[last]) {
                let what = format!("another block at {last}: {found:.8?}, not {:.8}", self.settled[last]);
                return Err(Broken::MovedBack { what });
            }
        }
        for position in self.settled.len() as u64..settled {
            let Some(id) = point_at(Position(position)).and_then(|point| point.hash()) else {
                return Err(Broken::Lost { what: format!("the irreversible block at {position}") });
            };
            if !self.honest.contains(&id) {
                return Err(Broken::Dishonest { id });
            }
            self.settled.push(id);
        }
        if tip.point.hash() != self.settled.last().copied() {
            return Err(Broken::MovedBack {
                what: format!("the tip is {:.8}, the log ends elsewhere", tip.point),
            });
        }
        Ok(())
    }

    fn bound(&self, what: &'static str, found: usize, bound: usize) -> Result<(), Broken> {
        if found > bound { Err(Broken::Unbounded { what, found, bound }) } else { Ok(()) }
    }
}
