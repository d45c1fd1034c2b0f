//! The bytes that all links together may hold of what their peers sent.
//!
//! A [`Budget`] is shared by the links of a process. Each link takes a floor out of it that nobody else can use, and
//! above that of the pool, where no link gets more than half of what it leaves to the others: one that hoards gets a
//! third, the next one a third of the rest, and there is always something left. Where it is known how many links there
//! may be, their floors are [out of the pool](Budget::with_floors) from the start, so that the next link finds its own
//! however many hoard. A [`Charge`] is what one message holds; it travels with the message's body and gives back what
//! it holds when it is dropped, be its link long gone.
//!
//! It counts and nothing more: what to do without room is the caller's. The counters are atomic because a body is
//! dropped wherever the application is done with it; there are no locks and no waiting.
//!
//! **Invariant:** the floors that are set aside, what is charged above them, and what is left add up to the total, so
//! that links and messages never hold more than that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::frame::Limits;

/// What is set aside for each link unless it is set otherwise: an unfinished frame, and small messages even where
/// others have taken all the rest. A guess.
pub const FLOOR_BYTES: u32 = 64 << 10;

/// What a link's control messages take without asking: they are few and small, and one that is passed over for want of
/// memory would take its credit with it for ever. A guess, far above the longest that we send.
pub const CONTROL_BYTES: u32 = 1 << 10;

/// The least that can be set aside for a link: an unfinished frame and a control message must fit.
pub const MIN_FLOOR_BYTES: u32 = Limits::TRANSPORT.max as u32 + CONTROL_BYTES;

/// How many times what a link has of the pool must be left in it. A guess: with the default channels and budget a link
/// alone can fill all of its windows, and four that hoard leave a fifth.
const LEAVE: u64 = 2;

/// In place of what is left of a floor: its link is gone, and what comes back goes where the floor came from.
const GONE: u64 = u64::MAX;

/// The bytes that are shared. Clones share the same ones.
#[derive(Debug, Clone)]
pub struct Budget {
    /// For messages, and for links beyond those that were expected.
    pool: Arc<Pool>,
    /// For the floors of the links that were.
    floors: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    total: u64,
    free: AtomicU64,
}

/// One link's access to the budget. When it is dropped, its floor goes back but for what is charged.
#[derive(Debug)]
pub struct Share {
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    pool: Arc<Pool>,
    /// Where the floor comes from and goes back to.
    home: Arc<Pool>,
    floor: u64,
    /// What is left of the floor, or [`GONE`].
    free: AtomicU64,
    /// What is taken out of the pool.
    pooled: AtomicU64,
}

/// Bytes that are held. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    /// Taken out of the link's floor.
    own: u64,
    /// Taken out of the pool.
    pooled: u64,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(total_bytes: u64) -> Self {
        Self::with_floors(total_bytes, 0)
    }

    /// A budget of this many bytes, of which so many are for the floors of links and for nothing else.
    pub fn with_floors(total_bytes: u64, floors_bytes: u64) -> Self {
        assert!(total_bytes < GONE, "a budget is finite");
        assert!(floors_bytes <= total_bytes, "the floors are part of the budget");
        let [pool, floors] =
            [total_bytes - floors_bytes, floors_bytes].map(|bytes| Arc::new(Pool::new(bytes)));
        Self { pool, floors }
    }

    /// Sets a floor aside for one link; nothing when there is less than that.
    pub fn share(&self, floor_bytes: u32) -> Option<Share> {
        let floor = u64::from(floor_bytes);
        let home = [&self.floors, &self.pool].into_iter().find(|pool| pool.take(floor, 0))?.clone();
        let (free, pooled) = (AtomicU64::new(floor), AtomicU64::new(0));
        let pool = self.pool.clone();
        Some(Share { account: Arc::new(Account { pool, home, floor, free, pooled }) })
    }

    /// How many bytes there are in all.
    pub fn total_bytes(&self) -> u64 {
        self.pool.total + self.floors.total
    }

    /// How many of them are held or set aside for links that there are.
    pub fn used_bytes(&self) -> u64 {
        self.pool.used() + self.floors.used()
    }
}

impl Share {
    /// Takes this many bytes, first of the floor but for the last `spare` bytes of it, then of the pool; nothing when
    /// there is less, or when the link would have more of the pool than half of what it leaves. One routine at a time.
    pub fn charge(&self, bytes: u64, spare: u64) -> Option<Charge> {
        let mut charge = Charge { account: self.account.clone(), own: 0, pooled: 0 };
        charge.grow(bytes, spare).then_some(charge)
    }

