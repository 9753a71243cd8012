//! Panics of foreign code as values.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `f` returns, or what it panicked with. Such a panic is an answer about a file, not a bug of this program, so the
/// panic hook doesn't hear of it.
///
/// # Errors
/// What it panicked with.
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(before);
    result
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_is_a_value() {
        assert_eq!(super::catch(|| 5).unwrap(), 5);
        let payload = super::catch(|| panic!("said")).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"said"));
    }
}
