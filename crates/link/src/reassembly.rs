//! From the bytes of one channel to its messages.
//!
//! An [`Assembly`] is fed what arrived on its channel, in order and in any cut, and gives out each message whole. What
//! cannot be taken (too long, of no known kind, too slow, no memory left) is passed over by the length in its head,
//! so that the channel stays in step. It counts no credit; that is the inbound half's.
//!
//! **Invariant:** between messages it holds no memory, and within one at most twice what has arrived of it, all of
//! it charged to the budget: never what a head merely promises. Only while the bytes of one read are looked at may it
//! hold more, by as much as that read has still to be looked at: most likely the message's rest is in there, and then
//! it is moved once, to where it stays.
//!
//! `spec/link.md`, "Frames" and "Lanes".

use std::time::Duration;

use bytes::Bytes;

use crate::budget::{CONTROL_BYTES, Charge, Share};
use crate::channel::{Channel, Lane};
use crate::message::{HEAD_BYTES, Head, Kind, Unknown};
use crate::{Protocol, Violation};

/// What a message that waits holds beside its body's buffer: its place in the application's queue, its permit, its
/// charge. More than what the wire's credit counts for it, since the budget is about memory.
const WAITING_BYTES: u64 = 192;

/// The least of a rejected message that must pass by before it is complained of again: small messages that are much
/// too long should not cost many strikes. A guess.
const MIN_ENDLESS_BYTES: u32 = 64 << 10;

/// What came of the bytes.
#[derive(Debug)]
pub enum Event {
    /// A message, whole.
    Message {
        /// Whether it is part of a question.
        kind: Kind,
        /// What it says.
        body: Bytes,
        /// What it holds of the budget.
        charge: Charge,
    },
    /// A message that will not come, for what its peer did wrong or for want of memory.
    Rejected(Violation),
}

/// One channel's message that is under way, if any.
#[derive(Debug, Default)]
pub struct Assembly {
    /// In a box, since most channels have none most of the time.
    under_way: Option<Box<UnderWay>>,
}

#[derive(Debug)]
struct UnderWay {
    /// When its first byte came.
    since: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A doomed one is waited for as well: it says how much is to be passed over.
    Head {
        bytes: [u8; HEAD_BYTES],
        have: usize,
        is_doomed: bool,
    },
    Body {
        kind: Kind,
        length: usize,
        body: Vec<u8>,
        charge: Charge,
    },
    Skip {
        left: u32,
        passed: u32,
    },
}