    /// How many bytes are set aside for the link.
    pub fn floor_bytes(&self) -> u64 {
        self.account.floor
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.home.give(self.account.free.swap(GONE, Relaxed));
    }
}

impl Charge {
    /// Takes more, as [`Share::charge`] does; false, and nothing taken, when there is not enough.
    pub fn grow(&mut self, bytes: u64, spare: u64) -> bool {
        let own = self.account.take(bytes, spare);
        let pooled = bytes - own;
        if pooled > 0 && !self.account.take_pooled(pooled) {
            self.account.give(own);
            return false;
        }
        self.own += own;
        self.pooled += pooled;
        true
    }

    /// Gives back what it holds beyond this many bytes: first what came out of the pool, which all links share.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes().saturating_sub(bytes);
        let pooled = surplus.min(self.pooled);
        let own = surplus - pooled;
        self.pooled -= pooled;
        self.own -= own;
        if pooled > 0 {
            self.account.give_pooled(pooled);
        }
        self.account.give(own);
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.own + self.pooled
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give(self.own);
        if self.pooled > 0 {
            self.account.give_pooled(self.pooled);
        }
    }
}

impl Account {
    /// Takes at most this many bytes of the floor, and leaves the spare ones.
    fn take(&self, bytes: u64, spare: u64) -> u64 {
        let mut taken = 0;
        let _ = self.free.fetch_update(Relaxed, Relaxed, |free| {
            taken = if free == GONE { 0 } else { free.saturating_sub(spare).min(bytes) };
            (taken > 0).then(|| free - taken)
        });
        taken
    }

    fn take_pooled(&self, bytes: u64) -> bool {
        // Others may give back meanwhile, and then this was too strict for a moment.
        let after = self.pooled.load(Relaxed).saturating_add(bytes);
        let taken = self.pool.take(bytes, after.saturating_mul(LEAVE));
        if taken {
            self.pooled.fetch_add(bytes, Relaxed);
        }
        taken
    }

    fn give_pooled(&self, bytes: u64) {
        self.pooled.fetch_sub(bytes, Relaxed);
        self.pool.give(bytes);
    }

    fn give(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let kept = self
            .free
            .fetch_update(Relaxed, Relaxed, |free| (free != GONE).then(|| free.saturating_add(bytes)));
        if kept.is_err() {
            self.home.give(bytes);
        }
    }
}

impl Pool {
    fn new(bytes: u64) -> Self {
        Self { total: bytes, free: AtomicU64::new(bytes) }
    }

    fn used(&self) -> u64 {
        self.total - self.free.load(Relaxed)
    }

    /// Takes so many bytes where at least `leave` are left behind.
    fn take(&self, bytes: u64, leave: u64) -> bool {
        let rest = |free: u64| free.checked_sub(bytes).filter(|rest| *rest >= leave);
        self.free.fetch_update(Relaxed, Relaxed, rest).is_ok()
    }

