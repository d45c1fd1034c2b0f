//! `init`: a network of one's own for several machines: a directory for each, to be copied there and run.

use std::path::{Path, PathBuf};

use anabranch::clock::Clock;
use anabranch::founding::{self, Founded, Plan};
use serde::Serialize;

use crate::args;
use crate::exit::{Failure, Kind};
use crate::output::Output;

/// The name of a node's configuration in its directory.
const CONFIG_FILE: &str = "anabranch.toml";

/// What was laid out.
#[derive(Debug, Serialize)]
struct Laid {
    network: String,
    network_id: String,
    machines: Vec<Machine>,
}

/// One machine's part.
#[derive(Debug, Serialize)]
struct Machine {
    name: String,
    dir: String,
    peer: String,
    listen: String,
    validator: Option<String>,
}

pub(super) fn run(args: &args::Init, output: Output) -> Result<(), Failure> {
    let count = |machines: &[args::Machine]| u32::try_from(machines.len()).unwrap_or(u32::MAX);
    let plan = Plan {
        name: args.name.clone(),
        magic: args.magic,
        slot_length: args.slot,
        start: Clock::start().now().wall,
        faults: args.faults.into(),
        validators: count(&args.machine),
        followers: count(&args.follower),
    };
    let in_the_way = |error: founding::Error| Failure::new(Kind::DataDir, error);
    let founded = founding::found(&args.dir, &plan).map_err(in_the_way)?;
    let machines: Vec<_> = args.machine.iter().chain(&args.follower).collect();
    for index in 0..founded.places.len() {
        let path = founded.places[index].dir.join(CONFIG_FILE);
        let text = config(&founded, &machines, index);
        std::fs::write(&path, text).map_err(|error| {
            Failure::new(Kind::DataDir, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    let laid = laid(&founded, &machines);
    output.line(&laid, || text(&laid, &args.dir))?;
    Ok(())
}

/// A node's configuration: where it listens, and where the others are.
fn config(founded: &Founded, machines: &[&args::Machine], index: usize) -> String {
    let others = founded.places.iter().zip(machines).enumerate().filter(|(other, _)| *other != index);
    let dial: Vec<_> =
        others.map(|(_, (place, machine))| format!("    \"{}@{machine}\",\n", place.peer)).collect();
    format!(
        "# {}: run it with `anabranch run --config {CONFIG_FILE} --data-dir .` in this directory.\n\n\
         [peers]\nlisten = [\"0.0.0.0:{}\"]\ndial = [\n{}]\n",
        founded.places[index].name,
        machines[index].port,
        dial.concat(),
    )
}

fn laid(founded: &Founded, machines: &[&args::Machine]) -> Laid {
    let machine = |(place, machine): (&founding::Place, &&args::Machine)| Machine {
        name: place.name.clone(),
        dir: place.dir.display().to_string(),
        peer: place.peer.to_string(),
        listen: machine.to_string(),
        validator: place.key.as_ref().map(|key| hex(&key.public())),
    };
    Laid {
        network: founded.network.name.clone(),
        network_id: founded.network.format.chain_id().to_string(),
        machines: founded.places.iter().zip(machines).map(machine).collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(laid: &Laid, dir: &Path) -> String {
    let network: PathBuf = dir.join(founding::NETWORK_FILE);
    let mut lines = vec![format!("network     {} ({})", laid.network, laid.network_id)];
    for machine in &laid.machines {
        let votes = if machine.validator.is_some() { "validator" } else { "follower" };
        lines.push(format!("{:<11} {votes} at {}, in {}", machine.name, machine.listen, machine.dir));
    }
    lines.push(format!("genesis     {}, for whoever follows", network.display()));
    lines.push(String::new());
    lines.push("Copy each directory to its machine, keys and all, and nowhere else; there:".into());
    lines.push(format!("  anabranch run --config {CONFIG_FILE} --data-dir ."));
    lines.join("\n")
}