impl Assembly {
    /// Takes bytes off the front of `input` up to the next event; nothing when all of it was consumed. `behind` is how
    /// many bytes came together with the input and are still to be looked at, whosever they are; when all of them
    /// were, [`Self::settle`] is to be called.
    pub fn next(
        &mut self,
        now: Duration,
        channel: &Channel,
        share: &Share,
        input: &mut &[u8],
        behind: usize,
    ) -> Option<Event> {
        while !input.is_empty() {
            let event = match self.under_way.as_deref().map(|message| &message.state) {
                Some(State::Head { is_doomed: true, .. }) => {
                    self.pass_head(now, input);
                    None
                }
                None | Some(State::Head { .. }) => {
                    let head = self.head(now, input);
                    head.and_then(|head| self.begin(now, channel, share, head, input, behind))
                }
                Some(State::Body { .. }) => self.body(channel, share, input, behind),
                Some(State::Skip { .. }) => self.skip(channel, input),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Gives back what it took for bytes that were behind and turned out to be others'.
    pub fn settle(&mut self, channel: &Channel) {
        if let Some(State::Body { length, body, charge, .. }) =
            self.under_way.as_deref_mut().map(|message| &mut message.state)
        {
            let most = grown(body.len(), *length);
            if body.capacity() > most {
                body.shrink_to(most);
                charge.shrink_to(held(channel, body.capacity()));
            }
        }
    }

    /// Passes over these bytes and every message that any of them belongs to, to the one that they end in.
    pub fn discard(&mut self, now: Duration, mut input: &[u8]) {
        self.give_up();
        while !input.is_empty() {
            if let Some(State::Skip { left, .. }) =
                self.under_way.as_deref_mut().map(|message| &mut message.state)
            {
                *left -= take(&mut input, *left as usize).len() as u32;
                self.end_skip();
            } else {
                self.pass_head(now, &mut input);
            }
        }
        self.give_up();
    }

    /// Gives up the message that has taken too long, if it has.
    pub fn expire(&mut self, now: Duration, channel: &Channel) -> Option<Violation> {
        if self.deadline(channel).is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.give_up();
        Some(Violation::SlowMessage { channel: channel.number })
    }

    /// When the message under way must be there.
    pub fn deadline(&self, channel: &Channel) -> Option<Duration> {
        let message = self.under_way.as_deref()?;
        match message.state {
            State::Head { is_doomed: false, .. } | State::Body { .. } => {
                Some(message.since.saturating_add(channel.deadline))
            }
            State::Head { is_doomed: true, .. } | State::Skip { .. } => None,
        }
    }

    /// How much has arrived of a message that may still come.
    pub fn arrived_bytes(&self) -> usize {
        match self.under_way.as_deref().map(|message| &message.state) {
            None | Some(State::Skip { .. } | State::Head { is_doomed: true, .. }) => 0,
            Some(State::Head { have, .. }) => *have,
            Some(State::Body { body, .. }) => HEAD_BYTES + body.len(),
        }
    }

    /// Whether nothing is under way; it holds no memory then.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Panics when it is not as it must be: for tests and simulators.
    pub fn check_invariants(&self, channel: &Channel) {
        match self.under_way.as_deref().map(|message| &message.state) {
            None => {}
            Some(State::Head { have, .. }) => assert!((1..HEAD_BYTES).contains(have)),
            Some(State::Skip { left, .. }) => assert!(*left > 0),
            Some(State::Body { length, body, charge, .. }) => {
                assert!(body.len() < *length, "a whole message was not given out");
                assert!(body.capacity() <= grown(body.len(), *length), "more than came ×2");
                assert_eq!(charge.bytes(), held(channel, body.capacity()));
            }
        }
    }

    /// Reads a head; nothing when it is not all there.
    fn head(&mut self, now: Duration, input: &mut &[u8]) -> Option<Result<Head, Unknown>> {
        if self.under_way.is_none() {
            if let Some((head, rest)) = input.split_first_chunk() {
                *input = rest;
                return Some(Head::decode(*head));
            }
            self.start(now, State::Head { bytes: [0; HEAD_BYTES], have: 0, is_doomed: false });
        }
        let Some(UnderWay { state: State::Head { bytes, have, .. }, .. }) = self.under_way.as_deref_mut()
        else {
            return None;
        };
        let more = take(input, HEAD_BYTES - *have);
        bytes[*have..*have + more.len()].copy_from_slice(more);
        *have += more.len();
        (*have == HEAD_BYTES).then(|| Head::decode(*bytes))
    }

    /// Reads a head whose message is to be passed over, if it is all there.
    fn pass_head(&mut self, now: Duration, input: &mut &[u8]) {
        if let Some(head) = self.head(now, input) {
            let left = head.map_or_else(|unknown| unknown.length, |head| head.length);
            self.start(now, State::Skip { left, passed: 0 });
            self.end_skip();
        }
    }

    /// Judges a head, and takes its message where it is all there.
    fn begin(
        &mut self,
        now: Duration,
        channel: &Channel,
        share: &Share,
        head: Result<Head, Unknown>,
        input: &mut &[u8],
        behind: usize,
    ) -> Option<Event> {
        let limit = channel.max_message_bytes;
        let channel_number = channel.number;
        let (kind, length) = match head {
            Ok(Head { kind, length }) if length <= limit => (kind, length),
            Ok(Head { length, .. }) => {
                let fault = Violation::TooLong { channel: channel_number, length, limit };
                return self.reject(now, length, fault);
            }
            Err(Unknown { kind, length }) => {
                return self.reject(now, length, Violation::UnknownKind { channel: channel_number, kind });
            }
        };
        let since = self.under_way.take().map_or(now, |message| message.since);
        let length_bytes = length as usize;
        let charged = capacities(input.len(), behind, length_bytes).find_map(|capacity| {
            let charge = share.charge(held(channel, capacity), spare(channel, share))?;
            Some((capacity, charge))
        });
        let Some((capacity, charge)) = charged else {
            return self.reject(now, length, over_budget(channel_number, length));
        };
        if input.len() >= length_bytes {
            let body = Bytes::copy_from_slice(take(input, length_bytes));
            return Some(Event::Message { kind, body, charge });
        }
        let mut body = Vec::with_capacity(capacity);
        body.extend_from_slice(take(input, length_bytes));
        self.start(since, State::Body { kind, length: length_bytes, body, charge });
        None
    }

    /// Adds to the message that has begun; gives it out when it is whole.
    fn body(&mut self, channel: &Channel, share: &Share, input: &mut &[u8], behind: usize) -> Option<Event> {
        let message = self.under_way.as_deref_mut()?;
        let State::Body { length, body, charge, .. } = &mut message.state else { return None };
        let more = take(input, *length - body.len());
        let needed = body.len() + more.len();
        if needed > body.capacity() {
            let before = held(channel, body.capacity());
            let charged = capacities(needed, behind, *length)
                .find(|capacity| charge.grow(held(channel, *capacity) - before, spare(channel, share)));
            let Some(capacity) = charged else {
                let (length, left) = (*length as u32, (*length - needed) as u32);
                message.state = State::Skip { left, passed: 0 };
                self.end_skip();
                return Some(Event::Rejected(over_budget(channel.number, length)));
            };
            body.reserve_exact(capacity - body.len());
        }
        body.extend_from_slice(more);
        if needed < *length {
            return None;
        }
        let State::Body { kind, body, charge, .. } = self.under_way.take()?.state else { return None };
        Some(Event::Message { kind, body: Bytes::from(body), charge })
    }

    /// Passes over what is left of a rejected message, and complains now and then if that is more than any message
    /// may have.
    fn skip(&mut self, channel: &Channel, input: &mut &[u8]) -> Option<Event> {
        let message = self.under_way.as_deref_mut()?;
        let State::Skip { left, passed } = &mut message.state else { return None };
        let gone = take(input, *left as usize).len() as u32;
        *left -= gone;
        *passed = passed.saturating_add(gone);
        let bytes = *passed;
        // Its last bytes are no news: one message that is a little too long is one fault.
        let endless = *left > 0 && bytes > channel.max_message_bytes.max(MIN_ENDLESS_BYTES);
        if endless {
            *passed = 0;
        }
        self.end_skip();
        endless.then_some(Event::Rejected(Violation::Endless { channel: channel.number, bytes }))
    }

    fn reject(&mut self, now: Duration, length: u32, fault: Violation) -> Option<Event> {
        self.start(now, State::Skip { left: length, passed: 0 });
        self.end_skip();
        Some(Event::Rejected(fault))
    }

    /// Lets go of what is under way: its rest is to be passed over.
    fn give_up(&mut self) {
        let Some(message) = self.under_way.as_deref_mut() else { return };
        match &mut message.state {
            State::Head { is_doomed, .. } => *is_doomed = true,
            State::Body { length, body, .. } => {
                message.state = State::Skip { left: (*length - body.len()) as u32, passed: 0 };
            }
            State::Skip { .. } => {}
        }
    }

    fn start(&mut self, since: Duration, state: State) {
        self.under_way = Some(Box::new(UnderWay { since, state }));
    }

    fn end_skip(&mut self) {
        if matches!(self.under_way.as_deref(), Some(UnderWay { state: State::Skip { left: 0, .. }, .. })) {
            self.under_way = None;
        }
    }
}

/// How large a buffer to have for a body of which this much has come: twice as much (with its head, so that whole
/// segments fill it exactly), and no more than all of it.
fn grown(have: usize, length: usize) -> usize {
    (2 * (HEAD_BYTES + have)).min(length)
}

/// The same where so many bytes more are at hand, which may be the body's: first what would take them all as well, if
/// there is budget for it, then what is due.
fn capacities(have: usize, behind: usize, length: usize) -> impl Iterator<Item = usize> {
    let due = grown(have, length);
    let ahead = have.saturating_add(behind).min(length);
    std::iter::once(due.max(ahead)).chain((ahead > due).then_some(due))
}

/// What a message holds whose buffer has this capacity. The link has set something aside for control: there is never
/// more than one such message, since each is dealt with at once.
fn held(channel: &Channel, capacity: usize) -> u64 {
    let bytes = capacity as u64 + WAITING_BYTES;
    if channel.lane == Lane::Control { bytes.saturating_sub(CONTROL_BYTES.into()) } else { bytes }
}

/// How much of the link's floor is not for this channel: bulk leaves half of it to what is urgent. A guess.
fn spare(channel: &Channel, share: &Share) -> u64 {
    if channel.lane == Lane::Bulk { share.floor_bytes() / 2 } else { 0 }
}

fn over_budget(channel: Protocol, length: u32) -> Violation {
    Violation::OverBudget { channel, length }
}

/// Takes at most this many bytes off the front.
fn take<'a>(input: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(bytes.min(input.len()));
    *input = rest;
    front
}
