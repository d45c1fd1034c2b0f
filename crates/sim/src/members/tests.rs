//! Worlds drawn from seeds, a power cut after each output, and each checker with its rule broken on purpose.

use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use chain::native;

use super::{Broken, Config, Faults, Kind, Lie, Load, Report, Sabotage, Topology, run, run_traced};
use crate::rig;

/// Seeds that each test run draws worlds from. Others: `ANABRANCH_SIM_WORLDS=0..100`.
const SEEDS: Range<u64> = 3..5;

fn seeds() -> Range<u64> {
    rig::range("ANABRANCH_SIM_WORLDS").unwrap_or(SEEDS)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn expect(config: &Config) -> Report {
    rig::expect(config, run(config))
}

fn broken(config: &Config) -> Broken {
    rig::broken(run(config))
}

/// Four validators, for a short while.
fn short(seed: u64) -> Config {
    Config { nodes: 4, chaos: seconds(15), calm: seconds(10), quiet: seconds(10), ..Config::peaceful(seed) }
}

fn sabotaged(seed: u64, sabotage: Sabotage) -> Config {
    Config { sabotage: Some(sabotage), ..short(seed) }
}

#[test]
fn members_agree_in_peace() {
    let report = expect(&Config { chaos: seconds(20), calm: seconds(20), ..Config::peaceful(1) });
    assert!(report.settled > 20 && report.body_redundancy == 0.0, "{report}");
    assert_eq!(report.transactions.taken, report.transactions.settled, "{report}");
}

#[test]
fn members_survive_what_seeds_draw() {
    let (mut steps, mut crashes, mut lies) = (0, 0, 0);
    for seed in seeds() {
        let report = expect(&Config::from_seed(seed));
        let pieces =
            report.sent.iter().find(|sent| sent.kind == "snapshots piece").map_or(0, |it| it.messages);
        println!(
            "seed {seed}: {} steps, {} blocks, {pieces} pieces of snapshots",
            report.steps, report.settled
        );
        steps += report.steps;
        crashes += report.faults.crashes;
        lies += report.faults.lies;
    }
    println!("{:?}: {steps} steps, {crashes} crashes, {lies} lies", seeds());
    assert!(seeds() != SEEDS || crashes > 0 && lies > 0, "some worlds lose power, in some there are liars");
}

#[test]
fn replays_a_seed() {
    let Some(seed) = rig::seed_to_replay() else { return };
    let config = Config::from_seed(seed);
    println!("{config:#?}");
    match run_traced(&config, Box::new(|line| println!("{line}"))) {
        Ok(report) => println!("{report}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn runs_a_seed_twice_alike() {
    let faults = Faults::of(&super::KINDS);
    let config = Config { faults, liars: [(0, Lie::Twice)].into(), calm: seconds(60), ..short(3) };
    let traced = || {
        let lines = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let kept = lines.clone();
        let report = run_traced(&config, Box::new(move |line| kept.borrow_mut().push(line.to_owned())));
        (report.expect("all is well"), lines.take())
    };
    let (first, second) = (traced(), traced());
    assert!(first.1.len() > 1_000);
    assert_eq!(first, second);
    assert_eq!(first.0, expect(&config), "whether somebody looks changes nothing");
}

#[test]
fn tells_two_runs_apart_when_something_else_decides() {
    let config = sabotaged(1, Sabotage::Unseeded);
    assert_ne!(expect(&config).digest, expect(&config).digest);
}

#[test]
fn survives_a_power_cut_after_each_output() {
    let config = Config { load: Load { every: None, ..Load::default() }, ..short(5) };
    // A validator of four; without transactions each block is empty, and comes after a rest.
    let config = Config {
        nodes: 4,
        rest: seconds(1),
        chaos: seconds(4),
        calm: seconds(14),
        quiet: seconds(2),
        ..config
    };
    let outputs = expect(&config).outputs / 4 / 5;
    assert!(outputs > 50, "{outputs} are hardly a run");
    println!("{outputs} outputs");
    for at in rig::cuts(outputs, (1..=outputs).step_by((outputs / 12) as usize)) {
        expect(&Config { crash_at: Some((1, at)), ..config.clone() });
    }
}

#[test]
fn a_node_that_comes_late_begins_with_a_snapshot_and_survives_power_cuts_meanwhile() {
    let config = Config {
        nodes: 5,
        snapshot_every: NonZeroU64::new(5),
        late: Some((4, seconds(12))),
        // Blocks go on until the last cut, and everybody is back long before the end.
        chaos: seconds(30),
        check_every: 5,
        ..short(23)
    };
    let report = expect(&config);
    let pieces = report.sent.iter().find(|sent| sent.kind == "snapshots piece");
    assert!(pieces.is_some_and(|pieces| pieces.messages >= 9), "{report}");
    for at in rig::cuts(200, (1..200).step_by(49)) {
        expect(&Config { crash_at: Some((4, at)), ..config.clone() });
    }
}

#[test]
fn in_some_drawn_worlds_somebody_is_late() {
    let late = (0..200).filter(|seed| Config::from_seed(*seed).late.is_some()).collect::<Vec<_>>();
    println!("{late:?}");
    assert!((20..100).contains(&late.len()), "{} of 200", late.len());
}

#[test]
fn many_follow_a_few() {
    let config = Config {
        nodes: 60,
        topology: Topology::Regular(8),
        check_every: 50,
        chaos: seconds(5),
        calm: seconds(10),
        ..Config::peaceful(6)
    };
    let report = expect(&config);
    assert!(report.body_redundancy < 0.01 && report.hops.max < 9.0, "{report}");
}

#[test]
fn the_checker_of_agreement_sees_too_many_liars() {
    // Two of four tell each of the others something else.
    let liars = [(0, Lie::Twice), (1, Lie::Twice)].into();
    let found = broken(&Config { liars, ..short(7) });
    assert!(matches!(found, Broken::Disagreed { .. }), "{found}");
}

#[test]
fn the_checker_of_proofs_sees_signatures_that_nobody_verified() {
    let liars = [(3, Lie::FalseTips)].into();
    let config = Config { liars, nodes: 6, ..sabotaged(8, Sabotage::SkipsVerifying) };
    let found = broken(&config);
    assert!(matches!(found, Broken::Unproven { .. }), "{found}");
}

#[test]
fn the_checker_of_blocks_sees_an_application_that_accepts_anything() {
    let liars = [(0, Lie::WrongBlocks)].into();
    let found = broken(&Config { liars, ..sabotaged(9, Sabotage::AcceptsAnything) });
    assert!(matches!(found, Broken::Wrong { .. }), "{found}");
}

#[test]
fn the_checker_of_blocks_sees_a_transaction_again() {
    let faults = Faults { crash_every: Some(seconds(2)), ..Faults::none() };
    let config = Config { faults, chaos: seconds(60), ..sabotaged(22, Sabotage::ForgetsTransactions) };
    let found = broken(&config);
    assert!(matches!(found, Broken::Again { .. }), "{found}");
}

#[test]
fn the_checker_of_signatures_sees_a_journal_lost() {
    let faults = Faults { crash_every: Some(seconds(1)), ..Faults::none() };
    let config = Config { faults, chaos: seconds(120), ..sabotaged(10, Sabotage::ForgetsTheJournal) };
    let found = broken(&config);
    assert!(matches!(found, Broken::SignedTwice { .. }), "{found}");
}

#[test]
fn the_checker_of_power_cuts_sees_early_acknowledgements() {
    let faults = Faults { crash_every: Some(seconds(2)), ..Faults::none() };
    let config = Config { faults, chaos: seconds(60), ..sabotaged(11, Sabotage::AcknowledgesEarly) };
    let found = broken(&config);
    assert!(matches!(found, Broken::Lost { .. } | Broken::SignedTwice { .. }), "{found}");
}

#[test]
fn the_checker_of_power_cuts_sees_a_lost_log() {
    let faults = Faults { crash_every: Some(seconds(5)), ..Faults::none() };
    let found = broken(&Config { faults, ..sabotaged(12, Sabotage::ForgetsTheLog) });
    assert!(matches!(found, Broken::Lost { .. }), "{found}");
}

#[test]
fn the_checker_of_slander_sees_messages_changed() {
    let found = broken(&sabotaged(13, Sabotage::ChangesMessages));
    assert!(matches!(found, Broken::Slandered { .. }), "{found}");
}

#[test]
fn the_checker_of_rest_sees_finality_untold() {
    let config = Config { nodes: 6, topology: Topology::Line, ..sabotaged(14, Sabotage::LosesFinality) };
    let found = broken(&config);
    assert!(matches!(found, Broken::AtRest { .. } | Broken::Stuck { .. }), "{found}");
}

#[test]
fn the_checker_of_rest_sees_bodies_lost() {
    let config = Config { nodes: 5, ..sabotaged(15, Sabotage::LosesBodies) };
    let found = broken(&config);
    assert!(matches!(found, Broken::AtRest { .. } | Broken::Stuck { .. }), "{found}");
}

#[test]
fn the_checker_of_rest_sees_transactions_left_over_and_takes_no_new_block_for_a_fault() {
    // One that only follows never gets rid of what it was given. As the world stops waiting for it, a block has just come.
    let (quiet, rest) = (seconds(4), seconds(9));
    let config = Config { nodes: 5, quiet, rest, ..sabotaged(20, Sabotage::LosesTransactions) };
    let found = broken(&config);
    let Broken::AtRest { what } = &found else { panic!("{found}") };
    assert!(what.starts_with("transactions are left over"), "{found}");
}

#[test]
fn the_checker_of_slander_sees_headers_left_out() {
    let config = Config { nodes: 6, topology: Topology::Line, ..sabotaged(16, Sabotage::LosesHeaders) };
    let found = broken(&config);
    assert!(matches!(found, Broken::Slandered { .. }), "{found}");
}

#[test]
fn the_checker_of_deliveries_sees_one_twice_and_one_left_out() {
    for sabotage in [Sabotage::DeliversTwice, Sabotage::SkipsADelivery] {
        let found = broken(&sabotaged(17, sabotage));
        assert!(matches!(found, Broken::Delivered { .. }), "{found}");
    }
}

#[test]
fn the_checker_of_links_sees_more_sent_than_there_is_room_for() {
    let config = sabotaged(18, Sabotage::ClaimsRoom);
    let links = super::Links { windows: super::Windows::Small, bytes_per_s: 20_000, ..config.links.clone() };
    let load = Load { every: Some(Duration::from_millis(20)), bytes: 9_000..10_000, ..Load::default() };
    let found = broken(&Config { links, load, ..config });
    assert!(matches!(found, Broken::Overrun { .. }), "{found}");
}

#[test]
fn the_checker_of_links_sees_credit_that_does_not_come_back() {
    let config = sabotaged(19, Sabotage::LosesGrants);
    let links = super::Links { windows: super::Windows::Small, ..config.links.clone() };
    let load = Load { every: Some(Duration::from_millis(200)), bytes: 4_000..5_000, ..Load::default() };
    let found = broken(&Config { links, load, ..config });
    assert!(matches!(found, Broken::AtRest { .. } | Broken::Stuck { .. }), "{found}");
}

#[test]
fn the_checker_of_memory_sees_too_much_kept() {
    let config = sabotaged(20, Sabotage::KeepsTooMuch);
    // Two of four do not run: nothing is decided, and all that comes waits.
    let liars = [(0, Lie::Silent), (1, Lie::Silent)].into();
    let load = Load { every: Some(Duration::from_millis(4)), bytes: 20..30, ..Load::default() };
    let found = broken(&Config { liars, load, check_every: 100, ..config });
    assert!(matches!(found, Broken::Unbounded { what: "transactions that wait", .. }), "{found}");
}

#[test]
fn the_checker_of_memory_sees_too_much_before_an_application_that_sleeps() {
    let faults = Faults { sleep_every: Some(seconds(2)), ..Faults::none() };
    let load = Load { every: Some(Duration::from_millis(10)), bytes: 20..30, ..Load::default() };
    let config = Config { faults, load, check_every: 10, ..sabotaged(21, Sabotage::KeepsTooMuch) };
    let found = broken(&config);
    assert!(
        matches!(found, Broken::Unbounded { what: "transactions before the application", .. }),
        "{found}"
    );
    expect(&Config { sabotage: None, ..config });
}

#[test]
fn the_checker_of_progress_sees_a_partition_that_stays() {
    let faults = Faults { part_every: Some(seconds(3)), ..Faults::none() };
    let found = broken(&Config { faults, ..sabotaged(21, Sabotage::StaysParted) });
    assert!(matches!(found, Broken::Stuck { .. }), "{found}");
}

#[test]
fn with_faults_that_only_stop_two_of_three_go_on() {
    let config = Config {
        nodes: 3,
        validators: 3,
        model: native::Faults::Crash,
        faults: Faults::of(&[Kind::Crash, Kind::Break]),
        ..Config::peaceful(22)
    };
    expect(&config);
}
