//! How long a segment may take, and what may stand in the handshake's.

use std::sync::Arc;
use std::time::Duration;

use chain::View;
use link::mux::Violation as MuxViolation;
use link::segment::Header;
use link::{Mode, Protocol, Time};

use crate::Violation;
use crate::handshake::{self, Offer, Version, Versions};
use crate::limits::{HANDSHAKE, KEEP_ALIVE};
use crate::server::{Client, Config, Input, Output, Reason};

const MAGIC: u32 = 2;

fn at(seconds: u64) -> Time {
    Time { mono: Duration::from_secs(seconds), wall: Duration::ZERO }
}

fn segment(protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let header = Header { sent_us: 0, mode: Mode::Initiator, protocol, length };
    [&header.encode()[..], payload].concat()
}

fn proposal() -> Vec<u8> {
    let versions = [(Version::V14, Offer::new(MAGIC, false).data)];
    let mut out = Vec::new();
    handshake::Message::ProposeVersions { versions: Versions::new(&versions) }.encode(&mut out);
    out
}

/// A client, and what its machine says to some bytes.
struct Rig {
    client: Client,
    view: View,
}

impl Rig {
    fn new() -> Self {
        let config = Arc::new(Config { offer: Offer::new(MAGIC, false) });
        Self { client: Client::new(config, at(0)), view: View::empty() }
    }

    fn open() -> Self {
        let mut rig = Self::new();
        assert_eq!(rig.receive(0, &segment(HANDSHAKE, &proposal())), None);
        assert!(rig.client.is_open());
        rig
    }

    fn handle(&mut self, seconds: u64, input: Input<'_>) -> Option<Reason> {
        let mut out = Vec::new();
        self.client.handle(at(seconds), input, &self.view, &mut out);
        while self.client.transmit(at(seconds), &self.view, 4_096, &mut Vec::new(), &mut out) {}
        out.into_iter().find_map(|output| match output {
            Output::Closed(reason) => Some(reason),
            _ => None,
        })
    }

    fn receive(&mut self, seconds: u64, bytes: &[u8]) -> Option<Reason> {
        self.handle(seconds, Input::Received(bytes))
    }
}

#[test]
fn refuses_what_follows_the_proposal_in_its_segment() {
    let mut rig = Rig::new();
    let question = [0x82, 0x00, 0x01];
    let fault = MuxViolation::UnknownProtocol { protocol: HANDSHAKE };
    let reason = rig.receive(0, &segment(HANDSHAKE, &[&proposal()[..], &question].concat()));
    assert_eq!(reason, Some(Reason::Violation(Violation::Mux(fault))));
}

#[test]
fn a_segment_has_its_own_time_however_reads_cut_the_stream() {
    let mut rig = Rig::open();
    let question = segment(KEEP_ALIVE, &[0x82, 0x00, 0x01]);
    let stream = question.repeat(6);
    // Each read ends inside the head of the next segment.
    assert_eq!(rig.receive(0, &stream[..4]), None);
    for read in 0..5 {
        let from = 4 + read * question.len();
        let now = 20 * (read as u64 + 1);
        assert_eq!(rig.receive(now, &stream[from..from + question.len()]), None);
        assert_eq!(rig.handle(now, Input::Tick), None, "the segment began just now");
    }
    assert_eq!(rig.handle(129, Input::Tick), None);
    assert_eq!(rig.handle(130, Input::Tick), Some(Reason::Violation(Violation::SlowSegment)));
}
