//! `db verify`, `db export` and `db forget-journal`: looking after a data directory that no node is using.

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
use anabranch::store::{self, Error, Finality, Journal, Recovered, Scan, Store};
use serde_json::json;

use super::serve;
use crate::args::{Check, Db};
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{progress, settings, shutdown};

pub(super) fn run(db: &Db, config: &Config, output: Output) -> Result<(), Failure> {
    match db {
        Db::Verify { check, repair, .. } => run_verify(*check, *repair, config, output),
        Db::ForgetJournal { yes, .. } => forget_journal(*yes, config, output),
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
        let hint = match problem {
            Error::Certificate { .. } => {
                "the blocks are sound; put another node's `certificates` directory in the \
                place of this one's, or remove it: this node then goes on, but cannot show newcomers what is \
                irreversible before its newest block"
                    .to_owned()
            }
            Error::Bare { .. } => {
                "a repair cannot help: its bodies are not held, so that nothing can be made again; \
                restore `index` and `headers`, or begin anew in an empty data directory"
                    .to_owned()
            }
            _ => format!(
                "the first {} blocks are sound; `anabranch db verify --repair` cuts back to what is whole",
                verified.blocks
            ),
        };
        return Err(Failure::new(Kind::Damaged, problem).hint(hint));
    }
    if verified.blocks < total {
        return Err(Failure::new(Kind::Interrupted, "stopped before the end").hint("run it again"));
    }
    Ok(())
}

fn print_verified(verified: &Verified, found: &Recovered, total: u64, output: Output) -> io::Result<()> {
    let Verified { blocks, counts, problem, finality, .. } = verified;
    let cuts: Vec<_> = found.cut.iter().map(ToString::to_string).collect();
    let finality = finality.as_ref();
    let object = json!({
        "blocks": blocks,
        "settled": total,
        "bare": verified.bare,
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
        "finality": finality.map(|found| json!({
            "certificates": found.certificates,
            "height": found.shown.map(|tip| tip.height.0),
            "gap": found.gap.map(|tip| tip.height.0),
        })),
        "problem": problem.as_ref().map(ToString::to_string),
    });
    output.line(&object, || {
        let mut lines: Vec<_> = cuts.iter().map(|cut| format!("cut back: {cut}")).collect();
        lines.push(format!("{blocks} of {total} blocks are sound, up to {}", verified.state.tip.point));
        if verified.bare > 0 {
            lines.push(format!(
                "of the first {} blocks the headers alone are held: their bodies were not checked",
                verified.bare
            ));
        }
        if counts.kes + counts.signatures > 0 {
            lines.push(format!(
                "checked {} block signatures, {} certificates, {} VRF proofs; {} nonces unknown",
                counts.kes + counts.signatures,
                counts.certificates,
                counts.vrf,
                counts.nonces_unknown
            ));
        }
        lines.extend(finality.map(finality_line));
        lines.extend(journal_line(&found.journal));
        lines.join("\n")
    })
}

fn finality_line(found: &Finality) -> String {
    let Finality { certificates, shown, gap } = found;
    let shown = match shown {
        Some(tip) => {
            format!("{certificates} certificates hold: finality is shown up to height {}", tip.height)
        }
        None => format!("{certificates} certificates hold: no certificate shows finality from genesis"),
    };
    match gap {
        Some(tip) => format!(
            "{shown}; the certificate that introduces the validators of height {} is missing: newcomers need another \
             node for what follows",
            tip.height
        ),
        None => shown,
    }
}

fn journal_line(journal: &Journal) -> Option<String> {
    let Journal::Damaged { path, offset, damage } = journal else { return None };
    Some(format!(
        "the consensus journal is damaged, {path} at byte {offset}: {damage}; this node does not vote until the other \
         validators have decided the next height: restore the journal, or see `db forget-journal`"
    ))
}

fn forget_journal(yes: bool, config: &Config, output: Output) -> Result<(), Failure> {
    let (_, mut store, found) = open(config, Scan::Tail)?;
    let holds = match &found.journal {
        Journal::Read(records) if records.is_empty() => {
            return Ok(output.line(&json!({ "forgotten": false }), || "there is no journal here".to_owned())?);
        }
        Journal::Read(records) => format!("{} records", records.len()),
        Journal::Damaged { damage, .. } => format!("a damage: {damage}"),
    };
    if !yes {
        let message = format!("the journal holds {holds}; without it this node may vote twice in one height");
        return Err(Failure::new(Kind::Failed, message).hint(
            "if its key votes nowhere else, and the others decided that height or never will without it, say --yes",
        ));
    }
    store.forget_journal().map_err(|error| serve::store(&error))?;
    Ok(output.line(&json!({ "forgotten": true }), || format!("the journal is removed; it held {holds}"))?)
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
    let (settled, bare) = (reader.settled(), reader.bare());
    let total = settled - bare;
    let whole = (Position(bare), Position(settled.saturating_sub(1)));
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
    if bare > 0 {
        eprintln!("left out the first {bare} blocks: their bodies are not held here");
    }
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
