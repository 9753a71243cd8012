use std::io;
use std::path::{Path, PathBuf};

use crate::shown;

/// What can go wrong with a file or folder. Every variant names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", shown(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "read", "write", "list", …
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not what its use asks for.
    #[error("{}: expected {expected}, found {found}", shown(path))]
    Unexpected {
        /// The file or folder.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file is larger than its reader takes.
    #[error("{}: expected at most {limit} bytes, found more", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// An output is an input of the same command.
    #[error("{}: {output} would be written over {input}; choose another place", shown(path))]
    InputIsOutput {
        /// The file or folder.
        path: PathBuf,
        /// The output, such as "`--json`".
        output: String,
        /// The input, such as "`--clean`".
        input: String,
    },
    /// Something stands where an output goes that is not known to be an earlier output.
    #[error(
        "{}: {output} would be written over {found}, which this command did not write; choose another place, or replace it with \
         --overwrite",
        shown(path)
    )]
    Exists {
        /// The file or folder.
        path: PathBuf,
        /// The output.
        output: String,
        /// What stands there.
        found: String,
    },
    /// Another process works in the folder.
    #[error("{}: {holder} works in this folder; wait for its end, or stop it", shown(path))]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process, as its lock describes it.
        holder: String,
    },
}

impl Error {
    /// A function that makes an [`Error::Io`] about `path`; `action` is what was tried: "read", "write", …
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }

    pub(crate) fn unexpected(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Unexpected { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }
}
