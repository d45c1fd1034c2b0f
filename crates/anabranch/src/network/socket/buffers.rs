//! What the sockets of one thread share while a turn lasts: so that an idle socket has no buffer.
//!
//! A read goes into the thread's scratch and is dealt with in the same turn. A write is made in a buffer from the
//! thread's pool and goes back there when the bearer took all of it; only a socket whose bearer did not keeps one.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::ops::Range;

/// Write buffers that a thread keeps for the next socket: those of the sockets whose turns follow each other.
const MAX_POOLED: usize = 4;

thread_local! {
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WRITE: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// Lends so much of the thread's read scratch for one turn of one socket.
pub(super) fn with_read<T>(bytes: NonZeroU32, turn: impl FnOnce(&mut [u8]) -> T) -> T {
    let bytes = bytes.get() as usize;
    READ.with_borrow_mut(|scratch| {
        if scratch.len() < bytes {
            scratch.resize(bytes, 0);
        }
        turn(&mut scratch[..bytes])
    })
}

/// A write buffer, whatever is in it.
pub(super) fn take() -> Vec<u8> {
    WRITE.with(|pool| {
        let mut buffers = pool.take();
        let buffer = buffers.pop().unwrap_or_default();
        pool.set(buffers);
        buffer
    })
}

/// Gives a write buffer back.
pub(super) fn give(buffer: Vec<u8>) {
    WRITE.with(|pool| {
        let mut buffers = pool.take();
        if buffers.len() < MAX_POOLED {
            buffers.push(buffer);
        }
        pool.set(buffers);
    });
}

/// What the bearer has still to take, of a write buffer.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    buffer: Vec<u8>,
    rest: Range<usize>,
}

impl Unsent {
    /// The first so many bytes of this buffer.
    pub(super) fn new(buffer: Vec<u8>, bytes: usize) -> Self {
        Self { buffer, rest: 0..bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.rest.clone()]
    }

    /// The bearer took so many of them.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.rest.start += bytes;
    }

    /// It will be a while until the bearer takes the rest: keeps a buffer of about its size.
    pub(super) fn settle(&mut self) {
        if self.buffer.capacity() > 2 * self.rest.len() {
            let rest = self.bytes().to_vec();
            give(std::mem::replace(&mut self.buffer, rest));
            self.rest = 0..self.buffer.len();
        }
    }

    /// Lets go of the buffer, and of what was left.
    pub(super) fn clear(&mut self) {
        give(std::mem::take(self).buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_went_is_the_next_ones() {
        let mut buffer = take();
        buffer.resize(1_000, 1);
        let place = buffer.as_ptr();
        give(buffer);
        let again = take();
        assert_eq!((again.as_ptr(), again.len()), (place, 1_000), "it need not be filled again");
    }

    #[test]
    fn a_small_rest_does_not_keep_a_large_buffer() {
        let mut unsent = Unsent::new(vec![7; 100_000], 90_000);
        unsent.advance(89_990);
        unsent.settle();
        assert_eq!(unsent.bytes(), [7; 10]);
        assert!(unsent.buffer.capacity() < 100);
        let mut unsent = Unsent::new(vec![7; 100], 99);
        unsent.advance(9);
        unsent.settle();
        assert_eq!((unsent.bytes().len(), unsent.buffer.len()), (90, 100), "most of it is left: no copy");
    }

    #[test]
    fn the_pool_is_bounded() {
        for _ in 0..3 * MAX_POOLED {
            give(Vec::with_capacity(10));
        }
        let pooled = (0..3 * MAX_POOLED).filter(|_| take().capacity() > 0).count();
        assert_eq!(pooled, MAX_POOLED);
    }
}
