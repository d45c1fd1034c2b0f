//! `anabranch sim`: worlds that hold, worlds that break, and what it says to wrong input.

mod common;

use common::run;

#[test]
fn a_world_is_run_twice_alike_and_its_figures_are_given() {
    let line = [
        "sim",
        "--json",
        "--nodes",
        "6",
        "--for",
        "8s",
        "--faults",
        "crash,break",
        "--liar",
        "3=silent",
        "--seed",
        "5",
        "--block-bytes",
        "2000",
        "--block-every",
        "3s",
    ];
    let report = run(&line).expect_code(0).json();
    assert_eq!(report["seed"], 5);
    assert_eq!(report["nodes"], 6);
    for (figure, least) in [("settled", 2), ("blocks", 2), ("links", 15), ("steps", 1_000)] {
        assert!(report[figure].as_u64().is_some_and(|found| found >= least), "{figure}: {report}");
    }
    for spread in ["header_ms", "body_ms", "finality_ms", "hops"] {
        assert!(report[spread]["p50"].as_f64().is_some_and(|found| found > 0.0), "{spread}: {report}");
    }
    assert!(
        report["sent"].as_array().is_some_and(|sent| sent.iter().any(|of| of["kind"] == "consensus vote"))
    );
    assert!(report["faults"]["lies"].as_u64().is_some_and(|lies| lies > 0), "{report}");
    assert_eq!(run(&line).expect_code(0).json(), report, "the same seed is the same world");
}

#[test]
fn a_table_is_printed_for_a_person_and_a_trace_where_it_is_asked_for() {
    let line = ["sim", "--nodes", "4", "--topology", "ring", "--for", "3s", "--trace"];
    let done = run(&line).expect_code(0).expect_stderr("settles first");
    assert!(done.stdout.contains("block to final, ms"), "{}", done.stdout);
}

#[test]
fn a_rule_that_is_broken_fails_with_the_command_that_shows_it() {
    let line = ["sim", "--nodes", "4", "--for", "5s", "--liar", "0=twice", "--liar", "1=twice"];
    let failed = run(&line).expect_code(1).expect_stderr("agreement: ").expect_stderr("lies to");
    failed
        .expect_stderr("anabranch sim --seed 1 --nodes 4")
        .expect_stderr("--liar 1=twice")
        .expect_stderr("--trace");
}

#[test]
fn a_wrong_world_is_refused_with_what_to_do() {
    for (line, part) in [
        (&["sim", "--nodes", "3"][..], "fewer --validators"),
        (&["sim", "--liar", "3"], "0=twice"),
        (&["sim", "--liar", "30=twice"], "from 0 to 9"),
        (&["sim", "--topology", "star"], "`ring`"),
        (&["sim", "--faults", "fire"], "`crash`"),
        (&["sim", "--latency", "9ms..2ms"], "the shorter time first"),
        (&["sim", "--drawn", "--nodes", "7"], "--drawn"),
    ] {
        run(line).expect_code(2).expect_stderr(part);
    }
}
