//! What the sockets of one thread share while a turn lasts: so that an idle socket has no buffer.
//!
//! A read goes into the thread's scratch and is dealt with in the same turn. A write is made in a buffer from the
//! thread's pool and goes back there when the bearer took all of it; only a socket whose bearer did not keeps one.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;

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

/// An empty write buffer.
pub(super) fn take() -> Vec<u8> {
    WRITE.with(|pool| {
        let mut buffers = pool.take();
        let buffer = buffers.pop().unwrap_or_default();
        pool.set(buffers);
        buffer
    })
}

/// Gives a write buffer back.
pub(super) fn give(mut buffer: Vec<u8>) {
    WRITE.with(|pool| {
        let mut buffers = pool.take();
        if buffers.len() < MAX_POOLED {
            buffer.clear();
            buffers.push(buffer);
        }
        pool.set(buffers);
    });
}

/// What the bearer did not take, in a buffer of about its size.
pub(super) fn keep(buffer: Vec<u8>, gone: usize) -> (Vec<u8>, usize) {
    if buffer.capacity() > 2 * (buffer.len() - gone) {
        let rest = buffer[gone..].to_vec();
        give(buffer);
        (rest, 0)
    } else {
        (buffer, gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_went_is_the_next_ones() {
        let mut buffer = take();
        buffer.extend_from_slice(&[1; 1_000]);
        let place = buffer.as_ptr();
        give(buffer);
        let again = take();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn a_small_rest_does_not_keep_a_large_buffer() {
        let (rest, gone) = keep(vec![7; 100_000], 99_990);
        assert_eq!((rest.len(), gone), (10, 0));
        assert!(rest.capacity() < 100);
        let (rest, gone) = keep(vec![7; 100], 10);
        assert_eq!((rest.len(), gone), (100, 10), "most of it is left: no copy");
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
