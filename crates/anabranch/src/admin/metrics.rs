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
        let gauges = vec![
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
        let counters = vec![
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
        Self { gauges, counters }
    }
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
