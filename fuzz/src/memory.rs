//! No input makes the crate ask for a lot of memory at once: a request for more than [`LIMIT`] is refused, which ends the
//! process. (libFuzzer's own limit needs a sanitizer.)

use std::alloc::{GlobalAlloc, Layout, System};

/// Some four thousand times the longest input.
const LIMIT: usize = 16 << 20;

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

// SAFETY: what it grants comes from the system's allocator and goes back there; it may refuse.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LIMIT {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
