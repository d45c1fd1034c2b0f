//! What the tests of all worlds have in common.

use std::fmt;
use std::ops::Range;

use crate::failure::{Failure, What};

/// The outputs of a node after which power is cut: some of them, or those that `ANABRANCH_SIM_CUTS=FIRST..END` names, or
/// `ANABRANCH_SIM_CUTS=all`.
pub(crate) fn cuts(outputs: u64, some: impl Iterator<Item = u64> + 'static) -> Box<dyn Iterator<Item = u64>> {
    match std::env::var("ANABRANCH_SIM_CUTS") {
        Err(_) => Box::new(some),
        Ok(all) if all == "all" => Box::new(1..=outputs),
        Ok(_) => Box::new(range("ANABRANCH_SIM_CUTS").expect("it is set")),
    }
}

/// A range that a variable names, where it is set.
pub(crate) fn range(name: &str) -> Option<Range<u64>> {
    let text = std::env::var(name).ok()?;
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    Some(
        range
            .unwrap_or_else(|| panic!("{name}={text}: give the first and the one after the last, as 0..100")),
    )
}

/// A number that a variable names, where it is set.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: give a number")))
}

/// The seed that is to be run again.
pub(crate) fn seed_to_replay() -> Option<u64> {
    let seed = number("ANABRANCH_SIM_SEED");
    if seed.is_none() {
        println!("nothing to replay: ANABRANCH_SIM_SEED is not set");
    }
    seed
}

/// What came of a world in which no rule may be broken.
pub(crate) fn expect<R, B: fmt::Display>(config: &impl fmt::Debug, ran: Result<R, Box<Failure<B>>>) -> R {
    ran.unwrap_or_else(|failure| panic!("{config:?}\n{failure}"))
}

/// What a checker found where a rule is broken on purpose.
pub(crate) fn broken<R: fmt::Debug, B: fmt::Debug>(ran: Result<R, Box<Failure<B>>>) -> B {
    match ran.expect_err("the rule was broken on purpose").what {
        What::Broken(broken) => *broken,
        What::Panicked(message) => panic!("an assertion was quicker than the checker: {message}"),
    }
}
