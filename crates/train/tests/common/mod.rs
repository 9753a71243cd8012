//! What the test files share.

#[allow(dead_code, reason = "not every file needs it")]
pub mod place;

use dyntta_train::{Progress, Stop};

/// Asks to stop once so many steps are done.
#[allow(dead_code, reason = "not every file needs it")]
pub struct StopAt(pub u64, pub Stop);

impl Progress for StopAt {
    fn begin(&mut self, _: &str, _: u64, _: u64) {}
    fn update(&mut self, done: u64, _: &str) {
        if done == self.0 {
            self.1.request();
        }
    }
    fn end(&mut self, _: &str) {}
    fn message(&mut self, _: &str) {}
}

/// Panics once so many steps are done: what is left of the run is what a kill leaves.
#[allow(dead_code, reason = "not every file needs it")]
pub struct KillAt(pub u64);

impl Progress for KillAt {
    fn begin(&mut self, _: &str, _: u64, _: u64) {}
    fn update(&mut self, done: u64, _: &str) {
        assert_ne!(done, self.0, "killed");
    }
    fn end(&mut self, _: &str) {}
    fn message(&mut self, _: &str) {}
}

/// Runs what is to be killed, quietly.
#[allow(dead_code, reason = "not every file needs it")]
pub fn killed<T>(run: impl FnOnce() -> T) {
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err(), "it came to its end");
}

/// Notes the messages.
#[allow(dead_code, reason = "not every file needs it")]
#[derive(Default)]
pub struct Messages(pub Vec<String>);

impl Progress for Messages {
    fn begin(&mut self, _: &str, _: u64, _: u64) {}
    fn update(&mut self, _: u64, _: &str) {}
    fn end(&mut self, _: &str) {}
    fn message(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}
