//! `status`: what a running node is doing, why, and what to do about it.

use std::fmt::Write;

use anabranch::config::Config;
use anabranch::status::{Application, Member, Snapshot, State, Status, Upstream};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::output::Output;
use crate::{remote, settings};

/// Both answers together, as `--json` prints them.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    #[serde(flatten)]
    status: Status,
    upstream_list: Vec<Upstream>,
}

pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let admin = settings::admin(config)?;
    let status: Status = remote::get(&admin, "/status").await?;
    let upstream_list: Vec<Upstream> = remote::get(&admin, "/upstreams").await?;
    let report = Report { status, upstream_list };
    output.line(&report, || text(&report))?;
    Ok(())
}

fn text(report: &Report) -> String {
    let Report { status, upstream_list } = report;
    let mut text = format!("{}: {}\n", status.state.name(), status.reason);
    if let State::Syncing { percent, left_s } = &status.state {
        let left = left_s.map_or(String::new(), |left| format!(", about {left} s left"));
        let _ = writeln!(text, "progress      {percent:.1} %{left}");
    }
    if !status.hint.is_empty() {
        let _ = writeln!(text, "hint          {}", status.hint);
    }
    let _ = writeln!(text, "network       {} (magic {})", status.network, status.magic);
    let _ = writeln!(text, "head          {} at height {}", status.head.point, status.head.height);
    let _ = writeln!(
        text,
        "irreversible  {} at height {}",
        status.irreversible.point, status.irreversible.height
    );
    let _ = writeln!(text, "blocks        {} in the log, {} above it", status.settled, status.volatile);
    let _ =
        writeln!(text, "upstreams     {} of {} connected", status.upstreams.connected, status.upstreams.of);
    for upstream in upstream_list {
        let _ = writeln!(text, "  {}", line(upstream));
    }
    let peers = &status.peers;
    let _ = writeln!(
        text,
        "peers         connected {} of {} known, {} others; {} dialled, {} accepted",
        peers.connected, peers.known, peers.others, peers.dialled, peers.accepted
    );
    if let Some(member) = &status.member {
        text.push_str(&of_member(member));
    }
    let _ = writeln!(text, "clients       {} of {} at most", status.clients.connected, status.clients.of);
    for address in &status.downstream {
        let _ = writeln!(text, "  served at {address}");
    }
    let _ = write!(text, "running       for {} s, version {}", status.uptime_s, status.version);
    text
}

/// What a member of a chain with validators says beside the rest.
fn of_member(member: &Member) -> String {
    let mut text = String::new();
    let Member { certified, validators, reachable, .. } = member;
    let _ = writeln!(text, "certified     {} at height {}", certified.point, certified.height);
    if let Some(key) = &member.validator {
        let _ = writeln!(text, "votes with    {key}");
    }
    let _ = writeln!(text, "validators    a way to {reachable} of {validators} others");
    if let Some(snapshot) = &member.snapshot {
        let Snapshot { height, headers, taken, bytes, wanted, peers } = snapshot;
        let _ = match (taken, wanted) {
            (0, 0) => writeln!(text, "snapshot      of height {height}: {headers} headers so far"),
            _ => writeln!(
                text,
                "snapshot      of height {height}: {taken} pieces, {bytes} bytes; {wanted} and more to come, from {peers} peers"
            ),
        };
    }
    if let Some(application) = &member.application {
        let Application { applied, outstanding, stopped } = application;
        let _ =
            writeln!(text, "application   at height {}, {outstanding} blocks on their way", applied.height);
        if let Some(reason) = stopped {
            let _ = writeln!(text, "              it gets no more: {reason}");
        }
    }
    if member.key_elsewhere {
        let _ = writeln!(
            text,
            "warning       this node's validator key is used elsewhere: stop one of the two, for they will vote \
             against each other, and the chain counts that as a lie"
        );
    }
    text
}

fn line(upstream: &Upstream) -> String {
    let mut line = format!("{} {} for {} s", upstream.address, upstream.state, upstream.for_s);
    if let Some(rtt) = upstream.rtt_ms {
        let _ = write!(line, ", round trip {rtt:.1} ms");
    }
    if let Some(tip) = &upstream.tip {
        let _ = write!(line, ", its tip at height {}", tip.height);
    }
    if let Some(reason) = &upstream.last_reason {
        let _ = write!(line, ", last ended: {reason}");
    }
    line
}
