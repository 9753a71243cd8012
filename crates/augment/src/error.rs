use std::path::PathBuf;

use dyntta_files::{shown, shown_text};

/// What can be wrong with the name of an augmentation or a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No operation of AugMix has this name.
    #[error("no operation of AugMix is called {:?}; there are {known}", shown_text(name).to_string())]
    UnknownAugmixOp {
        /// What was asked for.
        name: String,
        /// All operations' names, separated by commas.
        known: String,
    },
    /// A policy's file cannot be read.
    #[error("{}: {reason}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What stands against it.
        reason: String,
    },
    /// A policy's file is not what it should be.
    #[error("{}:{line}: {message}", shown(path))]
    Policy {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, what was expected and what was found.
        message: String,
    },
    /// No fixed augmentation has this name.
    #[error("no augmentation is called {:?}; there are {known}", shown_text(name).to_string())]
    UnknownFixed {
        /// What was asked for.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
}
