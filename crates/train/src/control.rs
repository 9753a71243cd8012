//! How long work reports and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::Error;

/// Receives the progress of long work.
pub trait Progress {
    /// A stage of `total` steps begins; `done` of them are behind it already (a resumed run).
    fn begin(&mut self, stage: &str, total: u64, done: u64);
    /// `done` of the stage's steps are finished; `note` says how it stands.
    fn update(&mut self, done: u64, note: &str);
    /// The stage is over; `note` says how it ended.
    fn end(&mut self, note: &str);
    /// A line of its own.
    fn message(&mut self, text: &str);
}

/// Progress for nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: u64, _: u64) {}
    fn update(&mut self, _: u64, _: &str) {}
    fn end(&mut self, _: &str) {}
    fn message(&mut self, _: &str) {}
}

/// A request to stop, shared with whoever may make it (a signal handler).
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks to stop at the next safe point.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether someone asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// [`Error::Interrupted`] if someone asked.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self) -> Result<(), Error> {
        if self.requested() { Err(Error::Interrupted(None)) } else { Ok(()) }
    }
}

/// States that are being saved in this process.
static SAVING: AtomicUsize = AtomicUsize::new(0);

/// A state is being saved, as long as this lives: who would end the process for not stopping in time had better wait.
#[derive(Debug)]
pub struct Saving(());

impl Saving {
    /// Begins to save.
    #[must_use = "it ends when it is dropped"]
    pub fn begin() -> Self {
        SAVING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }

    /// Whether anything is being saved.
    pub fn under_way() -> bool {
        SAVING.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        SAVING.fetch_sub(1, Ordering::SeqCst);
    }
}
