//! Work done ahead of the consumer, on threads of its own.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The most threads a [`prefetch`] starts.
const MAX_WORKERS: usize = 256;

/// Applies `f` to `items` on `workers` threads (brought into 1 to 256), ahead of the consumer, and yields the results
/// in the order of the items. At most `capacity` (at least 1) items are in work or waiting to be consumed; `items` is
/// advanced by the workers, one at a time.
///
/// The threads are not rayon's, so that decoding goes on while a training step has that pool busy. A panic in `f` or
/// `items` is raised again in the consumer, at its item's turn, and ends the iteration. Dropped early, it does not wait:
/// each worker stops after the item it has in hand.
pub fn prefetch<T, R, I, F>(items: I, workers: usize, capacity: usize, f: F) -> Prefetch<R>
where
    I: Iterator<Item = T> + Send + 'static,
    F: Fn(T) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    let shared = Arc::new(Shared {
        state: Mutex::new(State { waiting: VecDeque::new(), head: 0, end: None, closed: false }),
        result: Condvar::new(),
        room: Condvar::new(),
        capacity: capacity.max(1),
    });
    let source = Arc::new(Mutex::new((items, 0)));
    let f = Arc::new(f);
    for _ in 0..workers.clamp(1, MAX_WORKERS).min(shared.capacity) {
        let (shared, source, f) = (shared.clone(), source.clone(), f.clone());
        thread::spawn(move || while work(&shared, &source, &*f).is_some() {});
    }
    Prefetch { shared }
}

/// The iterator that [`prefetch`] gives.
#[derive(Debug)]
pub struct Prefetch<R> {
    shared: Arc<Shared<R>>,
}

#[derive(Debug)]
struct Shared<R> {
    state: Mutex<State<R>>,
    /// A result has arrived, or the end is known.
    result: Condvar,
    /// A result has been consumed, or nobody will consume any more.
    room: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<R> {
    /// The results from number `head` on, `None` while in work.
    waiting: VecDeque<Option<Result<R, Box<dyn Any + Send>>>>,
    head: usize,
    /// The number of items, once known.
    end: Option<usize>,
    closed: bool,
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // No user code runs under this lock, so it cannot be poisoned halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, number: usize, result: Result<R, Box<dyn Any + Send>>) {
        let mut state = self.lock();
        if state.closed {
            return; // and what else waits went with the consumer
        }
        let slot = number - state.head;
        if state.waiting.len() <= slot {
            state.waiting.resize_with(slot + 1, || None);
        }
        state.waiting[slot] = Some(result);
        drop(state);
        self.result.notify_all();
    }

    fn end_at(&self, number: usize) {
        self.lock().end = Some(number);
        self.result.notify_all();
    }
}

/// Does one item; `None` when there is nothing left to do.
fn work<T, R, I: Iterator<Item = T>>(
    shared: &Shared<R>,
    source: &Mutex<(I, usize)>,
    f: &impl Fn(T) -> R,
) -> Option<()> {
    // The source stays locked while waiting for room: whoever waits for it would have to wait for room too.
    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
    let number = source.1;
    {
        let mut state = shared.lock();
        while !state.closed && state.end.is_none() && number >= state.head + shared.capacity {
            state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed || state.end.is_some() {
            return None;
        }
    }
    let item = match catch_unwind(AssertUnwindSafe(|| source.0.next())) {
        Ok(Some(item)) => item,
        Ok(None) => {
            shared.end_at(number);
            return None;
        }
        Err(panic) => {
            shared.end_at(number + 1);
            shared.put(number, Err(panic));
            return None;
        }
    };
    source.1 += 1;
    drop(source);
    shared.put(number, catch_unwind(AssertUnwindSafe(|| f(item))));
    Some(())
}

impl<R> Iterator for Prefetch<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let mut state = self.shared.lock();
        let result = loop {
            if state.closed || state.end == Some(state.head) {
                return None;
            }
            if let Some(Some(_)) = state.waiting.front() {
                break state.waiting.pop_front().flatten()?;
            }
            state = self.shared.result.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.head += 1;
        state.closed |= result.is_err();
        drop(state);
        self.shared.room.notify_all();
        match result {
            Ok(value) => Some(value),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl<R> Drop for Prefetch<R> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.shared.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn order_is_kept_whatever_the_workers_and_the_capacity() {
        for workers in [0, 1, 2, 7] {
            for capacity in [0, 1, 3, 100] {
                let slow_first = |i: usize| {
                    if i.is_multiple_of(5) {
                        thread::sleep(Duration::from_millis(1));
                    }
                    i * i
                };
                let squares: Vec<usize> = prefetch(0..40, workers, capacity, slow_first).collect();
                assert_eq!(squares, (0..40).map(|i| i * i).collect::<Vec<_>>(), "{workers} {capacity}");
            }
        }
        assert_eq!(prefetch(std::iter::empty::<u8>(), 3, 3, |x| x).count(), 0);
    }

    #[test]
    fn no_more_than_the_capacity_is_taken_ahead() {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let mut results = prefetch(
            (0..1000).inspect(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }),
            4,
            6,
            |i| i,
        );
        for consumed in 1..=50 {
            results.next().unwrap();
            thread::yield_now();
            assert!(taken.load(Ordering::SeqCst) <= consumed + 6);
        }
        // It does work ahead: without a further call the workers fill the room there is.
        while taken.load(Ordering::SeqCst) < 56 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn workers_work_at_the_same_time() {
        // Each item waits for the other: one thread alone would never end.
        let (a, b) = (mpsc::channel(), mpsc::channel());
        let ends = [(a.0, Mutex::new(b.1)), (b.0, Mutex::new(a.1))];
        let results: Vec<bool> = prefetch(0..2, 2, 2, move |i: usize| {
            ends[i].0.send(()).unwrap();
            ends[i].1.lock().unwrap().recv().is_ok()
        })
        .collect();
        assert_eq!(results, [true, true]);
    }

    #[test]
    fn a_panic_reaches_the_consumer_in_turn_and_ends_it() {
        let mut results = prefetch(0..10, 3, 4, |i| if i == 3 { panic!("item {i}") } else { i });
        assert_eq!([results.next(), results.next(), results.next()], [Some(0), Some(1), Some(2)]);
        let panic = catch_unwind(AssertUnwindSafe(|| results.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "item 3");
        assert_eq!(results.next(), None);

        let mut results = prefetch((0..10).inspect(|&i| assert!(i < 2, "source")), 3, 4, |i| i);
        assert_eq!([results.next(), results.next()], [Some(0), Some(1)]);
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
        assert_eq!(results.next(), None);
    }

    #[test]
    fn dropped_early_the_workers_end() {
        struct Alive(Arc<()>);
        let token = Arc::new(());
        for consumed in [0, 1, 5] {
            let alive = Alive(token.clone());
            let mut results = prefetch(0.., 3, 4, move |i: u64| (i, Arc::strong_count(&alive.0)));
            for _ in 0..consumed {
                results.next().unwrap();
            }
            drop(results);
        }
        // The closures, and the tokens in them, go when the last worker has ended.
        while Arc::strong_count(&token) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn dropping_does_not_wait_for_a_source_that_blocks() {
        let (sender, receiver) = mpsc::channel::<u8>();
        let results = prefetch(receiver.into_iter(), 2, 2, |x| x);
        drop(results);
        drop(sender);
    }
}
