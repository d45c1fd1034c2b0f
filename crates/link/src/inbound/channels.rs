//! The channels of an open link: segments in, messages and credit out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::judge::Judge;
use super::rules::Rules;
use super::state::{Output, Traffic};
use crate::agreement::Agreed;
use crate::budget::{Charge, Share};
use crate::channel::{self, CONTROL, Channel, OVERHEAD_BYTES};
use crate::control;
use crate::message::Kind;
use crate::mux::{self, Demux, Limit, Part, Policy};
use crate::reason::Reason;
use crate::reassembly::{Assembly, Event};
use crate::segment::HEADER_BYTES;
use crate::{Mode, Protocol, Violation};

/// All channels of one link.
#[derive(Debug)]
pub(super) struct Channels {
    rules: Arc<Rules>,
    /// Gone when the link is.
    share: Option<Share>,
    /// What it holds for a channel is what the peer has under way there. It knows the agreed ones alone.
    demux: Demux<Arc<[Limit]>>,
    /// In the order of the rules' channels; those that were not agreed on stay as they are.
    lines: Box<[Line]>,
    pub(super) judge: Judge,
}

/// One channel's state.
#[derive(Debug, Default)]
struct Line {
    assembly: Assembly,
    /// The costs of the messages that were given out and not taken yet.
    untaken_bytes: u32,
    traffic: Traffic,
}

impl Channels {
    pub(super) fn new(rules: Arc<Rules>, ours: Mode, agreed: &Agreed, share: Share) -> Self {
        let demux = Demux::new(ours, Policy::Reject, rules.limits(agreed));
        let lines = rules.channels().iter().map(|_| Line::default()).collect();
        let judge = Judge::new(rules.config().strikes);
        Self { rules, share: Some(share), demux, lines, judge }
    }

    /// Takes what a frame holds: one segment. So many bytes were read together with it and lie behind it.
    pub(super) fn on_segment(&mut self, now: Duration, segment: &[u8], behind: usize, out: &mut Vec<Output>) {
        if let Err(fault) = mux::whole(segment) {
            return self.judge.on_fault(now, fault.into(), out);
        }
        let mut rest = segment;
        loop {
            match self.demux.next(&mut rest) {
                Ok(Some(part)) => self.on_part(now, part, behind, out),
                Ok(None) => return,
                Err(fault) => self.on_fault(now, fault, &segment[HEADER_BYTES..], out),
            }
            if self.judge.is_closed() {
                return;
            }
        }
    }

    /// All that was read together has been looked at.
    pub(super) fn end_read(&mut self) {
        for (line, channel) in self.lines.iter_mut().zip(self.rules.channels()) {
            line.assembly.settle(channel);
        }
    }

    /// The application is done with messages that cost this much.
    pub(super) fn on_taken(&mut self, number: Protocol, bytes: u32, out: &mut Vec<Output>) {
        let at = self.position(number);
        let untaken = &mut self.lines[at].untaken_bytes;
        assert!(bytes <= *untaken, "{bytes} bytes taken of {untaken} on channel {number}");
        *untaken -= bytes;
        self.settle(at, out);
    }

    /// Gives up messages that take too long.
    pub(super) fn expire(&mut self, now: Duration, out: &mut Vec<Output>) {
        for at in 0..self.lines.len() {
            let channel = &self.rules.channels()[at];
            let assembly = &mut self.lines[at].assembly;
            if let Some(fault) = assembly.expire(now, channel) {
                self.refund(at);
                self.settle(at, out);
                self.judge.on_fault(now, fault, out);
            }
            if self.judge.is_closed() {
                return;
            }
        }
    }

    /// Holds nothing any more.
    pub(super) fn let_go(&mut self) {
        self.lines.iter_mut().for_each(|line| line.assembly = Assembly::default());
        self.share = None;
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let lines = self.lines.iter().zip(self.rules.channels());
        lines.filter_map(|(line, channel)| line.assembly.deadline(channel)).min()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lines.iter().all(|line| line.assembly.is_idle())
    }

    pub(super) fn traffic(&self) -> impl Iterator<Item = (Protocol, Traffic)> {
        let lines = self.rules.channels().iter().zip(&self.lines);
        lines.map(|(channel, line)| (channel.number, line.traffic))
    }

