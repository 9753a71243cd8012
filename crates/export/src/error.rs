use std::path::PathBuf;

use dyntta_files::{shown, shown_lines};

/// Why an enhancer can't be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] dyntta_files::Error),
    /// A checkpoint is not what it should be.
    #[error(transparent)]
    Model(#[from] dyntta_model::Error),
    /// What can't go into the graph, all of it.
    #[error("{}: cannot be exported:\n  {}", shown(path), shown_lines(&problems.join("\n  ")))]
    Refused {
        /// The file that it is of.
        path: PathBuf,
        /// What is expected and what was found, a sentence each.
        problems: Vec<String>,
    },
    /// The reference could not run a graph.
    #[error("{node}: {message}")]
    Run {
        /// The node.
        node: String,
        /// What is wrong.
        message: String,
    },
}
