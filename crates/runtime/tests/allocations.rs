//! A workspace takes no memory for a size it has seen. What is left are small lists of tasks that the kernels, the blend
//! and rayon make for each call: counted here.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dyntta_runtime::{Enhancer, Method, Workspace};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator; the counters are atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations, their bytes and the largest of a call in the steady state.
fn steady(method: Method, [n, h, w]: [usize; 3]) -> [usize; 3] {
    let enhancer = Enhancer::untrained(method, 0).with_control_size(Some(32));
    let x = common::image(n * 3 * h * w, "steady");
    let (mut out, mut workspace) = (vec![0.0; x.len()], Workspace::new());
    let mut run = || enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out);
    run();
    run();
    for counter in [&COUNT, &BYTES, &LARGEST] {
        counter.store(0, Relaxed);
    }
    run();
    [&COUNT, &BYTES, &LARGEST].map(|counter| counter.load(Relaxed))
}

#[test]
fn the_steady_state_takes_no_memory_to_speak_of() {
    // One thread, so that counts repeat: rayon itself makes a list now and then.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for (method, size) in [
            (Method::Urie, [1, 64, 64]),
            (Method::Urie, [1, 224, 224]),
            (Method::Urie, [64, 32, 32]),
            (Method::Dyntta, [1, 64, 64]),
            (Method::Dyntta, [1, 224, 224]),
            (Method::Dyntta, [64, 32, 32]),
        ] {
            let [count, bytes, largest] = steady(method, size);
            println!("{method:?} {size:?}: {count} allocations, {bytes} bytes, largest {largest}");
        }
    });
}