    pub(super) fn check_invariants(&self) {
        for (line, channel) in self.lines.iter().zip(self.rules.channels()) {
            line.assembly.check_invariants(channel);
            let held = u64::from(self.demux.held(channel.number));
            let known = u64::from(line.untaken_bytes) + line.assembly.arrived_bytes() as u64;
            let number = channel.number;
            assert!(held >= known, "channel {number} counts {held} bytes and keeps {known}");
            if number == CONTROL {
                assert_eq!(held, known, "what is dealt with at once waits for nothing");
            } else {
                assert!(held <= u64::from(channel.window_bytes), "channel {number} exceeds its window");
                assert!(held - known < lump(channel), "channel {number} keeps back credit");
            }
        }
    }

    fn on_part(&mut self, now: Duration, part: Part<'_>, behind: usize, out: &mut Vec<Output>) {
        let at = self.position(part.protocol);
        self.lines[at].traffic.bytes += part.bytes.len() as u64;
        let mut input = part.bytes;
        loop {
            let Some(share) = &self.share else { return };
            let channel = &self.rules.channels()[at];
            match self.lines[at].assembly.next(now, channel, share, &mut input, behind) {
                Some(Event::Message { kind, body, charge }) => {
                    self.on_message(now, at, kind, body, charge, out);
                }
                Some(Event::Rejected(fault)) => {
                    if !matches!(fault, Violation::Endless { .. }) {
                        self.refund(at);
                    }
                    self.judge.on_fault(now, fault, out);
                }
                None => break,
            }
            if self.judge.is_closed() {
                return;
            }
        }
        self.settle(at, out);
    }

    fn on_fault(&mut self, now: Duration, fault: mux::Violation, payload: &[u8], out: &mut Vec<Output>) {
        if let mux::Violation::Overrun { protocol, .. } = fault {
            // The bytes belong to the channel's messages all the same: the next ones must be found behind them.
            let at = self.position(protocol);
            self.lines[at].assembly.discard(now, payload);
            self.settle(at, out);
        }
        self.judge.on_fault(now, fault.into(), out);
    }

    fn on_message(
        &mut self,
        now: Duration,
        at: usize,
        kind: Kind,
        body: Bytes,
        charge: Charge,
        out: &mut Vec<Output>,
    ) {
        let line = &mut self.lines[at];
        line.traffic.messages += 1;
        let number = self.rules.channels()[at].number;
        if number == CONTROL {
            return self.on_control(now, kind, &body, out);
        }
        if let Err(fault) = self.demux.hold(number, OVERHEAD_BYTES as usize) {
            return self.judge.on_fault(now, fault.into(), out);
        }
        // It is part of what the demux holds, which has 32 bits.
        line.untaken_bytes += channel::cost(body.len() as u32) as u32;
        out.push(Output::Message { channel: number, kind, body, charge });
    }

    fn on_control(&mut self, now: Duration, kind: Kind, body: &[u8], out: &mut Vec<Output>) {
        let kind = match kind {
            Kind::Note => None,
            Kind::Request(_) => Some(1),
            Kind::Reply(_) => Some(2),
        };
        if let Some(kind) = kind {
            return self.judge.on_fault(now, Violation::UnknownKind { channel: CONTROL, kind }, out);
        }
        match control::Message::decode(body) {
            Ok(control::Message::Hello(_)) => self.judge.on_fault(now, Violation::HelloAgain, out),
            Ok(control::Message::Close { code }) => self.judge.close(Reason::ByPeer(code), out),
            Ok(message) => out.push(Output::Control(message)),
            Err(fault) => self.judge.on_fault(now, fault.into(), out),
        }
    }

    /// Counts what the peer paid for a rejected message beside its bytes, so that it gets that back as well.
    fn refund(&mut self, at: usize) {
        let number = self.rules.channels()[at].number;
        // Where there is no room for it, the peer did not pay.
        let _ = self.demux.hold(number, OVERHEAD_BYTES as usize);
    }

    /// Grants back what is dealt with, if it is worth a message.
    fn settle(&mut self, at: usize, out: &mut Vec<Output>) {
        let channel = &self.rules.channels()[at];
        let line = &self.lines[at];
        let kept = u64::from(line.untaken_bytes) + line.assembly.arrived_bytes() as u64;
        let done = u64::from(self.demux.held(channel.number)) - kept;
        if channel.number == CONTROL {
            self.demux.release(CONTROL, done as usize);
        } else if done >= lump(channel) {
            self.demux.release(channel.number, done as usize);
            out.push(Output::Grant { channel: channel.number, bytes: done as u32 });
        }
    }

    fn position(&self, number: Protocol) -> usize {
        let known = self.rules.channels().iter().position(|channel| channel.number == number);
        known.unwrap_or_else(|| panic!("channel {number} is none of this link's"))
    }
}

/// The least credit that is granted at a time: a quarter of the window.
fn lump(channel: &Channel) -> u64 {
    u64::from(channel.window_bytes / 4)
}
