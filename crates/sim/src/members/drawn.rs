//! Worlds that are drawn, and worlds that are peaceful.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use chain::native;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::config::{Config, Links, Load, Verify, Windows};
use super::faults::Faults;
use super::liar::LIES;
use super::topology::Topology;

impl Config {
    /// A world drawn from a seed: some nodes, most of them honest, and all that can go wrong.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x6d65_6d62_6572_7300);
        let ms = Duration::from_millis;
        let validators = rng.random_range(1..=7);
        let nodes = validators + rng.random_range(0..=6);
        let model = match rng.random_bool(0.7) {
            true => native::Faults::Byzantine,
            false => native::Faults::Crash,
        };
        let topologies =
            [Topology::Full, Topology::Full, Topology::Regular(3), Topology::Ring, Topology::Line];
        let slowest = rng.random_range(2..200);
        let links = Links {
            latency: ms(slowest / 2)..ms(slowest),
            jitter: ms(rng.random_range(0..20)),
            bytes_per_s: rng.random_range(100_000..10_000_000),
            windows: if rng.random_bool(0.5) { Windows::Small } else { Windows::Default },
        };
        let drawn = Self {
            nodes,
            validators,
            model,
            topology: topologies[rng.random_range(0..topologies.len())],
            links,
            load: Load { bytes: 20..rng.random_range(100..10_000), ..Load::default() },
            faults: Faults::drawn(&mut rng),
            liars: liars(nodes, validators, model, &mut rng),
            chaos: Duration::from_secs(30),
            quiet: Duration::from_secs(20),
            // After each step of a node its checks cost more than the step does.
            check_every: 25,
            change_at: rng.random_bool(0.2).then(|| rng.random_range(3..20)).filter(|_| validators > 4),
            ..Self::peaceful(seed)
        };
        // With one validator less, the others may live with fewer liars.
        let lying = drawn.liars.keys().filter(|node| **node < validators).count() as u32;
        let change_at = drawn.change_at.filter(|_| lying * 3 < validators - 1);
        // Drawn by itself: whether somebody is late changes nothing else.
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x6c61_7465_0000_0000);
        let follows = nodes > validators && !drawn.liars.contains_key(&(nodes - 1));
        let is_late = follows && rng.random_bool(0.4);
        let late = is_late.then(|| (nodes - 1, ms(rng.random_range(10_000..25_000))));
        let snapshot_every = late.and_then(|_| NonZeroU64::new(rng.random_range(2..8)));
        Self { change_at, late, snapshot_every, ..drawn }
    }

    /// Four validators and two who follow, and nothing that goes wrong.
    pub fn peaceful(seed: u64) -> Self {
        Self {
            seed,
            nodes: 6,
            validators: 4,
            model: native::Faults::Byzantine,
            topology: Topology::Full,
            links: Links::default(),
            load: Load::default(),
            rest: Duration::from_secs(60),
            faults: Faults::none(),
            liars: BTreeMap::new(),
            chaos: Duration::from_secs(40),
            calm: Duration::from_secs(90),
            quiet: Duration::from_secs(40),
            check_every: 1,
            verify: Verify::Once,
            crash_at: None,
            change_at: None,
            snapshot_every: None,
            late: None,
            sabotage: None,
        }
    }
}

/// Less than a third of validators lie, and none where their faults only stop; of the others some may.
fn liars(
    nodes: u32,
    validators: u32,
    model: native::Faults,
    rng: &mut ChaCha12Rng,
) -> BTreeMap<u32, super::Lie> {
    let most = if model == native::Faults::Byzantine { (validators - 1) / 3 } else { 0 };
    let mut liars = BTreeMap::new();
    for node in 0..rng.random_range(0..=most) {
        liars.insert(node, LIES[rng.random_range(0..LIES.len())]);
    }
    if nodes > validators && rng.random_bool(0.3) {
        liars.insert(nodes - 1, LIES[rng.random_range(0..LIES.len())]);
    }
    liars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_drawn_world_has_more_liars_than_its_validators_can_live_with() {
        let mut changes = 0;
        for seed in 0..2_000 {
            let Config { liars, validators, model, change_at, .. } = Config::from_seed(seed);
            let lying = liars.keys().filter(|node| **node < validators).count() as u64;
            let fewest = u64::from(validators) - u64::from(change_at.is_some());
            let is_live =
                lying == 0 || model == native::Faults::Byzantine && model.is_quorum(fewest - lying, fewest);
            assert!(is_live, "seed {seed}: {lying} of {fewest} lie");
            changes += u64::from(change_at.is_some() && lying > 0);
        }
        assert!(changes > 10, "{changes} of these worlds change their validators and have liars among them");
    }
}
