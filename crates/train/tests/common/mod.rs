//! What the test files share.

use dyntta_train::{Progress, Stop};

/// Asks to stop once so many steps are done.
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
