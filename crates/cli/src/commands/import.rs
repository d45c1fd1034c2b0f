//! `import`: the blocks of a Cardano node's `immutable` directory into the data directory.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anabranch::config::Config;
use anabranch::network_id::NetworkId;
use anabranch::store::files::disk;
use anabranch::store::immutable::{self, Import, Report};
use anabranch::store::{self, Store};
use serde_json::json;

use super::serve;
use crate::args;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{progress, settings, shutdown};

pub(super) fn run(args: &args::Import, config: &Config, output: Output) -> Result<(), Failure> {
    let network =
        NetworkId::find(&settings::network(config)?).map_err(|error| Failure::new(Kind::Config, error))?;
    let data_dir = settings::data_dir(config)?;
    refuse_what_is_no_database(&args.immutable)?;
    let files = disk::Files::new(&data_dir);
    let (mut store, found) = Store::open(files, &network.format, &store::Config::default())
        .map_err(|error| serve::store(&error))?;
    let stop = shutdown::flag()?;
    let options = Import { check: args.check.into(), ..Import::default() };
    let started = Instant::now();
    let bar = progress::bar("blocks", output.json);
    let source = disk::Files::new(&args.immutable);
    let report = immutable::import(&source, &mut store, found.state, &network.format, &options, &mut |now| {
        progress::show(&bar, now.blocks, now.bytes, now.total_bytes);
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let report = report.map_err(failure)?;
    print(&report, &data_dir, started.elapsed().as_secs_f64(), output)?;
    if let (Some(stop), 0) = (&report.stop, report.found + report.imported) {
        let message = format!("not even the first block could be taken: {stop}");
        return Err(Failure::new(Kind::Damaged, message)
            .hint(format!("are these blocks of the network `{}`? --network says which", network.name)));
    }
    if let Some(stop) = &report.stop {
        return Err(Failure::new(Kind::Damaged, format!("the directory is damaged: {stop}")).hint(format!(
            "the {} blocks before are kept; repair the directory and import again to go on from there",
            report.found + report.imported
        )));
    }
    if report.interrupted {
        return Err(Failure::new(Kind::Interrupted, "stopped before the end; what was imported is kept")
            .hint("import again to go on from there"));
    }
    Ok(())
}

/// Before anything is made: a mistyped directory shall leave nothing behind.
fn refuse_what_is_no_database(dir: &Path) -> Result<(), Failure> {
    let hint = "give the directory `immutable` inside the database of a Cardano node";
    let entries = std::fs::read_dir(dir).map_err(|error| {
        Failure::new(Kind::Failed, format!("cannot read {}: {error}", dir.display())).hint(hint)
    })?;
    let is_chunk = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "chunk"))
    };
    if entries.into_iter().any(is_chunk) {
        return Ok(());
    }
    let message = format!("{} is not an immutable directory: it holds no chunk files", dir.display());
    Err(Failure::new(Kind::Failed, message).hint(hint))
}

fn failure(error: immutable::Error) -> Failure {
    match &error {
        immutable::Error::Store(error) => serve::store(error),
        immutable::Error::TipMissing { .. } => Failure::new(Kind::DataDir, error)
            .hint("is --network right? if so, import into another --data-dir"),
        immutable::Error::NotImmutable { .. } | immutable::Error::Io { .. } => {
            Failure::new(Kind::Failed, error)
        }
    }
}

fn print(report: &Report, data_dir: &Path, seconds: f64, output: Output) -> std::io::Result<()> {
    let Report { found, imported, tip, counts, .. } = report;
    let warnings: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
    let object = json!({
        "imported": imported,
        "found": found,
        "tip": { "point": tip.point.to_string(), "height": tip.height.0 },
        "seconds": seconds,
        "blocks_per_s": (*imported as f64 / seconds.max(f64::EPSILON)).round(),
        "checks": {
            "kes": counts.kes,
            "certificates": counts.certificates,
            "vrf": counts.vrf,
            "signatures": counts.signatures,
            "boundaries": counts.boundaries,
            "nonces_unknown": counts.nonces_unknown,
        },
        "warnings": warnings,
        "warned": report.warned,
        "stop": report.stop.as_ref().map(ToString::to_string),
        "interrupted": report.interrupted,
    });
    output.line(&object, || text(report, &warnings, data_dir, seconds))
}

fn text(report: &Report, warnings: &[String], data_dir: &Path, seconds: f64) -> String {
    let Report { found, imported, tip, counts, .. } = report;
    let mut lines: Vec<_> = warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    if report.warned > warnings.len() {
        lines.push(format!("warning: and {} more like these", report.warned - warnings.len()));
    }
    let rate = *imported as f64 / seconds.max(f64::EPSILON);
    lines.push(format!("imported {imported} blocks in {seconds:.1} s ({rate:.0} blocks/s)"));
    if counts.kes + counts.signatures > 0 {
        lines.push(format!(
            "checked {} KES signatures, {} certificates, {} VRF proofs; {} nonces unknown",
            counts.kes, counts.certificates, counts.vrf, counts.nonces_unknown
        ));
    }
    lines.push(format!("{} now holds {} blocks up to {}", data_dir.display(), found + imported, tip.point));
    lines.join("\n")
}
