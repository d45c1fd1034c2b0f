//! `clients`: who follows a running node, and what each is doing.

use std::fmt::Write;

use anabranch::config::Config;
use anabranch::status::Client;

use crate::exit::Failure;
use crate::output::Output;
use crate::{remote, settings};

pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let clients: Vec<Client> = remote::get(&settings::admin(config)?, "/clients").await?;
    output.line(&clients, || text(&clients))?;
    Ok(())
}

fn text(clients: &[Client]) -> String {
    if clients.is_empty() {
        return "no clients".into();
    }
    let head =
        ["client", "address", "version", "for", "silent", "stands at", "chain-sync", "block-fetch", "sent"];
    let rows: Vec<_> = clients.iter().map(row).collect();
    let mut widths = head.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = line(&widths, &head.map(String::from));
    for row in &rows {
        text.push('\n');
        text.push_str(&line(&widths, row));
    }
    text
}

fn row(client: &Client) -> [String; 9] {
    let chain_sync = if client.blocked { "blocked" } else { &client.chain_sync };
    [
        client.id.to_string(),
        client.address.to_string(),
        client.version.map_or("-".into(), |version| version.to_string()),
        format!("{} s", client.connected_s),
        format!("{} s", client.silent_s),
        client.position.to_string(),
        chain_sync.to_owned(),
        client.block_fetch.clone(),
        format!("{} B", client.sent_bytes),
    ]
}

fn line(widths: &[usize; 9], cells: &[String; 9]) -> String {
    let mut line = String::new();
    for (width, cell) in widths.iter().zip(cells) {
        let _ = write!(line, "{cell:<width$}  ");
    }
    line.trim_end().to_owned()
}
