//! `clients`: who follows a running node, and what each is doing.

use anabranch::config::Config;
use anabranch::status::Client;

use crate::exit::Failure;
use crate::output::Output;
use crate::table::Table;
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
    let mut table = Table::new(head);
    clients.iter().for_each(|client| table.row(row(client)));
    table.text().trim_end().to_owned()
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