    fn give(&self, bytes: u64) {
        let before = self.free.fetch_add(bytes, Relaxed);
        assert!(before + bytes <= self.total, "more bytes came back than were taken");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_floor_comes_first_and_then_the_pool() {
        let budget = Budget::new(190);
        let (a, b) = (budget.share(50).unwrap(), budget.share(50).unwrap());
        assert_eq!(budget.used_bytes(), 100);
        assert!(budget.share(91).is_none());
        let mut charge = a.charge(60, 0).unwrap();
        assert_eq!(budget.used_bytes(), 110);
        assert!(!charge.grow(21, 0), "31 of the pool would leave 59");
        assert!(charge.grow(20, 0));
        assert_eq!((charge.bytes(), budget.used_bytes()), (80, 130));
        let other = b.charge(50, 0).expect("its floor is its own");
        assert!(b.charge(21, 0).is_none());
        assert!(b.charge(20, 0).is_some());
        drop((charge, other));
        assert_eq!(budget.used_bytes(), 100);
        drop((a, b));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn those_who_hoard_leave_something_for_the_next() {
        let budget = Budget::new(8_100);
        let mut hoards = Vec::new();
        for _ in 0..4 {
            let share = budget.share(0).unwrap();
            hoards.extend(std::iter::from_fn(|| share.charge(10, 0)));
        }
        let left = budget.total_bytes() - budget.used_bytes();
        assert_eq!(left, 1_600, "two thirds, four times over");
        assert!(budget.share(0).unwrap().charge(530, 0).is_some());
    }

    #[test]
    fn the_floors_of_links_to_come_are_out_of_reach_of_those_who_hoard() {
        let budget = Budget::with_floors(10_000, 30 * 100);
        let mut hoards = Vec::new();
        let mut shares: Vec<Share> = (0..20).map(|_| budget.share(100).unwrap()).collect();
        for share in &shares {
            hoards.extend(std::iter::from_fn(|| share.charge(1, 0)));
        }
        assert!(budget.total_bytes() - budget.used_bytes() < 1_100, "they left next to nothing");
        shares.extend((0..10).map(|_| budget.share(100).expect("its floor is there")));
        assert!(budget.used_bytes() <= budget.total_bytes());
        drop(shares);
        assert_eq!(budget.used_bytes(), hoards.iter().map(Charge::bytes).sum::<u64>());
        drop(hoards);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn the_spare_part_of_a_floor_is_for_those_who_may_use_it() {
        let budget = Budget::new(100);
        let share = budget.share(100).unwrap();
        let bulk = share.charge(60, 40).unwrap();
        assert!(share.charge(1, 40).is_none());
        assert!(share.charge(40, 0).is_some());
        assert_eq!(bulk.bytes(), 60);
    }

    #[test]
    fn what_a_dead_link_left_behind_still_counts() {
        let budget = Budget::new(100);
        let share = budget.share(60).unwrap();
        let charge = share.charge(70, 0).unwrap();
        drop(share);
        assert_eq!(budget.used_bytes(), 70);
        drop(charge);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join(u32),
        Leave(usize),
        Charge { link: usize, bytes: u64, spare: u64 },
        Grow { charge: usize, bytes: u64 },
        Shrink { charge: usize, to: u64 },
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u32..400).prop_map(Step::Join),
            any::<usize>().prop_map(Step::Leave),
            (any::<usize>(), 0u64..600, 0u64..100).prop_map(|(link, bytes, spare)| Step::Charge {
                link,
                bytes,
                spare
            }),
            (any::<usize>(), 0u64..600).prop_map(|(charge, bytes)| Step::Grow { charge, bytes }),
            (any::<usize>(), 0u64..600).prop_map(|(charge, to)| Step::Shrink { charge, to }),
            any::<usize>().prop_map(Step::Release),
        ]
    }

    fn pick<T>(from: &mut Vec<T>, at: usize) -> Option<T> {
        if from.is_empty() { None } else { Some(from.swap_remove(at % from.len())) }
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_given_twice(
            floors in 0u64..1_000,
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let budget = Budget::with_floors(1_000, floors);
            let (mut links, mut charges) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Join(floor) => links.extend(budget.share(floor)),
                    Step::Leave(at) => drop(pick(&mut links, at)),
                    Step::Charge { link, bytes, spare } if !links.is_empty() => {
                        let link: &Share = &links[link % links.len()];
                        charges.extend(link.charge(bytes, spare));
                    }
                    Step::Grow { charge, bytes } if !charges.is_empty() => {
                        let at = charge % charges.len();
                        let charge: &mut Charge = &mut charges[at];
                        let before = charge.bytes();
                        let grown = charge.grow(bytes, 0);
                        prop_assert_eq!(charge.bytes(), before + if grown { bytes } else { 0 });
                    }
                    Step::Shrink { charge, to } if !charges.is_empty() => {
                        let at = charge % charges.len();
                        let charge: &mut Charge = &mut charges[at];
                        let least = charge.bytes().min(to);
                        charge.shrink_to(to);
                        prop_assert_eq!(charge.bytes(), least);
                    }
                    Step::Release(at) => drop(pick(&mut charges, at)),
                    Step::Charge { .. } | Step::Grow { .. } | Step::Shrink { .. } => {}
                }
                let held: u64 = charges.iter().map(Charge::bytes).sum();
                prop_assert!(held <= budget.used_bytes() && budget.used_bytes() <= 1_000);
            }
            links.clear();
            prop_assert_eq!(budget.used_bytes(), charges.iter().map(Charge::bytes).sum::<u64>());
            charges.clear();
            prop_assert_eq!(budget.used_bytes(), 0);
        }
    }
}
