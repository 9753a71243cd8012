use std::path::PathBuf;

use dyntta_files::{shown, shown_lines, shown_text};

use crate::zoo::Size;

/// What can go wrong with networks and weight files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: {source}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not one, or too large.
    #[error(transparent)]
    File(#[from] dyntta_files::Error),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] dyntta_image::Error),
    /// A file is not what its use asks for.
    #[error("{}: expected {}, found {}", shown(path), shown_lines(expected), shown_lines(found))]
    Format {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// What is wrong with a weight file or a checkpoint's config.
    #[error(transparent)]
    Model(#[from] dyntta_model::Error),
    /// An architecture name is not known.
    #[error("unknown architecture `{}`; known are {known}", shown_text(name))]
    UnknownArch {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A network does not take images of this size.
    #[error("{arch} takes images of {size} pixels, not of {width} × {height}")]
    ImageSize {
        /// The network.
        arch: String,
        /// What it takes.
        size: Size,
        /// The image's height in pixels.
        height: usize,
        /// Its width.
        width: usize,
    },
    /// An ONNX graph has operators that are not supported: all of them.
    #[error("{}: operators that are not supported:{}", shown(path), shown_lines(&list(operators).to_string()))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The operators, by name.
        operators: Vec<Unsupported>,
    },
    /// A node of an ONNX graph does not fit what flows into it.
    #[error(
        "{}: node `{}` ({}): {}",
        shown(path),
        shown_text(node),
        shown_text(operator),
        shown_lines(message)
    )]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// What is wrong.
        message: String,
    },
    /// No gradient of a classifier's scores reaches the image.
    #[error("{}: no gradient reaches the image: {}", shown(path), shown_lines(message))]
    Gradient {
        /// The file.
        path: PathBuf,
        /// Why: the nodes that let none through.
        message: String,
    },
    /// A classifier's weights or scores are not finite.
    #[error("{}: {}", shown(path), shown_lines(message))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Which.
        message: String,
    },
    /// The bank of a checkpoint or config is not usable.
    #[error("{context}: {message}")]
    Bank {
        /// Where it stands.
        context: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// An operator of an ONNX graph that is not supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The operator, with its domain if that is not ONNX's own.
    pub operator: String,
    /// What of it is not supported; none where the operator is not.
    pub reason: Option<String>,
    /// How many nodes it concerns.
    pub count: usize,
    /// One of them.
    pub example: String,
}

fn list(operators: &[Unsupported]) -> String {
    let line = |u: &Unsupported| {
        let reason = u.reason.as_ref().map(|r| format!(" with {r}")).unwrap_or_default();
        format!(
            "\n  {}{reason} ({}, for example `{}`)",
            shown_text(&u.operator),
            u.count,
            shown_text(&u.example)
        )
    };
    operators.iter().map(line).collect()
}
