//! A run in which a rule was broken, of any of the worlds, and the command that runs it again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A run in which a rule was broken.
#[derive(Debug)]
pub struct Failure<B> {
    /// What decides all that is random in its world.
    pub seed: u64,
    /// Which rule: a checker's, or an assertion of the code.
    pub what: What<B>,
    /// The last lines of the trace.
    pub last: Vec<String>,
    /// The command that runs it again.
    pub replay: String,
}

/// How a rule was found broken.
#[derive(Debug)]
pub enum What<B> {
    /// By a checker.
    Broken(Box<B>),
    /// By an assertion in the code under test.
    Panicked(String),
}

/// What makes a world: how it is run again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// The module of its tests.
    pub(crate) tests: &'static str,
    pub(crate) seed: u64,
    /// Whether everything in it is drawn from its seed.
    pub(crate) is_drawn: bool,
    /// After which output power is cut.
    pub(crate) cut: Option<u64>,
}

impl<B: fmt::Display> fmt::Display for What<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl<B: fmt::Display> fmt::Display for Failure<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        write!(f, "replay: {}", self.replay)
    }
}

impl<B: fmt::Debug + fmt::Display> std::error::Error for Failure<B> {}

impl Origin {
    /// The command that runs the world again: by its seed where it was drawn, by the test that made it otherwise.
    pub(crate) fn replay(self) -> String {
        let Self { tests, seed, is_drawn, cut } = self;
        let exact = |test: &str| format!("cargo test -p anabranch-sim --lib -- --exact --nocapture {test}");
        if is_drawn {
            return format!("ANABRANCH_SIM_SEED={seed} {}", exact(&format!("{tests}::replays_a_seed")));
        }
        // A test has a thread of that name, unless it was asked for one thread only.
        let thread = std::thread::current();
        let again = match thread.name().filter(|name| name.starts_with(tests)) {
            Some(test) => exact(test),
            None if cfg!(test) => format!("cargo test -p anabranch-sim --lib {tests}"),
            None => return "the same command again: its world does not change".to_owned(),
        };
        match cut {
            Some(at) => format!("ANABRANCH_SIM_CUTS={at}..{} {again}", at + 1),
            None => again,
        }
    }
}

/// Runs something of a world; what panics there is a rule broken as well.
pub(crate) fn caught<B>(run: impl FnOnce() -> Result<(), B>) -> Result<(), What<B>> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|broken| What::Broken(Box::new(broken))),
        Err(panic) => Err(What::Panicked(message(panic.as_ref()))),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_runs_the_world_again() {
        let here = Origin { tests: "failure::tests", seed: 5, is_drawn: false, cut: None };
        let drawn = Origin { is_drawn: true, ..here }.replay();
        assert_eq!(
            drawn,
            "ANABRANCH_SIM_SEED=5 cargo test -p anabranch-sim --lib -- --exact --nocapture failure::tests::replays_a_seed"
        );
        let again = here.replay();
        assert!(again.starts_with("cargo test -p anabranch-sim --lib "), "{again}");
        // With one thread for all tests, the thread is not the test's own.
        let test = "failure::tests::says_what_runs_the_world_again";
        assert!(again.ends_with(test) || again.ends_with("failure::tests"), "{again}");
        let cut = Origin { cut: Some(7), ..here }.replay();
        assert_eq!(cut, format!("ANABRANCH_SIM_CUTS=7..8 {again}"));
    }

    #[test]
    fn a_failure_says_what_was_last_what_is_broken_and_how_to_see_it_again() {
        let what = caught::<String>(|| panic!("at the disco")).expect_err("it panics");
        let failure = Failure { seed: 3, what, last: vec!["before".into()], replay: "again".into() };
        assert_eq!(failure.to_string(), "before\nseed 3: panicked: at the disco\nreplay: again");
        let what = caught(|| Err("a rule")).expect_err("it is broken");
        assert_eq!(what.to_string(), "a rule");
    }
}
