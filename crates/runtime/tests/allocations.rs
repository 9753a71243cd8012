//! A workspace takes no memory for a size it has seen: every buffer of activations stays.
//!
//! What is left is not this crate's: the convolutions' lists of bands and tasks, and their copies of the bias; a row of sums
//! in the control network's last pool; and the blend's plan key, and rows of scratch for each thread where one image is spread
//! over the threads. None is larger than a few rows of pixels. (With several threads rayon's queues grow now and then, too.)
#![allow(clippy::disallowed_macros, reason = "a test prints")]

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

/// What a call in the steady state allocates.
#[derive(Debug, PartialEq)]
struct Allocated {
    count: usize,
    bytes: usize,
    largest: usize,
}

/// Of two calls after the first two, and the bytes the workspace holds.
fn steady(method: Method, [n, h, w]: [usize; 3]) -> ([Allocated; 2], usize) {
    let enhancer = Enhancer::untrained(method, 0).with_control_size(Some(32)).unwrap();
    let x = common::image(n * 3 * h * w, "steady");
    let (mut out, mut workspace) = (vec![0.0; x.len()], Workspace::new());
    let mut run = || {
        for counter in [&COUNT, &BYTES, &LARGEST] {
            counter.store(0, Relaxed);
        }
        enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out).unwrap();
        let [count, bytes, largest] = [&COUNT, &BYTES, &LARGEST].map(|counter| counter.load(Relaxed));
        Allocated { count, bytes, largest }
    };
    run();
    run();
    ([run(), run()], workspace.bytes())
}

#[test]
fn the_steady_state_takes_no_memory_to_speak_of() {
    // One thread, so that counts repeat.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        // Measured: 61, 61, 65, 226, 244 and 368.
        for (method, size, most) in [
            (Method::Urie, [1, 64, 64], 80),
            (Method::Urie, [1, 224, 224], 80),
            (Method::Urie, [64, 32, 32], 90),
            (Method::Dyntta, [1, 64, 64], 280),
            (Method::Dyntta, [1, 224, 224], 300),
            (Method::Dyntta, [64, 32, 32], 450),
        ] {
            let ([first, second], held) = steady(method, size);
            println!("{method:?} {size:?}: {first:?}, {held} bytes held");
            assert_eq!(first, second, "{method:?} {size:?}");
            assert!(first.count <= most, "{method:?} {size:?}: {first:?}");
            assert!(first.largest <= 64 << 10, "{method:?} {size:?}: {first:?}");
            assert!(first.bytes <= held / 16, "{method:?} {size:?}: {first:?} of {held}");
        }
    });
}
