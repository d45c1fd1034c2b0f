//! What the clients of one thread share while their turn lasts: so an idle client has no buffer.

use std::cell::RefCell;
use std::sync::Arc;

use chain::View;
use ouroboros::server::Output;

/// One read of a socket brings this much at most. Requests are small; a pipelining client's window fits.
const READ_BYTES: usize = 64 * 1024;

/// Buffers that nobody keeps.
pub(super) struct Scratch {
    pub(super) read: Box<[u8]>,
    pub(super) write: Vec<u8>,
    pub(super) outputs: Vec<Output>,
    /// The newest view that this thread has seen, and whose it is.
    pub(super) view: Option<(u64, Arc<View>)>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        read: vec![0; READ_BYTES].into(),
        write: Vec::new(),
        outputs: Vec::new(),
        view: None,
    });
}

/// Lends the thread's scratch for one turn of one client.
pub(super) fn with<T>(turn: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(turn)
}
