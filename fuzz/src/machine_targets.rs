//! Whole machines against a stranger's bytes: whatever comes, in whatever cut, they stay within their bounds.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chain::{Entry, Position, Tip, View};
use link::segment::{HEADER_BYTES, Header};
use link::{Mode, Protocol, Time};
use ouroboros::handshake::Offer;
use ouroboros::{server, upstream};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::Target;
use crate::made::NATIVE;

pub(crate) const CLIENT: Target = Target { name: "client", run: client, seeds: client_seeds };
pub(crate) const UPSTREAM: Target = Target { name: "upstream", run: upstream, seeds: upstream_seeds };

const MAGIC: u32 = 42;

/// What a client may have waiting in all its protocols together, by its ingress limits: 462,000 for chain-sync,
/// 721,424 for transactions, two messages for block-fetch, and little else.
const MAX_HELD_BYTES: usize = 462_000 + 721_424 + 2 * 65_535 + 1_408 + 5_760 + 5_760;

/// How much is taken out of a machine at a time, and how often: a reader that reads, so that ranges come to an end.
const BUDGET_BYTES: usize = 16 * 1024;
const TURNS: usize = 64;

static VIEW: LazyLock<View> = LazyLock::new(|| {
    let entries: Vec<Arc<Entry>> = (0..)
        .zip(&NATIVE.blocks)
        .map(|(position, block)| {
            Arc::new(Entry {
                position: Position(position),
                header: block.header.clone(),
                block: block.raw.clone(),
            })
        })
        .collect();
    View::new(1, Tip::default(), 0, Arc::new([]), entries.into(), Arc::default())
});

/// The first byte cuts, the rest is what the client says.
fn client(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let config = Arc::new(server::Config { offer: Offer::new(MAGIC, true) });
    let mut now = Time::default();
    let mut machine = server::Client::new(config, now);
    let (mut out, mut sent) = (Vec::new(), Vec::new());
    for piece in stream.chunks(usize::from(cut).max(1)) {
        now.mono += Duration::from_millis(1);
        machine.handle(now, server::Input::Received(piece), &VIEW, &mut out);
        for _ in 0..TURNS {
            answer(&mut machine, now, &mut out);
            sent.clear();
            let more = machine.transmit(now, &VIEW, BUDGET_BYTES, &mut sent, &mut out);
            if !more && out.is_empty() {
                break;
            }
        }
        assert!(machine.held_bytes() <= MAX_HELD_BYTES, "{} bytes are held", machine.held_bytes());
        if machine.is_over() {
            assert_eq!(machine.next_deadline(), None, "what is over waits for nothing");
            return;
        }
        machine.check_invariants();
    }
    now.mono += Duration::from_secs(10_000);
    machine.handle(now, server::Input::Tick, &VIEW, &mut out);
}

/// Nothing is in the log: all of this chain is in the view.
fn answer(machine: &mut server::Client, now: Time, out: &mut Vec<server::Output>) {
    for output in std::mem::take(out) {
        let wanted;
        let input = match output {
            server::Output::FirstInLog(_) => server::Input::FirstInLog(None),
            server::Output::Check(..) => server::Input::Checked(false),
            server::Output::Range(..) => server::Input::Range(None, None),
            server::Output::Chunk(_) | server::Output::Blocks(..) => server::Input::LogFailed,
            server::Output::Peers(_) => server::Input::Peers(vec![([127, 0, 0, 1], 3001).into()]),
            server::Output::InboxRoom => server::Input::InboxRoom,
            server::Output::Offered(offers) => {
                wanted = vec![true; offers.len()];
                server::Input::Wanted(wanted)
            }
            server::Output::Opened { .. } | server::Output::Transactions(_) | server::Output::Closed(_) => {
                continue;
            }
        };
        machine.handle(now, input, &VIEW, out);
    }
}

/// The first byte cuts, the rest is what the server says; the node asks for everything that it can.
fn upstream(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let mut now = Time::default();
    let config = upstream::Config { peer_sharing: true, ..upstream::Config::new(MAGIC) };
    let mut machine = upstream::State::new(&config, now, ChaCha8Rng::seed_from_u64(1));
    let (mut events, mut sent) = (Vec::new(), Vec::new());
    for piece in stream.chunks(usize::from(cut).max(1)) {
        now.mono += Duration::from_millis(1);
        machine.handle(now, upstream::Input::Received(piece), &mut events);
        for event in std::mem::take(&mut events) {
            if let upstream::Event::Ready { .. } = event {
                ask(&mut machine, now, &mut events);
            }
        }
        sent.clear();
        machine.transmit(now, BUDGET_BYTES, &mut sent);
        if machine.is_closed() {
            assert_eq!(machine.next_deadline(), None, "what is over waits for nothing");
            return;
        }
    }
    now.mono += Duration::from_secs(10_000);
    machine.handle(now, upstream::Input::Tick, &mut events);
}

