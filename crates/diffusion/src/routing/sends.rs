//! The machine's part that sends our own packets, until they are confirmed or given up.
//!
//! Twice along routes, where there are any, then everywhere, three times: in some ten seconds it is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::Hash;

use super::message::{How, MAX_BODY_BYTES, MAX_RECIPIENTS, Packet, Places};
use super::seen::{Entry, Standing};
use super::state::State;
use super::{Output, Refusal, Ticket, Time, To};
use crate::sync::bodies::Producer;

/// How many attempts go along routes.
const ROUTED_ATTEMPTS: u8 = 2;

/// How many attempts there are.
const ATTEMPTS: u8 = 5;

/// One of our packets.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) packet: Arc<Packet>,
    ticket: Ticket,
    missing: Places,
    /// The next attempt.
    attempt: u8,
    /// When it is made.
    pub(super) due: Duration,
}

impl<P: Copy + Ord> State<P> {
    pub(super) fn on_send(
        &mut self,
        now: Time,
        ticket: Ticket,
        to: To,
        body: Bytes,
        out: &mut Vec<Output<P>>,
    ) {
        let to = match self.recipients(to, &body) {
            Ok(to) => to,
            Err(why) => {
                out.push(Output::Refused { ticket, why });
                return;
            }
        };
        let sent_ms = u64::try_from(now.wall.as_millis()).unwrap_or(u64::MAX);
        let packet = Arc::new(Packet::new(sent_ms, self.next_nonce, to, body));
        self.next_nonce = self.next_nonce.wrapping_add(1);
        let id = packet.id();
        self.remember(id, Entry::new(now.mono, &packet, Standing::Passed, Some(ticket)));
        if packet.to().is_empty() {
            self.pass(now, None, &packet, How::Flood { attempt: 0 }, out);
            out.push(Output::Over { ticket, missing: Vec::new() });
            return;
        }
        self.send_bytes += packet.body().len();
        let missing = Places::first(packet.to().len());
        self.sends.insert(id, Sending { packet, ticket, missing, attempt: 0, due: now.mono });
        self.attempt(now, id, out);
    }

    /// Whom a packet is for, ascending and without ourselves; nobody where everybody is meant.
    fn recipients(&self, to: To, body: &Bytes) -> Result<Box<[Producer]>, Refusal> {
        let bytes = body.len();
        if bytes > MAX_BODY_BYTES {
            return Err(Refusal::TooLong { bytes });
        }
        let To::Producers(mut to) = to else {
            return Ok(Box::new([]));
        };
        to.sort_unstable();
        to.dedup();
        to.retain(|producer| self.me.as_ref().is_none_or(|me| me.producer != *producer));
        if let Some(producer) = to.iter().find(|producer| !self.destinations.contains_key(producer)) {
            return Err(Refusal::Unknown { producer: *producer });
        }
        assert!(to.len() <= MAX_RECIPIENTS, "there are no more producers");
        if to.is_empty() {
            Err(Refusal::Nobody)
        } else if self.sends.len() >= self.config.max_sends
            || self.send_bytes + bytes > self.config.send_bytes
        {
            Err(Refusal::Busy)
        } else {
            Ok(to.into())
        }
    }

    /// Makes the next attempt, or gives up.
    fn attempt(&mut self, now: Time, id: Hash, out: &mut Vec<Output<P>>) {
        let sending = self.sends.get_mut(&id).expect("it is under way");
        let (attempt, duty, packet) = (sending.attempt, sending.missing, sending.packet.clone());
        if attempt >= ATTEMPTS || self.seen.get(&id).is_none() {
            self.over(id, out);
            return;
        }
        sending.attempt += 1;
        let missing = duty.iter().map(|place| packet.to()[usize::from(place)]);
        let (how, wait) = if attempt < ROUTED_ATTEMPTS {
            let wait = |to: Producer| match self.route(&to) {
                Some(_) => self.delivery_time(&to),
                None => self.config.flood_timeout,
            };
            (How::Routed { attempt, duty }, missing.map(wait).max().unwrap_or_default())
        } else {
            (How::Flood { attempt }, self.config.flood_timeout * (1 << (attempt - ROUTED_ATTEMPTS)))
        };
        self.sends.get_mut(&id).expect("it is under way").due = now.mono + wait;
        self.pass(now, None, &packet, how, out);
    }

    pub(super) fn on_sends_due(&mut self, now: Time, out: &mut Vec<Output<P>>) {
        let due: Vec<Hash> =
            self.sends.iter().filter(|(_, send)| send.due <= now.mono).map(|(id, _)| *id).collect();
        due.into_iter().for_each(|id| self.attempt(now, id, out));
    }

    /// A recipient confirmed a packet, which may be ours.
    pub(super) fn on_confirmed(&mut self, id: Hash, place: u8, by: Producer, out: &mut Vec<Output<P>>) {
        let Some(sending) = self.sends.get_mut(&id) else {
            return;
        };
        if sending.missing.contains(place) {
            sending.missing.remove(place);
            out.push(Output::Confirmed { ticket: sending.ticket, by });
            if sending.missing.is_empty() {
                self.over(id, out);
            }
        }
    }

    fn over(&mut self, id: Hash, out: &mut Vec<Output<P>>) {
        let Sending { packet, ticket, missing, .. } = self.sends.remove(&id).expect("it is under way");
        self.send_bytes -= packet.body().len();
        let missing = missing.iter().map(|place| packet.to()[usize::from(place)]).collect();
        out.push(Output::Over { ticket, missing });
    }

    /// A link is gone: what went over it is neither waited for nor held against it. Our own goes out again at once.
    pub(super) fn forsake(&mut self, now: Time, peer: P) {
        for key in self.watches.take_of(peer) {
            if let Some(sending) = self.sends.get_mut(&key.0)
                && sending.missing.contains(key.1)
            {
                sending.due = now.mono;
            }
        }
    }
}
