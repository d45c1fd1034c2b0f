//! `devnet`: one node with a chain of its own.
//!
//! Blocks are made from what `tx put` puts in; when nothing waits, a transaction is made up, so that there is
//! something to look at. A line is printed per block.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anabranch::chain::native;
use anabranch::chain::view::{Cursor, Entry, Step};
use anabranch::chain::{Block, View};
use anabranch::config::Config;
use anabranch::devnet::{self, Devnet};
use anabranch::network_id::DEVNET;
use anabranch::runtime::{Role, Running};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{args, transaction};

pub(super) async fn run(args: &args::Devnet, mut config: Config, output: Output) -> Result<(), Failure> {
    let dir = match &args.data_dir {
        Some(dir) => DataDir::Kept(dir.clone()),
        None => DataDir::temporary()?,
    };
    let devnet = Devnet::prepare(dir.path(), args.every).map_err(|error| in_the_way(&error))?;
    config.downstream.listen = vec![args.downstream];
    let role = Role::Produce(devnet.key);
    let running = serve::start(config, devnet.network, dir.path().to_owned(), role, output).await?;
    let stop = running.stop_token();
    if !output.json {
        println!("{}", hints(&running, dir.path()));
    }
    if let Some(time) = args.run_for {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            stop.cancel();
        });
    }
    let shown = show_blocks(&running, stop.clone(), !args.no_made_up, output).await;
    stop.cancel();
    running.stopped().await.map_err(serve::in_the_way)?;
    shown?;
    output.line(&json!({ "event": "stopped" }), || "stopped".into())?;
    Ok(())
}

/// Where the chain is kept.
#[derive(Debug)]
enum DataDir {
    Kept(PathBuf),
    /// Removed at the end.
    Temporary(PathBuf),
}

impl DataDir {
    fn temporary() -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!("anabranch-devnet-{}", std::process::id()));
        // Nobody else may read the key; a directory that is there already is somebody else's.
        std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| {
            Failure::new(Kind::DataDir, format!("cannot create {}: {error}", dir.display()))
                .hint("give --data-dir DIR")
        })?;
        Ok(Self::Temporary(dir))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) | Self::Temporary(dir) => dir,
        }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if let Self::Temporary(dir) = self {
            // What is left behind is in the system's directory for such things.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn in_the_way(error: &devnet::Error) -> Failure {
    match error {
        devnet::Error::Store(error) => serve::store(error),
        _ => Failure::new(Kind::DataDir, error),
    }
}

/// What to type in another terminal.
fn hints(running: &Running, dir: &Path) -> String {
    let address = running.downstream().first().map_or(String::new(), ToString::to_string);
    let dir = dir.display();
    let network = dir_file(&dir, devnet::NETWORK_FILE);
    format!(
        "\nin another terminal:\n\
         \x20 anabranch follow {address} --network {DEVNET} --from origin\n\
         \x20 anabranch tx put --data-dir {dir} hello world\n\
         \x20 anabranch status --data-dir {dir}\n\
         \x20 anabranch run --network {network} --data-dir another-dir --upstream {address}\n"
    )
}

fn dir_file(dir: &std::path::Display<'_>, name: &str) -> String {
    format!("{dir}/{name}")
}

/// Prints a line per block and makes up a transaction where none waits, until `stop`.
async fn show_blocks(
    running: &Running,
    stop: CancellationToken,
    made_up: bool,
    output: Output,
) -> Result<(), Failure> {
    let mut views = running.views();
    // Not where the chain ends now: the node has made blocks since it began.
    let mut cursor = running.found();
    let mut count = cursor.next.0;
    loop {
        let view = views.borrow_and_update().clone();
        while let Some(entry) = next(&view, &mut cursor) {
            count = cursor.next.0;
            show(entry, output)?;
        }
        if made_up {
            make_up(running, count).await;
        }
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return Ok(()) },
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// The next block that has not been shown. Its own producer's chain never rolls back.
fn next<'a>(view: &'a View, cursor: &mut Cursor) -> Option<&'a Entry> {
    match view.next(cursor) {
        Step::Forward(entry) => {
            *cursor = view.after(entry);
            Some(entry)
        }
        Step::AtTip => None,
        // So many blocks at once that the view holds only the newest: go on from there.
        Step::Settled(_) | Step::CheckLog(_) | Step::Backward(_) | Step::Lost => {
            *cursor = view.tip_cursor();
            None
        }
    }
}

async fn make_up(running: &Running, count: u64) {
    let waiting = running.insight().status().await.map_or(0, |status| status.pool);
    if waiting == 0 {
        let bytes = transaction::put("made-up", &count.to_string());
        // Refused only when the node has failed; then its status says so.
        let _ = running.insight().submit(bytes.into()).await;
    }
}

fn show(entry: &Entry, output: Output) -> std::io::Result<()> {
    let header = &entry.header;
    let block = Block { header: header.clone(), raw: entry.block.clone() };
    let transactions = native::transactions(&block).unwrap_or_default();
    let puts: Vec<_> = transactions.iter().filter_map(|tx| transaction::read(tx)).collect();
    let object = json!({
        "event": "block",
        "height": header.height.0,
        "slot": header.slot.0,
        "hash": header.id.to_string(),
        "bytes": entry.block.len(),
        "transactions": transactions.len(),
        "puts": puts.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>(),
    });
    output.line(&object, || {
        let puts: Vec<_> = puts.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let (height, slot, id, size) = (header.height, header.slot, header.id, entry.block.len());
        format!("block {height}  slot {slot}  {id:.16}  {size} B  {}", puts.join(", "))
    })
}
