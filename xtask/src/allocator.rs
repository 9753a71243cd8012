//! An allocator that counts, so that the most that a reader ever held is known exactly.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
pub struct Counting;

fn add(size: usize) {
    let held = HELD.fetch_add(size, Ordering::Relaxed).wrapping_add(size);
    if held > MOST.load(Ordering::Relaxed) {
        MOST.fetch_max(held, Ordering::Relaxed);
    }
}

// SAFETY: every call is the system's allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            add(layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            add(layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) };
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let new = unsafe { System.realloc(memory, layout, size) };
        if !new.is_null() {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
            add(size);
        }
        new
    }
}

/// Bytes held now.
pub fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// The most bytes held since [`start`].
pub fn most() -> usize {
    MOST.load(Ordering::Relaxed)
}

/// Begins to look for the most anew.
pub fn start() {
    MOST.store(held(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_most_is_seen_though_it_is_given_back() {
        super::start();
        let before = super::held();
        drop(std::hint::black_box(vec![1u8; 200_000_000]));
        assert!(super::most() >= before + 150_000_000);
    }
}
