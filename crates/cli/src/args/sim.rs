//! The command line of `sim`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use ::sim::members::{Config, Faults, KINDS, Kind, Lie, Links, Load, Topology};
use clap::ValueEnum;

use super::duration;

/// How long nothing new comes at the end, at least: longer than a link takes to open again.
const QUIET: Duration = Duration::from_secs(20);

/// How long transactions go on after the last fault, where there are any.
const CALM: Duration = Duration::from_secs(60);

/// Between two empty blocks: longer than the quiet, so that all comes to rest.
const REST: Duration = Duration::from_secs(60);

/// After so many steps of a node all of its books are looked at, where the world is small, and where it is large.
const CHECK_EVERY: [u32; 2] = [1, 1_000];

/// A world with more nodes is large: to look at all books after each step would take longer than all else.
const LARGE: u32 = 20;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Sim {
    /// What decides all that is random: the same seed, the same world.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Draw everything else from the seed as well: nodes, links, faults and liars.
    #[arg(long, conflicts_with = "world")]
    pub(crate) drawn: bool,
    #[command(flatten)]
    world: World,
    /// Print a line for each thing that happens, on standard error.
    #[arg(long)]
    pub(crate) trace: bool,
}

#[derive(Debug, Clone, clap::Args)]
#[group(id = "world", multiple = true)]
struct World {
    /// How many nodes there are.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    nodes: u32,
    /// How many of them vote: the first.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    validators: u32,
    /// What validators may do wrong without harm.
    #[arg(long, value_enum, default_value = "byzantine")]
    model: Model,
    /// Who is linked with whom: `full`, `ring`, `line`, or how many links a node has, at random.
    #[arg(long, default_value = "8", value_name = "SHAPE|DEGREE")]
    topology: Topology,
    /// How long a message takes over a link, one way, drawn for each link: `20ms` or `10ms..50ms`.
    #[arg(long, default_value = "10ms..50ms", value_name = "TIME[..TIME]", value_parser = span)]
    latency: Span,
    /// What is added to it at random for each message, at most.
    #[arg(long, default_value = "2ms", value_name = "TIME", value_parser = pause)]
    jitter: Duration,
    /// How much goes over a link in a second, each way, in Mbit.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    mbit_per_s: u64,
    /// How often there is something for a block.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = duration)]
    block_every: Duration,
    /// How much that is: one transaction.
    #[arg(long, default_value_t = 4_096, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(16..=16_384))]
    block_bytes: u32,
    /// What goes wrong, apart by commas: `crash`, `disk`, `part`, `break`, `slow`, `clock`, `sleep`; `all`, or `none`.
    #[arg(long, default_value = "none", value_name = "KINDS", value_parser = kinds)]
    faults: Kinds,
    /// A node that lies, and how: `twice`, `silent`, `wrong-blocks`, `false-tips`, `no-bodies` or `forgeries`. Again for
    /// each.
    #[arg(long = "liar", value_name = "NODE=LIE", value_parser = liar)]
    liars: Vec<(u32, Lie)>,
    /// For how long blocks come and things go wrong, in the world's time. It ends once all is at rest.
    #[arg(long = "for", default_value = "60s", value_name = "TIME", value_parser = duration)]
    run_for: Duration,
}

/// What validators may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    /// Less than a third of them may lie.
    Byzantine,
    /// Less than half of them may stop; none lies.
    Crash,
}

/// From, and to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span(Range<Duration>);

/// Some kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kinds(Vec<Kind>);

impl Sim {
    /// The world that is asked for.
    ///
    /// # Errors
    /// What makes no sense together, and what to do about it.
    pub(crate) fn config(&self) -> Result<Config, String> {
        if self.drawn { Ok(Config::from_seed(self.seed)) } else { self.world.config(self.seed) }
    }

    /// The command that runs the same world again and shows all that happens.
    pub(crate) fn again(&self) -> String {
        if self.drawn {
            format!("anabranch sim --seed {} --drawn --trace", self.seed)
        } else {
            format!("anabranch sim --seed {} {} --trace", self.seed, self.world)
        }
    }
}

