//! `peers`: the links of a running node, and what each is doing.

use anabranch::config::Config;
use anabranch::status::{Mode, PeerChain};
use serde::Deserialize;
use serde_json::Value;

use crate::args::Peers;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::table::Table;
use crate::{remote, settings, shutdown};

/// What is shown of `GET /peers`.
#[derive(Debug, Deserialize)]
struct Listed {
    sockets: Vec<Socket>,
    known: Vec<Known>,
    banned: Vec<String>,
    chains: Vec<PeerChain>,
}

#[derive(Debug, Deserialize)]
struct Socket {
    peer: Option<String>,
    address: String,
    direction: String,
    state: String,
    age_ms: u64,
    text: Option<String>,
    // From here on: of those that are open.
    ping: Option<Ping>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    strikes: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Ping {
    smoothed_us: u64,
}

#[derive(Debug, Deserialize)]
struct Known {
    peer: String,
    address: Option<String>,
    pinned: bool,
    connected: bool,
    failures: u32,
    next_dial_ms: Option<u64>,
    given_up: bool,
    last_failure: Option<String>,
}

pub(super) async fn run(args: &Peers, config: &Config, output: Output) -> Result<(), Failure> {
    let admin = settings::admin(config)?;
    let stop = tokio_util::sync::CancellationToken::new();
    if args.watch.is_some() {
        shutdown::watch(stop.clone())?;
    }
    loop {
        let answer: Value = remote::get(&admin, "/peers").await?;
        let listed: Listed = serde_json::from_value(answer.clone()).map_err(|error| {
            Failure::new(Kind::Failed, format!("the node's answer cannot be read: {error}"))
        })?;
        output.line(&answer, || text(&listed))?;
        let Some(every) = args.watch else { return Ok(()) };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
        if !output.json {
            println!();
        }
    }
}

fn text(listed: &Listed) -> String {
    let connected = listed.known.iter().filter(|known| known.connected).count();
    let mut text = format!(
        "{connected} of {} known peers connected, {} links in all\n",
        listed.known.len(),
        listed.sockets.len()
    );
    if !listed.sockets.is_empty() {
        let head = ["peer", "address", "by", "state", "for", "round trip", "received", "sent", "strikes"];
        let mut table = Table::new(head);
        listed.sockets.iter().for_each(|socket| table.row(socket_row(socket)));
        text.push_str(&table.text());
    }
    let away: Vec<&Known> = listed.known.iter().filter(|known| !known.connected).collect();
    if !away.is_empty() {
        let mut table = Table::new(["not connected", "address", "pinned", "dialled again", "last failure"]);
        away.iter().for_each(|known| table.row(known_row(known)));
        text.push_str(&table.text());
    }
    if !listed.chains.is_empty() {
        let head = ["chain of", "stands at", "irreversible", "behind", "bodies", "validator"];
        let mut table = Table::new(head);
        listed.chains.iter().for_each(|chain| table.row(chain_row(chain)));
        text.push_str(&table.text());
    }
    for key in &listed.banned {
        text.push_str(&format!("banned {key}\n"));
    }
    text.trim_end().to_owned()
}

fn socket_row(socket: &Socket) -> [String; 9] {
    let state = match &socket.text {
        Some(reason) => format!("{}: {reason}", socket.state),
        None => socket.state.clone(),
    };
    let number =
        |number: Option<u64>, unit: &str| number.map_or("-".into(), |number| format!("{number}{unit}"));
    [
        socket.peer.as_deref().map_or("not proven yet".into(), short),
        socket.address.clone(),
        if socket.direction == "dialled" { "us".into() } else { "them".into() },
        state,
        format!("{} s", socket.age_ms / 1_000),
        socket.ping.as_ref().map_or("-".into(), |ping| format!("{:.1} ms", ping.smoothed_us as f64 / 1e3)),
        number(socket.received_bytes, " B"),
        number(socket.sent_bytes, " B"),
        number(socket.strikes.map(u64::from), ""),
    ]
}

fn known_row(known: &Known) -> [String; 5] {
    let again = match known.next_dial_ms {
        _ if known.given_up => format!("given up after {} failures", known.failures),
        Some(ms) => format!("in {} s", ms.div_ceil(1_000)),
        None => "waited for".into(),
    };
    [
        short(&known.peer),
        known.address.clone().unwrap_or_else(|| "-".into()),
        if known.pinned { "yes".into() } else { "no".into() },
        again,
        known.last_failure.clone().unwrap_or_else(|| "-".into()),
    ]
}

fn chain_row(chain: &PeerChain) -> [String; 6] {
    let mode = match chain.mode {
        Mode::Auto => "auto",
        Mode::Active => "active",
        Mode::Backup => "backup",
        Mode::Off => "off",
    };
    [
        short(&chain.peer),
        if chain.ready { chain.best.height.to_string() } else { "not said yet".into() },
        chain.irreversible.height.to_string(),
        chain.behind.to_string(),
        mode.into(),
        chain.validator.as_deref().map_or("-".into(), short),
    ]
}

/// Enough of a key to tell it from others; all of it is in the JSON.
fn short(key: &str) -> String {
    key.get(..16).map_or_else(|| key.to_owned(), |first| format!("{first}…"))
}
