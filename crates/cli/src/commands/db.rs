//! `db verify` and `db export`: looking after a data directory that no node is using.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use anabranch::chain::Position;
use anabranch::config::Config;
use anabranch::network_id::NetworkId;
use anabranch::store::files::disk;
use anabranch::store::immutable::export;
use anabranch::store::verify::{Verified, Verify, verify};
use anabranch::store::{self, Recovered, Scan, Store};
use serde_json::json;

use super::serve;
use crate::args::{Check, Db};
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{progress, settings, shutdown};

pub(super) fn run(db: &Db, config: &Config, output: Output) -> Result<(), Failure> {
    match db {
        Db::Verify { check, repair, .. } => run_verify(*check, *repair, config, output),
        Db::Export { output: file, immutable, .. } => match (file, immutable) {
            (Some(file), _) => export_blocks(file, config, output),
            (None, Some(dir)) => export_immutable(dir, config, output),
            (None, None) => Err(Failure::new(Kind::Failed, "nowhere to write to")),
        },
    }
}

/// Opens a directory that must hold a chain already.
fn open(config: &Config, scan: Scan) -> Result<(NetworkId, Store, Recovered), Failure> {
    let network =
        NetworkId::find(&settings::network(config)?).map_err(|error| Failure::new(Kind::Config, error))?;
    let dir = settings::data_dir(config)?;
    let files = disk::Files::new(&dir);
    let known = store::identity(&files).map_err(|error| serve::store(&error))?;
    if known.is_none() {
        let message = format!("{} holds no chain", dir.display());
        return Err(
            Failure::new(Kind::DataDir, message).hint("give the --data-dir of a node, or import first")
        );
    }
    let options = store::Config { scan, ..store::Config::default() };
    let (store, found) =
        Store::open(files, &network.format, &options).map_err(|error| serve::store(&error))?;
    Ok((network, store, found))
}

fn run_verify(check: Check, repair: bool, config: &Config, output: Output) -> Result<(), Failure> {
    let (network, store, found) = open(config, if repair { Scan::Whole } else { Scan::Tail })?;
    let reader = store.reader();
    let stop = shutdown::flag()?;
    let bar = progress::bar("blocks", output.json);
    let options = Verify { check: check.into(), ..Verify::default() };
    let total = reader.settled();
    let verified = verify(&reader, &network.format, &options, &mut |blocks| {
        progress::show(&bar, blocks, blocks, total);
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    print_verified(&verified, &found, total, output)?;
    if let Some(problem) = &verified.problem {
        return Err(Failure::new(Kind::Damaged, problem).hint(format!(
            "the first {} blocks are sound; `anabranch db verify --repair` cuts the log back to what is whole",
            verified.blocks
        )));
    }
    if verified.blocks < total {
        return Err(Failure::new(Kind::Interrupted, "stopped before the end").hint("run it again"));
    }
    Ok(())
}

fn print_verified(verified: &Verified, found: &Recovered, total: u64, output: Output) -> io::Result<()> {
    let Verified { blocks, counts, problem, .. } = verified;
    let cuts: Vec<_> = found.cut.iter().map(ToString::to_string).collect();
    let object = json!({
        "blocks": blocks,
        "settled": total,
        "forks": found.forks.len(),
        "cuts": cuts,
        "checks": {
            "kes": counts.kes,
            "certificates": counts.certificates,
            "vrf": counts.vrf,
            "signatures": counts.signatures,
            "boundaries": counts.boundaries,
            "nonces_unknown": counts.nonces_unknown,
        },
        "problem": problem.as_ref().map(ToString::to_string),
    });
    output.line(&object, || {
        let mut lines: Vec<_> = cuts.iter().map(|cut| format!("cut back: {cut}")).collect();
        lines.push(format!("{blocks} of {total} blocks are sound, up to {}", verified.state.tip.point));
        if counts.kes + counts.signatures > 0 {
            lines.push(format!(
                "checked {} block signatures, {} certificates, {} VRF proofs; {} nonces unknown",
                counts.kes + counts.signatures,
                counts.certificates,
                counts.vrf,
                counts.nonces_unknown
            ));
        }
        lines.join("\n")
    })
}

fn export_blocks(file: &Path, config: &Config, output: Output) -> Result<(), Failure> {
    let (_, store, _) = open(config, Scan::Tail)?;
    let reader = store.reader();
    let stop = shutdown::flag()?;
    let to_stdout = file == Path::new("-");
    let mut out: Box<dyn Write> = if to_stdout {
        Box::new(BufWriter::new(io::stdout()))
    } else {
        let created = File::create_new(file).map_err(|error| {
            Failure::new(Kind::Failed, format!("cannot create {}: {error}", file.display()))
                .hint("give a file that does not exist yet")
        })?;
        Box::new(BufWriter::new(created))
    };
    let bar = progress::bar("blocks", output.json || to_stdout);
    let total = reader.settled();
    let whole = (Position(0), Position(total.saturating_sub(1)));
    let written = if total == 0 {
        Ok(0)
    } else {
        export::blocks(&reader, whole, &mut *out, &mut |blocks| {
            progress::show(&bar, blocks, blocks, total);
            if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    bar.finish_and_clear();
    let written = written.map_err(|error| Failure::new(Kind::Failed, error))?;
    exported(written, total, to_stdout, &file.display().to_string(), output)
}

fn export_immutable(dir: &Path, config: &Config, output: Output) -> Result<(), Failure> {
    let (network, store, _) = open(config, Scan::Tail)?;
    let reader = store.reader();
    let stop = shutdown::flag()?;
    let bar = progress::bar("blocks", output.json);
    let total = reader.settled();
    let target = disk::Files::new(dir);
    let written = export::export(&reader, &network.format, &target, &mut |blocks| {
        progress::show(&bar, blocks, blocks, total);
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let written = written.map_err(|error| Failure::new(Kind::Failed, error))?;
    exported(written, total, false, &dir.display().to_string(), output)
}

/// Says what was written; to standard error where the blocks went to standard output.
fn exported(written: u64, total: u64, quiet: bool, to: &str, output: Output) -> Result<(), Failure> {
    let text = || format!("wrote {written} blocks to {to}");
    if quiet {
        eprintln!("{}", text());
    } else {
        output.line(&json!({ "written": written, "to": to }), text)?;
    }
    if written < total {
        return Err(Failure::new(Kind::Interrupted, "stopped before the end"));
    }
    Ok(())
}
