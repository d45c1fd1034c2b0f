//! Each target over fixed seeds. `FUZZ_ROUNDS` asks for more rounds, `FUZZ_SEED` for others.

use std::time::Instant;

use fuzz::{TARGETS, smoke};

/// Mutations per target unless asked otherwise: about a second each in a release build.
const ROUNDS: u64 = 20_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_target_falls_over_fixed_seeds() {
    let (seed, rounds) = (setting("FUZZ_SEED", 1), setting("FUZZ_ROUNDS", ROUNDS));
    for target in TARGETS {
        let start = Instant::now();
        let inputs = smoke::run(target, seed, rounds);
        eprintln!(
            "{:<24} {inputs:>9} inputs in {:>6} ms, seed {seed}",
            target.name,
            start.elapsed().as_millis()
        );
    }
}

#[test]
fn every_target_has_its_program_and_every_program_its_target() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut programs: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| {
            entry.expect("readable").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    let mut targets: Vec<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    programs.sort();
    targets.sort();
    assert_eq!(programs, targets);
}

#[test]
#[should_panic(expected = "found it")]
fn the_mutations_reach_a_planted_fault() {
    // The oracle itself: a decoder that falls over a length that lies, deep in the input.
    let planted = fuzz::Target {
        name: "planted",
        run: |input| {
            if let [b'a', 0x5b, l @ ..] = input
                && l.first().is_some_and(|first| *first > 0x7f)
            {
                panic!("found it");
            }
        },
        seeds: || vec![b"abcdef".to_vec()],
    };
    smoke::run(&planted, 1, 200_000);
}
