//! Worlds drawn from seeds, and each checker with its rule broken on purpose.

use std::time::Duration;

use link::session::{Cipher, Security};

use super::{Behaviour, Broken, Config, Report, Sabotage, run};
use crate::{pipe, rig};

/// Seeds that each test run draws worlds from. More: `ANABRANCH_SIM_SEEDS=1000`.
const SEEDS: u64 = 12;

fn seeds() -> u64 {
    rig::number("ANABRANCH_SIM_SEEDS").unwrap_or(SEEDS)
}

fn expect(config: &Config) -> Report {
    rig::expect(config, run(config))
}

fn broken(config: &Config) -> Broken {
    rig::broken(run(config))
}

/// A shorter peaceful world, with this rule broken.
fn sabotaged(seed: u64, sabotage: Sabotage) -> Config {
    let seconds = Duration::from_secs;
    let (chaos, calm, quiet) = (seconds(40), seconds(60), seconds(20));
    Config { chaos, calm, quiet, sabotage: Some(sabotage), ..Config::peaceful(seed) }
}

#[test]
fn honest_peers_hear_all_that_is_said_and_stay_connected() {
    let report = expect(&Config::peaceful(1));
    assert!(report.heard > 1_000, "{report:?}");
    assert_eq!((report.connections, report.over_budget, report.faults), (3, 0, 0));
}

#[test]
fn survives_worlds_drawn_from_seeds() {
    let mut total = Report::default();
    for seed in 0..seeds() {
        let report = expect(&Config::from_seed(seed));
        total.steps += report.steps;
        total.heard += report.heard;
        total.breaks += report.breaks;
        total.faults += report.faults;
        total.over_budget += report.over_budget;
        total.drops += report.drops;
    }
    println!("{} worlds: {total:?}", seeds());
    let all = [total.breaks, total.drops, total.faults, total.over_budget];
    assert!(all.iter().all(|count| *count > 0), "some worlds have each of these: {total:?}");
}

#[test]
fn replays_a_seed() {
    if let Some(seed) = rig::seed_to_replay() {
        println!("{:?}", expect(&Config::from_seed(seed)));
    }
}

#[test]
fn runs_a_seed_twice_alike() {
    for seed in [3, 4] {
        let config = Config::from_seed(seed);
        assert_eq!(expect(&config), expect(&config));
    }
}

#[test]
fn tells_two_runs_apart_when_something_else_decides() {
    let config = sabotaged(1, Sabotage::Unseeded);
    assert_ne!(expect(&config).digest, expect(&config).digest);
}

#[test]
fn the_same_is_heard_under_every_guard() {
    let guards = [Security::Plain, Security::Noise(Cipher::Aes256Gcm), Security::Noise(Cipher::ChaChaPoly)];
    for security in guards {
        let report = expect(&Config { security, ..Config::peaceful(2) });
        assert!(report.heard > 1_000, "{security:?}: {report:?}");
    }
}

#[test]
fn what_finds_no_memory_is_rejected_whole_and_the_rest_goes_on() {
    let config = Config {
        peers: vec![Behaviour::Honest, Behaviour::Slow, Behaviour::Slow],
        budget_bytes: 3 * 64 * 1_024 + 150_000,
        bulk_bytes_per_s: 100_000,
        ..Config::peaceful(3)
    };
    let report = expect(&config);
    assert!(report.over_budget > 10 && report.heard > 1_000, "{report:?}");
}

#[test]
fn peers_that_break_rules_harm_nobody_but_their_own_links() {
    for bad in [Behaviour::Tampered, Behaviour::Forger, Behaviour::Greedy] {
        let peers = vec![Behaviour::Honest, bad, Behaviour::Honest, Behaviour::Slow];
        let report = expect(&Config { peers, ..Config::peaceful(4) });
        assert!(report.connections > 6 || report.faults > 0, "{bad:?}: {report:?}");
    }
}

