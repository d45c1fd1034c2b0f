//! Runs a simulated world of members, and says what came of it.

use clap::CommandFactory;
use clap::error::ErrorKind;
use sim::members::{Config, Report, Sink, run, run_traced};

use crate::args::{Args, Sim};
use crate::exit::{Failure, Kind};
use crate::output::Output;

pub(super) fn run_world(args: &Sim, output: Output) -> Result<(), Failure> {
    let config = args.config().unwrap_or_else(|wrong| {
        // As what the parser finds by itself: exit code 2.
        Args::command().error(ErrorKind::ValueValidation, wrong).exit()
    });
    let report = simulate(&config, args)?;
    output.line(&report, || report.to_string())?;
    Ok(())
}

fn simulate(config: &Config, args: &Sim) -> Result<Report, Failure> {
    let ran = if args.trace {
        let sink: Sink = Box::new(|line| eprintln!("{line}"));
        run_traced(config, sink)
    } else {
        run(config)
    };
    ran.map_err(|failure| {
        failure.last.iter().for_each(|line| eprintln!("{line}"));
        let what = format!("a rule is broken in the world of seed {}: {}", config.seed, failure.what);
        Failure::new(Kind::Failed, what).hint(format!("see all that led there: {}", args.again()))
    })
}
