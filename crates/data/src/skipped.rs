//! Broken files that were left out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// Notes broken files that are left out; clones share their notes. See [`crate::Dataset::skip_broken`].
#[derive(Clone, Debug, Default)]
pub struct Skipped(Arc<Mutex<BTreeMap<String, String>>>);

impl Skipped {
    /// Notes a file with what is wrong with it; one that is noted already is not counted again.
    pub(crate) fn note(&self, path: String, error: &Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path, error.to_string());
    }

    /// How many files were left out.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The errors, by the files' paths; each names its file.
    pub fn errors(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