impl World {
    fn config(&self, seed: u64) -> Result<Config, String> {
        let Self { nodes, validators, .. } = *self;
        if validators > nodes {
            return Err(format!(
                "{validators} validators among {nodes} nodes: give more --nodes, or fewer --validators"
            ));
        }
        let liars: BTreeMap<u32, Lie> = self.liars.iter().copied().collect();
        if let Some(node) = liars.keys().find(|node| **node >= nodes) {
            return Err(format!("there is no node {node} to lie: give one from 0 to {}", nodes - 1));
        }
        if (0..validators).all(|node| liars.contains_key(&node)) {
            return Err("all validators lie: leave one of them out of --liar".to_owned());
        }
        let faults = Faults::of(&self.faults.0);
        let size = self.block_bytes as usize;
        Ok(Config {
            nodes,
            validators,
            model: match self.model {
                Model::Byzantine => anabranch::chain::native::Faults::Byzantine,
                Model::Crash => anabranch::chain::native::Faults::Crash,
            },
            topology: self.topology,
            links: Links {
                latency: self.latency.0.clone(),
                jitter: self.jitter,
                bytes_per_s: self.mbit_per_s * 125_000,
                ..Links::default()
            },
            load: Load {
                every: Some(self.block_every),
                bytes: size..size + 1,
                is_even: true,
                to_validators: true,
            },
            rest: REST,
            // Where nothing goes wrong, there is nothing to recover from.
            chaos: if faults.is_none() { Duration::ZERO } else { self.run_for },
            calm: if faults.is_none() { self.run_for } else { CALM },
            faults,
            liars,
            quiet: QUIET,
            check_every: CHECK_EVERY[usize::from(nodes > LARGE)],
            ..Config::peaceful(seed)
        })
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, validators, topology, .. } = self;
        let model = self.model.to_possible_value();
        let model = model.as_ref().map_or("byzantine", |model| model.get_name());
        write!(f, "--nodes {nodes} --validators {validators} --model {model} --topology {topology}")?;
        write!(f, " --latency {} --jitter {}ms", self.latency, self.jitter.as_millis())?;
        write!(f, " --mbit-per-s {} --block-every {}ms", self.mbit_per_s, self.block_every.as_millis())?;
        write!(f, " --block-bytes {} --faults {}", self.block_bytes, self.faults)?;
        self.liars.iter().try_for_each(|(node, lie)| write!(f, " --liar {node}={lie}"))?;
        write!(f, " --for {}ms", self.run_for.as_millis())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The end is not in it, but by less than anybody gives.
        write!(f, "{}ms..{}ms", self.0.start.as_millis(), self.0.end.as_millis())
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<String> = self.0.iter().map(Kind::to_string).collect();
        f.write_str(&names.join(","))
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    if text.trim_end_matches(char::is_alphabetic) == "0" { Ok(Duration::ZERO) } else { duration(text) }
}

fn span(text: &str) -> Result<Span, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (pause(from)?, pause(to)?);
    if from > to {
        return Err("give the shorter time first, as `10ms..50ms`".to_owned());
    }
    // One that is always the same is a range too.
    Ok(Span(from..to + Duration::from_nanos(1)))
}

fn kinds(text: &str) -> Result<Kinds, String> {
    match text {
        "all" => Ok(Kinds(KINDS.to_vec())),
        "none" => Ok(Kinds(Vec::new())),
        some => {
            let kinds =
                some.split(',').map(|kind| kind.trim().parse::<Kind>().map_err(|error| error.to_string()));
            Ok(Kinds(kinds.collect::<Result<_, _>>()?))
        }
    }
}

fn liar(text: &str) -> Result<(u32, Lie), String> {
    let (node, lie) = text.split_once('=').ok_or("give a node and how it lies, as `0=twice`")?;
    let node = node.parse().map_err(|_| format!("`{node}` is no node: give its number, as `0=twice`"))?;
    Ok((node, lie.parse::<Lie>().map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        sim: Sim,
    }

    fn parse(line: &str) -> Sim {
        Line::try_parse_from(line.split(' ').skip(1)).expect("it can be read").sim
    }

    #[test]
    fn the_command_that_runs_a_world_again_means_the_same_world() {
        for line in [
            "anabranch sim",
            "anabranch sim --seed 9 --drawn",
            "anabranch sim --seed 3 --nodes 30 --validators 7 --topology ring --latency 5ms --faults crash,part",
            "anabranch sim --liar 0=twice --liar 9=no-bodies --for 2m --jitter 0ms --faults all --block-bytes 100 --model crash",
        ] {
            let sim = parse(line);
            let again = parse(&sim.again());
            assert_eq!(again.config(), sim.config(), "{}", sim.again());
            assert!(again.trace);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        for (line, part) in [
            ("anabranch sim --nodes 3", "fewer --validators"),
            ("anabranch sim --liar 10=twice", "from 0 to 9"),
            ("anabranch sim --validators 1 --liar 0=silent", "leave one"),
        ] {
            let error = parse(line).config().expect_err("it makes no sense");
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
