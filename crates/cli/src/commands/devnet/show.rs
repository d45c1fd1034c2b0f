//! What a devnet prints.

use std::path::Path;

use anabranch::chain::native::transactions;
use anabranch::chain::{Block, Entry};
use anabranch::founding;
use anabranch_cli::transaction::Transaction;
use serde_json::json;

use super::nodes::Nodes;
use crate::output::Output;

/// What to type in another terminal.
pub(super) fn hints(nodes: &Nodes, dir: &Path) -> String {
    let first = nodes.iter().next();
    let running = first.and_then(|node| node.running());
    let address = running.and_then(|node| node.downstream().first().copied());
    let address = address.map_or(String::new(), |address| address.to_string());
    let node = first.map_or_else(|| dir.to_owned(), |node| node.place.dir.clone());
    let (network, node, dir) = (dir.join(founding::NETWORK_FILE), node.display(), dir.display());
    let network = network.display();
    format!(
        "\nin another terminal:\n\
         \x20 anabranch follow {address} --network {network} --from origin\n\
         \x20 anabranch tx put --data-dir {node} hello world\n\
         \x20 anabranch status --data-dir {node}\n\
         \x20 anabranch consensus status --data-dir {node}\n\
         \x20 anabranch devnet kill 2 --data-dir {dir}\n\
         \x20 anabranch devnet start 2 --data-dir {dir}\n"
    )
}

/// A line for a block.
pub(super) fn block(entry: &Entry, output: Output) -> std::io::Result<()> {
    let header = &entry.header;
    let block = Block { header: header.clone(), raw: entry.block.clone() };
    let transactions = transactions(&block).unwrap_or_default();
    let puts: Vec<_> = transactions.iter().filter_map(|tx| put(tx)).collect();
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

fn put(tx: &[u8]) -> Option<(String, String)> {
    match Transaction::decode(tx) {
        Ok(Transaction::Put { key, value, .. }) => Some((key, value)),
        Ok(Transaction::Delete { .. } | Transaction::Validator(_)) | Err(_) => None,
    }
}
