//! What the system's allocator keeps of what was freed.
//!
//! glibc gives the free end of a heap back to the system whenever it is longer than 128 KiB. The bodies of a busy link
//! come and go in more than that, so that each of them cost page faults: 0.25 ns a byte, a third of the CPU of a
//! receiving link (measured). The bound follows what the program does: when a block that was mapped by itself is
//! freed, glibc keeps up to twice its length from then on (`mallopt(3)`, `M_TRIM_THRESHOLD`). So one such block is made
//! and freed, before the first link. Other allocators have no such bound, and lose nothing.

use std::hint::black_box;
use std::sync::Once;

/// Half of what may be kept, per heap; a process has about as many heaps as busy threads. Half a dozen windows of
/// what is usual: with 4 MiB kept, nine tenths of the faults are gone (measured).
const BLOCK_BYTES: usize = 4 << 20;

/// Has the allocator keep the memory of bodies for the next ones.
pub(super) fn keep_freed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(BLOCK_BYTES))));
}