fn ask(machine: &mut upstream::State, now: Time, events: &mut Vec<upstream::Event>) {
    let point = NATIVE.blocks[3].header.point();
    for command in [
        upstream::Command::Intersect { points: vec![point] },
        upstream::Command::Fetch { from: point, to: point },
        upstream::Command::SharePeers { n: 3 },
    ] {
        machine.handle(now, upstream::Input::Command(command), events);
    }
    machine.handle(now, upstream::Input::Command(upstream::Command::Demand { n: 5 }), events);
}

fn segment(mode: Mode, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("one segment");
    let header = Header { sent_us: 0, mode, protocol: Protocol(protocol), length };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend(header.encode());
    bytes.extend(payload);
    bytes
}

fn bytes(digits: &str) -> Vec<u8> {
    hex::decode(digits.replace(' ', "")).expect("hexadecimal digits")
}

fn point(at: usize) -> String {
    let mut encoded = Vec::new();
    chain::codec::encode_point(&NATIVE.blocks[at].header.point(), &mut encoded);
    hex::encode(encoded)
}

fn client_seeds() -> Vec<Vec<u8>> {
    let says = |protocol, digits: &str| segment(Mode::Initiator, protocol, &bytes(digits));
    let hello = says(0, "8200 a2 0e 84182af401f4 0f 84182af401f4");
    let find = format!("8204 9f {} 80 ff", point(4));
    let range = format!("8300 {} {}", point(2), point(9));
    vec![
        [vec![255], hello.clone(), says(2, &find), says(2, "8100 8100 8100"), says(8, "8200 191234")]
            .concat(),
        [vec![3], hello.clone(), says(3, &range), says(3, &range), says(8, "8200 191234"), says(3, "8101")]
            .concat(),
        [
            vec![9],
            hello.clone(),
            says(4, "8106"),
            says(4, "8201 9f 82 8206 4401020304 1864 ff"),
            says(4, "8203 9f 8206 d818 43 010203 ff"),
        ]
        .concat(),
        [vec![200], hello, says(10, "8200 0a"), says(2, "8107"), says(10, "8102"), says(8, "8102")].concat(),
        [vec![1], says(0, "8200 a1 0e 84182af401f5")].concat(),
        // More in the handshake's segment than the handshake.
        [vec![255], says(0, "8200 a1 0e 84182af401f4 8200 191234"), says(8, "8200 191234")].concat(),
    ]
}

fn upstream_seeds() -> Vec<Vec<u8>> {
    let says = |protocol, digits: &str| segment(Mode::Responder, protocol, &bytes(digits));
    let hello = says(0, "8301 0f 84182af401f4");
    let tip = format!("82 {} 0c", point(11));
    let header = hex::encode(&NATIVE.blocks[4].header.wire);
    let mut raw = Vec::new();
    chain::codec::wrap(&NATIVE.blocks[3].raw, &mut raw);
    vec![
        [
            vec![255],
            hello.clone(),
            says(2, &format!("8305 {} {tip}", point(3))),
            says(2, &format!("8303 {} {tip}", point(3))),
            says(2, &format!("8302 {header} {tip}")),
            says(2, "8101"),
        ]
        .concat(),
        [
            vec![7],
            hello.clone(),
            says(3, "8102"),
            says(3, &format!("8204 {}", hex::encode(raw))),
            says(3, "8105"),
        ]
        .concat(),
        [
            vec![2],
            hello.clone(),
            says(10, "8201 9f 8200 1a7f000001 ff"),
            says(4, "8400 f5 00 0a"),
            says(3, "8103"),
        ]
        .concat(),
        [vec![1], says(0, "8202 8302 0f 63 6e6f21")].concat(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_lead_deep_into_the_machines() {
        let config = Arc::new(server::Config { offer: Offer::new(MAGIC, true) });
        for seed in &client_seeds()[..4] {
            let mut machine = server::Client::new(config.clone(), Time::default());
            let mut out = Vec::new();
            machine.handle(Time::default(), server::Input::Received(&seed[1..]), &VIEW, &mut out);
            assert!(machine.is_open(), "{out:?}");
        }
        for seed in &upstream_seeds()[..3] {
            let mut machine = upstream::State::new(
                &upstream::Config::new(MAGIC),
                Time::default(),
                ChaCha8Rng::seed_from_u64(1),
            );
            let mut events = Vec::new();
            machine.handle(Time::default(), upstream::Input::Received(&seed[1..]), &mut events);
            assert!(matches!(events[0], upstream::Event::Ready { .. }), "{events:?}");
        }
    }
}
