//! Scratch memory: aligned, reused by each thread; and a pointer several tasks write through.

use std::cell::RefCell;

/// One cache line of floats.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A growable run of floats that starts on a cache line, so that no vector of weights straddles two.
#[derive(Clone, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// At least `len` floats, whatever is in them.
    pub fn ensure(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            self.lines.resize(len.div_ceil(16), Line([0.0; 16]));
            self.len = len;
        }
        &mut self.as_mut_slice()[..len]
    }

    pub fn as_slice(&self) -> &[f32] {
        // SAFETY: `Line` is `repr(C)` over 16 floats without padding, and `len` is within the lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as for `as_slice`, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// What a convolution task needs: the padded input band, a second float buffer, and pixel offsets.
#[derive(Default)]
pub(crate) struct Scratch {
    pub band: Aligned,
    pub extra: Aligned,
    pub in_off: Vec<usize>,
    pub out_off: Vec<usize>,
    pub extra_off: Vec<usize>,
}

/// Lends the calling thread's scratch to `f`, which must not hand work to other threads and wait for it.
pub(crate) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with(|s| f(&mut s.borrow_mut()))
}

/// Lends `f` a buffer of `len` floats, whatever is in them. `f` may hand out work and wait: should this thread come back here
/// meanwhile, it gets another buffer.
pub(crate) fn with_sums<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SUMS: RefCell<Aligned> = RefCell::default();
    }
    let mut buffer = SUMS.take();
    let result = f(buffer.ensure(len));
    SUMS.set(buffer);
    result
}

/// A mutable pointer that tasks share, each writing floats no other task touches.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: those who dereference it vouch for disjoint writes.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(s: &mut [f32]) -> Self {
        Shared(s.as_mut_ptr())
    }
    pub fn get(self) -> *mut f32 {
        self.0
    }
}
