//! Worlds drawn from seeds, a power cut after each output, and each checker with its rule broken on purpose.

use std::time::Duration;

use crate::{Behaviour, Broken, Config, Report, Sabotage, rig, run};

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

/// A shorter peaceful world.
fn short(seed: u64) -> Config {
    let seconds = Duration::from_secs;
    Config { chaos: seconds(60), calm: seconds(60), quiet: seconds(20), ..Config::peaceful(seed) }
}

#[test]
fn follows_honest_servers_through_forks_to_their_head() {
    let report = expect(&Config::peaceful(1));
    assert!(report.blocks > 200 && report.settled > 150, "{report:?}");
}

#[test]
fn survives_worlds_drawn_from_seeds() {
    let mut total = Report { power_cuts: 0, ..expect(&Config::peaceful(0)) };
    for seed in 0..seeds() {
        let report = expect(&Config::from_seed(seed));
        total.power_cuts += report.power_cuts;
        total.steps += report.steps;
    }
    println!("{} worlds, {} steps, {} power cuts", seeds(), total.steps, total.power_cuts);
    assert!(total.power_cuts > 0, "some worlds lose power");
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
    let config = Config { sabotage: Some(Sabotage::Unseeded), ..short(1) };
    assert_ne!(expect(&config).digest, expect(&config).digest);
}

#[test]
fn survives_a_power_cut_after_each_output() {
    let seconds = Duration::from_secs;
    let config = Config {
        servers: vec![Behaviour::Honest; 2],
        depth: 3,
        chaos: seconds(15),
        calm: seconds(40),
        quiet: seconds(20),
        ..Config::peaceful(5)
    };
    let outputs = expect(&config).outputs;
    assert!(outputs > 100, "{outputs} is hardly a run");
    for at in rig::cuts(outputs, 1..=outputs) {
        expect(&Config { crash_at_output: Some(at), ..config.clone() });
    }
}

#[test]
fn trails_a_server_that_is_behind_what_is_irreversible() {
    let servers = vec![Behaviour::Lagging, Behaviour::Honest, Behaviour::Honest, Behaviour::Lagging];
    expect(&Config { servers, depth: 4, ..Config::peaceful(10) });
}

#[test]
fn the_checker_of_power_cuts_sees_early_acknowledgements() {
    let config = Config {
        sabotage: Some(Sabotage::AcknowledgesEarly),
        crash_every: Some(Duration::from_secs(10)),
        ..short(2)
    };
    assert!(matches!(broken(&config), Broken::Lost { .. }));
}

#[test]
fn the_checker_of_power_cuts_sees_a_lost_log() {
    let config = Config {
        sabotage: Some(Sabotage::ForgetsTheLog),
        crash_every: Some(Duration::from_secs(40)),
        ..Config::peaceful(2)
    };
    assert!(matches!(broken(&config), Broken::Lost { .. }));
}

#[test]
fn the_checker_of_blocks_sees_checks_skipped() {
    let servers = vec![Behaviour::BadSignature, Behaviour::Honest, Behaviour::Honest];
    let config = Config { sabotage: Some(Sabotage::SkipsChecks), servers, ..short(3) };
    assert!(matches!(broken(&config), Broken::Invalid { .. }));
}

#[test]
fn the_checker_of_links_sees_a_block_left_out() {
    let config = Config { sabotage: Some(Sabotage::LeavesOutABlock), ..short(4) };
    assert!(matches!(broken(&config), Broken::Unlinked { .. }));
}

#[test]
fn the_checker_of_the_irreversible_sees_a_liar_trusted() {
    let servers = vec![Behaviour::Forger, Behaviour::Honest, Behaviour::Honest];
    let config = Config { sabotage: Some(Sabotage::TrustsAnyone), servers, ..Config::peaceful(5) };
    assert!(matches!(broken(&config), Broken::Dishonest { .. }));
}

#[test]
fn the_checker_of_the_end_sees_answers_lost() {
    let config = Config { sabotage: Some(Sabotage::LosesAnswers), ..Config::peaceful(6) };
    assert!(matches!(broken(&config), Broken::Diverged { .. }));
}

#[test]
fn the_checker_of_slander_sees_an_honest_server_charged() {
    let config = Config { sabotage: Some(Sabotage::DistrustsAtRandom), ..short(8) };
    assert!(matches!(broken(&config), Broken::Slandered { .. }));
}

#[test]
fn the_checker_of_memory_sees_too_much_kept() {
    let config = Config { sabotage: Some(Sabotage::KeepsTooMuch), ..Config::peaceful(7) };
    assert!(matches!(broken(&config), Broken::Unbounded { .. }));
}

#[test]
fn the_checker_of_the_end_sees_blocks_settled_late() {
    let config = Config { sabotage: Some(Sabotage::SettlesLate), ..Config::peaceful(7) };
    assert!(matches!(broken(&config), Broken::Unsettled { .. }));
}

#[test]
fn the_checker_of_the_irreversible_sees_less_shown_than_before() {
    let config = Config { sabotage: Some(Sabotage::ShowsLess), ..Config::peaceful(9) };
    assert!(matches!(broken(&config), Broken::MovedBack { .. }));
}
