//! `/metrics`: what the node says about itself, in the format that Prometheus reads.
//!
//! Made afresh at each scrape from one snapshot: nothing is counted twice, no core carries a handle.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text::encode};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::runtime::Snapshot;

/// The snapshot as text.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut registry = Registry::with_prefix("anabranch");
    registry.register_collector(Box::new(Numbers::of(snapshot)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a String takes everything");
    text
}

/// The numbers of one snapshot.
#[derive(Debug)]
struct Numbers {
    gauges: Vec<(&'static str, &'static str, f64)>,
    counters: Vec<(&'static str, &'static str, u64)>,
}

impl Numbers {
    fn of(snapshot: &Snapshot) -> Self {
        let status = &snapshot.node;
        let connected = snapshot.connected_upstreams() as f64;
        let ready = f64::from(u8::from(snapshot.is_ready()));
        let mut gauges = vec![
            ("ready", "1 while clients get what the node promises them", ready),
            ("head_height", "Block number of the head", status.head.height.0 as f64),
            ("head_slot", "Slot of the head", slot(&status.head)),
            (
                "irreversible_height",
                "Block number of the irreversible tip",
                status.irreversible.height.0 as f64,
            ),
            ("settled_blocks", "Blocks in the log", status.settled as f64),
            ("volatile_headers", "Headers above the log, on all forks", status.headers as f64),
            ("volatile_bytes", "Bytes of headers and blocks above the log", status.bytes as f64),
            ("upstreams_known", "Configured upstreams", status.upstreams.len() as f64),
            ("upstreams_connected", "Upstreams that answer", connected),
            ("clients", "Clients connected", snapshot.clients as f64),
            ("peers_known", "Peers that this node was told of", snapshot.peers.known as f64),
            ("peers_connected", "Of these, connected", snapshot.peers.connected as f64),
            ("peers_others", "Connected peers that it was not told of", snapshot.peers.others as f64),
            (
                "network_tasks",
                "Long-running tasks of the network: listeners, two a link",
                snapshot.network.tasks as f64,
            ),
            ("network_handshakes", "Handshakes under way", snapshot.network.handshakes as f64),
            (
                "network_held_bytes",
                "Bytes of messages from peers, unfinished or not yet taken, and what is set aside for them",
                snapshot.network.held_bytes as f64,
            ),
            ("pool_transactions", "Transactions that wait for a block", status.pool as f64),
            ("uptime_seconds", "Since the start", snapshot.uptime.as_secs_f64()),
        ];
        let checks = &status.checks;
        let mut counters = vec![
            ("headers_checked", "Headers that passed all checks", checks.headers),
            ("bodies_checked", "Bodies that passed all checks", checks.bodies),
            (
                "signatures_checked",
                "Block signatures that passed",
                checks.counts.kes + checks.counts.signatures,
            ),
            ("certificates_checked", "Operational certificates that passed", checks.counts.certificates),
            ("vrf_checked", "VRF proofs that passed", checks.counts.vrf),
            ("nonces_unknown", "Headers whose nonce was unknown", checks.counts.nonces_unknown),
            ("network_late_replies", "Answers of peers that came too late", snapshot.network.late_replies),
            (
                "network_unknown_replies",
                "Answers of peers that nobody asked for",
                snapshot.network.unknown_replies,
            ),
            ("blocks_produced", "Blocks that this node made", status.produced),
        ];
        if let Some(member) = &status.member {
            gauges.extend(member_gauges(member));
            counters.extend(member_counters(member));
        }
        Self { gauges, counters }
    }
}

/// What a member of a chain with validators adds.
fn member_gauges(member: &node::member::Status) -> Vec<(&'static str, &'static str, f64)> {
    let node::member::Status { consensus, routing, .. } = member;
    let height = consensus.height.map_or(0, |height| height.0);
    let mut gauges = vec![
        ("consensus_height", "Height that is decided on", height as f64),
        ("consensus_round", "Round of it", f64::from(consensus.round)),
        ("certified_height", "Block number of the last certified block", member.certified.height.0 as f64),
        ("pool_unjudged", "Transactions that the application has not judged", member.relay.judging as f64),
        ("bodies_ranged", "Bodies that are wanted in ranges", member.ranged as f64),
        ("bodies_parents", "Producers whose bodies a peer pushes", member.bodies.parents as f64),
        ("validators_others", "Other validators", routing.producers as f64),
        ("validators_reachable", "Of these, those to whom there is a way", routing.reachable as f64),
        ("routing_unconfirmed", "Own packets that were not confirmed", routing.unconfirmed as f64),
    ];
    if let Some(snapshot) = &member.snapshot {
        gauges.push(("snapshot_taken", "Pieces of the snapshot that were taken", snapshot.taken as f64));
        gauges.push(("snapshot_wanted", "Pieces of it that are known to be wanted", snapshot.wanted as f64));
    }
    if let Some(application) = &member.application {
        let (height, is_stopped) = (application.applied.height.0, application.stopped.is_some());
        gauges.push(("application_height", "Block number of the application's last block", height as f64));
        let outstanding = application.outstanding as f64;
        gauges.push(("application_outstanding", "Blocks on their way to the application", outstanding));
        let is_stopped = f64::from(u8::from(is_stopped));
        gauges.push(("application_stopped", "1 while it gets no blocks, since it failed", is_stopped));
    }
    gauges
}

fn member_counters(member: &node::member::Status) -> Vec<(&'static str, &'static str, u64)> {
    let (bodies, counts) = (&member.bodies, &member.routing.counts);
    vec![
        ("consensus_evidence", "Lies of validators that were seen", member.evidence.len() as u64),
        ("bodies_arrived", "Bodies that arrived from peers", bodies.arrived),
        ("bodies_twice", "Bodies that arrived though they were there", bodies.twice),
        ("bodies_late", "Requests for bodies that ran out of time", bodies.late),
        ("headers_refused", "Headers beyond the share of their peer or producer", member.refused),
        ("routing_duplicates", "Packets that came again", counts.duplicates),
        ("routing_floods", "Packets that went over every link", counts.floods),
        ("routing_faults", "Hops that did not deliver", counts.faults),
        ("routing_claims_elsewhere", "Claims with our key that are not ours", counts.claims_elsewhere),
    ]
}

/// The slot of a tip; 0 at origin.
fn slot(tip: &chain::Tip) -> f64 {
    tip.point.slot().map_or(0.0, |slot| slot.0 as f64)
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in &self.gauges {
            let gauge = ConstGauge::new(*value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in &self.counters {
            let counter = ConstCounter::new(*value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