#[test]
fn links_end_and_come_back_wherever_a_connection_breaks() {
    let config = Config { breaks_every: Some(Duration::from_secs(2)), silences: 0.05, ..Config::peaceful(5) };
    let report = expect(&config);
    assert!(report.breaks > 20 && report.connections > 15, "{report:?}");
}

#[test]
fn a_link_that_is_dropped_says_so_to_the_other_end() {
    let config = Config { drops_every: Some(Duration::from_secs(1)), ..Config::peaceful(6) };
    let report = expect(&config);
    assert!(report.drops > 50 && report.connections > 50, "{report:?}");
}

#[test]
fn the_checker_of_order_sees_a_message_lost() {
    assert!(matches!(broken(&sabotaged(1, Sabotage::LosesMessages)), Broken::OutOfOrder { .. }));
}

#[test]
fn the_checker_of_order_sees_a_message_twice() {
    assert!(matches!(broken(&sabotaged(1, Sabotage::Doubles)), Broken::OutOfOrder { .. }));
}

#[test]
fn the_checker_of_order_sees_a_message_cut() {
    assert!(matches!(broken(&sabotaged(1, Sabotage::CutsMessages)), Broken::OutOfOrder { .. }));
}

#[test]
fn the_checker_of_memory_sees_messages_that_nothing_accounts_for() {
    let config = Config {
        peers: vec![Behaviour::Slow; 2],
        bulk_bytes_per_s: 300_000,
        ..sabotaged(1, Sabotage::LeaksMemory)
    };
    let is_of_memory =
        |broken: &Broken| matches!(broken, Broken::Unbounded { what: "bytes of messages that are held", .. });
    let broken = broken(&config);
    assert!(is_of_memory(&broken), "{broken}");
}

#[test]
fn the_checker_of_windows_sees_more_under_way_than_was_granted() {
    let config = Config {
        peers: vec![Behaviour::Slow; 2],
        bulk_bytes_per_s: 500_000,
        ..sabotaged(1, Sabotage::TakesEarly)
    };
    let broken = broken(&config);
    assert!(matches!(broken, Broken::Unbounded { what: "bytes of a channel not taken", .. }), "{broken}");
}

#[test]
fn the_checker_of_lanes_sees_what_is_urgent_behind_bulk() {
    let line = pipe::Link { bytes_per_s: 500_000, ..pipe::Link::default() };
    let config = Config { line, bulk_bytes_per_s: 300_000, ..sabotaged(1, Sabotage::OneLane) };
    assert!(matches!(broken(&config), Broken::Late { .. }));
    let report = expect(&Config { sabotage: None, ..config });
    assert!(report.heard > 1_000, "with lanes, nothing is late: {report:?}");
}

#[test]
fn the_checker_of_blame_sees_a_sender_without_credit() {
    let config = Config { bulk_bytes_per_s: 300_000, ..sabotaged(1, Sabotage::GrantsItself) };
    let config = Config { peers: vec![Behaviour::Slow; 2], ..config };
    assert!(matches!(broken(&config), Broken::Slandered { .. }));
}

#[test]
fn the_checker_of_pings_sees_pongs_lost() {
    assert!(matches!(broken(&sabotaged(1, Sabotage::LosesPongs)), Broken::NoPong { .. }));
}

#[test]
fn the_checker_of_the_end_sees_credit_lost() {
    let config = Config { bulk_bytes_per_s: 200_000, ..sabotaged(1, Sabotage::LosesGrants) };
    assert!(matches!(broken(&config), Broken::Stuck { .. }));
}

#[test]
fn the_checker_of_life_sees_links_outlive_their_bearers() {
    let config = Config {
        breaks_every: Some(Duration::from_secs(10)),
        silences: 1.0,
        ..sabotaged(1, Sabotage::IgnoresDeadlines)
    };
    assert!(matches!(broken(&config), Broken::HalfOpen { .. }));
}

#[test]
fn the_checker_of_reasons_sees_an_end_without_one() {
    let config =
        Config { breaks_every: Some(Duration::from_secs(10)), ..sabotaged(1, Sabotage::ClosesSilently) };
    assert!(matches!(broken(&config), Broken::NoReason { .. }));
}
