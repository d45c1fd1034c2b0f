//! What has arrived for one mini-protocol and was not dealt with.

use crate::framing::Framer;

/// The ingress of one protocol: a message that is not whole yet, and bytes behind messages that wait for their
/// turn. Their number is bounded by the mux.
#[derive(Debug, Default)]
pub(super) struct Ingress {
    pub(super) framer: Framer,
    held: Option<Box<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// How many of the bytes were taken.
    taken: usize,
}

impl Ingress {
    /// Whether whole messages may wait here.
    pub(super) fn has_held(&self) -> bool {
        self.held.is_some()
    }

    /// How many bytes are kept in all.
    pub(super) fn len(&self) -> usize {
        self.framer.held() + self.held.as_ref().map_or(0, |held| held.bytes.len() - held.taken)
    }

    /// Keeps bytes for later.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.held.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
    }

    /// Hands out what was kept; [`Ingress::put_back`] takes what is left of it.
    pub(super) fn take(&mut self) -> Taken {
        Taken(self.held.take().unwrap_or_default())
    }

    /// Takes back all but the first `used` bytes. Moves them only when most of the buffer is behind them, so
    /// that no byte is moved more than twice.
    pub(super) fn put_back(&mut self, Taken(mut held): Taken, used: usize) {
        held.taken += used;
        if held.taken == held.bytes.len() {
            return;
        }
        if held.taken > held.bytes.len() / 2 {
            held.bytes.drain(..held.taken);
            held.bytes.shrink_to_fit();
            held.taken = 0;
        }
        self.held = Some(held);
    }
}

/// Bytes that were kept.
pub(super) struct Taken(Box<Held>);

impl Taken {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0.bytes[self.0.taken..]
    }
}
