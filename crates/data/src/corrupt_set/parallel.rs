use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Whether work is to go on: until someone asks to stop, or something fails for good.
pub(super) struct Watch<'a> {
    stop: &'a (dyn Fn() -> bool + Sync),
    failed: AtomicBool,
}

impl<'a> Watch<'a> {
    pub fn new(stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { stop, failed: AtomicBool::new(false) }
    }

    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub fn halted(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || (self.stop)()
    }

    /// Calls `work` with each of `0..n` on `threads` threads, and `done` on this one with each result, in the order in which
    /// they come. As many threads as the system gives do: where it gives none, this one works. Returns when every thread has ended: when all is done, or after what is in hand if it is halted.
    pub fn for_each<R: Send>(
        &self,
        n: usize,
        threads: usize,
        work: impl Fn(usize) -> R + Sync,
        mut done: impl FnMut(usize, R),
    ) {
        let next = AtomicUsize::new(0);
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            let mut started = 0;
            for _ in 0..threads.clamp(1, n.max(1)) {
                let (send, next, work) = (send.clone(), &next, &work);
                let thread = thread::Builder::new().spawn_scoped(scope, move || {
                    while !self.halted() {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= n || send.send((i, work(i))).is_err() {
                            return;
                        }
                    }
                });
                if thread.is_err() {
                    break;
                }
                started += 1;
            }
            drop(send);
            for i in (0..n).take_while(|_| started == 0 && !self.halted()) {
                done(i, work(i));
            }
            receive.into_iter().for_each(|(i, result)| done(i, result));
        });
    }
}
